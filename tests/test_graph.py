"""The graph: changed without being touched, ordered, and written back into the document that it
came from.
"""

import copy
from dataclasses import replace

import pytest
from fakes import CLASSES, assert_links_sound, node, opened
from hypothesis import given
from hypothesis import strategies as st

from musicgraph.workflows import api_format
from musicgraph.workflows.graph import BrokenLink, Graph, Link, Node
from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.reader import Document

API = {
    "1": node("Number", value=2),
    "2": node("Add", "Sum", a=["1", 0], seed=0),
    "3": node("Show", value=["2", 0], label="x"),
}


def graph_of(prompt):
    return api_format.read(prompt)


# ---------------------------------------------------------------- the API format


def test_what_is_read_from_the_api_format_is_written_again():
    assert api_format.write(graph_of(API)) == API


def test_links_values_lists_and_broken_links_are_told_apart():
    inputs = {"a": ["1", 0], "b": {"__value__": [1, 2]}, "c": ["1"], "d": {"k": 1}, "e": "text"}
    found = graph_of({"2": {"class_type": "Add", "inputs": inputs}})["2"]
    assert found.links == {"a": Link("1", 0)} and found.inputs["c"] == BrokenLink(["1"])
    assert found.widgets == {"b": (1, 2), "d": {"k": 1}, "e": "text"}
    assert api_format.write(Graph.of([found]))["2"]["inputs"] == inputs


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), values)))
def test_any_prompt_means_the_same_when_it_is_written_and_read_again(nodes):
    prompt = {
        node_id: {"class_type": "X", "inputs": inputs, "_meta": {"title": "t"}}
        for node_id, inputs in nodes.items()
    }
    graph = graph_of(prompt)
    assert graph_of(api_format.write(graph)) == graph


# ---------------------------------------------------------------- changes


def test_a_change_gives_another_graph_and_leaves_the_first():
    before = graph_of(API)
    kept = copy.deepcopy(before)
    after = before.with_input("2", "seed", 5).with_node(Node("9", "Number")).without(["3"])
    assert before == kept and list(after.nodes) == ["1", "2", "9"]
    assert after["2"].inputs == {"a": Link("1", 0), "seed": 5}


def test_a_node_is_inserted_on_a_wire():
    graph = graph_of(API).inserted(Node("4", "Slow"), "a", before="3", target="value")
    assert graph["4"].links == {"a": Link("2", 0)} and graph["3"].links["value"] == Link("4", 0)


def test_a_fresh_id_is_beyond_every_number_of_the_document():
    assert graph_of({**API, "12:3": API["1"], "x": API["1"]}).fresh_id() == "4"
    note = {"id": 17, "type": "Note"}
    drawn = opened(Document(ui={"nodes": [note, {"id": 2, "type": "Number"}]}))
    assert drawn.graph.fresh_id() == "18"


# ---------------------------------------------------------------- what leads to what


def test_only_what_leads_to_the_targets_is_needed_and_comes_in_order():
    graph = graph_of({"3": API["3"], "9": node("Number", value=1), "2": API["2"], "1": API["1"]})
    assert graph.needed(["3"]) == ["3", "2", "1"] and graph.order(["3"]) == ["1", "2", "3"]
    assert graph.consumers(["1", "2", "3"]) == {"1": {"2"}, "2": {"3"}}


def test_a_circle_is_found_and_links_into_nowhere_are_none():
    ring = {"1": node("Add", a=["2", 0]), "2": node("Add", a=["1", 0], b=["77", 0])}
    graph = graph_of({**ring, "3": node("Show", value=["2", 0])})
    assert set(graph.circle(graph.needed(["3"]))) == {"1", "2"}
    assert graph_of(API).circle(["1", "2", "3"]) == []
    assert graph.upstream("2") == ["1"]


# ---------------------------------------------------------------- back into the document


def drawn():
    """Number 1 → Add 2 → Show 3, with a note, a group and a reroute beside the graph."""
    ports = [{"name": "NUM", "type": "NUM", "links": []}]
    number = {"id": 1, "type": "Number", "pos": [0, 0], "inputs": [], "widgets_values": [4]}
    way = {"id": 7, "type": "Reroute", "inputs": [{"name": "", "type": "NUM", "link": 1}]}
    add = {"id": 2, "type": "Add", "pos": [400, 0], "widgets_values": [7, "fixed", "plus"]}
    add["inputs"] = [
        {"name": "a", "type": "NUM", "link": 5},
        {"name": "b", "type": "NUM", "link": None, "shape": 7},
    ]
    show = {"id": 3, "type": "Show", "pos": [800, 0], "widgets_values": ["x"], "outputs": []}
    show["inputs"] = [{"name": "value", "type": "NUM", "link": 2}]
    number["outputs"] = [{**ports[0], "links": [1]}]
    way["outputs"] = [{**ports[0], "links": [5]}]
    add["outputs"] = [{**ports[0], "links": [2]}]
    note = {"id": 8, "type": "Note", "inputs": [], "outputs": [], "widgets_values": ["hello"]}
    links = [[1, 1, 0, 7, 0, "NUM"], [5, 7, 0, 2, 0, "NUM"], [2, 2, 0, 3, 0, "NUM"]]
    return {
        "version": 0.4,
        "last_node_id": 8,
        "last_link_id": 5,
        "nodes": [number, way, add, show, note],
        "links": links,
        "groups": [{"title": "All", "bounding": [0, 0, 9, 9]}],
        "extra": {"ds": {"scale": 0.8}},
    }


class Whole:
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}


def written(change, before=None):
    """The document after a change of its graph, which must read as that graph."""
    before = before or drawn()
    kept, classes = copy.deepcopy(before), {**CLASSES, "Whole": Whole}
    workflow = opened(Document(ui=before), classes)
    workflow = workflow.with_graph(change(workflow.graph))
    assert before == kept
    assert opened(Document(ui=workflow.ui), classes).graph == workflow.graph
    assert_links_sound(workflow.ui)
    return workflow.ui


def test_a_document_whose_graph_is_unchanged_is_the_same():
    assert written(lambda graph: graph) == drawn()


def test_a_changed_value_changes_one_place_of_the_document():
    expected = drawn()
    expected["nodes"][2]["widgets_values"][2] = "minus"
    assert written(lambda graph: graph.with_input("2", "mode", "minus")) == expected


def test_a_new_link_is_written_at_both_ends_and_the_old_way_stays():
    ui = written(lambda graph: graph.with_input("2", "b", Link("1", 0)))
    assert len(ui["links"]) == 4 and ui["last_link_id"] == 6
    assert ui["groups"] == drawn()["groups"] and ui["nodes"][4] == drawn()["nodes"][4]


def test_a_widget_may_be_linked_and_a_link_may_become_a_value():
    whole = Node("9", "Whole", title="Whole")
    ui = written(lambda graph: graph.with_node(whole).with_input("2", "seed", Link("9", 0)))
    assert ui["nodes"][2]["inputs"][2]["widget"] == {"name": "seed"}
    cut = written(lambda graph: graph.with_input("2", "seed", 3), ui)
    assert cut["nodes"][2]["inputs"][2]["link"] is None and len(cut["links"]) == 3


def test_a_node_is_added_taken_out_or_replaced():
    add = Node("9", "Add", {"seed": 3, "mode": "plus"}, title="Add", pos=(400.0, 300.0))
    ui = written(lambda graph: graph.inserted(add, "a", before="3", target="value"))
    new = ui["nodes"][-1]
    assert (new["id"], new["pos"], ui["last_node_id"]) == (9, [400, 300], 9)
    assert new["widgets_values"] == [3, "fixed", "plus"]

    def without_sum(graph):
        return graph.without(["2"]).with_input("3", "value", Link("1", 0))

    assert [one["id"] for one in written(without_sum)["nodes"]] == [1, 7, 3, 8]

    def replaced(graph):
        number = Node("2", "Number", {"value": 5}, title="Number")
        return graph.with_node(number)

    assert written(replaced)["nodes"][2]["pos"] == [400, 0]


def test_a_moved_and_renamed_node_is_moved_and_renamed():
    ui = written(
        lambda graph: graph.with_node(replace(graph["3"], pos=(1.5, 2.0), title="The end"))
    )
    assert (ui["nodes"][3]["pos"], ui["nodes"][3]["title"]) == ([1.5, 2], "The end")


def test_a_value_without_a_place_in_the_document_is_refused():
    workflow = opened(Document(ui=drawn()))
    with pytest.raises(WorkflowError, match="no widget nothing"):
        _ = workflow.with_graph(workflow.graph.with_input("3", "nothing", 1)).ui


def test_a_prefix_names_the_value_that_a_widget_has_when_it_runs():
    class Saver:
        RETURN_TYPES = ()

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"filename_prefix": ("STRING", {"default": "x"})}}

    ui = drawn()
    ui["nodes"].append({"id": 9, "type": "Saver", "widgets_values": ["a%Add.seed%"]})
    ui["nodes"][2]["properties"] = {"Node name for S&R": "Add"}
    workflow = opened(Document(ui=ui), {**CLASSES, "Saver": Saver})
    workflow = with_overrides(workflow, [Override("2", "seed", 42)])
    assert workflow.prompt["9"]["inputs"] == {"filename_prefix": "a42"}
    assert workflow.ui["nodes"][-1]["widgets_values"] == ["a%Add.seed%"]
