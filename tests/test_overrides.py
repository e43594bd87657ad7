"""Values set from outside end up in both formats of the graph."""

import pytest
from fakes import node, opened

from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.reader import Document

API = {
    "1": node("Number", value=2),
    "2": node("Add", "The sum", a=["1", 0], seed=0),
    "3": node("Show", value=["2", 0], label="x"),
}
UI = {
    "version": 0.4,
    "nodes": [
        {"id": 1, "type": "Number", "widgets_values": [2]},
        {"id": 2, "type": "Add", "title": "The sum", "widgets_values": [0, "fixed", "plus"]},
        {"id": 3, "type": "Show", "widgets_values": ["x"]},
    ],
}


def value_of(document, node_id, name):
    return document.prompt[node_id]["inputs"][name]


@pytest.mark.parametrize("document", [Document(api=API), Document(ui=UI), Document(api=API, ui=UI)])
@pytest.mark.parametrize("name", ["2", "The sum", "Add"])
def test_a_node_is_named_by_id_title_or_class(document, name):
    changed = with_overrides(opened(document), [Override.parse(f"{name}.seed=42")])
    assert value_of(changed, "2", "seed") == 42
    if document.ui:
        assert changed.ui["nodes"][1]["widgets_values"][0] == 42
    assert API["2"]["inputs"]["seed"] == 0 and UI["nodes"][1]["widgets_values"][0] == 0


def test_of_values_for_one_input_that_are_said_alike_the_last_one_counts():
    said = [Override.parse("2.seed=1"), Override.parse("2.seed=2")]
    assert value_of(with_overrides(opened(Document(api=API)), said), "2", "seed") == 2


@pytest.mark.parametrize("second", ["The sum.seed=2", "Add.seed=2"])
def test_an_input_that_is_set_twice_by_names_that_hide_it_is_refused(second):
    said = [Override.parse("2.seed=1"), Override.parse(second)]
    with pytest.raises(WorkflowError, match="set twice: .*seed of node 2"):
        with_overrides(opened(Document(api=API)), said)
    same = [said[0], Override.parse(second.replace("=2", "=1"))]
    assert value_of(with_overrides(opened(Document(api=API)), same), "2", "seed") == 1


@pytest.mark.parametrize("text", ["7", "null", "a=b.c", "[1]", '"q"', ""])
def test_text_stays_text(text):
    assert (
        value_of(
            with_overrides(opened(Document(api=API)), [Override.parse(f"3.label={text}")]),
            "3",
            "label",
        )
        == text
    )


@pytest.mark.parametrize(
    "text",
    [
        "seed=3",
        "2.seed",
        ".seed=3",
        "2.=3",
        "9.seed=3",
        "Show.value=3",
        "2.a=3",
        "2.nothing=3",
        "2.seed=[1]",
        "",
    ],
)
def test_what_cannot_be_set_is_refused_with_what_could_be(text):
    with pytest.raises(WorkflowError, match="expected"):
        with_overrides(opened(Document(api=API)), [Override.parse(text)])


def test_a_title_that_two_nodes_share_is_refused():
    with pytest.raises(WorkflowError, match="2 nodes"):
        with_overrides(
            opened({**API, "4": node("Number", value=1)}),
            [Override.parse("Number.value=1")],
        )


def test_a_picture_that_cannot_follow_is_left_out():
    document = Document(api={**API, "8:1": node("Number", value=1)}, ui=UI)
    assert with_overrides(opened(document), [Override.parse("8:1.value=3")]).ui is None
