"""Conditionings put together: several at once, and one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.config import MAX_DURATION_S
from . import wires

if TYPE_CHECKING:
    from ..models.compose.timeline import Timeline
    from ..models.mix import AnyMix, Mix

PLACES = range(1, 9)


class MusicGenConditioningCombine:
    DESCRIPTION = (
        "Mixes two to eight conditionings: the music follows all of them at once, each by its "
        "weight. Only the weights' ratios count: 0.7 and 0.3 are the same as 7 and 3."
    )
    TITLE = "MusicGen Combine"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["mix prompts", "blend prompts", "prompt weight", "conditioning average"]
    RETURN_TYPES = (wires.CONDITIONING,)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = (
        "The mix; goes to MusicGen Sampler's positive or negative, or to MusicGen Schedule.",
    )
    FUNCTION = "combine"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        required = {**_place(1), **_place(2)}
        optional = {
            name: entry
            for number in PLACES
            for name, entry in _place(number).items()
            if name not in required
        }
        return {"required": required, "optional": optional}

    def combine(
        self,
        conditioning_1: AnyMix,
        weight_1: float,
        conditioning_2: AnyMix,
        weight_2: float,
        conditioning_3: AnyMix | None = None,
        weight_3: float = 1.0,
        conditioning_4: AnyMix | None = None,
        weight_4: float = 1.0,
        conditioning_5: AnyMix | None = None,
        weight_5: float = 1.0,
        conditioning_6: AnyMix | None = None,
        weight_6: float = 1.0,
        conditioning_7: AnyMix | None = None,
        weight_7: float = 1.0,
        conditioning_8: AnyMix | None = None,
        weight_8: float = 1.0,
    ) -> tuple[Mix]:
        from ..models.mix import combined

        given = (
            (conditioning_1, weight_1), (conditioning_2, weight_2), (conditioning_3, weight_3),
            (conditioning_4, weight_4), (conditioning_5, weight_5), (conditioning_6, weight_6),
            (conditioning_7, weight_7), (conditioning_8, weight_8),
        )  # fmt: skip
        parts = [
            (wires.read_steady(one, f"conditioning_{number}"), weight)
            for number, (one, weight) in zip(PLACES, given, strict=True)
            if one is not None or number <= 2
        ]
        return (combined(parts),)


def _place(number: int) -> dict[str, Any]:
    weight = {"default": 1.0, "min": 0.0, "max": 100.0, "step": 0.05}
    return {
        f"conditioning_{number}": (
            wires.CONDITIONING,
            {"tooltip": "From MusicGen Text Encode or MusicGen Melody, or another mix."},
        ),
        f"weight_{number}": (
            "FLOAT",
            weight | {"tooltip": f"How much conditioning_{number} counts beside the others."},
        ),
    }


class MusicGenSchedule:
    DESCRIPTION = (
        "Changes what the music follows: from a second on, another conditioning, at once or in a "
        "blend. Chain several for more changes."
    )
    TITLE = "MusicGen Schedule"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["prompt schedule", "prompt travel", "change prompt over time"]
    RETURN_TYPES = (wires.CONDITIONING,)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = (
        "Everything so far, then the new; goes to MusicGen Sampler's positive or to the next "
        "MusicGen Schedule.",
    )
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        seconds = {"min": 0.0, "max": MAX_DURATION_S, "step": 0.1}
        return {
            "required": {
                "conditioning": (
                    wires.CONDITIONING,
                    {"tooltip": "What comes first: from MusicGen Text Encode, MusicGen Combine or "
                     "the MusicGen Schedule before this one."},
                ),
                "then": (
                    wires.CONDITIONING,
                    {"tooltip": "What the music follows from the second on."},
                ),
                "second": (
                    "FLOAT",
                    {
                        "default": 10.0,
                        **seconds,
                        "tooltip": "When: after the change before this one, and within the piece.",
                    },
                ),
                "blend": (
                    "FLOAT",
                    {
                        "default": 2.0,
                        **seconds,
                        "tooltip": "Seconds in which the new takes over, from there on; 0: at "
                        "once. One more row is computed where anything is blended.",
                    },
                ),
            }
        }  # fmt: skip

    def add(
        self, conditioning: AnyMix | Timeline, then: AnyMix, second: float, blend: float
    ) -> tuple[Timeline]:
        from ..models.compose.timeline import Change, timeline_of

        before = timeline_of(wires.read_conditioning(conditioning, "conditioning"))
        change = Change(second, wires.read_steady(then, "then"), blend)
        return (before.then(change),)


NODES = (MusicGenConditioningCombine, MusicGenSchedule)
