"""Text → conditioning."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import wires

if TYPE_CHECKING:
    from ..models.conditioning import Conditioning

log = logging.getLogger("musicgraph")


class MusicGenTextEncode:
    DESCRIPTION = (
        "Encodes a description of music. Every line that is not empty becomes an item of its own, "
        "so several lines make "
        "a batch that is generated side by side. With no text at all the music is unconditional."
    )
    TITLE = "MusicGen Text Encode"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["prompt", "music prompt", "musicgen conditioning"]
    RETURN_TYPES = (wires.CONDITIONING,)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("What MusicGen Sampler listens to: its positive or its negative input.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "text_encoder": (wires.TEXT_ENCODER, {"tooltip": "From Load MusicGen."}),
                "text": (
                    "STRING",
                    {
                        "multiline": True,
                        "dynamicPrompts": True,
                        "default": "lo-fi music with a soothing melody",
                        "tooltip": "Style, instruments, mood, tempo; English works best. One "
                        "prompt a line.",
                    },
                ),
            }
        }

    def encode(self, text_encoder: wires.TextEncoderPart, text: str) -> tuple[Conditioning]:
        prompts = [line.strip() for line in text.splitlines() if line.strip()]
        if not prompts:
            log.warning("empty prompt: the music will be unconditional")
        return (text_encoder.encoder.ready().encode(prompts or [""]),)


NODES = (MusicGenTextEncode,)
