"""The same job on a ComfyUI server: files go there and come back, and a server may be lost."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from fake_comfyui import FakeComfyUI
from fakes import node
from fresh import BOUND

from musicgraph import cli
from musicgraph.app.remote.comfyui import ComfyServer, ServerLost
from musicgraph.app.remote.shared_list import SharedList
from musicgraph.app.remote.worker import ComfyUIWorker, FreeNames
from musicgraph.app.studio.job import Folders, Job, JobResult
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.events import NodeCached, NodeOutput, NodeProgress, NodeStarted
from musicgraph.workflows.media.audio import write_audio
from musicgraph.workflows.problems import NodeError, WorkflowError

GRAPH = {
    "1": node("LoadAudio", audio="loop.wav"),
    "2": node("SaveAudio", audio=["1", 0], filename_prefix="audio/x"),
}
SOON = 20.0


@pytest.fixture
def folders(tmp_path):
    write_audio(tmp_path / "in" / "loop.wav", torch.zeros(1, 80), 8000)
    return Folders(str(tmp_path / "in"), str(tmp_path / "out"), str(tmp_path / "temp"))


@pytest.fixture
def served():
    """Servers that do as they are told."""
    import contextlib

    with contextlib.ExitStack() as stack:
        yield lambda *does: [stack.enter_context(FakeComfyUI(one).serving()) for one in does]


def run(server, folders, graph=GRAPH, stopped=lambda: False, extra=None):
    events = []
    job = Job(graph, extra, folders=folders)
    result = ComfyUIWorker(ComfyServer(server.url)).run(job, events.append, stopped)
    return result, events


def nobody():
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# ---------------------------------------------------------------- one server


def test_files_go_there_and_results_come_back(served, folders, tmp_path):
    (server,) = served("done")
    result, events = run(server, folders, extra={"workflow": {"nodes": []}})
    (file,) = result.files
    assert file == tmp_path / "out" / "audio" / "x_00001.flac" and file.read_bytes() == b"sound"
    (name,) = server.uploads
    assert server.uploads[name] == (tmp_path / "in" / "loop.wav").read_bytes()
    (posted,) = server.prompts.values()
    assert posted["prompt"]["1"]["inputs"]["audio"] == name and name.endswith("/loop.wav")
    assert posted["prompt"]["2"] == GRAPH["2"]
    assert posted["extra_data"] == {"extra_pnginfo": {"workflow": {"nodes": []}}}
    assert events[:3] == [NodeCached("1"), NodeStarted("2"), NodeProgress("2", 1, 4)]
    assert isinstance(events[3], NodeOutput) and events[3].files == (file,)
    assert not server.dropped and not server.interrupted.is_set()


def test_nothing_of_a_persons_is_written_over(served, folders, tmp_path):
    (server,) = served("done")
    first, _ = run(server, folders)
    second, _ = run(server, folders)
    assert [one.files[0].name for one in (first, second)] == ["x_00001.flac", "x_00001_2.flac"]


def test_a_file_that_is_not_here_may_be_there(served, folders):
    (server,) = served("done")
    run(server, folders, {**GRAPH, "1": node("LoadAudio", audio="theirs.wav")})
    (posted,) = server.prompts.values()
    assert not server.uploads and posted["prompt"]["1"]["inputs"]["audio"] == "theirs.wav"


def test_a_server_that_says_nothing_is_asked(served, folders, monkeypatch):
    monkeypatch.setattr("musicgraph.app.remote.worker.ASK_S", 0.3)
    (server,) = served("silent")
    assert run(server, folders)[0].files[0].is_file()


def test_a_stop_reaches_the_server(served, folders):
    (server,) = served("waits")
    with pytest.raises(Interrupted):
        run(server, folders, stopped=server.running.is_set)
    assert server.dropped == ["p0"] and server.interrupted.wait(SOON)


def test_what_the_server_refuses_is_told_node_by_node(served, folders):
    (server,) = served("refused")
    with pytest.raises(WorkflowError) as refused:
        run(server, folders)
    (problem,) = refused.value.problems
    assert (problem.type, problem.node, problem.input) == ("value_not_in_list", "1", "model")
    assert problem.details == "no such model"


def test_a_node_that_fails_there_is_named(served, folders):
    (server,) = served("fails")
    with pytest.raises(NodeError, match='node 2 "X" .X. failed: tokens: got 3$') as failed:
        run(server, folders)
    assert failed.value.is_refusal


@pytest.mark.parametrize(
    "entry",
    [
        {"filename": "../../x.flac", "subfolder": "", "type": "output"},
        {"filename": "x.flac", "subfolder": "../../..", "type": "output"},
        {"filename": "/x.flac", "subfolder": "/etc", "type": "output"},
        {"filename": "..\\x.flac", "subfolder": "C:\\a", "type": "output"},
    ],
)
def test_a_server_cannot_write_outside_the_folder(served, folders, tmp_path, monkeypatch, entry):
    (server,) = served("done")
    outcome = {"outputs": {"2": {"audio": [entry]}}}
    monkeypatch.setattr(ComfyServer, "outcome", lambda *_: outcome)
    (file,) = run(server, folders)[0].files
    assert file.resolve().is_relative_to(tmp_path / "out") and file.name == "x.flac"


def test_where_nobody_answers_the_server_is_lost(folders):
    with pytest.raises(ServerLost, match="expected a server that answers"):
        ComfyUIWorker(ComfyServer(nobody())).run(Job({}, folders=folders), print, lambda: False)


@pytest.mark.parametrize(
    "url", ["", "here", "ftp://x", "http://", "127.0.0.1:8188", "http://[::1", "http://x:99999"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(Refused, match="--server"):
        ComfyServer(url)


# ---------------------------------------------------------------- several


def test_servers_share_a_list_and_all_of_it_is_done(served, folders):
    servers = served("done", "done")
    jobs = [Job(GRAPH, folders=folders) for _ in range(5)]
    told = []
    shared = SharedList(jobs, [lambda _: None] * 5, lambda *one: told.append(one))
    names = FreeNames()
    outcomes = shared.work([ComfyUIWorker(ComfyServer(one.url), names) for one in servers])
    assert sorted(outcomes) == list(range(5)) and len(told) == 5
    assert all(isinstance(one, JobResult) for one in outcomes.values())
    assert len({one.files for one in outcomes.values()}) == 5
    assert sum(len(one.prompts) for one in servers) == 5
    assert all(one.prompts for one in servers)


def test_a_server_that_dies_gives_its_job_back(served, folders):
    dying, living = served("dies", "done")
    jobs = [Job(GRAPH, folders=folders) for _ in range(3)]
    shared = SharedList(jobs, [lambda _: None] * 3, lambda *_: None)
    outcomes = shared.work([ComfyUIWorker(ComfyServer(one.url)) for one in (dying, living)])
    assert len(dying.prompts) == 1 and len(living.prompts) == 3
    assert all(isinstance(one, JobResult) for one in outcomes.values())


def test_where_all_are_lost_every_job_says_so(folders):
    jobs = [Job(GRAPH, folders=folders) for _ in range(3)]
    shared = SharedList(jobs, [lambda _: None] * 3, lambda *_: None)
    outcomes = shared.work([ComfyUIWorker(ComfyServer(nobody())) for _ in range(2)])
    assert len(outcomes) == 3
    assert all(isinstance(one, ServerLost) for one in outcomes.values())


def test_one_that_is_refused_holds_up_no_other(served, folders):
    refusing, living = served("refused", "done")
    jobs = [Job(GRAPH, folders=folders) for _ in range(3)]
    shared = SharedList(jobs, [lambda _: None] * 3, lambda *_: None)
    first = shared.work([ComfyUIWorker(ComfyServer(refusing.url))])
    assert all(isinstance(one, WorkflowError) for one in first.values())
    again = SharedList(jobs, [lambda _: None] * 3, lambda *_: None)
    assert len(again.work([ComfyUIWorker(ComfyServer(living.url))])) == 3


# ---------------------------------------------------------------- the command


@pytest.fixture
def musicgraph(tmp_path, monkeypatch, capsys, folders):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.json").write_text(json.dumps(GRAPH))

    def call(*words):
        monkeypatch.setattr("musicgraph.app.remote_cli.leave_signals", lambda: None)
        monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return caught.value.code or 0, output.out, output.err

    return call


def test_run_on_a_server_prints_the_files(served, musicgraph, tmp_path):
    (server,) = served("done")
    words = ["run", "flow.json", "--server", server.url, "--input", "in", "--output", "out"]
    code, out, _ = musicgraph(*words, "--set", "2.filename_prefix=mine")
    assert code == 0 and out.split() == [str(tmp_path / "out" / "audio" / "x_00001.flac")]
    (posted,) = server.prompts.values()
    assert posted["prompt"]["2"]["inputs"]["filename_prefix"] == "mine"
    code, out, _ = musicgraph(*words, "--json")
    assert code == 0 and json.loads(out)["ok"] and json.loads(out)["server"] == server.url


def test_several_workflows_are_run_and_one_that_fails_is_named(served, musicgraph, tmp_path):
    (tmp_path / "second.json").write_text(json.dumps(GRAPH))
    (server,) = served("fails")
    code, out, err = musicgraph("run", "flow.json", "second.json", "--server", server.url)
    assert code == 2 and out == ""
    assert "flow.json: node 2" in err and "second.json: node 2" in err


def test_no_server_is_one_line(musicgraph):
    code, out, err = musicgraph("run", "flow.json", "--server", nobody())
    assert (code, out, err.count("\n")) == (2, "", 1) and "expected a server that answers" in err


def test_a_drawn_graph_with_nodes_of_the_servers_is_read_by_what_it_says(
    served, musicgraph, tmp_path
):
    (server,) = served("done")
    server.classes = {
        "Theirs": {
            "input": {"required": {"b": ["INT", {"default": 1}], "a": ["STRING", {}]}},
            "input_order": {"required": ["a", "b"]},
            "output": ["AUDIO"], "output_name": ["audio"], "output_node": True,
        }
    }  # fmt: skip
    ui = {"nodes": [{"id": 5, "type": "Theirs", "widgets_values": ["x", 7], "inputs": [],
                     "outputs": [], "mode": 0}], "links": [], "version": 0.4}  # fmt: skip
    (tmp_path / "ui.json").write_text(json.dumps(ui))
    code, _, err = musicgraph("run", "ui.json", "--server", server.url)
    assert code == 0, err
    (posted,) = server.prompts.values()
    assert posted["prompt"]["5"]["inputs"] == {"a": "x", "b": 7}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_stops_what_runs_there(served, tmp_path, folders):
    import signal

    (server,) = served("waits")
    (tmp_path / "flow.json").write_text(json.dumps(GRAPH))
    script = BOUND + "from musicgraph.__main__ import main; main()\n"
    words = ["run", "flow.json", "--server", server.url, "--input", "in", "--output", "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"import importlib.util, sys\n{script}", *words],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        # who is started in the background ignores Ctrl-C, and so would this one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert server.running.wait(120), process.stderr
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert server.interrupted.is_set() and server.dropped == ["p0"]
    assert not list(Path(folders.output).rglob("*.flac"))
    assert threading.active_count() < 50
