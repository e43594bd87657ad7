"""`musicgraph batch --server`: ComfyUI servers as workers, by the rules of any other batch."""

import sys

import pytest
import torch
from fake_comfyui import FakeComfyUI
from test_batch import done, listed, manifest
from test_remote import nobody

from musicgraph import cli
from musicgraph.app.batch.crew import MAX_LOSSES
from musicgraph.app.batch.server_crew import ServerCrew
from musicgraph.app.remote.comfyui import ServerLost

LOADER = {
    "input": {
        "required": {
            "model": [["there"], {"default": "there"}],
            "precision": [["auto"], {"default": "auto"}],
            "device": [["auto"], {"default": "auto"}],
        }
    },
    "output": ["MUSICGEN_MODEL", "MUSICGEN_TEXT_ENCODER", "ENCODEC"],
}
"""A model that is on the server alone."""


@pytest.fixture
def served():
    import contextlib

    with contextlib.ExitStack() as stack:

        def serve(*does):
            servers = [stack.enter_context(FakeComfyUI(one).serving()) for one in does]
            for one in servers:
                one.classes = {"MusicGenModelLoader": LOADER}
            return servers

        yield serve


@pytest.fixture
def batch(tmp_path, monkeypatch, capsys):
    def run(path, servers, *more):
        words = ["batch", path, "-o", tmp_path / "out", *more]
        for one in servers:
            words += ["--server", getattr(one, "url", one)]
        monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return ended.value.code or 0, said.out, said.err

    return run


def rows(count):
    return [{"prompt": f"a {i}", "model": "there", "seed": i} for i in range(count)]


def test_servers_share_a_list_and_each_row_is_done_once(served, batch, tmp_path):
    servers = served("done", "done")
    path = listed(tmp_path, *rows(6))
    code, _, err = batch(path, servers)
    assert code == 0, err
    assert sorted(done(tmp_path / "out")) == list("123456")
    assert (tmp_path / "out/3.flac").read_bytes() == b"sound"
    assert [bool(one.prompts) for one in servers] == [True, True]
    asked = [one["prompt"] for server in servers for one in server.prompts.values()]
    samplers = [n for graph in asked for n in graph.values() if "seed" in n["inputs"]]
    assert sorted(one["inputs"]["seed"] for one in samplers) == list(range(6))
    code, _, err = batch(path, servers)
    assert code == 0 and "6 earlier" in err
    assert sum(len(one.prompts) for one in servers) == 6


def test_a_server_that_dies_gives_its_job_back(served, batch, tmp_path, caplog):
    servers = served("dies", "done")
    code, _, _ = batch(listed(tmp_path, *rows(4)), servers)
    assert code == 0 and caplog.text.count("not asked any more") == 1
    assert sorted(done(tmp_path / "out")) == list("1234")
    assert len(manifest(tmp_path / "out")) == 4


def test_where_no_server_is_left_a_batch_stops_and_goes_on_later(served, batch, tmp_path):
    (dying,) = served("dies")
    path = listed(tmp_path, *rows(3))
    code, _, err = batch(path, [dying])
    assert code == 2 and "expected a server that answers" in err
    assert not (tmp_path / "out/manifest.jsonl").exists() or not manifest(tmp_path / "out")
    (living,) = served("done")
    assert batch(path, [living])[0] == 0
    assert sorted(done(tmp_path / "out")) == list("123")


def test_a_job_that_takes_servers_with_it_is_given_up(served, batch, tmp_path):
    servers = served(*["dies"] * MAX_LOSSES, "done")
    code, _, _ = batch(listed(tmp_path, *rows(1)), servers)
    (line,) = manifest(tmp_path / "out")
    assert code == 1 and line["status"] == "failed" and "lost" in line["error"]
    assert not servers[-1].prompts


def test_a_node_that_fails_there_fails_its_row_alone(served, batch, tmp_path):
    (server,) = served("fails")
    code, _, err = batch(listed(tmp_path, *rows(2)), [server])
    assert code == 1 and "tokens: got 3" in err
    assert [line["status"] for line in manifest(tmp_path / "out")] == ["failed", "failed"]


def test_a_server_that_is_not_there_is_left_out_and_none_is_refused(
    served, batch, tmp_path, caplog
):
    (living,) = served("done")
    path = listed(tmp_path, *rows(2))
    assert batch(path, [nobody(), living])[0] == 0
    assert caplog.text.count("not asked any more") == 1
    with pytest.raises(ServerLost):
        ServerCrew([nobody()], "")


def test_a_workflow_is_run_for_each_row_with_what_the_row_says(served, batch, tmp_path):
    (server,) = served("done")
    flow = cli.__file__.replace("cli.py", "workflows/text_to_music.json")
    path = listed(tmp_path, {"id": "a", "3.seed": 1}, {"id": "b", "3.seed": 2})
    code, _, err = batch(path, [server], "--workflow", flow, "--set", "1.model=there")
    assert code == 0, err
    assert (tmp_path / "out/b/audio/x_00001.flac").read_bytes() == b"sound"
    asked = [one["prompt"]["3"]["inputs"]["seed"] for one in server.prompts.values()]
    assert asked == [1, 2]


@pytest.mark.parametrize(
    ("row", "more", "named"),
    [
        ({"model": "here alone"}, [], "here alone"),
        ({"format": "wav"}, [], "a format that ComfyUI saves"),
        ({}, ["--workers", "2"], "--workers, too"),
        ({}, ["--ray", "local"], "--ray, too"),
    ],
)
def test_what_servers_cannot_do_is_refused_before_anything_is_made(
    served, batch, tmp_path, row, more, named
):
    (server,) = served("done")
    path = listed(tmp_path, {**rows(1)[0], **row})
    code, _, err = batch(path, [server], *more)
    assert code == 2 and named in err and not server.prompts


def test_a_bug_here_is_shown_as_one(served, monkeypatch, tmp_path):
    (server,) = served("done")
    crew = ServerCrew([server.url], str(tmp_path))
    monkeypatch.setattr(crew, "_make", lambda *_: torch.zeros(1)[5])
    from musicgraph.app.batch.rows import jobs_of
    from musicgraph.app.batch.table import read_table

    path = listed(tmp_path, *rows(1))
    jobs = jobs_of(path, read_table(path), {}, crew.classes)
    with pytest.raises(IndexError):
        list(crew.outcomes([jobs], lambda _: None))
