"""What a request may hold, as data: one description checks the bodies and documents them.

Ranges, choices and explanations are those of the nodes, so that the API never allows what the graph refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...models.config import MAX_DURATION_S
from ...models.quoting import one_line, shown
from ...models.refused import Refused
from ...nodes.audio import AudioLoudness
from ...nodes.load import MusicGenModelLoader
from ...nodes.sample import MusicGenSampler
from ...workflows.inputs import InputSpec
from ...workflows.registry import NodeSpec
from .encoding import FORMATS
from .settings import AppSettings

MAX_PROMPT_CHARACTERS = 2000
MAX_NAME_CHARACTERS = 200
REQUIRED = object()
"""the default of a field that has none"""


class BadField(Refused):
    """One field that is wrong: got, expected, and what to do."""

    def __init__(self, field: str, got: str, expected: str, remedy: str):
        self.field = one_line(shown(field)[1:-1]) or '""'
        super().__init__(self.field, got=one_line(got), expected=expected, remedy=remedy)


@dataclass(frozen=True)
class Text:
    default: Any
    description: str
    max_characters: int = MAX_PROMPT_CHARACTERS
    may_be_blank: bool = True

    @property
    def expected(self) -> str:
        return (
            f"text of {'at most' if self.may_be_blank else '1 to'} {self.max_characters} characters"
        )

    def read(self, value: Any) -> Any:
        """The value. Raises ValueError, which says what was got, if it does not fit."""
        if not isinstance(value, str) or not (self.may_be_blank or value.strip()):
            raise ValueError(shown(value))
        if len(value) > self.max_characters:
            raise ValueError(f"{len(value)} characters")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("text with half a surrogate pair")
        return value

    def schema(self) -> dict[str, Any]:
        least = {} if self.may_be_blank else {"minLength": 1, "pattern": r"\S"}
        return {"type": "string", "maxLength": self.max_characters, **least}


@dataclass(frozen=True)
class Number:
    default: Any
    description: str
    low: float
    high: float
    whole: bool = False
    may_be_null: bool = False

    @property
    def expected(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {_plain(self.low)} to {_plain(self.high)}{' or null' if self.may_be_null else ''}"

    def read(self, value: Any) -> Any:
        if value is None and self.may_be_null:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not self.low <= value <= self.high
        ):
            raise ValueError(shown(value))
        if self.whole and int(value) != value:
            raise ValueError(shown(value))
        return int(value) if self.whole else float(value)

    def schema(self) -> dict[str, Any]:
        kind = "integer" if self.whole else "number"
        limits = {"minimum": self.low, "maximum": self.high}
        if (
            self.whole and float(self.high) != self.high
        ):  # OpenAPI's numbers are floats, which would round it up
            limits = {"minimum": self.low, "exclusiveMaximum": self.high + 1}
        return {"type": [kind, "null"] if self.may_be_null else kind, **limits}


@dataclass(frozen=True)
class Choice:
    default: Any
    description: str
    among: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.among)}"

    def read(self, value: Any) -> Any:
        if not isinstance(value, str) or value not in self.among:
            raise ValueError(shown(value))
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.among)}


@dataclass(frozen=True)
class Flag:
    default: Any
    description: str
    expected: str = "true or false"

    def read(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError(shown(value))
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


Field = Text | Number | Choice | Flag
Fields = Mapping[str, Field]


def read_fields(fields: Fields, body: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, with defaults filled in. Raises BadField for the first thing that is wrong."""
    for name in body:
        if name not in fields:
            raise BadField(
                name, "a field that is not known", f"only {', '.join(fields)}", "leave it out"
            )
    return {name: _read(name, field, body) for name, field in fields.items()}


def _read(name: str, field: Field, body: Mapping[str, Any]) -> Any:
    if name not in body:
        if field.default is REQUIRED:
            raise BadField(name, "nothing", field.expected, "send it")
        return field.default
    return read_field(name, field, body[name])


def read_field(name: str, field: Field, value: Any) -> Any:
    """One value as the field has it. Raises BadField."""
    try:
        return field.read(value)
    except ValueError as error:
        raise BadField(name, str(error), field.expected, f"send {field.expected}") from None


def body_schema(fields: Fields) -> dict[str, Any]:
    """The fields as JSON Schema, for OpenAPI 3.1."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, field in fields.items() if field.default is REQUIRED],
        "properties": {name: _property(field) for name, field in fields.items()},
    }


def _property(field: Field) -> dict[str, Any]:
    has_default = field.default is not REQUIRED and (
        field.default is not None or getattr(field, "may_be_null", False)
    )
    default = {"default": field.default} if has_default else {}
    return {**field.schema(), "description": field.description, **default}


def _plain(number: float) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)


# ---------------------------------------------------------------- the two routes that make music


def compatible_fields(settings: AppSettings) -> dict[str, Field]:
    """Of POST /v1/meta-musicgen-medium, as clients of that hosted API send them."""
    longest = min(30.0, settings.max_duration_s)
    return {
        "prompt": _prompt(),
        "duration": Number(min(10.0, longest), "Length in seconds.", 1.0, longest),
        "seed": Number(
            42, "The same seed gives the same music; -1 draws one.", -1, 9999, whole=True
        ),
    }


def all_fields(settings: AppSettings) -> dict[str, Field]:
    """Of POST /v1/generate."""
    sampler, loader = _inputs(MusicGenSampler), _inputs(MusicGenModelLoader)
    loudness = _inputs(AudioLoudness)["target"]
    longest = min(sampler["duration"].options["max"], settings.max_duration_s)
    return {
        "prompt": _prompt(),
        "negative": Text("", "What the music should not be. Works through guidance, so cfg must not be 1."),
        "model": Text("", "One of GET /v1/models; left out or empty: the default one.", MAX_NAME_CHARACTERS),
        "duration": _number(sampler["duration"], high=longest, default=min(10.0, longest)),
        "seed": _number(sampler["seed"], low=-1, default=-1, more=" -1 draws one, and the x-seed header says which."),
        "cfg": _number(sampler["cfg"]),
        "temperature": _number(sampler["temperature"]),
        "top_k": _number(sampler["top_k"]),
        "top_p": _number(sampler["top_p"]),
        "variations": _number(sampler["variations"], more=" Several come as a ZIP file."),
        "precision": _choice(loader["precision"]),
        "device": _choice(loader["device"]),
        "loudness_lufs": Number(
            None, f"Bring it to this loudness. {loudness.options['tooltip']} null: as decoded.",
            loudness.options["min"], loudness.options["max"], may_be_null=True,
        ),
        "format": Choice(None, "The kind of file. Left out: what the Accept header asks for, else wav.", tuple(FORMATS)),
        "stream": Flag(False, "Send the sound while it is being made. One variation, loudness as decoded."),
    }  # fmt: skip


def _inputs(node_class: type) -> Mapping[str, InputSpec]:
    return NodeSpec.of(node_class.__name__, node_class).inputs


def _prompt() -> Text:
    return Text(REQUIRED, "What the music should be.", may_be_blank=False)


def _number(spec: InputSpec, *, more: str = "", **changes: float) -> Number:
    options = spec.options
    own = {"default": spec.default, "low": options["min"], "high": options["max"]} | changes
    description, whole = options["tooltip"] + more, spec.type == "INT"
    return Number(own["default"], description, own["low"], own["high"], whole=whole)


def _choice(spec: InputSpec) -> Choice:
    return Choice(spec.default, spec.options["tooltip"], tuple(spec.choices or ()))


# ---------------------------------------------------------------- the page


def read_page_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The page's numbers, under the words that stand there. Raises BadField, and rounds nothing.

    The length of the music is looked at again with this server's own limit.
    """
    api = all_fields(AppSettings(max_duration_s=MAX_DURATION_S))
    known = {
        **api,
        "guidance": api["cfg"],
        "loudness": replace(api["loudness_lufs"], may_be_null=False),
    }
    for name, value in values.items():
        if value is None:
            raise BadField(name, "nothing", known[name].expected, "type one")
    return {name: read_field(name, known[name], value) for name, value in values.items()}
