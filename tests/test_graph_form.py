"""A graph on the page: its picture, and the form with a widget for every value that can be set."""

from pathlib import Path

import gradio as gr
import pytest
from fakes import opened

from musicgraph.app.page.graph import SHIPPED, shipped_workflows
from musicgraph.app.page.graph_form import Field, for_the_form, overrides, sections
from musicgraph.app.page.graph_picture import draw_graph
from musicgraph.app.page.widgets import widget
from musicgraph.models.refused import Refused
from musicgraph.workflows.inputs import InputSpec
from musicgraph.workflows.problems import Problem, WorkflowError
from musicgraph.workflows.reader import read_document
from musicgraph.workflows.registry import node_classes

CLASSES = node_classes()
SEED = InputSpec("seed", "INT", minimum=0)


def shipped(name):
    return opened(read_document(SHIPPED / name), CLASSES)


# ---------------------------------------------------------------- pictures of graphs


def test_every_node_and_link_of_the_shipped_graphs_is_drawn():
    for _, name in shipped_workflows():
        graph = shipped(name).graph
        svg = draw_graph(graph, CLASSES)
        assert svg.count('class="box"') == len(graph)
        links = sum(len(node.links) for node in graph)
        assert svg.count("<path d=") == links


def test_without_positions_the_nodes_stand_in_layers():
    api = shipped("api/text_to_music.json").graph
    xs = [
        float(part.split('"')[0]) for part in draw_graph(api, CLASSES).split('class="box" x="')[1:]
    ]
    assert xs == sorted(xs) and len(set(xs)) == len(xs)


def test_a_strangers_graph_is_drawn_harmlessly():
    evil = '"><script>alert(1)</script>'
    nodes = {
        evil: {"class_type": evil, "inputs": {"x": evil, "y": ["b", 0]}, "_meta": {"title": evil}},
        "b": {"class_type": "SaveAudio", "inputs": {"audio": [evil, 7]}},
    }
    assert "<script" not in draw_graph(opened(nodes).graph, CLASSES, {evil: "done"})
    many = {
        str(i): {"class_type": "AudioConcat", "inputs": {"audio1": [str(i - 1), 0]}}
        for i in range(3000)
    }
    assert "2800 more nodes" in draw_graph(opened(many).graph, CLASSES)


def test_the_node_at_work_is_marked():
    svg = draw_graph(shipped("api/text_to_music.json").graph, CLASSES, {"3": "at-work"})
    assert '<g class="at-work" data-node="3">' in svg


# ---------------------------------------------------------------- forms


def fields_of(name):
    found = shipped(name)
    form = sections(found.graph, found.specs, ["tiny"])
    return {(f.node, f.input): f for s in form for f in s.fields}


def test_a_form_has_what_the_nodes_declare():
    fields = fields_of("api/text_to_music.json")
    assert fields["2", "text"].kind == "text"
    assert fields["1", "model"].facts.choices == ("tiny",)
    assert (fields["3", "cfg"].kind, fields["3", "cfg"].facts.maximum) == ("slider", 20.0)
    assert fields["3", "seed"].kind == "whole"
    assert "likeliest" in fields["3", "top_k"].facts.info
    assert ("3", "positive") not in fields, "linked inputs have nothing to set"
    loader = opened({"6": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}}}, CLASSES)
    ((field,),) = (section.fields for section in sections(loader.graph, loader.specs))
    assert field.kind == "audio"


def test_every_field_has_a_widget_of_its_kind():
    kinds = {
        "text": gr.Textbox,
        "line": gr.Textbox,
        "whole": gr.Number,
        "slider": gr.Slider,
        "choice": gr.Dropdown,
        "audio": gr.Audio,
        "number": gr.Number,
        "check": gr.Checkbox,
    }
    for field in [
        *fields_of("api/text_to_music.json").values(),
        *fields_of("api/chain.json").values(),
        *fields_of("api/style.json").values(),
    ]:
        assert isinstance(widget(field.facts), kinds[field.kind])
        assert widget(field.facts).label


def test_only_what_was_changed_becomes_an_override(tmp_path):
    fields = list(fields_of("api/text_to_music.json").values())
    values = [field.facts.value for field in fields]
    assert overrides(fields, values, tmp_path) == []
    values[[f.input for f in fields].index("seed")] = 7.0
    (change,) = overrides(fields, values, tmp_path)
    assert (change.node, change.input, change.value, type(change.value)) == ("3", "seed", 7, int)


def test_seeds_beyond_what_a_browser_can_count_keep_every_digit():
    found = shipped("api/text_to_music.json")
    graph = found.graph.with_input("3", "seed", 2**64 - 1)
    (field,) = (f for s in sections(graph, found.specs) for f in s.fields if f.input == "seed")
    assert field.kind == "line"
    assert overrides([field], [str(2**64 - 1)], Path()) == []


def test_an_empty_number_is_refused_by_name():
    field = Field("3", SEED, SEED.widget(1))
    with pytest.raises(Refused, match="seed: got nothing"):
        overrides([field], [None], Path())


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), "seven"])
def test_a_whole_number_that_is_none_is_refused_and_not_rounded(tmp_path, value):
    field = Field("3", SEED, SEED.widget(1))
    with pytest.raises(Refused, match="seed: got .*, expected a whole number"):
        overrides([field], [value], tmp_path)
    assert widget(field.facts).precision is None


def test_a_sound_that_is_not_here_is_asked_of_the_form_and_of_no_folder(tmp_path):
    nodes = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}},
        "2": {"class_type": "LoadAudio", "inputs": {"audio": "here.wav"}},
        "3": {"class_type": "AudioConcat", "inputs": {"audio1": ["1", 0], "audio2": ["2", 0]}},
    }
    (tmp_path / "here.wav").write_bytes(b"no sound")
    found = opened(nodes, CLASSES)
    fields = [field for one in sections(found.graph, found.specs) for field in one.fields]
    words = "custom_validation_failed", "the node refuses its inputs", "the folder"
    error = WorkflowError(
        [
            Problem(*words, node="1", title="Load Audio", input="audio"),
            Problem(*words, node="2", title="Load Audio", input="audio"),
            Problem(*words, node="3", title="Concat"),
        ]
    )
    said = for_the_form(error, found.graph, fields, tmp_path).problems
    assert said[0].details == (
        'cannot open "a.wav": got No such file or directory; choose or record one in the form'
    )
    assert [one.details for one in said[1:]] == ["the folder"] * 2
    assert [one.title for one in said] == ["Load Audio", "Load Audio", "Concat"]
