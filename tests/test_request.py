"""One request behind every door: fields, ranges and words are the nodes' own, and every door has
all of them.
"""

from dataclasses import fields as dataclass_fields

import pytest

from musicgraph.app.page.endpoints import ARGUMENTS
from musicgraph.app.serve import build_app
from musicgraph.app.studio.fields import (
    all_fields,
    body_schema,
    compatible_fields,
    page_fields,
    read_fields,
    request_of,
    terminal_fields,
)
from musicgraph.app.studio.settings import AppSettings
from musicgraph.workflows.inputs import BadInput
from musicgraph.workflows.registry import NodeSpec, node_classes
from musicgraph.workflows.request import INPUTS, Request, request_inputs

SETTINGS = AppSettings(model="pocket")
CLASSES = node_classes()
DOORS = {
    "terminal": terminal_fields(),
    "HTTP": all_fields(SETTINGS),
    "page": page_fields(SETTINGS),
}
SOUNDS = {"melody", "style"}  # files, which each door reads in its own way
JOINS = {"recording", "continue_from_s", "repaint", "loop", "loop_from_s", "kept", "candidates"}
# nodes that are there where they are asked for
FURTHER = {"save_as", "loras", "fade_in_s", "excerpt_s"}
ELSEWHERE = "prompt negative loudness_lufs schedule style_guidance fade_s".split()
"""whose default is not that of a fresh node: left out, there is no such node"""
ASKED = {field.name for field in dataclass_fields(Request)} - FURTHER - SOUNDS - JOINS


def declared(node_class):
    return NodeSpec.of(node_class.__name__, node_class).inputs


def test_every_field_is_an_input_of_a_node():
    assert set(INPUTS) == ASKED
    for kind, input in INPUTS.values():
        assert input in declared(CLASSES[kind])


def test_a_requests_defaults_are_those_of_the_nodes():
    fresh = Request("x")
    for name, (kind, input) in INPUTS.items():
        if name not in ELSEWHERE:
            assert getattr(fresh, name) == declared(CLASSES[kind])[input].default


@pytest.mark.parametrize("door", DOORS)
def test_every_door_has_every_field(door):
    known = DOORS[door].keys() | ({"prompt"} if door == "terminal" else set())
    assert known >= ASKED


@pytest.mark.parametrize("door", DOORS)
def test_choices_and_words_are_the_nodes(door):
    """A precision that the loader learns is at every door without anybody writing it there."""
    for name in ("precision", "device", "top_k", "cfg"):
        kind, input = INPUTS[name]
        node, here = declared(CLASSES[kind])[input], DOORS[door][name]
        assert (here.choices, here.tooltip) == (node.choices, node.tooltip)
        assert (here.minimum, here.maximum) == (node.minimum, node.maximum)
    assert {"int8", "int4"} <= set(DOORS[door]["precision"].choices)


def test_no_door_allows_what_the_nodes_refuse():
    for door in DOORS.values():
        for name, declared in request_inputs().items():
            here = door.get(name, declared)
            if declared.minimum is not None and name != "seed":  # -1 draws one
                assert declared.minimum <= here.minimum and here.maximum <= declared.maximum


def test_programs_find_the_arguments_by_name_with_the_nodes_words():
    page = build_app(SETTINGS)
    parameters = page.get_api_info()["named_endpoints"]["/generate"]["parameters"]
    assert tuple(one["parameter_name"] for one in parameters) == ARGUMENTS
    defaults = {one["parameter_name"]: one["parameter_default"] for one in parameters}
    assert (defaults["guidance"], defaults["top_k"], defaults["seed"]) == (3.0, 250, -1)
    (generate,) = [fn.fn for fn in page.fns.values() if fn.api_name == "generate"]
    top_k = declared(CLASSES["MusicGenSampler"])["top_k"]
    assert f"top_k: {top_k.tooltip}" in generate.__doc__


def test_values_are_read_by_name_and_left_out_ones_have_their_defaults():
    values = read_fields(
        all_fields(SETTINGS), {"top_k": 9.0, "prompt": "x", "duration": 2, "seed": 5}
    )
    request = request_of(values, model="tiny")
    assert request == Request("x", model="tiny", top_k=9, duration_s=2.0, seed=5)
    assert isinstance(request.top_k, int)


def test_a_server_that_allows_less_than_the_usual_length_has_a_shorter_default():
    short = AppSettings(model="pocket", max_duration_s=4)
    for fields in (all_fields(short), compatible_fields(short), page_fields(short)):
        assert (fields["duration_s"].default, fields["duration_s"].maximum) == (4, 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "prompt: got nothing, expected text of 1 to 2000 characters; send it"),
        (
            {"prompt": "x", "speed": 1},
            "speed: got a field that is not known, expected only prompt,",
        ),
        (
            {"prompt": "x", "top_k": True},
            "top_k: got true, expected a whole number from 1 to 65536",
        ),
        ({"prompt": "x", "negative": None}, "negative: got null, expected text of at most 2000"),
        ({"prompt": "x", "stream": 1}, "stream: got 1, expected true or false"),
    ],
)
def test_what_does_not_fit_is_refused_with_got_expected_and_remedy(given, words):
    with pytest.raises(BadInput) as refused:
        read_fields(all_fields(SETTINGS), given)
    assert str(refused.value).startswith(words) and refused.value.remedy


def test_the_schema_says_the_same():
    schema = body_schema(all_fields(SETTINGS))
    assert schema["required"] == ["prompt"] and not schema["additionalProperties"]
    assert schema["properties"]["loudness_lufs"]["type"] == ["number", "null"]
    assert "default" not in schema["properties"]["format"]
