"""What somebody wants to hear, as plain data: the one declaration behind every front door.

Each field is an input of a node of the default graph (`INPUTS`), and what the node declares of it
(range, choices, default, words) is what command line, HTTP API, page and assistants are told.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..models.refused import Refused
from .inputs import InputSpec
from .registry import NodeSpecs

LOADER, TEXT, SAMPLER = "MusicGenModelLoader", "MusicGenTextEncode", "MusicGenSampler"
LORA = "MusicGenLoraLoader"
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
    "loudness_lufs": ("AudioLoudness", "target"),
}
"""field of a Request → the node class and the input that it sets"""
MAX_PROMPT_CHARACTERS = 2000
PROMPT_WORDS = "What the music should be: style, instruments, mood, tempo."
NEGATIVE_WORDS = "What the music should not be. Works through guidance, so cfg must not be 1."


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
    loudness_lufs: float | None = None
    """None: as decoded"""
    melody: str = ""
    """the name of a sound file in the input folder, to follow; empty: none"""
    style: str = ""
    """the same, to sound like"""
    style_guidance: float | None = None
    """how much the text counts beside the style; None: as usual"""
    loras: tuple[Lora, ...] = ()
    """on the model; asked for at a terminal only, since folders are a person's own"""
    save_as: str = "SaveAudio"
    """the class of the last node: `Format.save_as` of `media/formats.py`"""


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
    loudness = found["loudness_lufs"]
    found["loudness_lufs"] = replace(
        loudness,
        default=None,
        may_be_null=True,
        tooltip=f"Bring it to this loudness. {loudness.tooltip} Left out: as decoded.",
    )
    del found["model"]
    return found


def seed_for(seed: int) -> int:
    """−1: one drawn now. Raises Refused for any other seed that no sampler takes."""
    if seed == -1:
        return secrets.randbelow(2**32)
    if not 0 <= seed < 2**64:
        raise Refused("seed", got=seed, expected=f"0 to {2**64 - 1}, or -1 to draw one")
    return seed
