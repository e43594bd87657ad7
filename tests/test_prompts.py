"""Schedules and mixes as text: at every door, and the graph that they become."""

import json
import sys

import pytest
import torch
from fakes import assert_links_sound, opened

from musicgraph import cli
from musicgraph.app.studio.music import make_music
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.default_graph import workflow_for
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.prompts import changes_of, parts_of
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import NodeSpecs, node_classes
from musicgraph.workflows.request import Request
from musicgraph.workflows.validate import validate


def test_a_mix_is_told_by_its_decimal_numbers():
    assert parts_of("ambient pads 0.7 + drum and bass 0.3") == (
        ("ambient pads", 0.7),
        ("drum and bass", 0.3),
    )
    assert parts_of("a 1.0 + b .5\n + c 2.25") == (("a", 1.0), ("b", 0.5), ("c", 2.25))


@pytest.mark.parametrize(
    "text", ["house 124 + piano", "piano", "at 0.5 speed", "rock 1.5", "a + b", "C++ 0.3", ""]
)
def test_any_other_text_is_a_text(text):
    assert parts_of(text) == ((text, 1.0),)


def test_entries_stand_behind_semicolons_or_in_lines():
    expected = ((0, "ambient pads"), (20.5, "drums: fast"))
    assert changes_of("0: ambient pads; 20.5: drums: fast", 30) == expected
    assert changes_of("0:ambient  pads\n\n20.5 : drums: fast;", 30) == expected
    assert changes_of("  ", 30) == ()


WRONG = {
    "a text": ("drums", 'got "drums", expected seconds: text'),
    "a word for a time": ("x: drums", 'got "x: drums", expected seconds: text'),
    "a text after a semicolon": ("1: drums; bass", 'got "bass", expected seconds: text'),
    "no number": ("nan: x", "got nan s, expected 0 s or later, before the piece's end at 9 s"),
    "endless": ("inf: x", "got inf s"),
    "negative": ("-1: x", "got -1 s"),
    "the very end": ("9: x", "got 9 s"),
    "behind the end": ("10: x", "got 10 s"),
    "unsorted": ("5: x; 2: y", "got 2 s behind 5 s"),
    "two at once": ("5: x; 5.0: y", "got two entries at 5 s"),
    "within a blend": ("5: x; 6: y", "got 6 s within the blend from 5 to 7 s"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_schedule_that_cannot_be_is_refused(case):
    text, words = WRONG[case]
    with pytest.raises(Refused, match=words):
        changes_of(text, 9.0, 2.0)


def test_a_mix_of_which_only_some_parts_have_weights_is_refused():
    with pytest.raises(Refused, match='mix: got "loud" without a weight'):
        parts_of("calm 0.5 + loud")
    with pytest.raises(Refused, match="mix: got 9, expected at most 8 parts"):
        parts_of(" + ".join(["a 0.1"] * 9))


# ---------------------------------------------------------------- the graph


def graph_of(request):
    with running(Run()):
        return workflow_for(request, NodeSpecs(node_classes()))


def test_a_request_with_everything_is_a_sound_graph():
    request = Request(
        "pads 0.7 + choir 0.3", "noise 0.5 + vocals 0.5",
        schedule="3: drums; 7: bass 0.5 + piano 1.5", automation="cfg 0: 3, 5: 4",
    )  # fmt: skip
    workflow = graph_of(request)
    assert validate(workflow.runnable, workflow.specs).problems == ()
    assert_links_sound(workflow.ui)
    assert opened(Document(ui=workflow.ui), node_classes()).graph == workflow.graph
    kinds = [node.class_type for node in workflow.graph]
    assert kinds.count("MusicGenTextEncode") == 7
    assert kinds.count("MusicGenConditioningCombine") == 3
    assert kinds.count("MusicGenSchedule") == 2
    places = [tuple(node["pos"]) for node in workflow.ui["nodes"]]
    assert len(set(places)) == len(places), "no node lies on another"


def test_a_schedule_of_one_entry_is_the_plain_graph():
    assert graph_of(Request("", schedule="0: drums")).graph == graph_of(Request("drums")).graph


def test_two_beginnings_are_refused():
    with pytest.raises(Refused, match="two entries at 0 s, the prompt and its own"):
        graph_of(Request("calm", schedule="0: drums"))


@pytest.fixture
def tiny(mono):
    return {"model": str(mono.folder), "top_k": 50, "duration_s": 1.0, "seed": 4}


def test_what_is_scheduled_is_heard_and_nothing_before(tiny):
    def sound(prompt, **more):
        return make_music(Runner(), Request(prompt, **tiny, **more)).waveform

    plain, changed = sound("drums"), sound("drums", schedule="0.6: piano", blend_s=0.0)
    assert torch.equal(sound("", schedule="0: drums"), plain)
    assert torch.equal(sound("drums 0.5 + piano 0.0"), plain)
    # 3 frames of delay, and what the decoder looks ahead
    assert torch.allclose(changed[..., : 22 * 160], plain[..., : 22 * 160], atol=1e-5)
    assert not torch.allclose(changed[..., 30 * 160 :], plain[..., 30 * 160 :], atol=1e-3)


def generate(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["musicgraph", "generate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, *capsys.readouterr()


def test_the_command_makes_a_schedule_and_its_file_carries_the_graph(
    mono, tmp_path, capsys, monkeypatch
):
    target = tmp_path / "made.flac"
    asked = ["-d", 1, "--top-k", 50, "--model", mono.folder, "-o", target]
    asked += ["--schedule", "0: drums; 0.5: piano 0.5 + bass 0.5", "--blend", 0.2]
    code, _, err = generate(capsys, monkeypatch, *asked, "--automation", "cfg 0: 3, 0.5: 4")
    assert code == 0, err
    graph = json.loads(read_tags(target)["prompt"])
    (change,) = (node for node in graph.values() if node["class_type"] == "MusicGenSchedule")
    assert (change["inputs"]["second"], change["inputs"]["blend"]) == (0.5, 0.2)
    (sampler,) = (node for node in graph.values() if node["class_type"] == "MusicGenSampler")
    assert sampler["inputs"]["automation"] == "cfg 0: 3, 0.5: 4"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "prompt: got nothing"),
        (["--schedule", "1: x", "-d", 1], "before the piece's end at 1 s"),
        (["calm", "--automation", "cfg nan: 1"], "'nan: 1' for cfg"),
        (["calm", "--automation", "cfg 0: 3, 30: 5"], "cfg at 30 s in a piece of 10 s"),
    ],
)
def test_the_command_refuses_in_one_line(mono, tmp_path, capsys, monkeypatch, arguments, words):
    target = tmp_path / "made.wav"
    asked = ["--top-k", 50, "--model", mono.folder, "-o", target]
    code, out, err = generate(capsys, monkeypatch, *arguments, *asked)
    lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert words in lines[0] and not target.exists()
