"""The UI format becomes what ComfyUI's page would send."""

import copy
import time

import pytest
from fakes import CLASSES, checked, opened

from musicgraph.workflows.executor import Runner
from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.reader import Document


class Load:
    """Has the widget that uploads, as LoadAudio has."""

    RETURN_TYPES = ("NUM",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": (["a.wav"], {"audio_upload": True})}}


class Pair:
    RETURN_TYPES = ("TEXT", "NUM")

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "text": ("TEXT",),
                "num": ("NUM",),
                "forced": ("INT", {"forceInput": True}),
            }
        }


KNOWN = {**CLASSES, "Load": Load, "Pair": Pair}


def ui_node(id, type, inputs=(), outputs=(), values=None, **more):
    """Inputs as (name, type, link) or (name, type, link, "widget"), outputs as types."""
    more = {"mode": 0, **more}
    slots = [
        {"name": name, "type": kind, "link": link, **({"widget": {"name": name}} if widget else {})}
        for name, kind, link, *widget in inputs
    ]
    ports = [{"name": kind, "type": kind, "links": []} for kind in outputs]
    return {
        "id": id,
        "type": type,
        "inputs": slots,
        "outputs": ports,
        "widgets_values": values,
        **more,
    }


def ui(*nodes, links=()):
    return {"nodes": list(nodes), "links": [[*link, "NUM"] for link in links], "version": 0.4}


NUMBER = ui_node(1, "Number", outputs=["NUM"], values=[4])
SHOW = ui_node(3, "Show", [("value", "NUM", 2)], values=["hello"])


def to_api(document, classes):
    return opened(Document(ui=document), classes).prompt


def with_widget(document, node_id, name, value, classes):
    workflow = opened(Document(ui=document), classes)
    return with_overrides(workflow, [Override(node_id, name, value)]).ui


def inputs_of(document, node_id):
    return to_api(document, KNOWN)[node_id]["inputs"]


def test_widgets_are_named_in_declared_order_and_the_seeds_control_value_is_skipped():
    add = ui_node(2, "Add", [("a", "NUM", 1)], ["NUM"], [77, "randomize", "minus"])
    document = ui(NUMBER, add, links=[(1, 1, 0, 2, 0)])
    assert inputs_of(document, "2") == {"seed": 77, "mode": "minus", "a": ["1", 0]}


def test_a_file_without_control_values_is_read_too():
    assert inputs_of(ui(ui_node(2, "Add", values=[77, "minus"])), "2") == {
        "seed": 77,
        "mode": "minus",
    }


def test_values_that_an_older_file_lacks_are_the_defaults():
    assert inputs_of(ui(ui_node(2, "Add", values=[5])), "2") == {"seed": 5, "mode": "plus"}


def test_the_page_s_own_values_behind_an_upload_widget_are_left_out():
    assert inputs_of(ui(ui_node(2, "Load", values=["a.wav", None, ""])), "2") == {"audio": "a.wav"}


def test_widget_values_may_be_named():
    assert inputs_of(ui(ui_node(2, "Add", values={"mode": "minus"})), "2") == {
        "seed": 0,
        "mode": "minus",
    }


def test_a_converted_widget_takes_its_link_and_keeps_its_place_in_the_values():
    add = ui_node(
        2,
        "Add",
        [("a", "NUM", None), ("seed", "INT", 1, "widget")],
        ["NUM"],
        [77, "fixed", "minus"],
    )
    assert inputs_of(ui(NUMBER, add, links=[(1, 1, 0, 2, 1)]), "2") == {
        "seed": ["1", 0],
        "mode": "minus",
    }


def test_inputs_that_must_be_linked_have_no_widget_value():
    assert inputs_of(ui(ui_node(2, "Pair", values=[])), "2") == {}


def test_notes_are_left_out_and_titles_are_kept():
    api = to_api(
        ui(
            ui_node(5, "Note", values=["x"]),
            ui_node(6, "MarkdownNote"),
            {**NUMBER, "title": "Mine"},
        ),
        KNOWN,
    )
    assert list(api) == ["1"] and api["1"]["_meta"]["title"] == "Mine"


@pytest.mark.parametrize("mode", [0, 2, 4])
def test_reroutes_are_followed_whatever_their_mode(mode):
    one = ui_node(7, "Reroute", [("", "*", 1)], ["NUM"], mode=mode)
    two = ui_node(8, "Reroute", [("", "*", 5)], ["NUM"])
    document = ui(NUMBER, one, two, SHOW, links=[(1, 1, 0, 7, 0), (5, 7, 0, 8, 0), (2, 8, 0, 3, 0)])
    assert inputs_of(document, "3")["value"] == ["1", 0]
    assert list(to_api(document, KNOWN)) == ["1", "3"]


def test_reroutes_in_a_circle_lead_nowhere():
    one = ui_node(7, "Reroute", [("", "*", 1)], ["NUM"])
    two = ui_node(8, "Reroute", [("", "*", 5)], ["NUM"])
    document = ui(one, two, SHOW, links=[(1, 8, 0, 7, 0), (5, 7, 0, 8, 0), (2, 8, 0, 3, 0)])
    assert "value" not in inputs_of(document, "3")


def test_a_primitive_gives_its_value_to_the_widget_that_it_feeds():
    primitive = ui_node(9, "PrimitiveNode", outputs=["INT"], values=[123, "randomize"])
    add = ui_node(
        2, "Add", [("a", "NUM", None), ("seed", "INT", 1, "widget")], ["NUM"], [77, "fixed", "plus"]
    )
    document = ui(primitive, add, links=[(1, 9, 0, 2, 1)])
    assert inputs_of(document, "2")["seed"] == 123 and "9" not in to_api(document, KNOWN)


def test_a_bypassed_node_passes_on_the_first_input_of_the_type():
    text = ui_node(6, "Texts", outputs=["TEXT"])
    pair = ui_node(4, "Pair", [("text", "TEXT", 3), ("num", "NUM", 1)], ["TEXT", "NUM"], mode=4)
    document = ui(
        NUMBER, text, pair, SHOW, links=[(1, 1, 0, 4, 1), (3, 6, 0, 4, 0), (2, 4, 1, 3, 0)]
    )
    assert inputs_of(document, "3")["value"] == ["1", 0]
    crossed = ui(
        NUMBER, text, pair, SHOW, links=[(1, 1, 0, 4, 1), (3, 6, 0, 4, 0), (2, 4, 0, 3, 0)]
    )
    assert inputs_of(crossed, "3")["value"] == [
        "1",
        0,
    ]  # the page asks what fits the receiving input


def test_a_bypassed_node_with_nothing_to_pass_leaves_the_input_out():
    document = ui({**NUMBER, "mode": 4}, SHOW, links=[(2, 1, 0, 3, 0)])
    assert inputs_of(document, "3") == {"label": "hello"}


def test_muting_drops_the_node_and_all_that_need_it():
    add = ui_node(2, "Add", [("a", "NUM", 1)], ["NUM"], [0, "fixed", "plus"])
    links = [(1, 1, 0, 2, 0), (2, 2, 0, 3, 0)]
    assert to_api(ui({**NUMBER, "mode": 2}, add, SHOW, links=links), KNOWN) == {}
    assert list(to_api(ui(NUMBER, {**add, "mode": 2}, SHOW, links=links), KNOWN)) == ["1"]


def test_an_optional_input_from_a_muted_node_is_just_missing():
    muted = {**ui_node(8, "Number", outputs=["NUM"], values=[1]), "mode": 2}
    add = ui_node(2, "Add", [("a", "NUM", 1), ("b", "NUM", 4)], ["NUM"], [0, "fixed", "plus"])
    document = ui(NUMBER, muted, add, links=[(1, 1, 0, 2, 0), (4, 8, 0, 2, 1)])
    assert inputs_of(document, "2") == {"seed": 0, "mode": "plus", "a": ["1", 0]}


def test_nodes_of_unknown_classes_are_kept_with_their_links():
    document = ui(
        NUMBER, ui_node(5, "KSampler", [("x", "NUM", 1)], values=[1, 2, 3]), links=[(1, 1, 0, 5, 0)]
    )
    assert to_api(document, KNOWN)["5"] == {
        "inputs": {"x": ["1", 0]},
        "class_type": "KSampler",
        "_meta": {"title": "KSampler"},
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "version"),
        ({"version": "2.0"}, "version"),
        ({"nodes": [NUMBER, NUMBER]}, "not a workflow"),
        ({"nodes": ["x"]}, "not a workflow"),
        ({"nodes": [{"id": True, "type": "Number"}]}, "not a workflow"),
        ({"nodes": [{"id": 1, "type": "Number", "inputs": [3]}]}, "not a workflow"),
        (
            {"nodes": [{"id": 1, "type": "Number", "inputs": [{"name": "a", "link": "x"}]}]},
            "not a workflow",
        ),
        ({"nodes": [{"id": 1, "type": "Number", "widgets_values": "x"}]}, "not a workflow"),
        ({"links": {"1": 2}}, "not a workflow"),
        ({"links": [[1, 2]]}, "not a workflow"),
        ({"links": [{"id": 1, "origin_id": 1}]}, "not a workflow"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(change, reason):
    with pytest.raises(WorkflowError, match=reason):
        to_api({**ui(NUMBER), **change}, KNOWN)


def test_a_changed_widget_changes_nothing_else():
    add = ui_node(2, "Add", [("a", "NUM", 1)], ["NUM"], [77, "randomize", "minus"])
    document = ui(NUMBER, add, links=[(1, 1, 0, 2, 0)])
    before = copy.deepcopy(document)
    changed = with_widget(document, "2", "mode", "plus", KNOWN)
    assert document == before
    assert inputs_of(changed, "2") == {**inputs_of(document, "2"), "mode": "plus"}
    assert (
        inputs_of(with_widget(ui(ui_node(2, "Add")), "2", "mode", "minus", KNOWN), "2")["mode"]
        == "minus"
    )


def test_a_value_set_on_a_linked_widget_cuts_the_link_at_both_ends():
    number = ui_node(1, "Number", outputs=["NUM"], values=[4])
    number["outputs"][0]["links"] = [1]
    add = ui_node(2, "Add", [("seed", "INT", 1, "widget")], ["NUM"], [77, "fixed", "minus"])
    changed = with_widget(ui(number, add, links=[(1, 1, 0, 2, 0)]), "2", "seed", 5, KNOWN)
    assert inputs_of(changed, "2")["seed"] == 5
    assert changed["links"] == [] and changed["nodes"][0]["outputs"][0]["links"] == []


def test_thousands_of_links_through_one_long_way_are_followed_once():
    count = 2000
    ways = [ui_node(i, "Reroute", [("", "*", i)]) for i in range(2, count)]
    ends = [ui_node(i, "Show", [("value", "NUM", i)]) for i in range(count, 2 * count)]
    links = [(i, i - 1, 0, i, 0) for i in range(2, count)] + [
        (i, count - 1, 0, i, 0) for i in range(count, 2 * count)
    ]
    api = to_api(ui(NUMBER, *ways, *ends, links=links), KNOWN)
    assert len(api) == count + 1 and api[str(count)]["inputs"]["value"] == ["1", 0]


def test_values_written_as_an_object_of_places_are_read_like_a_list():
    places = {"0": 7, "1": "fixed", "2": "minus"}
    graph = ui(ui_node(1, "Add", values=places))
    assert to_api(graph, KNOWN)["1"]["inputs"] == {"seed": 7, "mode": "minus"}
    changed = with_widget(graph, "1", "mode", "plus", KNOWN)
    assert changed["nodes"][0]["widgets_values"] == [7, "fixed", "plus"]


@pytest.mark.parametrize("control", [None, False])
def test_no_word_in_the_place_of_the_seed_control_shifts_nothing(control):
    graph = ui(ui_node(1, "Add", values=[7, control, "minus"]))
    assert to_api(graph, KNOWN)["1"]["inputs"] == {"seed": 7, "mode": "minus"}


def test_values_that_are_only_there_by_name_are_read_and_set():
    add = ui_node(1, "Add", values=[], widgets_values_named={"seed": 7, "mode": "minus"})
    assert to_api(ui(add), KNOWN)["1"]["inputs"] == {"seed": 7, "mode": "minus"}
    changed = with_widget(ui(add), "1", "seed", 8, KNOWN)
    assert to_api(changed, KNOWN)["1"]["inputs"] == {"seed": 8, "mode": "minus"}


# ---------------------------------------------------------------- what only the page knows


def set_get(set_type, get_type):
    setter = ui_node(7, set_type, [("NUM", "NUM", 1)], ["*"], ["n"])
    getter = ui_node(8, get_type, outputs=["NUM"], values=["n"])
    return ui(NUMBER, setter, getter, SHOW, links=[(1, 1, 0, 7, 0), (2, 8, 0, 3, 0)])


@pytest.mark.parametrize("pair", [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_a_get_gives_what_goes_into_its_set(pair):
    api = to_api(set_get(*pair), KNOWN)
    assert list(api) == ["1", "3"] and api["3"]["inputs"]["value"] == ["1", 0]


def test_a_get_without_its_set_and_one_that_goes_in_a_circle_give_nothing():
    assert "value" not in inputs_of(set_get("SetNode", "easy getNode"), "3")
    setter = ui_node(7, "SetNode", [("NUM", "NUM", 1)], ["*"], ["n"])
    getter = ui_node(8, "GetNode", outputs=["NUM"], values=["n"])
    circle = ui(setter, getter, SHOW, links=[(1, 8, 0, 7, 0), (2, 8, 0, 3, 0)])
    assert "value" not in inputs_of(circle, "3")


def test_a_get_inside_a_subgraph_finds_a_set_outside():
    getter = ui_node(18, "GetNode", outputs=["NUM"], values=["n"])
    show = ui_node(13, "Show", [("value", "NUM", 2)], values=["hello"])
    inner = {**ui(getter, show, links=[(2, 18, 0, 13, 0)]), "id": "S", "inputs": [], "outputs": []}
    setter = ui_node(7, "SetNode", [("NUM", "NUM", 1)], ["*"], ["n"])
    document = ui(NUMBER, setter, ui_node(5, "S"), links=[(1, 1, 0, 7, 0)])
    document["definitions"] = {"subgraphs": [inner]}
    assert inputs_of(document, "5:13")["value"] == ["1", 0]


def test_a_primitive_is_followed_through_a_reroute():
    primitive = ui_node(9, "PrimitiveNode", outputs=["INT"], values=[5])
    way = ui_node(8, "Reroute", [("", "*", 1)], ["INT"])
    number = ui_node(1, "Number", [("value", "INT", 2, "widget")], ["NUM"], [4])
    document = ui(primitive, way, number, links=[(1, 9, 0, 8, 0), (2, 8, 0, 1, 0)])
    assert inputs_of(document, "1") == {"value": 5}


# ---------------------------------------------------------------- subgraphs


def inside(kind, *nodes, links, inputs=(), outputs=()):
    """Inputs as (name, type), outputs as types."""
    return {
        **ui(*nodes, links=links),
        "id": kind,
        "inputs": [{"name": name, "type": wire} for name, wire in inputs],
        "outputs": [{"name": wire, "type": wire} for wire in outputs],
    }


def with_subgraphs(document, *subgraphs):
    return {**document, "definitions": {"subgraphs": list(subgraphs)}}


def test_what_goes_straight_through_a_subgraph_is_followed():
    through = inside("S", links=[(1, -10, 0, -20, 0)], inputs=[("a", "NUM")], outputs=["NUM"])
    host = ui_node(5, "S", [("a", "NUM", 1)], ["NUM"])
    document = ui(NUMBER, host, SHOW, links=[(1, 1, 0, 5, 0), (2, 5, 0, 3, 0)])
    assert inputs_of(with_subgraphs(document, through), "3")["value"] == ["1", 0]


def test_a_link_to_no_output_of_a_subgraph_leads_nowhere():
    through = inside("S", links=[(1, -10, 0, -20, [])], inputs=[("a", "NUM")], outputs=["NUM"])
    host = ui_node(5, "S", [("a", "NUM", 1)], ["NUM"])
    document = ui(NUMBER, host, SHOW, links=[(1, 1, 0, 5, 0), (2, 5, 0, 3, 0)])
    assert "value" not in inputs_of(with_subgraphs(document, through), "3")


def test_a_circle_through_a_subgraph_leads_nowhere():
    through = inside("S", links=[(1, -10, 0, -20, 0)], inputs=[("a", "NUM")], outputs=["NUM"])
    host = ui_node(5, "S", [("a", "NUM", 1)], ["NUM"])
    document = ui(host, SHOW, links=[(1, 5, 0, 5, 0), (2, 5, 0, 3, 0)])
    assert "value" not in inputs_of(with_subgraphs(document, through), "3")


def test_a_subgraph_that_is_muted_inside_another_does_not_run():
    inner = inside("S", {**NUMBER, "id": 21}, {**SHOW, "id": 23}, links=[(2, 21, 0, 23, 0)])
    outer = inside("T", ui_node(31, "S"), ui_node(32, "S", mode=2), links=[])
    document = with_subgraphs(ui(ui_node(5, "T")), inner, outer)
    assert list(to_api(document, KNOWN)) == ["5:31:21", "5:31:23"]


def test_the_number_of_a_node_that_stands_for_others_is_taken():
    inner = inside("S", {**NUMBER, "id": 21}, links=[])
    graph = opened(Document(ui=with_subgraphs(ui(ui_node(50, "S")), inner)), KNOWN).graph
    assert graph.fresh_id() == "51"


def test_an_unused_subgraph_may_be_anything():
    assert to_api(with_subgraphs(ui(NUMBER), {"id": "S", "nodes": 3}, 7), KNOWN).keys() == {"1"}


def test_a_subgraph_that_the_file_lacks_is_named_for_that():
    kind = "0b6a9d2e-0000-4000-8000-000000000000"
    show = ui_node(3, "Show", [("value", "NUM", 1)])
    document = ui(ui_node(5, kind, outputs=["NUM"]), show, links=[(1, 5, 0, 3, 0)])
    (problem,) = checked(Document(ui=document), KNOWN).problems
    assert "a subgraph that the file does not define" in problem.details and problem.node == "5"


@pytest.mark.parametrize(
    ("subgraphs", "reason"),
    [
        ([inside("S", ui_node(1, "S"), links=[])], "without end"),
        ([inside("S", ui_node(1, "S", mode=2), links=[])], "without end"),
        (
            [inside("S", ui_node(1, "T"), links=[]), inside("T", ui_node(1, "S"), links=[])],
            "without end",
        ),
        (
            [inside("S", ui_node(1, "S1"), links=[])]
            + [inside(f"S{i}", ui_node(1, f"S{i + 1}"), links=[]) for i in range(1, 40)],
            "without end",
        ),
        (
            [inside("S", *(ui_node(i, "S1") for i in range(2)), links=[])]
            + [
                inside(f"S{i}", *(ui_node(j, f"S{i + 1}") for j in range(2)), links=[])
                for i in range(1, 25)
            ],
            "too large",
        ),
        ([inside("S", "x", links=[])], "not a workflow"),
        ([inside("S", NUMBER, NUMBER, links=[])], "not a workflow"),
        ([{**inside("S", links=[]), "inputs": "x"}], "not a workflow"),
        ([{**inside("S", links=[]), "links": [3]}], "not a workflow"),
    ],
)
def test_subgraphs_that_cannot_be_laid_open_are_refused(subgraphs, reason):
    with pytest.raises(WorkflowError, match=reason):
        to_api(with_subgraphs(ui(ui_node(5, "S")), *subgraphs), KNOWN)


def test_a_graph_runs_the_same_inside_a_subgraph():
    add = ui_node(12, "Add", [("a", "NUM", 1), ("b", "NUM", 2)], ["NUM"], [0, "fixed", "minus"])
    minus = inside(
        "S",
        add,
        links=[(1, -10, 0, 12, 0), (2, -10, 1, 12, 1), (3, 12, 0, -20, 0)],
        inputs=[("a", "NUM"), ("b", "NUM")],
        outputs=["NUM"],
    )
    host = ui_node(5, "S", [("b", "NUM", 4), ("a", "NUM", 1)], ["NUM"])
    three = ui_node(2, "Number", outputs=["NUM"], values=[3])
    links = [(1, 1, 0, 5, 0), (4, 2, 0, 5, 1), (2, 5, 0, 3, 0)]
    document = with_subgraphs(ui(NUMBER, three, host, SHOW, links=links), minus)
    result = Runner(CLASSES).run(opened(Document(ui=document)).runnable)
    assert result.value("5:12") == 1 and CLASSES["Show"].SHOWN[-1][0] == 1


@pytest.mark.parametrize(
    "group", [3, {}, {"nodes": [], "links": 3}, {"nodes": [3], "links": []}, {"nodes": [{}]}]
)
def test_a_group_that_is_none_is_refused(group):
    document = {**ui(ui_node(5, "workflow>G")), "extra": {"groupNodes": {"G": group}}}
    with pytest.raises(WorkflowError, match="not a workflow"):
        to_api(document, KNOWN)


@pytest.mark.parametrize(
    ("version", "fits"),
    [("0.4", True), ("0", True), ("1.0", True), (1, True), ("2", False), ("x", False)],
)
def test_the_version_may_be_text(version, fits):
    graph = {**ui(ui_node(1, "Number", values=[3])), "version": version}
    if fits:
        assert to_api(graph, KNOWN)["1"]["inputs"] == {"value": 3}
    else:
        with pytest.raises(WorkflowError, match="version"):
            to_api(graph, KNOWN)


class Saver:
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"filename_prefix": ("STRING", {"default": "x"})}}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("%date:yyyy-MM-dd%/a", "2026-03-05/a"),
        ("%date:yy.M%", "%date:yy.M%"),
        ("%date:hhmmss d%", "070809 5"),
        ("a%Adder.seed%b", "a7b"),
        ("%Sum.mode%", "minus"),
        ("%Sum.text%%year%%width%", "%Sum.text%%year%%width%"),
        ("%Other.seed%", "%Other.seed%"),
        ("100%", "100%"),
        ("%Named.label%", "a_b_c"),
    ],
)
def test_prefixes_have_their_tokens_replaced_as_the_page_does(prefix, expected, monkeypatch):
    now = time.struct_time((2026, 3, 5, 7, 8, 9, 0, 0, 0))
    monkeypatch.setattr(time, "localtime", lambda: now)
    search = {"properties": {"Node name for S&R": "Adder"}}
    graph = ui(
        ui_node(1, "Add", values=[7, "fixed", "minus"], title="Sum", **search),
        ui_node(2, "Saver", values=[prefix]),
        ui_node(3, "Show", values=["a/b:c"], title="Named"),
    )
    inputs = to_api(graph, {**KNOWN, "Saver": Saver})["2"]["inputs"]
    assert inputs == {"filename_prefix": expected}
