"""The UI format becomes what ComfyUI's page would send."""

import copy
import time

import pytest
from fakes import CLASSES, opened

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
        ({"version": 1}, "version"),
        ({"version": "1.0"}, "version"),
        ({"definitions": {"subgraphs": [{"id": "Number", "name": "Inner"}]}}, "subgraphs"),
        ({"nodes": [{"id": 1, "type": "workflow>Group"}]}, "subgraphs"),
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


def test_null_in_the_place_of_the_seed_control_shifts_nothing():
    assert to_api(ui(ui_node(1, "Add", values=[7, None, "minus"])), KNOWN)["1"]["inputs"] == {
        "seed": 7,
        "mode": "minus",
    }


@pytest.mark.parametrize(
    ("version", "fits"), [("0.4", True), ("0", True), ("1.0", False), ("x", False)]
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
