"""Everything that can be wrong with a graph is found before it runs, under ComfyUI's names."""

import math

import pytest
from fakes import CLASSES, checked, node

from musicgraph.models.limits import Limits
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.problems import WorkflowError


def graph(**changes):
    base = {
        "1": node("Number", value=2),
        "2": node("Add", "Sum", a=["1", 0], seed=0),
        "3": node("Show", value=["2", 0], label="x"),
    }
    return {**base, **changes}


def only_problem(prompt):
    (problem,) = checked(prompt, CLASSES).problems
    return problem


def test_a_sound_graph_has_no_problems_and_names_its_outputs():
    outcome = checked(graph(), CLASSES)
    assert outcome.problems == () and outcome.outputs == ("3",)


@pytest.mark.parametrize(
    ("inputs", "kind", "name"),
    [
        ({"seed": 0}, "required_input_missing", "a"),
        ({"a": ["1"], "seed": 0}, "bad_linked_input", "a"),
        ({"a": ["1", "0"], "seed": 0}, "bad_linked_input", "a"),
        ({"a": ["1", True], "seed": 0}, "bad_linked_input", "a"),
        ({"a": [1, 0], "seed": 0}, "bad_linked_input", "a"),
        ({"a": ["99", 0], "seed": 0}, "bad_linked_input", "a"),
        ({"a": ["1", 1], "seed": 0}, "bad_linked_input", "a"),
        ({"a": ["1", -1], "seed": 0}, "bad_linked_input", "a"),
        ({"a": ["4", 0], "seed": 0}, "return_type_mismatch", "a"),
        ({"a": "two", "seed": 0}, "invalid_input_type", "a"),
        ({"a": ["1", 0], "seed": "many"}, "invalid_input_type", "seed"),
        ({"a": ["1", 0], "seed": None}, "invalid_input_type", "seed"),
        ({"a": ["1", 0], "seed": math.inf}, "invalid_input_type", "seed"),
        ({"a": ["1", 0], "seed": {}}, "invalid_input_type", "seed"),
        ({"a": ["1", 0], "seed": 2**64}, "value_bigger_than_max", "seed"),
        ({"a": ["1", 0], "seed": 0, "mode": "times"}, "value_not_in_list", "mode"),
        ({"a": ["1", 0], "seed": 0, "mode": ["plus"]}, "bad_linked_input", "mode"),
        ({"a": ["1", 0], "seed": 0, "mode": {"__value__": ["plus"]}}, "value_not_in_list", "mode"),
    ],
)
def test_each_fault_of_an_input_has_its_name_and_place(inputs, kind, name):
    problem = only_problem(
        graph(**{"2": node("Add", "Sum", **inputs), "4": node("Sampler", frames=1, reported=1)})
    )
    assert (problem.type, problem.node, problem.title, problem.input) == (kind, "2", "Sum", name)
    assert "got" in problem.details and "expected" in problem.details and "\n" not in str(problem)


def test_a_value_below_the_minimum():
    assert only_problem(graph(**{"1": node("Number", value=-1)})).type == "value_smaller_than_min"


def test_nan_is_no_number():
    class Real:
        RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "run", True

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"x": ("FLOAT", {"min": 0.0, "max": 1.0})}}

    problems = checked({"1": node("Real", x=math.nan)}, {"Real": Real}).problems
    assert [problem.type for problem in problems] == ["invalid_input_type"]


def test_all_problems_come_at_once():
    prompt = graph(
        **{"1": node("Number", value=-1), "2": node("Add", a=["1", 5], seed="x", mode="?")}
    )
    assert len(checked(prompt, CLASSES).problems) == 4


def missing(*nodes):
    """What is said of a graph in which these unknown nodes lead to a result."""
    prompt = {str(i): one for i, one in enumerate(nodes, 8)}
    shown = {"7": node("Merge", **{f"in{i}": [i, 0] for i in prompt}), **prompt}
    return checked(graph(**{"6": node("Show", value=["7", 0], label="x"), **shown}), CLASSES)


def packed(class_type, pack):
    return {"class_type": class_type, "inputs": {}, "_meta": {"cnr_id": pack}}


def test_all_missing_classes_are_named_at_once_each_once():
    (problem,) = missing(node("ToText"), node("ToText"), node("Resize")).problems
    assert problem.nodes == ("7", "8", "9", "10") and problem.node is None
    assert "these 3 nodes (Merge, ToText, Resize)" in problem.details
    assert "ComfyUI" in problem.details


def test_missing_nodes_are_named_with_the_pack_that_the_file_names():
    core, other = packed("A", "comfy-core"), packed("B", "comfyui-kjnodes")
    (problem,) = missing(core, other).problems
    assert "these 2 nodes (Merge, A)" in problem.details
    assert 'this node of the pack "comfyui-kjnodes" (B)' in problem.details
    (problem,) = checked(graph(**{"3": {**core, "class_type": "SaveA"}}), CLASSES).problems
    assert problem.node == "3" and "this node of ComfyUI (SaveA)" in problem.details


@pytest.mark.parametrize(
    ("class_type", "kind"),
    [
        ("TextEncodeAceStepAudio1.5", "an ACE-Step graph"),
        ("EmptyLatentAudio", "a Stable Audio graph"),
        ("KSampler", "a diffusion graph"),
    ],
)
def test_a_graph_for_another_model_is_told_so_and_nothing_else(class_type, kind):
    problems = missing(node(class_type), node("Add", a=["8", 5], seed="x")).problems
    assert [problem.message for problem in problems] == [f"this is {kind}"]
    assert "MusicGraph runs MusicGen" in problems[0].details and class_type in problems[0].details


def test_many_missing_nodes_are_counted_after_the_first_twenty():
    (problem,) = missing(*(node(f"Other{i}") for i in range(30))).problems
    assert "these 31 nodes" in problem.details and "and 11 more" in problem.details


def test_an_unknown_node_that_leads_to_no_result_is_left_out_and_said():
    outcome = checked(graph(**{"8": node("ShowText", "K", text=["2", 0])}), CLASSES)
    assert not outcome.problems and "8" not in outcome.graph
    (note,) = outcome.notes
    assert "node 8" in note and "ShowText" in note


def test_an_unknown_node_that_saves_is_not_left_out():
    (problem,) = checked(graph(**{"8": node("SaveElsewhere", x=["2", 0])}), CLASSES).problems
    assert problem.node == "8"


def test_a_widget_that_an_older_file_lacks_has_its_default_and_it_is_said():
    outcome = checked(graph(**{"2": node("Add", a=["1", 0])}), CLASSES)
    assert not outcome.problems and outcome.graph["2"].inputs["seed"] == 0
    assert "seed" in outcome.notes[0] and "node 2" in outcome.notes[0]


@pytest.mark.parametrize("text", ["a\ud83cb", "\udcff"])
def test_text_that_is_not_unicode_is_a_problem(text):
    assert only_problem(graph(**{"3": node("Show", value=["2", 0], label=text)})).input == "label"
    assert only_problem(graph(**{"3": node("Show", text, value=["2", 0])})).node == "3"


class _Composer:
    """A sampler by what it declares."""

    RETURN_TYPES, FUNCTION = ("AUDIO_TOKENS",), "sample"

    @classmethod
    def INPUT_TYPES(cls):
        number = ("FLOAT", {"default": 10.0, "max": 600.0})
        return {"required": {"duration": number, "variations": ("INT", {"default": 1})}}


def composers(count, **inputs):
    nodes = {f"c{i}": node("Composer", **inputs) for i in range(count)}
    return {**nodes, **{f"s{i}": node("Any", x=[f"c{i}", 0]) for i in range(count)}}


class _Any:
    RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "show", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"x": ("AUDIO_TOKENS",)}}


@pytest.mark.parametrize(
    ("count", "inputs", "reason"),
    [
        (4, {"duration": 100, "variations": 16}, "too much music"),
        (5, {"duration": 500.0, "variations": 1}, "too much music"),
        (33, {"duration": 1.0, "variations": 1}, "too many samplers"),
        (3, {"duration": 600.0, "variations": 1}, None),
    ],
)
def test_what_all_samplers_ask_for_together_is_bounded(count, inputs, reason):
    classes = {"Composer": _Composer, "Any": _Any}
    problems = checked(composers(count, **inputs), classes).problems
    assert [reason in problem.details for problem in problems] == ([True] if reason else [])


def test_a_runner_may_be_given_tighter_limits():
    classes = {"Composer": _Composer, "Any": _Any}
    with running(Run(limits=Limits(music_s=5.0))):
        (problem,) = checked(composers(1, duration=6.0, variations=1), classes).problems
    assert "got 6 s, expected at most 5" in problem.details


def test_what_leads_to_no_output_is_not_checked():
    assert not checked(graph(**{"8": node("Number", value=99)}), CLASSES).problems


@pytest.mark.parametrize(
    ("prompt", "kind"), [({}, "no_prompt"), ({"1": node("Number", value=1)}, "prompt_no_outputs")]
)
def test_a_graph_without_outputs(prompt, kind):
    assert only_problem(prompt).type == kind


def test_a_cycle_is_named_by_its_nodes():
    problem = only_problem(graph(**{"1": node("Add", a=["2", 0], seed=0)}))
    assert problem.type == "dependency_cycle" and "1 ← 2 ← 1" in problem.details


def test_a_node_that_feeds_itself_is_a_cycle():
    assert only_problem(graph(**{"2": node("Add", a=["2", 0], seed=0)})).type == "dependency_cycle"


def test_literals_are_converted_and_links_are_not_range_checked():
    prompt = graph(
        **{"1": node("Number", value="3"), "2": node("Add", a=["1", 0], seed=2.9, mode="minus")}
    )
    prompt["3"]["inputs"]["label"] = 7
    outcome = checked(prompt, CLASSES)
    assert outcome.problems == ()
    assert [
        outcome.graph[i].inputs[n] for i, n in (("1", "value"), ("2", "seed"), ("3", "label"))
    ] == [3, 2, "7"]
    assert prompt["1"]["inputs"]["value"] == "3"  # the caller's prompt stays as it was


def test_validate_inputs_replaces_the_range_check_of_what_it_names():
    def picky(**inputs):
        return {"1": node("Picky", **inputs), "3": node("Show", value=["1", 0], label="x")}

    assert not checked(picky(even=100, odd=1), CLASSES).problems
    assert only_problem(picky(even=3, odd=1)).type == "custom_validation_failed"
    assert only_problem(picky(even=2, odd=9)).type == "value_bigger_than_max"
    linked = {**picky(even=["n", 0], odd=1), "n": node("Ints")}
    assert not checked(linked, {**CLASSES, "Ints": _Ints}).problems


class _Ints:
    RETURN_TYPES, FUNCTION = ("INT",), "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}


def test_a_class_whose_own_check_breaks_is_a_problem_not_a_traceback():
    class Odd(_Ints):
        OUTPUT_NODE = True

        @classmethod
        def VALIDATE_INPUTS(cls):
            raise KeyError("gone")

        @classmethod
        def INPUT_TYPES(cls):
            raise OSError("no folder")

    problems = checked({"1": node("Odd")}, {"Odd": Odd}).problems
    assert [problem.type for problem in problems] == ["exception_during_validation"]


@pytest.mark.parametrize(
    "bad", [None, 3, "x", [], {"inputs": {}}, {"class_type": 5}, {"class_type": "A", "inputs": []}]
)
def test_a_node_of_the_wrong_shape_is_refused(bad):
    with pytest.raises(WorkflowError):
        checked({"1": bad}, CLASSES)
