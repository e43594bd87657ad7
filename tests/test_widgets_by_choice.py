"""Widgets that come with a choice, such as the quality of a format: read, set and written as
ComfyUI's page has them.
"""

import pytest
from fakes import opened

from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import NodeSpecs, node_classes
from musicgraph.workflows.widget_values import all_fresh, named

CLASSES = node_classes()
SPECS = NodeSpecs(CLASSES)


def document(kind, values):
    saver = {"id": 2, "type": kind, "widgets_values": values, "inputs": [], "outputs": []}
    return Document(ui={"version": 0.4, "nodes": [saver], "links": []})


def told(workflow):
    return {
        name: value
        for name, value in workflow.graph["2"].inputs.items()
        if name != "filename_prefix"
    }


@pytest.mark.parametrize(
    ("kind", "values", "meant"),
    [
        ("SaveAudioAdvanced", ["x", "flac"], {"format": "flac"}),
        ("SaveAudioAdvanced", ["x", "mp3"], {"format": "mp3", "format.quality": "V0"}),
        ("SaveAudioAdvanced", ["x", "mp3", "320k"], {"format": "mp3", "format.quality": "320k"}),
        ("SaveAudioAdvanced", ["x", "opus"], {"format": "opus", "format.quality": "128k"}),
        ("SaveAudioAdvanced", ["x", "opus", "64k"], {"format": "opus", "format.quality": "64k"}),
        ("SaveVideo", ["x", "mp4", "auto"], {"format": "mp4", "codec": "auto"}),
        (
            "SaveVideo",
            ["x", "auto", "h264", "auto"],
            {"format": "auto", "codec": "h264", "codec.encoding": "auto"},
        ),
        (
            "SaveVideo",
            ["x", "auto", "h264", "re-encode", 30.0],
            {"format": "auto", "codec": "h264", "codec.encoding": "re-encode",
             "codec.encoding.crf": 30.0},
        ),
    ],
)  # fmt: skip
def test_only_what_the_choice_brings_along_has_a_place(kind, values, meant):
    assert told(opened(document(kind, values), CLASSES)) == meant


def test_values_by_name_count_only_where_the_choice_has_them():
    inputs = SPECS["SaveAudioAdvanced"].inputs
    given = {"filename_prefix": "x", "format": "flac", "format.quality": "320k"}
    assert named(inputs, given) == {"filename_prefix": "x", "format": "flac"}
    assert named(inputs, {**given, "format": "mp3"})["format.quality"] == "320k"


def test_a_fresh_node_has_the_places_of_its_first_choice():
    assert all_fresh(SPECS["SaveAudioAdvanced"].inputs) == ["audio/ComfyUI", "flac"]
    assert all_fresh(SPECS["SaveVideo"].inputs) == ["video/ComfyUI", "auto", "auto"]


@pytest.mark.parametrize(
    ("values", "texts", "after"),
    [
        (["x", "flac"], ["2.format=mp3"], ["x", "mp3", "V0"]),
        (["x", "flac"], ["2.format.quality=320k", "2.format=mp3"], ["x", "mp3", "320k"]),
        (["x", "mp3", "320k"], ["2.format=opus"], ["x", "opus", "128k"]),
        (["x", "mp3", "320k"], ["2.format=mp3"], ["x", "mp3", "320k"]),
        (["x", "opus", "64k"], ["2.format=flac"], ["x", "flac"]),
        (["x", "mp3", "V0"], ["Save Audio (Advanced).format.quality=128k"], ["x", "mp3", "128k"]),
    ],
)
def test_a_choice_that_is_set_brings_its_widgets_into_the_document(values, texts, after):
    workflow = opened(document("SaveAudioAdvanced", values), CLASSES)
    changed = with_overrides(workflow, map(Override.parse, texts))
    assert changed.ui["nodes"][0]["widgets_values"] == after
    assert told(opened(Document(ui=changed.ui), CLASSES)) == told(changed)


def test_a_widget_that_the_choice_does_not_have_cannot_be_set():
    workflow = opened(document("SaveAudioAdvanced", ["x", "flac"]), CLASSES)
    with pytest.raises(WorkflowError, match="only where format is one of mp3, opus"):
        with_overrides(workflow, [Override.parse("2.format.quality=V0")])


def test_a_choice_that_is_none_brings_nothing():
    """A stranger's file may have anything in its place."""
    for odd in (["mp3"], {"mp3": 1}, None, 3):
        assert told(opened(document("SaveAudioAdvanced", ["x", odd, "V0"]), CLASSES)).keys() == {
            "format"
        }


def test_what_comes_with_a_linked_choice_stays():
    saver = {"format": ["1", 0], "format.quality": "320k", "filename_prefix": "x"}
    graph = {
        "1": {"class_type": "CustomCombo", "inputs": {}},
        "2": {"class_type": "SaveAudioAdvanced", "inputs": saver},
    }
    workflow = opened(graph, CLASSES)
    for text, quality in (("2.filename_prefix=y", "320k"), ("2.format.quality=V0", "V0")):
        changed = with_overrides(workflow, [Override.parse(text)])
        assert changed.graph["2"].inputs["format.quality"] == quality
