"""What can be said to music while it plays, and the words that it follows then."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...models.config import MAX_PARTS
from ...models.quoting import shown
from ...models.refused import Refused
from ...workflows.inputs import BadInput, InputSpec
from ...workflows.prompts import Parts, parts_of
from ...workflows.request import MAX_PROMPT_CHARACTERS, request_inputs
from .fields import check_known, choice

IN, OUT, FREE = DRUMS = "in", "out", "free"
ENDINGS = {IN: ", drums", OUT: ", no drums", FREE: ""}
LOW, HIGH = "low", "high"
ENERGIES = {LOW: ", soft, low energy", FREE: "", HIGH: ", loud, high energy"}
MAX_END_S = 60.0
"""from when the end is told, until it is there"""
SETTINGS = ("cfg", "temperature", "top_k", "seed")


@dataclass(frozen=True)
class Said:
    """What is to be otherwise from now on; None: stays as it is."""

    text: str | None = None
    """a prompt or a mix, as `prompts.parts_of` reads it"""
    weights: tuple[float, ...] | None = None
    """of the parts of the mix that is heard, or of the one that is said with them"""
    drums: str | None = None
    """one of DRUMS"""
    energy: str | None = None
    """one of ENERGIES"""
    cfg: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    seed: int | None = None
    """of the noise from here on: a new idea"""

    @property
    def settings(self) -> dict[str, Any]:
        """Those of Sampling that are said."""
        told = {name: getattr(self, name) for name in SETTINGS}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Words:
    """A prompt as it is put together."""

    parts: Parts
    drums: str = FREE
    energy: str = FREE

    def changed(self, said: Said) -> Words:
        """Raises Refused for what is no text of a schedule, and for weights that do not fit."""
        parts = self.parts if said.text is None else parts_of(checked_text(said.text))
        if said.weights is not None:
            parts = _weighed(parts, said.weights)
        drums, energy = said.drums or self.drums, said.energy or self.energy
        return replace(self, parts=parts, drums=drums, energy=energy)

    @property
    def prompt(self) -> str:
        """What `prompts.parts_of` reads as these parts."""
        ending = ENDINGS[self.drums] + ENERGIES[self.energy]
        texts = [(text + ending).removeprefix(", ") for text, _ in self.parts]
        if len(texts) == 1:
            return texts[0]
        weights = (weight for _, weight in self.parts)
        return " + ".join(f"{text} {by:.4f}" for text, by in zip(texts, weights, strict=True))


def checked_text(text: str) -> str:
    """Raises Refused for a semicolon, which separates what a schedule says."""
    if ";" in text:
        expected = "a text without semicolons, which part a schedule"
        raise Refused("text", got=shown(text), expected=expected, remedy="write a comma")
    return text


def _weighed(parts: Parts, weights: tuple[float, ...]) -> Parts:
    if len(parts) == 1 or len(parts) != len(weights):
        raise Refused(
            "weights",
            got=f"{len(weights)} for {len(parts)} text{'s' * (len(parts) > 1)}",
            expected="one for each part of a mix",
            remedy="say a mix first, such as pads 0.7 + drums 0.3",
        )
    return tuple((text, by) for (text, _), by in zip(parts, weights, strict=True))


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class WeightsInput(InputSpec):
    """A list of numbers, read as a tuple."""

    @property
    def expected(self) -> str:
        return f"a list of at most {MAX_PARTS} numbers from 0 to 100, not all 0"

    def read_exactly(self, value: Any) -> tuple[float, ...]:
        one = InputSpec(self.name, "FLOAT", minimum=0.0, maximum=100.0)
        try:
            read = tuple(map(one.read_exactly, value)) if isinstance(value, list) else ()
        except BadInput:
            read = ()
        if not 0 < len(read) <= MAX_PARTS or not any(round(by, 4) for by in read):
            raise BadInput(
                "invalid_input_type", "the value is no such list", self.name,
                got=shown(value), expected=self.expected, remedy="send numbers, such as [0.7, 0.3]",
            )  # fmt: skip
        return read

    def _schema_of_type(self) -> dict[str, Any]:
        one = {"type": "number", "minimum": 0, "maximum": 100}
        return {"type": "array", "minItems": 1, "maxItems": MAX_PARTS, "items": one}


@functools.cache
def said_fields() -> Mapping[str, InputSpec]:
    """Of a `Said`, for any door."""
    inputs = request_inputs()
    same = {"default": None, "has_default": False, "required": False}
    found = {
        "text": InputSpec(
            "text", "STRING", required=False, max_characters=MAX_PROMPT_CHARACTERS,
            tooltip="What the music is to be from now on, or a mix: pads 0.7 + drums 0.3.",
        ),
        "weights": WeightsInput(
            "weights", "WEIGHTS", required=False,
            tooltip="Other weights for the parts of the mix: [0.2, 0.8].",
        ),
        "drums": choice("drums", DRUMS, "in and out say so behind each text; free says nothing."),
        "energy": choice(
            "energy", tuple(ENERGIES), "low and high say so behind each text; free says nothing."
        ),
        **{name: replace(inputs[name], **same) for name in SETTINGS},
    }  # fmt: skip
    words = "A new idea: other noise from now on. -1 draws the seed, and says which."
    found["seed"] = replace(found["seed"], minimum=-1, tooltip=words)
    return found


def read_said(given: Mapping[str, Any]) -> Said:
    """From what a door was sent. Raises BadInput for the first thing that is wrong."""
    specs = said_fields()
    check_known(specs, given)
    if not given:
        raise Refused("what is said", got="nothing", expected=f"some of {', '.join(specs)}")
    read = {name: specs[name].read_exactly(value) for name, value in given.items()}
    if read.get("seed") == -1:
        read["seed"] = secrets.randbelow(2**32)
    return Said(**read)
