"""Twins of ComfyUI's nodes for plain values and texts, and what strangers may not do with them."""

import math
import re

import pytest
import torch
from fakes import run
from hypothesis import given
from hypothesis import strategies as st

from musicgraph.models.limits import Limits
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.bounds import Ledger
from musicgraph.workflows.calls import Outcome
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.problems import NodeError
from musicgraph.workflows.registry import NodeSpec
from musicgraph.workflows.twins.catalogue import NODE_CLASS_MAPPINGS
from musicgraph.workflows.twins.expressions import evaluate
from musicgraph.workflows.widget_values import named


def call(class_type, **inputs):
    node_class = NODE_CLASS_MAPPINGS[class_type]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


def value_of(prompt, node="9", **more):
    return run(Runner(NODE_CLASS_MAPPINGS), prompt, **more).value(node)


def shown_at_9(source, prompt):
    return {**prompt, "9": {"class_type": "PreviewAny", "inputs": {"source": source}}}


# ---------------------------------------------------------------- plain values

PRIMITIVES = [
    ("PrimitiveInt", "7", 7),
    ("PrimitiveFloat", 2, 2.0),
    ("PrimitiveBoolean", "true", True),
    ("PrimitiveString", "a\nb", "a\nb"),
    ("PrimitiveStringMultiline", "ä", "ä"),
]


@pytest.mark.parametrize(("kind", "given", "expected"), PRIMITIVES)
def test_a_primitive_hands_on_its_value_in_its_type(kind, given, expected):
    prompt = shown_at_9(["1", 0], {"1": {"class_type": kind, "inputs": {"value": given}}})
    result = run(Runner(NODE_CLASS_MAPPINGS), prompt)
    assert result.value("1") == expected and type(result.value("1")) is type(expected)
    assert result.value("9") == str(expected)
    assert result.ui["9"] == {"text": [str(expected)]}


def test_a_primitive_sets_a_widget_of_another_node(tmp_path):
    prompt = {
        "1": {"class_type": "PrimitiveFloat", "inputs": {"value": 0.5}},
        "2": {"class_type": "SeedNode", "inputs": {"seed": 8000}},
        "3": {
            "class_type": "EmptyAudio",
            "inputs": {"duration": ["1", 0], "sample_rate": ["2", 0], "channels": 1},
        },
        "4": {"class_type": "AudioDuration", "inputs": {"audio": ["3", 0]}},
    }
    assert value_of(shown_at_9(["4", 0], prompt)) == "0.5"
    assert value_of(shown_at_9(["4", 1], prompt)) == "8000"


WIDGETS = [
    ("SaveAudioAdvanced", ["a/x", "mp3", "320k"], {"format": "mp3", "format.quality": "320k"}),
    ("SaveAudioAdvanced", ["a/x", "flac"], {"format": "flac"}),
    (
        "SaveVideo",
        ["v/x", "auto", "h264", "re-encode", 30],
        {"codec": "h264", "codec.encoding": "re-encode", "codec.encoding.crf": 30},
    ),
    ("SaveVideo", ["v/x", "auto", "auto"], {"format": "auto", "codec": "auto"}),
    ("CreateVideo", [16, 8], {"fps": 16, "bit_depth": 8}),
    ("PrimitiveInt", [6, "fixed"], {"value": 6}),
    ("ComfyMathExpression", ["a - 2"], {"expression": "a - 2"}),
    ("StringFormat", ["{a}"], {"f_string": "{a}"}),
    ("CustomCombo", ["b", 1, "a", "b", ""], {"choice": "b", "index": 1}),
    ("RecordAudio", ["audio/1.wav [temp]", ""], {"audio": "audio/1.wav [temp]"}),
    ("PreviewAny", [None, None, None], {}),
]


@pytest.mark.parametrize(("kind", "values", "expected"), WIDGETS)
def test_widgets_that_the_page_saved_are_read_by_place(kind, values, expected):
    read = named(NodeSpec.of(kind, NODE_CLASS_MAPPINGS[kind]).inputs, values)
    assert {name: read[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, (1.0, 1)),
        (3, (3.0, 3)),
        (-2.7, (-2.7, -2)),
        (" 12 ", (12.0, 12)),
        ("1e2", (100.0, 100)),
    ],
)
def test_a_number_is_converted(value, expected):
    result = call("ComfyNumberConvert", value=value)
    assert result == expected and [type(one) for one in result] == [float, int]


@pytest.mark.parametrize("value", ["", "x", "nan", math.inf, "9" * 5000, 10**400, None])
def test_what_is_no_number_is_not_converted(value):
    with pytest.raises(Refused, match="finite number"):
        call("ComfyNumberConvert", value=value)


def test_what_is_shown_of_a_value_is_short_and_looks_into_nothing():
    class Secret:
        def __repr__(self):
            return "/home/somebody"

    assert call("PreviewAny", source=None)["result"] == ("None",)
    assert call("PreviewAny", source=[1, "a"])["result"] == ('[\n    1,\n    "a"\n]',)
    assert call("PreviewAny", source={"model": Secret()})["result"] == ("{'model': <Secret>}",)
    assert call("PreviewAny", source=Secret())["result"] == ("<Secret>",)
    (text,) = call("PreviewAny", source={"waveform": torch.zeros(1, 2, 10**6)})["result"]
    assert text.startswith("{'waveform': tensor(") and len(text) < 1000


# ---------------------------------------------------------------- arithmetic

MATHS = [
    ("a + b", 5),
    ("max(4, (int(a) // 16) * 16)", 4),
    ("floor(b/2)*2 if a < b else -1", 2),
    ("sum(values) + sum(1, 2)", 8),
    ("values[1] ** 2", 9),
    ("a and not b", False),
    ("1 <= a <= b", True),
    ("round(2.675, 1) + round(7)", 9.7),
    ("pow(2, -1)", 0.5),
    ("(6 & 3) | (1 << 4) ^ 1", 19),
    ("-a % 3", 1),
]


@pytest.mark.parametrize(("expression", "expected"), MATHS)
def test_an_expression_has_the_value_that_python_gives_it(expression, expected):
    result = evaluate(expression, {"a": 2, "b": 3})
    assert result == pytest.approx(expected) and isinstance(result, bool) == isinstance(
        expected, bool
    )
    assert call("ComfyMathExpression", **{"expression": expression, "values.a": 2, "values.b": 3})[
        0
    ] == pytest.approx(float(expected))


FORBIDDEN = [
    "",
    " ",
    "a +",
    "c",
    "1 / 0",
    "sqrt(-1)",
    "(-1) ** 0.5",
    "10 ** 400",
    "1e308 * 10",
    "9 ** 9 ** 9 ** 9",
    "2 ** 3999999 > 1",
    "3 << 10**9",
    "round(5, -1000000000)",
    "pow(3999999, 3999999)",
    "values * 10",
    "values",
    "'a' * 10",
    "f'{a:>1000000000}'",
    "[x for x in values]",
    "a.__class__",
    "values.append(1)",
    "__import__('os')",
    "open('/etc/passwd')",
    "(lambda: 1)()",
    "max()",
    "min(values, 3)",
    "(" * 300 + "1" + ")" * 300,
    "-" * 3000 + "1",
    "1+" * 1900 + "1",
    "1" * 5000,
    "a = 1",
    "values[9]",
    "values[0.5]",
    "1; 2",
]


@pytest.mark.parametrize("expression", FORBIDDEN)
def test_what_is_no_arithmetic_or_has_no_finite_value_is_refused_at_once(expression):
    with pytest.raises(Refused):
        evaluate(expression, {"a": 1, "b": 2.5})


@given(st.text(alphabet="ab12.+-*/%()<>=,[] valuesmxnpow", max_size=40))
def test_any_text_has_a_finite_value_or_is_refused(text):
    try:
        assert math.isfinite(evaluate(text, {"a": 3, "b": 0.5}))
    except Refused:
        pass


# ---------------------------------------------------------------- choices


def test_a_switch_computes_only_what_it_chooses():
    broken = {"expression": "1 / 0", "values.a": 1}
    prompt = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "yes"}},
        "2": {"class_type": "ComfyMathExpression", "inputs": broken},
        "3": {
            "class_type": "ComfySwitchNode",
            "inputs": {"switch": True, "on_false": ["2", 0], "on_true": ["1", 0]},
        },
    }
    assert value_of(shown_at_9(["3", 0], prompt)) == "yes"
    prompt["3"]["inputs"]["switch"] = False
    with pytest.raises(NodeError, match="expression"):
        value_of(shown_at_9(["3", 0], prompt))


def test_truth_is_pythons_and_tensors_have_none():
    assert call("ComfyNotNode", value="") == (True,)
    assert call("ComfyAndNode", **{"values.value0": 1, "values.value1": []}) == (False,)
    assert call("ComfyOrNode", **{"values.value0": 0, "values.value1": "x"}) == (True,)
    with pytest.raises(Refused, match="neither true nor false"):
        call("ComfyNotNode", value=torch.zeros(3))


def test_a_custom_combo_gives_any_choice_and_its_place():
    prompt = {"1": {"class_type": "CustomCombo", "inputs": {"choice": "mine", "index": 2}}}
    assert value_of(shown_at_9(["1", 0], prompt)) == "mine"
    assert value_of(shown_at_9(["1", 1], prompt)) == "2"


# ---------------------------------------------------------------- texts


def test_texts_are_joined_cut_counted_and_changed():
    join = {"string_a": "a", "string_b": "b", "delimiter": ", "}
    assert call("StringConcatenate", **join) == ("a, b",)
    assert call("StringSubstring", string="abcdef", start=1, end=-1) == ("bcde",)
    assert call("StringLength", string="äö") == (2,)
    assert call("CaseConverter", string="a bC", mode="Title Case") == ("A Bc",)
    assert call("CaseConverter", string="a bC", mode="UPPERCASE") == ("A BC",)
    assert call("StringTrim", string=" a ", mode="Left") == ("a ",)
    assert call("StringReplace", string="a-a", find="a", replace="bb") == ("bb-bb",)
    assert call("StringReplace", string="ab", find="", replace="-") == ("-a-b-",)
    contains = {"string": "Abc", "substring": "aB"}
    assert call("StringContains", **contains, case_sensitive=True) == (False,)
    assert call("StringContains", **contains, case_sensitive=False) == (True,)
    compare = {"string_a": "Abc", "string_b": "C", "mode": "Ends With"}
    assert call("StringCompare", **compare, case_sensitive=False) == (True,)
    assert call("JsonExtractString", json_string='{"a": [1]}', key="a") == ("[1]",)
    for text in ("{", "[1]", '{"b": 1}', "[" * 100_000):
        assert call("JsonExtractString", json_string=text, key="a") == ("",)


SWITCHES = {"case_insensitive": True, "multiline": False, "dotall": False}
EXTRACTS = [
    ("First Match", r"k(\d)", 1, "k1"),
    ("All Matches", r"k(\d)", 1, "1\n2"),
    ("All Matches", r"(k)(\d)", 1, "k\nK"),
    ("First Group", r"(k)(\d)", 2, "1"),
    ("First Group", r"k", 0, "k"),
    ("First Group", r"(k)", 2, ""),
    ("All Groups", r"(k)(\d)", 2, "1\n2"),
    ("All Groups", r"k", 0, ""),
    ("First Match", r"(", 1, ""),
]


@pytest.mark.parametrize(("mode", "pattern", "group", "expected"), EXTRACTS)
def test_texts_are_extracted_in_four_ways(mode, pattern, group, expected):
    inputs = {"string": "k1 K2", "regex_pattern": pattern, "mode": mode, "group_index": group}
    assert call("RegexExtract", **inputs, **SWITCHES) == (expected,)


def test_patterns_are_found_and_replaced_as_pythons_are():
    assert call("RegexMatch", string="Ab", regex_pattern="aB$", **SWITCHES) == (True,)
    assert call("RegexMatch", string="Ab", regex_pattern="[", **SWITCHES) == (False,)
    text, pattern, to = "one two one", r"(o)(n)", r"\2-\1"
    replaced = call("RegexReplace", string=text, regex_pattern=pattern, replace=to)
    assert replaced == (re.sub(pattern, to, text),)
    once = call("RegexReplace", string=text, regex_pattern="one", replace="1", count=1)
    assert once == ("1 two one",)
    with pytest.raises(Refused, match="no pattern"):
        call("RegexReplace", string="a", regex_pattern="(", replace="")


def test_a_format_fills_in_values():
    values = {"values.a": "x", "values.b": 2.5, "values.c": {"k": 1}}
    assert call("StringFormat", f_string="{a}:{b:06.2f} {a!r} {{}}", **values) == (
        "x:002.50 'x' {}",
    )
    assert call("StringFormat", f_string="{c}", **values) == ('{\n    "k": 1\n}',)


SPYING = [
    "{a.__class__}",
    "{a[0]}",
    "{a:>1000000000}",
    "{a:>{b}}",
    "{b:.99999f}",
    "{z}",
    "{",
    "{}",
    "{a:%}",
]


@pytest.mark.parametrize("f_string", SPYING)
def test_a_format_looks_into_no_value_and_stays_small(f_string):
    with pytest.raises(Refused):
        call("StringFormat", f_string=f_string, **{"values.a": "x", "values.b": 10**9})


# ---------------------------------------------------------------- bounds


def test_a_pattern_that_would_take_for_ever_is_given_up(monkeypatch):
    from musicgraph.workflows.twins import text

    monkeypatch.setitem(text.WITH_PATIENCE, "timeout", 0.05)
    endless = {"string": "a" * 40 + "!", "regex_pattern": "(a|aa)+$"}
    with pytest.raises(Refused, match="takes too long"):
        call("RegexMatch", **endless, **SWITCHES)
    with pytest.raises(Refused, match="takes too long"):
        call("RegexExtract", **endless, **SWITCHES, mode="All Groups", group_index=1)
    with pytest.raises(Refused, match="takes too long"):
        call("RegexReplace", **endless, replace="")


GROWING = [
    ("StringConcatenate", {"string_a": "x" * 60, "string_b": "x" * 60, "delimiter": ""}),
    ("StringReplace", {"string": "x" * 60, "find": "x", "replace": "xx"}),
    ("RegexReplace", {"string": "x" * 60, "regex_pattern": "x", "replace": "xx"}),
    ("RegexReplace", {"string": "x" * 60, "regex_pattern": ".*", "replace": r"\g<0>\g<0>"}),
    ("StringFormat", {"f_string": "{a}{a}", "values.a": "x" * 60}),
]


@pytest.mark.parametrize(("kind", "inputs"), GROWING)
def test_no_text_grows_beyond_the_limit(kind, inputs):
    with running(Run(limits=Limits(text=100))), pytest.raises(Refused, match="too long"):
        call(kind, **inputs)


def test_all_texts_of_a_run_count_as_kept():
    ledger = Ledger(Limits())
    ledger.keep("1", Outcome((["x" * 1000],)))
    assert ledger.kept_samples == 1000
    ledger.drop("1")
    assert ledger.kept_samples == 0
