"""The program as the system starts it: streams that are not there, signals, faults of ours."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from musicgraph import __version__, cli
from musicgraph.app import streams
from musicgraph.app.studio.music import Music
from musicgraph.models.disk import part_files
from musicgraph.workflows import executor
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.twins.files import SaveAudio

ROOT = Path(__file__).parents[1]
START = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("musicgraph", {str(ROOT / "__init__.py")!r})
sys.modules["musicgraph"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["musicgraph"])
from musicgraph.__main__ import main
"""
FLOW = {
    "1": {
        "class_type": "EmptyAudio",
        "inputs": {"duration": 0.1, "sample_rate": 32000, "channels": 1},
    },
    "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}},
}


@pytest.fixture
def flow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    return tmp_path / "flow.json"


def started(*words, script="main()", **how):
    """The program in a process of its own."""
    command = [sys.executable, "-c", f"{START}sys.argv = {['musicgraph', *words]!r}\n{script}"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **how)


def called(capsys, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["musicgraph", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


def test_the_module_of_the_commands_can_be_run_too(flow):
    script = "import runpy\nrunpy.run_module('musicgraph.cli', run_name='__main__')"
    process = started("check", "flow.json", script=script, stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, bool(out)) == (0, True), err


# ---------------------------------------------------------------- faults of ours


def test_a_bug_is_shown_with_its_traceback_and_said_to_be_ours(flow, capsys, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(executor.Runner, "run", broken)
    code, out, err = called(capsys, monkeypatch, "run", str(flow))
    *before, last = err.strip().splitlines()
    assert (code, out) == (1, "")
    assert "Traceback" in err and before[-1] == "ZeroDivisionError: of ours"
    assert "our fault" in last and __version__ in last


def test_a_node_with_a_bug_shows_the_traceback_of_the_cause(flow, capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("of ours")

    monkeypatch.setattr(SaveAudio, SaveAudio.FUNCTION, broken)
    code, _, err = called(capsys, monkeypatch, "run", str(flow))
    assert code == 1
    assert not (flow.parent / "output").exists()
    assert "KeyError: 'of ours'" in err and "in broken" in err
    assert "our fault" in err.strip().splitlines()[-1]


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    "words, expected",
    [
        (["generate", "-quiet piano"], "behind --"),
        (["generate", "x", "-d", "long"], "--duration"),
        (["generate", "x", "--seed", "1e999"], "--seed"),
        (["generate", "x", "--cfg", "nan"], "cfg"),
        (["generate", "x", "--cfg", "inf"], "cfg"),
        (["generate", "x", "--temperature", "1e999"], "temperature"),
        (["generate", "x", "-d", "inf"], "duration"),
        (["generate", "x", "--loudness", "nan"], "Loudness"),
        (["generate", os.fsdecode(b"caf\xe9")], "UTF-8"),
        (["generate", "x", "--negative", os.fsdecode(b"caf\xe9")], "UTF-8"),
        (["run", "flow.json", "--set", os.fsdecode(b"1.duration=\xe9")], "UTF-8"),
        (["nothing"], "nothing"),
    ],
)
def test_words_that_cannot_be_used_are_refused_in_one_line(
    flow, capsys, monkeypatch, words, expected
):
    if words[0] == "generate":
        words = [words[0], "-m", "pocket", *words[1:]]
    code, out, err = called(capsys, monkeypatch, *words)
    assert (code, out) == (2, "")
    assert expected in err and len(err.strip().splitlines()) == 1
    assert [path.name for path in flow.parent.iterdir()] == [flow.name]


def test_a_result_may_have_a_name_as_long_as_names_can_be(flow, capsys, monkeypatch):
    name = "n" * 225
    flow.write_text(flow.read_text().replace('"x"', json.dumps(name)))
    code, out, _ = called(capsys, monkeypatch, "run", str(flow))
    assert code == 0
    assert Path(out.strip()).is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "x", "-m", "pocket", "-o", "n" * 300 + ".wav"],
        ["generate", "x", "-m", "n" * 300],
        ["run", "flow.json", "--output", "n" * 300],
    ],
)
def test_a_name_that_is_too_long_is_refused_before_any_work(flow, capsys, monkeypatch, words):
    code, out, err = called(capsys, monkeypatch, *words)
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
    assert [path.name for path in flow.parent.iterdir()] == [flow.name]


def test_a_file_that_was_scaled_is_named_with_its_factor(flow, capsys, monkeypatch):
    monkeypatch.setattr(Music, "scaled_by", (0.5,))
    _, out, _ = called(
        capsys, monkeypatch, "generate", "x", "-d", "0.2", "-m", "pocket", "-o", "x.wav", "--json"
    )
    assert json.loads(out)["scaled_by"] == {"x.wav": 0.5}
    _, out, _ = called(capsys, monkeypatch, "run", str(flow), "--json")
    assert json.loads(out)["scaled_by"] == {}


def test_what_a_killed_run_left_is_swept_by_the_next(flow, capsys, monkeypatch):
    (flow.parent / "output").mkdir()
    (flow.parent / "output" / part_files.part_name("00000000", 2**22 + 1)).touch()
    called(capsys, monkeypatch, "run", str(flow))
    assert [path.name for path in (flow.parent / "output").iterdir()] == ["x_00001.flac"]


# ---------------------------------------------------------------- the cache


def test_the_cache_is_shown_and_emptied(flow, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "cache"))
    from musicgraph.models.disk import cache

    cache.write(cache.name("int8", "some"), bytes(20_000_000))
    _, out, _ = called(capsys, monkeypatch, "models")
    assert "cache: 0.02 GB" in out and str(tmp_path / "cache") in out
    code, out, _ = called(capsys, monkeypatch, "clean", "--json")
    assert (code, json.loads(out)["freed_bytes"]) == (0, 20_000_000 + cache.DIGEST_BYTES)
    assert list((tmp_path / "cache").iterdir()) == []


# ---------------------------------------------------------------- streams


def test_without_any_stream_the_work_is_done(flow, tmp_path):
    """Closed, not redirected: the next file that is opened would get their numbers."""

    def closed():
        for number in range(3):
            os.close(number)

    done = started("run", str(flow), "--output", "there", preexec_fn=closed)
    done.communicate()
    assert done.returncode == 0
    (file,) = (tmp_path / "there").iterdir()
    assert read_audio(file)[1] == 32000


def test_nobody_reading_stderr_stops_no_work():
    reading, writing = os.pipe()
    os.close(reading)
    stream = streams._Unfailing(os.fdopen(writing, "wb"), "utf-8", line_buffering=True)
    assert stream.write("a word\n") == 7
    stream.flush()
    with pytest.raises(BrokenPipeError):  # what is not ours would have said so
        stream.buffer.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


@pytest.mark.skipif(sys.platform != "linux", reason="a device of Linux")
def test_an_answer_that_cannot_be_written_is_said_in_one_line(flow):
    with open("/dev/full", "w") as full:
        done = started("run", str(flow), stdout=full)
        _, err = done.communicate()
    assert done.returncode == 1
    assert "standard output" in err and "Traceback" not in err


# ---------------------------------------------------------------- signals


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_at_once_and_leaves_nothing_half(tmp_path, number):
    """Even while the main thread sleeps in a lock that nothing will open."""
    script = (
        "from musicgraph.app.stopping import end_at_signals\n"
        "end_at_signals()\n"
        "from musicgraph.models.disk import part_files\n"
        "import pathlib, threading\n"
        "with part_files.written(pathlib.Path('music.wav')) as part:\n"
        "    part.write_text('half')\n"
        "    print('ready', flush=True)\n"
        "    lock = threading.Lock()\n"
        "    lock.acquire()\n"
        "    lock.acquire()\n"
    )
    process = started(
        script=script,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_a_signal_that_is_ignored_stays_so_and_a_server_gets_them_back():
    script = (
        "import signal\n"
        "from musicgraph.app.stopping import end_at_signals, leave_signals\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "end_at_signals()\n"
        "signal.raise_signal(signal.SIGINT)\n"
        "leave_signals()\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.set_wakeup_fd(-1))\n"
    )
    process = started(script=script, stdout=subprocess.PIPE)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "True -1\n", "")
