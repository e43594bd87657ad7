"""A Space gets what it needs to run, as the Hub takes it: tried end to end against a hub on
loopback.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from space_hub import MOST_BYTES, space_hub

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    "HF_TOKEN": "hf_of_nobody", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}  # fmt: skip
UPLOAD = "import sys, pathlib; sys.path.insert(0, 'docs'); import space; "
UPLOAD += "space.upload(pathlib.Path(sys.argv[1]), sys.argv[2])"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """After an upload, upon another one that has left something behind."""
    with space_hub() as running:
        running.files["old.txt"] = b"of a former upload"
        pushed(running, tmp_path_factory, [str(ROOT / "docs/space.py"), "anna/music"])
        yield running


@pytest.fixture(scope="module")
def uploaded(hub, tmp_path_factory):
    """The Space's files, as its machine checks them out."""
    folder = tmp_path_factory.mktemp("space") / "app"
    for name, content in hub.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def pushed(running, tmp_path_factory, arguments):
    own = {"HF_ENDPOINT": running.url, "HF_HOME": str(tmp_path_factory.mktemp("home"))}
    out = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **ENVIRONMENT, **own},
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    return out.stdout


def test_it_is_one_commit_to_a_gradio_space_and_leaves_nothing_old(hub):
    assert hub.made["name"] == "music" and hub.made["organization"] == "anna"
    assert (hub.made["type"], hub.made["sdk"]) == ("space", "gradio")
    assert hub.commits == 1 and "old.txt" not in hub.files
    assert hub.tokens == {"Bearer hf_of_nobody"} | ({""} & hub.tokens)


def test_the_weights_are_stored_apart_and_each_is_below_the_limit(hub):
    weights = {name for name in hub.files if name.endswith(".safetensors")}
    assert weights and weights <= hub.large
    assert max(len(hub.files[name]) for name in weights) < MOST_BYTES


def test_a_file_above_the_limit_goes_there_too(tmp_path, tmp_path_factory):
    (tmp_path / "model.safetensors").write_bytes(bytes(MOST_BYTES + 1))
    with space_hub() as other:
        pushed(other, tmp_path_factory, ["-c", UPLOAD, str(tmp_path), "anna/music"])
        assert other.large == {"model.safetensors"}


def test_what_is_not_needed_stays_at_home(hub):
    tops = {name.partition("/")[0] for name in hub.files}
    assert not tops & {"tests", "training", "benchmarks", ".ci", "Dockerfile", "Makefile"}
    assert sum(map(len, hub.files.values())) < 60 * 2**20


def test_the_card_says_all_that_the_hub_asks_for(hub):
    _, front, _ = hub.files["README.md"].decode().split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["sdk"] == "gradio" and told["app_file"] in hub.files
    assert len(told["short_description"]) <= 60
    assert told["suggested_hardware"] == "cpu-basic" and told["startup_duration_timeout"] == "30m"
    assert told["python_version"] == "3.12" and "text-to-music" in told["tags"]
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"gradio=={told['sdk_version']}\n" in tested, "the Gradio that is tested"


def test_a_free_space_gets_the_fast_engine(hub):
    lines = hub.files["requirements.txt"].decode().splitlines()
    assert "torch" in lines and any(line.startswith("numba") for line in lines)
    assert not any(line.startswith(("gradio", "spaces", "--")) for line in lines)


def requirements(**wanted):
    out = subprocess.run(
        [sys.executable, "-c", f"import space; print(space.requirements(**{wanted}))"],
        capture_output=True, text=True, cwd=ROOT / "docs", check=True,
    )  # fmt: skip
    return out.stdout.split("\n")


def test_an_index_with_torch_for_cpus_can_be_named():
    lines = requirements(gpu=False, torch_index="https://example.org/cpu")
    (torch,) = [line for line in lines if line.startswith("torch")]
    assert lines[0] == "--extra-index-url https://example.org/cpu" and torch.endswith("+cpu")


def test_a_space_with_a_gpu_gets_the_usual_torch():
    lines = requirements(gpu=True, torch_index="https://example.org/cpu")
    assert "torch" in lines and "spaces" in lines and not any("example.org" in one for one in lines)


def test_what_was_uploaded_starts(uploaded):
    script = (
        "import sys; sys.argv = ['gradio_app.py'];"
        "import gradio_app; print(gradio_app.build_app().title)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], cwd=uploaded, capture_output=True, text=True,
        env={**os.environ, "MUSICGRAPH_MODELS": str(uploaded / "none")},
    )  # fmt: skip
    assert (out.returncode, out.stdout.strip()) == (0, "MusicGraph"), out.stderr


def test_a_name_that_is_none_is_refused_before_anything_is_sent():
    out = subprocess.run(
        [sys.executable, str(ROOT / "docs/space.py"), "music"], capture_output=True, text=True
    )
    assert out.returncode == 2 and "expected USER/NAME" in out.stderr
