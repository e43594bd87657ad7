"""One declared input: what it takes, what it refuses and under which name, and what doors are told
of it.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicgraph.workflows.inputs import BadInput, InputSpec

SEED = InputSpec.of("seed", ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}), True)
CFG = InputSpec.of("cfg", ("FLOAT", {"default": 3.0, "min": 0.0, "max": 20.0, "step": 0.1}), True)
MODE = InputSpec.of("mode", (["plus", "minus"],), False)
FLAG = InputSpec.of("flag", ("BOOLEAN",), True)
TEXT = InputSpec.of("text", ("STRING", {"multiline": True, "tooltip": "Words."}), True)
MODEL = InputSpec.of("model", ("MODEL",), True)
ALL = [SEED, CFG, MODE, FLAG, TEXT, MODEL]


def refusal(read, value):
    with pytest.raises(BadInput) as caught:
        read(value)
    return caught.value


# ---------------------------------------------------------------- from INPUT_TYPES


def test_an_entry_is_read_with_all_that_it_declares():
    assert (SEED.default, SEED.minimum, SEED.maximum) == (0, 0, 2**64 - 1)
    assert SEED.has_seed_control and SEED.has_default and not CFG.has_seed_control
    assert TEXT.multiline and TEXT.tooltip == "Words." and TEXT.default == ""
    assert InputSpec.of("x", ("NUM", {"lazy": True}), True).lazy


def test_choices_stand_in_place_of_the_type_or_in_the_options():
    named = InputSpec.of("mode", ("COMBO", {"options": ["plus", "minus"]}), False)
    assert named.choices == MODE.choices == ("plus", "minus")
    assert named.type_name == MODE.type_name == "COMBO"
    assert MODE.default == "plus" and not MODE.has_default
    assert InputSpec.of("mode", ([],), False).default is None


def test_a_socket_is_no_widget_and_neither_is_a_forced_input():
    assert not MODEL.is_widget and SEED.is_widget and MODE.is_widget
    assert not InputSpec.of("x", ("INT", {"forceInput": True}), True).is_widget


# ---------------------------------------------------------------- as ComfyUI reads


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        (SEED, "42", 42),
        (SEED, 3.9, 3),
        (SEED, True, 1),
        (CFG, 3, 3.0),
        (CFG, "2.5", 2.5),
        (TEXT, 7, "7"),
        (FLAG, "False", False),
        (FLAG, 1, True),
        (MODE, "minus", "minus"),
    ],
)
def test_before_a_run_a_value_is_converted_as_in_comfyui(spec, value, expected):
    assert spec.read(value) == expected and type(spec.read(value)) is type(expected)


@pytest.mark.parametrize(
    ("spec", "value", "kind"),
    [
        (SEED, "many", "invalid_input_type"),
        (SEED, None, "invalid_input_type"),
        (SEED, math.inf, "invalid_input_type"),
        (SEED, -1, "value_smaller_than_min"),
        (SEED, 2**64, "value_bigger_than_max"),
        (CFG, math.nan, "invalid_input_type"),
        (CFG, 10**400, "invalid_input_type"),
        (MODE, "times", "value_not_in_list"),
        (MODE, ("plus",), "value_not_in_list"),
        (FLAG, "yes", "invalid_input_type"),
        (TEXT, {}, "invalid_input_type"),
        (TEXT, "\ud800", "invalid_input_type"),
        (MODEL, "x", "invalid_input_type"),
    ],
)
def test_a_value_that_does_not_fit_has_comfyui_s_name_and_says_what_would(spec, value, kind):
    error = refusal(spec.read, value)
    assert error.type == kind and error.what == spec.name
    assert error.got and error.expected and error.details.startswith("got ")


# ---------------------------------------------------------------- exactly, as JSON and forms send


@pytest.mark.parametrize(("spec", "value"), [(SEED, 250.0), (CFG, 3), (FLAG, True), (TEXT, "a")])
def test_json_may_write_a_number_either_way(spec, value):
    assert spec.read_exactly(value) == value
    assert type(spec.read_exactly(value)) is type(spec.default)


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (SEED, 3.5),
        (SEED, "3"),
        (SEED, True),
        (SEED, 2**64),
        (SEED, math.nan),
        (SEED, 1e300),
        (CFG, False),
        (CFG, "3"),
        (CFG, math.inf),
        (CFG, 10**400),
        (CFG, 20.5),
        (FLAG, 1),
        (FLAG, "true"),
        (TEXT, 7),
        (TEXT, None),
        (TEXT, "\udfff"),
        (MODE, "times"),
        (MODE, ["plus"]),
    ],
)
def test_nothing_is_rounded_or_guessed_at(spec, value):
    error = refusal(spec.read_exactly, value)
    assert error.what == spec.name and error.got and error.expected and error.remedy


def test_a_door_may_narrow_an_input_and_its_default_follows():
    longest = InputSpec("duration", "FLOAT", default=10.0, minimum=0.1, maximum=600.0)
    short = longest.narrowed(maximum=5.0, tooltip="Shorter.")
    assert (short.default, short.maximum, short.tooltip) == (5.0, 5.0, "Shorter.")
    assert longest.maximum == 600.0
    assert "from 0.1 to 5" in refusal(short.read_exactly, 6).expected


def test_a_door_may_allow_null_or_ask_for_text_of_a_length():
    loudness = CFG.narrowed(may_be_null=True)
    assert loudness.read_exactly(None) is None and loudness.expected.endswith("or null")
    prompt = TEXT.narrowed(max_characters=5, may_be_blank=False)
    assert prompt.read_exactly("happy") == "happy"
    assert refusal(prompt.read_exactly, "longer").got == "6 characters"
    assert "1 to 5 characters" in refusal(prompt.read_exactly, " \n").expected


# ---------------------------------------------------------------- text of a command line


@pytest.mark.parametrize("text", ["7", "null", "[1]", '"q"', ""])
def test_on_a_command_line_text_stays_text(text):
    assert TEXT.parse(text) == text


def test_on_a_command_line_numbers_are_numbers_and_lists_are_refused():
    assert (SEED.parse("42"), CFG.parse("2.5"), FLAG.parse("false")) == (42, 2.5, False)
    assert MODE.parse("minus") == "minus" and SEED.parse("many") == "many"
    assert InputSpec("n", ["1", "2"], choices=("1", "2")).parse("1") == "1"
    assert "single value" in refusal(SEED.parse, "[1]").expected


# ---------------------------------------------------------------- what doors are told


def test_the_schema_has_bounds_choices_words_and_default():
    assert CFG.schema() == {"type": "number", "minimum": 0.0, "maximum": 20.0, "default": 3.0}
    assert MODE.schema() == {"type": "string", "enum": ["plus", "minus"]}
    assert FLAG.schema() == {"type": "boolean"}
    assert TEXT.schema() == {"type": "string", "description": "Words."}
    assert MODEL.schema() == {}
    prompt = TEXT.narrowed(max_characters=5, may_be_blank=False, tooltip="")
    assert prompt.schema() == {"type": "string", "maxLength": 5, "minLength": 1, "pattern": r"\S"}
    assert CFG.narrowed(may_be_null=True).schema()["type"] == ["number", "null"]


def test_a_bound_that_a_float_would_round_up_stands_in_the_schema_as_exclusive():
    schema = SEED.schema()
    assert schema["exclusiveMaximum"] == 2**64 and "maximum" not in schema


def test_an_option_is_named_as_command_lines_are():
    top_k = InputSpec.of("top_k", ("INT", {"default": 250, "min": 1, "tooltip": "Draw."}), True)
    facts = top_k.option()
    assert (facts.flag, facts.python_type, facts.default) == ("--top-k", int, 250)
    assert (facts.minimum, facts.maximum, facts.help) == (1, None, "Draw.")
    assert MODE.option().choices == ("plus", "minus")


def test_a_widget_suits_the_input_and_its_value():
    assert SEED.widget(1).kind == "whole" and SEED.widget(2**60).kind == "line"
    assert CFG.widget(3.0).kind == "slider" and CFG.widget(99.0).kind == "number"
    assert (TEXT.widget("a").kind, TEXT.widget("a").lines) == ("text", 3)
    assert FLAG.widget(True).kind == "check"
    assert MODE.widget("plus").choices == ("plus", "minus")
    sound = InputSpec.of("audio", (["a.wav"], {"audio_upload": True}), True)
    assert sound.widget("a.wav").kind == "audio"


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers())
)


@given(st.sampled_from(ALL), ANYTHING)
def test_whatever_is_sent_is_read_or_refused(spec, value):
    for read in (spec.read, spec.read_exactly):
        try:
            read(value)
        except BadInput as error:
            assert str(error).isprintable() and error.details
