"""What somebody wants to hear, as plain data: the one declaration behind every front door.

Each field is an input of a node of the default graph (`INPUTS`), and what the node declares of it
(range, choices, default, words) is what command line, HTTP API, page and assistants are told.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.bars import Bars
from ..models.quoting import shown
from ..models.refused import Refused
from .inputs import BadInput, InputSpec
from .registry import NodeSpecs

LOADER, TEXT, SAMPLER = "MusicGenModelLoader", "MusicGenTextEncode", "MusicGenSampler"
LORA = "MusicGenLoraLoader"
STYLE = "MusicGenStyle"
FADE = "AudioFade"
COMBINE, SCHEDULE = "MusicGenConditioningCombine", "MusicGenSchedule"
INPUTS = {
    "prompt": (TEXT, "text"),
    "negative": (TEXT, "text"),
    "model": (LOADER, "model"),
    "precision": (LOADER, "precision"),
    "device": (LOADER, "device"),
    "duration_s": (SAMPLER, "duration"),
    "seed": (SAMPLER, "seed"),
    "cfg": (SAMPLER, "cfg"),
    "temperature": (SAMPLER, "temperature"),
    "top_k": (SAMPLER, "top_k"),
    "top_p": (SAMPLER, "top_p"),
    "variations": (SAMPLER, "variations"),
    "automation": (SAMPLER, "automation"),
    "overlap_s": (SAMPLER, "overlap"),
    "guidance_until_s": (SAMPLER, "guidance_until"),
    "schedule": (TEXT, "text"),
    "blend_s": (SCHEDULE, "blend"),
    "loudness_lufs": ("AudioLoudness", "target"),
    "style_guidance": (STYLE, "style_guidance"),
    "fade_s": (FADE, "fade_out"),
    "ending": (FADE, "ending"),
}
"""field of a Request → the node class and the input that it sets"""
MAX_PROMPT_CHARACTERS = 2000
MAX_LORAS, MAX_LORA_CHARACTERS = 8, 200
LORA_WORDS = (
    "LoRAs on the model, by their names; NAME:STRENGTH is weaker or stronger than as it was "
    "trained, which is 1."
)
PROMPT_WORDS = (
    "What the music should be: style, instruments, mood, tempo. Or a mix: pads 0.7 + drums 0.3."
)
NEGATIVE_WORDS = (
    "What the music should not be. Works through guidance, so cfg must not be 1. Or a mix."
)
SCHEDULE_WORDS = (
    "What follows later, each from a second on: 20: drum and bass; 40: piano. Without a prompt it "
    "begins at 0."
)
FADE_WORDS = "Seconds in which it falls silent at its end."
BLEND_WORDS = "Seconds in which each change of the schedule takes over; 0: at once."


@dataclass(frozen=True)
class Lora:
    """An adapter on the model."""

    adapter: str
    """its folder, or its name in `loras/`"""
    strength: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Lora:
        """`FOLDER[:STRENGTH]`. What stands behind the last colon counts only if it is a number: a
        path may have colons too.
        """
        adapter, colon, strength = text.rpartition(":")
        try:
            return cls(adapter, float(strength)) if colon and adapter else cls(text)
        except ValueError:
            return cls(text)

    def __str__(self) -> str:
        """What is parsed to the same."""
        plain = self.strength == 1.0 and Lora.parse(self.adapter) == self
        return self.adapter if plain else f"{self.adapter}:{self.strength}"


@dataclass(frozen=True)
class LorasInput(InputSpec):
    """A list of texts, each the name of a LoRA or NAME:STRENGTH; read as a tuple of `Lora`.

    Which names there are is for the door to say, and which fit the model for the node.
    """

    strength: InputSpec = field(kw_only=True)
    """what the node declares of it"""

    @property
    def expected(self) -> str:
        least, most = self.strength.minimum, self.strength.maximum
        among = f"a list of at most {MAX_LORAS} texts, NAME or NAME:STRENGTH"
        return f"{among} from {least:g} to {most:g}"

    def read_exactly(self, value: Any) -> tuple[Lora, ...]:
        if not isinstance(value, (list, tuple)) or len(value) > MAX_LORAS:
            raise self._refused(value)
        return tuple(map(self._read_one, value))

    def _read_one(self, value: Any) -> Lora:
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_LORA_CHARACTERS:
            raise self._refused(value)
        lora = Lora.parse(value.strip())
        try:
            self.strength.read_exactly(lora.strength)
        except BadInput:
            raise self._refused(value) from None
        return lora

    def _refused(self, value: Any) -> BadInput:
        return BadInput(
            "invalid_input_type", "the value is no such list", self.name,
            got=shown(value), expected=self.expected, remedy='send names, such as ["tango:0.7"]',
        )  # fmt: skip

    def _schema_of_type(self) -> dict[str, Any]:
        one = {"type": "string", "minLength": 1, "maxLength": MAX_LORA_CHARACTERS}
        return {"type": "array", "maxItems": MAX_LORAS, "items": one}


@dataclass(frozen=True)
class Request:
    """What somebody wants to hear. Ranges are checked by the nodes."""

    prompt: str
    negative: str = ""
    model: str = "pocket"
    precision: str = "auto"
    device: str = "auto"
    duration_s: float = 10.0
    seed: int = 0
    cfg: float = 3.0
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    variations: int = 1
    automation: str = ""
    """guidance, temperature and top-k over time; empty: they stay"""
    overlap_s: float = 0.0
    """of the last window that the next one hears; 0: as usual"""
    guidance_until_s: float = 600.0
    """from where on cfg is 1; 600, which no piece is longer than: to the end"""
    schedule: str = ""
    """what is followed later, as `prompts.changes_of` reads it"""
    blend_s: float = 2.0
    """in which each change takes over"""
    loudness_lufs: float | None = None
    """None: as decoded"""
    fade_in_s: float = 0.0
    """in which it comes out of silence"""
    fade_s: float = 0.0
    """in which it falls silent at its end"""
    ending: str = "cut"
    """where it ends: at its length, or at a bar line before that"""
    melody: str = ""
    """the name of a sound file in the input folder, to follow; empty: none"""
    style: str = ""
    """the same, to sound like"""
    style_guidance: float | None = None
    """how much the text counts beside the style; None: as usual"""
    loras: tuple[Lora, ...] = ()
    """on the model; other folders than those in `loras/` only at a terminal, where a person names
    their own
    """
    recording: str = ""
    """the same, to be continued or, with `repaint`, made anew in part"""
    continue_from_s: float = 0.0
    """of the recording: where the new music begins"""
    repaint: tuple[float, float] | None = None
    """the seconds of the recording between which it is made anew"""
    loop: Bars | None = None
    """the music is a loop, so long"""
    loop_from_s: float = 0.0
    """of the recording, if it is of one: where the loop begins"""
    kept: tuple[float, float] | None = None
    """the seconds of the recording that are all there is: nothing new is made"""
    candidates: int = 4
    """that are drawn of a region, or of a loop's end"""
    excerpt_s: tuple[float, float] | None = None
    """the seconds between which the music is kept; None: all of it"""
    save_as: str = "flac"
    """the format of the last node: `Format.save_as` of `media/formats.py`"""

    def check_fades(self) -> None:
        """Raises Refused for fades that are longer than music whose length is known, as the node
        would when all of it has been made.
        """
        is_known = self.kept is None and self.loop is None
        if is_known and self.fade_in_s + self.fade_s > self.duration_s:
            got = f"{self.fade_in_s:g} s in and {self.fade_s:g} s out of {self.duration_s:g} s"
            expected, remedy = "both within the sound", "fade for less time"
            raise Refused("fade", got=got, expected=expected, remedy=remedy)


@functools.cache
def request_inputs() -> Mapping[str, InputSpec]:
    """Each field of a Request as its node declares it, in the order of INPUTS, for any door to
    narrow.

    Texts are bounded here, since nodes take longer ones. Models are left out: who may have which is
    not the node's to say.
    """
    from ..nodes import NODE_CLASS_MAPPINGS

    specs = NodeSpecs(NODE_CLASS_MAPPINGS)
    found = {
        name: replace(specs[kind].inputs[input], name=name, required=False)
        for name, (kind, input) in INPUTS.items()
    }
    text = replace(found["prompt"], max_characters=MAX_PROMPT_CHARACTERS)
    found["prompt"] = replace(
        text, required=True, has_default=False, may_be_blank=False, tooltip=PROMPT_WORDS
    )
    found["negative"] = replace(text, name="negative", default="", tooltip=NEGATIVE_WORDS)
    found["schedule"] = replace(text, name="schedule", default="", tooltip=SCHEDULE_WORDS)
    moves = found["automation"]
    found["automation"] = replace(moves, max_characters=MAX_PROMPT_CHARACTERS)
    found["blend_s"] = replace(found["blend_s"], tooltip=BLEND_WORDS)
    loudness = found["loudness_lufs"]
    found["loudness_lufs"] = replace(
        loudness,
        default=None,
        may_be_null=True,
        tooltip=f"Bring it to this loudness. {loudness.tooltip} Left out: as decoded.",
    )
    found["fade_s"] = replace(found["fade_s"], default=0.0, tooltip=FADE_WORDS)
    guidance = found["style_guidance"]
    found["style_guidance"] = replace(
        guidance,
        default=None,
        may_be_null=True,
        tooltip=f"Of a style model. {guidance.tooltip} Left out: {guidance.default:g}.",
    )
    del found["model"]
    found["loras"] = LorasInput(
        "loras", "LORAS", required=False, default=(), has_default=True, tooltip=LORA_WORDS,
        strength=specs[LORA].inputs["strength"],
    )  # fmt: skip
    return found


def seed_for(seed: int) -> int:
    """−1: one drawn now. Raises Refused for any other seed that no sampler takes."""
    if seed == -1:
        return secrets.randbelow(2**32)
    if not 0 <= seed < 2**64:
        raise Refused("seed", got=seed, expected=f"0 to {2**64 - 1}, or -1 to draw one")
    return seed
