"""One declared input of a node: what a value must be, and what a door needs to know to ask for it.

`InputSpec` is made from one entry of a class's INPUT_TYPES, or directly for a field that no node
declares. The command line, the HTTP body, the page's forms and the checks before a run are all
projections of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..models.quoting import has_surrogates, one_line, shown
from ..models.refused import Refused

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
SEED_NAMES = frozenset({"seed", "noise_seed"})
MAX_CHOICES_SHOWN = 20
MAX_SLIDER_STEPS = 1000
EXACT = 2**53
"""beyond it a browser's numbers are not exact: such values are edited as text"""

_ZERO = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
_WANTED = {
    "INT": "a whole number",
    "FLOAT": "a finite number",
    "STRING": "text",
    "BOOLEAN": "true or false",
}
_JSON_TYPES = {"INT": "integer", "FLOAT": "number", "STRING": "string", "BOOLEAN": "boolean"}
_PYTHON_TYPES = {"INT": int, "FLOAT": float, "BOOLEAN": bool}
_TRUTH = {"true": True, "false": False}


class BadInput(Refused):
    """A value that does not fit its input.

    `type` is ComfyUI's name of the error, such as `value_not_in_list`.
    """

    def __init__(
        self, type: str, message: str, what: str, *, got: str, expected: str, remedy: str = ""
    ):
        self.type, self.message = type, message
        super().__init__(one_line(what), got=one_line(got), expected=expected, remedy=remedy)

    @property
    def details(self) -> str:
        """What was got, expected and is to be done, without the name of the input."""
        text = f"got {self.got}, expected {self.expected}"
        return f"{text}; {self.remedy}" if self.remedy else text


@dataclass(frozen=True)
class OptionFacts:
    """What a command-line option for an input says of itself."""

    flag: str
    python_type: type
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class WidgetFacts:
    """What a form shows for an input.

    `kind`: line, text, whole, number, slider, check, choice or audio.
    """

    kind: str
    label: str
    info: str
    value: Any
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()
    lines: int = 1


@dataclass(frozen=True)
class InputSpec:
    """One declared input."""

    name: str
    type: Any
    """a type name, "A,B" for either, or a list of choices"""
    required: bool = True
    default: Any = None
    """what a fresh node has in this widget"""
    has_default: bool = False
    """whether a value that is not given has the default"""
    choices: tuple[Any, ...] | None = None
    """the allowed values of a combo, else None"""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    multiline: bool = False
    tooltip: str = ""
    force_input: bool = False
    """a socket, though the type has a widget"""
    lazy: bool = False
    upload: str = ""
    """audio or image, where the page puts a button that uploads a file"""
    has_seed_control: bool = False
    """whether the page puts a control_after_generate widget behind it"""
    max_characters: int | None = None
    """of a text; no node declares it, a door may"""
    may_be_blank: bool = True
    may_be_null: bool = False
    by_choice: Mapping[Any, Any] | None = None
    """of a widget that comes with a choice, as `format.quality` with some of `format`: its default
    for each of those
    """

    @classmethod
    def of(cls, name: str, entry: Any, required: bool) -> InputSpec:
        """From an entry of INPUT_TYPES: `(type,)` or `(type, options)`."""
        declared, options = entry[0], entry[1] if len(entry) > 1 else {}
        choices = _choices(declared, options)
        has_default = "default" in options
        seed_control = options.get("control_after_generate") or (
            declared == "INT" and name in SEED_NAMES
        )
        return cls(
            name=name,
            type=declared,
            required=required,
            default=options["default"] if has_default else _fresh(declared, choices),
            has_default=has_default,
            choices=choices,
            minimum=_number(options.get("min")),
            maximum=_number(options.get("max")),
            step=_number(options.get("step")),
            multiline=bool(options.get("multiline")),
            tooltip=str(options.get("tooltip") or ""),
            force_input=bool(options.get("forceInput")),
            lazy=bool(options.get("lazy")),
            upload=next((one for one in ("audio", "image") if options.get(f"{one}_upload")), ""),
            has_seed_control=bool(seed_control),
            by_choice=options.get("by_choice"),
        )

    def comes_with(self, values: Mapping[str, Any]) -> bool:
        """Whether the page draws it beside these values of the widgets before it."""
        return self.by_choice is None or values.get(self._chosen_by) in tuple(self.by_choice)

    def default_with(self, values: Mapping[str, Any]) -> Any:
        """What a fresh node has in it beside these values."""
        chosen = values.get(self._chosen_by)  # a stranger's may be a list, which no mapping finds
        found = (one for choice, one in (self.by_choice or {}).items() if choice == chosen)
        return next(found, self.default)

    @property
    def _chosen_by(self) -> str:
        return self.name.rpartition(".")[0]

    def narrowed(self, **changes: Any) -> InputSpec:
        """For a door that allows less than the node, or says it in other words.

        A number's default that no longer fits becomes the nearest that does.
        """
        spec = replace(self, **changes)
        if not _is_number(spec.default):
            return spec
        most = spec.default if spec.maximum is None else min(spec.default, spec.maximum)
        return replace(spec, default=most if spec.minimum is None else max(most, spec.minimum))

    @property
    def is_widget(self) -> bool:
        """Whether ComfyUI's page draws a widget for it, with a place in `widgets_values`."""
        return not self.force_input and (
            self.choices is not None or (isinstance(self.type, str) and self.type in WIDGET_TYPES)
        )

    @property
    def type_name(self) -> str:
        return "COMBO" if self.choices is not None else str(self.type)

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        text = self._expected()
        return f"{text} or null" if self.may_be_null else text

    def _expected(self) -> str:
        if self.choices is not None:
            return _one_of(self.choices)
        if self.type_name == "STRING":
            least = "at most" if self.may_be_blank else "1 to"
            most = self.max_characters
            blank = "text" if self.may_be_blank else "text that is not blank"
            return blank if most is None else f"text of {least} {most} characters"
        if self.type_name not in ("INT", "FLOAT"):
            return _WANTED.get(self.type_name, f"a link to {self.type_name}")
        kind = "a whole number" if self.type_name == "INT" else "a number"
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{kind} from {_plain(low)} to {_plain(high)}"
        if low is not None:
            return f"{kind}, {_plain(low)} or more"
        return kind if high is None else f"{kind}, {_plain(high)} or less"

    # ------------------------------------------------------------ reading a value

    def read(self, value: Any) -> Any:
        """A value as ComfyUI takes it before a run: converted, then checked. Raises BadInput."""
        value = self.convert(value)
        self.check(value)
        return value

    def convert(self, value: Any) -> Any:
        """The value as the declared type: "3" is 3 for an INT, as in ComfyUI. Raises BadInput."""
        try:
            value = _converted(value, self.type)
        except (ValueError, TypeError, OverflowError, KeyError):
            wanted = self.type_name
            wanted = wanted if self.choices is not None else f"a link to {wanted}"
            raise self._wrong_type(shown(value), _WANTED.get(self.type_name, wanted)) from None
        self._check_letters(value)
        return value

    def check(self, value: Any) -> None:
        """Range, choices and length of a value of the right type. Raises BadInput."""
        low, high = self.minimum, self.maximum
        if _is_number(value) and low is not None and value < low:
            raise self._bad(
                "value_smaller_than_min",
                "the value is too small",
                shown(value),
                f"{shown(low)} or more",
            )
        if _is_number(value) and high is not None and value > high:
            raise self._bad(
                "value_bigger_than_max",
                "the value is too big",
                shown(value),
                f"{shown(high)} or less",
            )
        if self.choices is not None and value not in self.choices:
            message = "the value is not one of the choices"
            raise self._bad("value_not_in_list", message, shown(value), _one_of(self.choices))
        if isinstance(value, str):
            self._check_length(value)

    def read_exactly(self, value: Any) -> Any:
        """A value of JSON or of a form, that must be right as it is: nothing is rounded, "3" and
        true are no numbers.

        Only 3.0 is 3 for an INT, and 3 is 3.0 for a FLOAT. Raises BadInput, which says all that is
        allowed.
        """
        if value is None and self.may_be_null:
            return None
        if not self._is_exact(value):
            raise self._wrong_type(shown(value), self.expected, f"send {self.expected}")
        try:
            return self.read(value)
        except BadInput as error:
            remedy = error.remedy or f"send {self.expected}"
            raise self._bad(error.type, error.message, error.got, self.expected, remedy) from None

    def _is_exact(self, value: Any) -> bool:
        if self.type_name == "INT":
            is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return is_whole and not isinstance(value, bool)
        if self.type_name == "FLOAT":
            return _is_number(value)
        kind = {"STRING": str, "BOOLEAN": bool}.get(self.type_name, object)
        return isinstance(value, kind)

    def parse(self, text: str) -> Any:
        """What a command line's text means: text stays text, and a choice a choice; the rest is
        JSON where it can be.

        The range is not looked at. Raises BadInput for a list or an object.
        """
        if self.type == "STRING" or text in (self.choices or ()):
            return text
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(parsed, (list, dict)):
            raise self._wrong_type(shown(parsed), f"a single value of {self.type_name}")
        return parsed

    def missing(self, remedy: str = "") -> BadInput:
        """What to raise where nothing was given and something must be."""
        expected = self._expected() if self.is_widget else f"a link to {self.type_name}"
        message = "nothing was given"
        return self._bad("required_input_missing", message, "nothing", expected, remedy)

    def _check_letters(self, value: Any) -> None:
        if isinstance(value, str) and has_surrogates(value):
            message = "a text that is not Unicode"
            raise self._bad(
                "invalid_input_type", message, shown(value), "whole letters", "type it anew"
            )

    def _check_length(self, text: str) -> None:
        most = self.max_characters
        if most is not None and len(text) > most:
            got = f"{len(text)} characters"
            raise self._bad("value_bigger_than_max", "the text is too long", got, self.expected)
        if not self.may_be_blank and not text.strip():
            got = shown(text)
            raise self._bad("value_smaller_than_min", "the text is blank", got, self.expected)

    def _wrong_type(self, got: str, expected: str, remedy: str = "") -> BadInput:
        message = "the value has the wrong type"
        return self._bad("invalid_input_type", message, got, expected, remedy)

    def _bad(self, type: str, message: str, got: str, expected: str, remedy: str = "") -> BadInput:
        return BadInput(type, message, self.name, got=got, expected=expected, remedy=remedy)

    # ------------------------------------------------------------ asking for a value

    def schema(self) -> dict[str, Any]:
        """JSON Schema, as OpenAPI 3.1 takes it. Empty for an input that only a link can fill."""
        facts = {**self._schema_of_type(), "description": self.tooltip}
        if not self.tooltip:
            del facts["description"]
        return {**facts, "default": self.default} if self.has_default else facts

    def _schema_of_type(self) -> dict[str, Any]:
        if self.choices is not None:
            among = [*self.choices, *([None] if self.may_be_null else [])]
            are_texts = bool(among) and all(isinstance(one, str) for one in among)
            return {**({"type": "string"} if are_texts else {}), "enum": among}
        kind = _JSON_TYPES.get(self.type_name)
        if kind is None:
            return {}
        limits = self._text_limits() if kind == "string" else self._number_limits()
        return {"type": [kind, "null"] if self.may_be_null else kind, **limits}

    def _text_limits(self) -> dict[str, Any]:
        most = {} if self.max_characters is None else {"maxLength": self.max_characters}
        return most if self.may_be_blank else {**most, "minLength": 1, "pattern": r"\S"}

    def _number_limits(self) -> dict[str, Any]:
        limits: dict[str, Any] = {}
        if self.minimum is not None:
            limits["minimum"] = self.minimum
        if self.maximum is not None and float(self.maximum) == self.maximum:
            limits["maximum"] = self.maximum
        elif self.maximum is not None:  # OpenAPI's numbers are floats, which would round it up
            limits["exclusiveMaximum"] = self.maximum + 1
        return limits

    def option(self) -> OptionFacts:
        """For the command line: `--top-k` of an int from 1 to 65536 …"""
        return OptionFacts(
            flag="--" + self.name.replace("_", "-"),
            python_type=_PYTHON_TYPES.get(self.type_name, str),
            default=self.default,
            help=self.tooltip,
            minimum=self.minimum,
            maximum=self.maximum,
            choices=self.choices or (),
        )

    def widget(self, value: Any) -> WidgetFacts:
        """For a form in which the input has this value."""
        kind = self._widget_kind(value)
        return WidgetFacts(
            kind=kind,
            label=self.name.replace("_", " "),
            info=self.tooltip,
            value=value,
            minimum=self.minimum,
            maximum=self.maximum,
            step=self.step,
            choices=self.choices or (),
            lines=3 if kind == "text" else 1,
        )

    def _widget_kind(self, value: Any) -> str:
        if self.upload == "audio":
            return "audio"
        if self.choices is not None:
            return "choice"
        if self.type == "BOOLEAN":
            return "check"
        if self.type == "STRING":
            return "text" if self.multiline else "line"
        if not isinstance(value, (int, float)) or abs(value) > EXACT:
            return "line"
        if self._is_on_slider(value):
            return "slider"
        return "whole" if self.type == "INT" else "number"

    def _is_on_slider(self, value: float) -> bool:
        low, high = self.minimum, self.maximum
        step = self.step or (1 if self.type == "INT" else 0.01)
        if low is None or high is None or not low <= value <= high:
            return False
        return (high - low) / step <= MAX_SLIDER_STEPS


def _choices(declared: Any, options: Mapping[str, Any]) -> tuple[Any, ...] | None:
    if isinstance(declared, (list, tuple)):
        return tuple(declared)
    return tuple(options.get("options", ())) if declared == "COMBO" else None


def _fresh(declared: Any, choices: tuple[Any, ...] | None) -> Any:
    if choices is not None:
        return choices[0] if choices else None
    return _ZERO.get(declared) if isinstance(declared, str) else None


def _converted(value: Any, type: Any) -> Any:
    if not isinstance(type, str):  # a list of choices
        return value
    if type in _WANTED and (value is None or isinstance(value, (dict, tuple, list))):
        raise TypeError
    if type == "INT":
        return int(value)
    if type == "FLOAT":
        return _finite(float(value))
    if type == "STRING":
        return str(value)
    if type == "BOOLEAN":
        return _TRUTH[value.lower()] if isinstance(value, str) else bool(value)
    if not {"*", *WIDGET_TYPES} & {name.strip() for name in type.split(",")}:
        raise TypeError  # a socket without a widget
    return value


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _number(value: Any) -> Any:
    return value if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(number: float) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)


def _one_of(choices: tuple[Any, ...]) -> str:
    if len(choices) > MAX_CHOICES_SHOWN:
        return f"one of {len(choices)} choices such as {shown(choices[0])}"
    named = ", ".join(map(shown, choices))
    return f"one of {named}" if named else "a choice, but there are none to choose from"
