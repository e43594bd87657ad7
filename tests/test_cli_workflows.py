"""`musicgraph run` and `musicgraph check`, as a script sees them: stdout, stderr, exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from musicgraph import cli
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.tags import read_tags

FLOW = {
    "1": {
        "class_type": "EmptyAudio",
        "inputs": {"duration": 0.1, "sample_rate": 32000, "channels": 1},
    },
    "2": {
        "class_type": "SaveAudio",
        "inputs": {"audio": ["1", 0], "filename_prefix": "x"},
        "_meta": {"title": "Keep"},
    },
}


@pytest.fixture
def musicgraph(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as error:
            code = error.code or 0
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return code, output.out, output.err

    return call


def flow(tmp_path, name="flow.json", **changes):
    path = tmp_path / name
    path.write_text(json.dumps({**FLOW, **changes}))
    return path


def test_run_writes_the_files_and_prints_them(musicgraph, tmp_path):
    code, out, _ = musicgraph("run", flow(tmp_path), "--output", "there", "--set", "1.duration=0.2")
    assert code == 0 and out.split() == [str(tmp_path / "there" / "x_00001.flac")]
    assert read_audio(out.strip())[0].shape == (1, 6400)
    assert json.loads(read_tags(out.strip())["prompt"])["1"]["inputs"]["duration"] == 0.2


def test_run_prints_one_json_object_last(musicgraph, tmp_path):
    code, out, _ = musicgraph("run", flow(tmp_path), "--json")
    outcome = json.loads(out.splitlines()[-1])
    assert (
        code == 0
        and outcome["ok"]
        and outcome["files"] == [str(tmp_path / "output" / "x_00001.flac")]
    )
    assert outcome["outputs"] == {
        "2": {"audio": [{"filename": "x_00001.flac", "subfolder": "", "type": "output"}]}
    }


def test_a_result_can_be_run_again(musicgraph, tmp_path):
    musicgraph("run", flow(tmp_path))
    code, out, _ = musicgraph("run", tmp_path / "output" / "x_00001.flac")
    assert code == 0 and out.strip().endswith("x_00002.flac")


def test_load_audio_reads_from_the_input_folder(musicgraph, tmp_path):
    write_audio(tmp_path / "mine" / "a.wav", torch.zeros(1, 80), 8000)
    path = flow(tmp_path, **{"1": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}}})
    assert musicgraph("run", path, "--input", "mine")[0] == 0
    code, _, err = musicgraph("run", path)
    assert code == 2 and "a.wav" in err and "input folder" in err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"1": {"class_type": "EmptyAudio", "inputs": {"duration": -1}}},
            ["this silence cannot be made", "-1"],
        ),
        ({"1": {"class_type": "Resize", "inputs": {}}}, ["unknown node class", "Resize"]),
        ({"1": {"class_type": "KSampler", "inputs": {}}}, ["a diffusion graph", "KSampler"]),
        ({"1": {"class_type": "TrimAudioDuration", "inputs": {"audio": ["1", 0]}}}, ["circle"]),
    ],
)
def test_a_bad_workflow_is_one_line_and_exit_code_2(musicgraph, tmp_path, changes, words):
    code, out, err = musicgraph("run", flow(tmp_path, **changes))
    assert code == 2 and not out and err.count("\n") == 1
    assert all(word in err for word in words)
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    "words", [["--set", "1.volume=3"], ["--set", "x"], ["--output", "flow.json"]]
)
def test_bad_options_are_one_line_and_exit_code_2(musicgraph, tmp_path, words):
    code, _, err = musicgraph("run", flow(tmp_path), *words)
    assert code == 2 and err.count("\n") == 1 and "expected" in err or "not a folder" in err


def test_a_node_that_refuses_what_it_is_given_is_bad_input(musicgraph, tmp_path):
    code, _, err = musicgraph("run", flow(tmp_path), "--set", "1.duration=1e15")
    assert code == 2 and "EmptyAudio" in err and err.count("\n") == 1


def test_ctrl_c_leaves_nothing(musicgraph, tmp_path, monkeypatch):
    from musicgraph.workflows.twins.audio import EmptyAudio

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(EmptyAudio, "create", interrupted)
    assert musicgraph("run", flow(tmp_path))[0] == 130
    assert not (tmp_path / "output").exists()


def test_check_says_ok_or_every_error(musicgraph, tmp_path):
    bad = flow(
        tmp_path,
        "bad.json",
        **{
            "7": {"class_type": "A"},
            "8": {"class_type": "B", "_meta": {"title": "Bee"}},
            "9": {
                "class_type": "SaveAudio",
                "inputs": {"audio": ["7", 0], "filename_prefix": ["8", 0]},
            },
        },
    )
    code, out, _ = musicgraph("check", flow(tmp_path), bad, tmp_path / "none.json")
    good, missing, absent = out.splitlines()
    assert code == 2 and good.endswith("flow.json: ok") and "none.json" in absent
    assert "these 2 nodes (A, B)" in missing and "expected" in missing


def test_check_json_is_one_array_with_the_promised_keys(musicgraph, tmp_path):
    bad = flow(
        tmp_path, "bad.json", **{"1": {"class_type": "EmptyAudio", "inputs": {"duration": "x"}}}
    )
    code, out, _ = musicgraph("check", "--json", flow(tmp_path), bad)
    good, refused = json.loads(out.splitlines()[-1])
    assert code == 2 and good == {"file": str(tmp_path / "flow.json"), "ok": True, "errors": []}
    assert refused["ok"] is False
    assert {frozenset(e) for e in refused["errors"]} == {
        frozenset(("type", "node", "title", "input", "message", "details"))
    }
    assert [(e["type"], e["node"], e["input"]) for e in refused["errors"]] == [
        ("invalid_input_type", "1", "duration"),
    ]


def test_check_of_good_files_exits_with_0(musicgraph, tmp_path):
    assert musicgraph("check", flow(tmp_path), "--json")[0] == 0


def test_nothing_in_a_file_reaches_the_terminal_as_a_command(musicgraph, tmp_path):
    odd = {"class_type": "\x1b[2J", "_meta": {"title": "\x1b]0;owned\x07\ud800\n"}}
    code, out, _ = musicgraph("check", flow(tmp_path, **{"9": odd}))
    assert code == 2 and "\x1b" not in out and "\x07" not in out and out.count("\n") == 1


WITHOUT_TORCH = """
import importlib.util, sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError(name)
sys.meta_path.insert(0, Refusing())
spec = importlib.util.spec_from_file_location("musicgraph", sys.argv.pop(1))
sys.modules["musicgraph"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["musicgraph"])
from musicgraph import cli
cli.main()
"""


def test_a_workflow_is_read_and_checked_where_torch_cannot_be_imported(tmp_path):
    init = str(Path(cli.__file__).with_name("__init__.py"))
    shipped = Path(cli.__file__).with_name("workflows") / "text_to_music.json"
    words = [sys.executable, "-c", WITHOUT_TORCH, init, "check", str(shipped)]
    own = {name: value for name, value in os.environ.items() if name != "MUSICGRAPH_ENGINE"}
    out = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=own)
    assert (out.returncode, out.stdout) == (0, f"{shipped}: ok\n"), out.stderr
