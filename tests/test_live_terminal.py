"""Live music at a terminal: lines that are typed steer it."""

import io
import sys

import pytest
import soundfile

from musicgraph import cli
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.reader import read_document
from musicgraph.workflows.registry import NodeSpecs
from musicgraph.workflows.workflow import Workflow

pytest_plugins = ["http_api_fixtures"]
pytestmark = pytest.mark.usefixtures("exact")


@pytest.fixture
def terminal(monkeypatch, capsysbinary):
    """Runs the command with these lines typed; (exit code, stdout, stderr)."""

    def run(*arguments, lines=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        with pytest.raises(SystemExit) as end:
            cli.main(["live", *arguments])
        told = capsysbinary.readouterr()
        return end.value.code, told.out, told.err.decode()

    return run


def test_at_a_terminal_lines_steer_and_the_graph_plays_it_again(terminal, model, tmp_path):
    graph, runner = tmp_path / "new" / "live.json", Runner()
    options = "--model", str(model), "--seed", "7", "--blend", "0.1", "--graph", str(graph)
    lines = "loud drums\ncfg: 5\nweights: 1 2\nseed: x\nundo\nend: 0.6\n"
    code, sound, told = terminal("calm piano", *options, "-d", "30", lines=lines)
    assert code == 0, told
    assert "weights: got 2 for 1 text" in told and 'seed: got "x"' in told and "ends at" in told
    again = runner.run(
        Workflow.of(read_document(graph), NodeSpecs(runner.classes)).runnable,
        named_models={str(model): str(model)}, output_dir=tmp_path,
    )  # fmt: skip
    saved, _ = soundfile.read(again.files[0], dtype="int16")
    assert saved.tobytes() == sound[44:]


def test_a_terminal_gets_no_sound_and_bad_beginnings_one_line(terminal, model, monkeypatch):
    code, _, told = terminal("a; b", "--model", str(model))
    assert code == 2 and told.startswith("musicgraph: text: got"), told
    code, sound, told = terminal("a", "--model", str(model), "--graph", str(model))
    assert (code, sound) == (2, b"") and "it is a folder" in told, told
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, _, told = terminal("calm piano")
    assert code == 2 and "standard output: got a terminal" in told
