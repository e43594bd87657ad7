"""`musicgraph generate` and `musicgraph models`: the whole way from a sentence to a file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from fakes import assert_links_sound, opened
from fresh import BOUND

from musicgraph import cli
from musicgraph.app.studio.music import make_music
from musicgraph.models.weights import places
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.default_graph import workflow_for
from musicgraph.workflows.events import AudioChunk
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import NodeSpecs, node_classes
from musicgraph.workflows.request import Request, seed_for
from musicgraph.workflows.validate import validate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint with room for the default top_k."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_tiny_checkpoint(folder, codebook_size=512)
    return str(folder)


def generate(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["musicgraph", "generate", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    return caught.value.code or 0, out.out, out.err


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".ogg"])
def test_the_suffix_chooses_the_format(tmp_path, capsys, monkeypatch, model, suffix):
    target = tmp_path / f"tune{suffix}"
    code, out, err = generate(
        capsys, monkeypatch, "happy", "-d", 1, "--model", model, "--seed", 7, "-o", target
    )
    assert (code, out.strip()) == (0, str(target))
    assert "seed 7" in err and "× real time" in err
    sound, rate = read_audio(target)
    assert sound.shape[0] == 1
    assert sound.shape[1] / rate == pytest.approx(1.0, abs=0.1)
    assert [path.name for path in tmp_path.iterdir()] == [target.name], (
        "nothing else is left behind"
    )


def test_json_comes_last_and_says_what_was_made(tmp_path, capsys, monkeypatch, model):
    target = tmp_path / "tune.wav"
    code, out, _ = generate(
        capsys, monkeypatch, "happy", "-d", 0.5, "--model", model, "--json", "-o", target
    )
    said = json.loads(out.splitlines()[-1])
    assert code == 0
    assert said["files"] == [str(target)]
    assert said["seconds"] == 0.5
    assert 0 <= said["seed"] < 2**32, "drawn, and said"
    assert said["model"] == model
    assert said["engine"] == "torch fp32 on cpu"
    assert said["x_real_time"] > 0
    again = tmp_path / "again.wav"
    generate(
        capsys,
        monkeypatch,
        "happy",
        "-d",
        0.5,
        "--model",
        model,
        "--seed",
        said["seed"],
        "-o",
        again,
    )
    assert again.read_bytes() == target.read_bytes()


def test_takes_get_numbers_and_differ(tmp_path, capsys, monkeypatch, model):
    arguments = [
        "happy",
        "-d",
        0.5,
        "--model",
        model,
        "--seed",
        1,
        "--variations",
        3,
        "-o",
        tmp_path / "tune.wav",
    ]
    code, out, _ = generate(capsys, monkeypatch, *arguments)
    names = [Path(line).name for line in out.split()]
    assert (code, names) == (0, ["tune_1.wav", "tune_2.wav", "tune_3.wav"])
    sounds = [soundfile.read(tmp_path / name)[0] for name in names]
    assert not np.array_equal(sounds[0], sounds[1]) and not np.array_equal(sounds[1], sounds[2])


def test_the_file_carries_a_graph_that_makes_the_same_samples(tmp_path, capsys, monkeypatch, model):
    target = tmp_path / "tune.flac"
    wishes = [
        "--negative",
        "noise",
        "--loudness",
        -20,
        "--cfg",
        2,
        "--top-p",
        0.9,
        "--temperature",
        0.8,
    ]
    generate(
        capsys,
        monkeypatch,
        "happy",
        "-d",
        0.5,
        "--model",
        model,
        "--seed",
        5,
        "-o",
        target,
        *wishes,
    )
    assert set(json.loads(read_tags(target)["workflow"])) >= {"nodes", "links", "version"}
    rerun = [
        "musicgraph",
        "run",
        str(target),
        "--set",
        f"1.model={model}",
        "--output",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr(sys, "argv", rerun)
    with pytest.raises(SystemExit):
        cli.main()
    (again,) = (tmp_path / "out").rglob("*.flac")
    assert np.array_equal(soundfile.read(again)[0], soundfile.read(target)[0])


def test_samples_are_written_as_decoded(tmp_path, capsys, monkeypatch, model):
    target = tmp_path / "tune.wav"
    generate(capsys, monkeypatch, "happy", "-d", 0.5, "--model", model, "--seed", 5, "-o", target)
    music = make_music(Runner(), Request("happy", model=model, duration_s=0.5, seed=5))
    written, _ = soundfile.read(target, dtype="int16")
    expected = np.clip(music.waveform[0, 0].numpy() * 32768, -32768, 32767)
    assert np.abs(written - expected).max() <= 0.5 + 1e-3, "rounded to 16 bits, nothing else"


REFUSALS = {
    "duration 0": (["-d", 0], "duration"),
    "duration below 0": (["-d", -1], "duration"),
    "duration NaN": (["-d", "nan"], "duration"),
    "duration beyond all bounds": (["-d", 1e9], "duration"),
    "top_k 0": (["--top-k", 0], "top_k"),
    "top_k above the vocabulary": (["--top-k", 513], "top_k"),
    "top_p above 1": (["--top-p", 1.5], "top_p"),
    "negative temperature": (["--temperature", -1], "temperature"),
    "seed below -1": (["--seed", -2], "seed"),
    "no variations": (["--variations", 0], "variations"),
    "another precision": (["--precision", "fp8"], "precision"),
    "unknown model": (["--model", "muzak"], "muzak"),
    "a suffix that cannot be written": (["-o", "tune.aiff"], ".aiff"),
    "an unwritable place": (["-o", "/proc/tune.wav"], "/proc"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_one_line_exit_code_2_and_no_file(tmp_path, capsys, monkeypatch, model, case):
    arguments, named = REFUSALS[case]
    monkeypatch.chdir(tmp_path)
    defaults = [] if "-o" in arguments else ["-o", tmp_path / "tune.wav"]
    defaults += [] if "--model" in arguments else ["--model", model]
    code, out, err = generate(capsys, monkeypatch, "happy", *defaults, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert named in lines[0]
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_prompt_is_unconditional_and_said_so(tmp_path, capsys, monkeypatch, model):
    code, _, err = generate(
        capsys, monkeypatch, " ", "-d", 0.5, "--model", model, "-o", tmp_path / "tune.wav"
    )
    assert code == 0
    assert "unconditional" in err


def test_a_prompt_of_several_lines_is_one_prompt(model):
    music = make_music(Runner(), Request("happy\n\nsong", model=model, duration_s=0.2))
    assert music.waveform.shape[0] == 1


def test_a_graph_cannot_use_a_folder_that_the_user_did_not_name(tmp_path, model):
    runner = Runner()
    graph = workflow_for(Request("happy", model=model), NodeSpecs(runner.classes)).graph
    with pytest.raises(WorkflowError, match="expected one of pocket"):
        runner.run(graph, output_dir=tmp_path)


def test_a_graph_downloads_nothing_that_the_user_did_not_name(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "download", lambda *_: pytest.fail("asked the hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    runner = Runner()
    request = Request("happy", model="facebook/musicgen-small")
    graph = workflow_for(request, NodeSpecs(runner.classes)).graph
    with pytest.raises(WorkflowError, match="name it yourself"):
        runner.run(graph, output_dir=tmp_path)


def test_another_seed_does_not_load_the_model_again(model):
    runner, seen = Runner(), []
    for seed in (1, 2):
        make_music(
            runner, Request("happy", model=model, duration_s=0.2, seed=seed), listener=seen.append
        )
    cached = {event.node for event in seen if type(event).__name__ == "NodeCached"}
    assert cached == {"1", "2"}, "the loader and the text"


def test_streaming_gives_the_same_samples_piece_by_piece(model):
    request = Request("happy", model=model, duration_s=3.0, seed=3)
    pieces = []
    streamed = make_music(Runner(), request, listener=pieces.append, stream=True)
    chunks = [event.waveform for event in pieces if isinstance(event, AudioChunk)]
    assert len(chunks) >= 2
    assert np.array_equal(np.concatenate(chunks, axis=2), streamed.waveform.numpy())
    assert np.array_equal(streamed.waveform.numpy(), make_music(Runner(), request).waveform.numpy())


@pytest.mark.parametrize("saver", ["flac", "mp3", "opus"])
@pytest.mark.parametrize("negative", ["", "noise"])
@pytest.mark.parametrize("loudness", [None, -14.0])
@pytest.mark.parametrize("melody", ["", "tune.wav"])
def test_every_form_of_the_default_graph_is_valid(tmp_path, saver, negative, loudness, melody):
    soundfile.write(tmp_path / "tune.wav", np.zeros(100), 8000)
    request = Request("a", negative, melody=melody, save_as=saver, loudness_lufs=loudness)
    with running(Run(input_dir=tmp_path)):
        workflow = workflow_for(request, NodeSpecs(node_classes()))
        assert validate(workflow.runnable, workflow.specs).problems == ()
    assert_links_sound(workflow.ui)
    assert opened(Document(ui=workflow.ui), node_classes()).graph == workflow.graph


def test_a_drawn_seed_is_within_what_a_page_can_hold():
    assert 0 <= seed_for(-1) < 2**32
    assert seed_for(2**64 - 1) == 2**64 - 1


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["run", "--help"]])
def test_help_needs_nothing_heavy(arguments):
    """So that it answers at once: torch alone takes longer to import than a reader waits."""
    script = BOUND + (
        "from musicgraph import cli\n"
        f"sys.argv = ['musicgraph', *{arguments!r}]\n"
        "try: cli.main()\n"
        "finally: print(sorted({'torch', 'transformers', 'gradio', 'numpy', 'av'} & "
        "set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage" in out.stdout
    assert out.stdout.splitlines()[-1] == "[]"
