"""What the programs that measure a server and a batch say of what they have found."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)

    def load(name):
        path = Path(BENCHMARKS, f"{name}.py")
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
        sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def found(count, speed):
    return {
        "listeners": count,
        "x real time, all": speed,
        "limit": 1.5 * count,
        "x real time, each": [speed / count, 2 * speed],
        "first sound after s": [0.5, 0.25],
        "processor seconds a second of music": 0.125,
    }


def test_a_servers_table_has_the_slowest_listener_and_the_latest_first_sound(program):
    *_, row = program("serve").table([found(1, 1.0), found(4, 3.0)]).splitlines()
    assert row == "| 4 | 3.00 | 6.0 | 0.75 | 0.50 | 0.125 |"


def test_a_servers_curve_is_a_picture(program, tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    program("serve").draw([found(1, 1.0), found(4, 3.0)], tmp_path / "curve.png", "small's shape")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_batch_is_whole_only_if_each_job_was_done_once(program, tmp_path):
    checked = program("batch").checked
    lines = [{"id": one, "status": "done"} for one in "ab"]

    def written(lines):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "manifest.jsonl").write_text(text + '{"id": "half')
        return checked(tmp_path, 2)

    for name in "ab":
        (tmp_path / f"{name}.flac").write_bytes(b"x")
    assert written(lines)["each once"] and not written(lines)["left over"]
    assert not written([*lines, lines[0]])["each once"]
    assert not written(lines[:1])["each once"]
    (tmp_path / ".mg-1.part").touch()
    assert written(lines)["left over"] == [".mg-1.part"]
