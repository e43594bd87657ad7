"""How sound begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.config import MAX_DURATION_S
from ..models.refused import Refused
from . import host, wires

if TYPE_CHECKING:
    from torch import Tensor

CUT, BAR = "cut", "bar"
SHORTEST_FADE_S = 0.02
"""of an ending at a bar line, lest it click"""


class AudioFade:
    DESCRIPTION = (
        "Lets sound come out of silence and go back into it: music that is cut at its end, as "
        "generated music is, then closes, if wanted at a bar line."
    )
    TITLE = "Audio Fade"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["fade in", "fade out", "ending", "outro"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The same sound, faded; shorter where it ends at a bar line.",)
    FUNCTION = "fade"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        seconds = {"min": 0.0, "max": MAX_DURATION_S, "step": 0.1}
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "Any sound."}),
                "fade_in": (
                    "FLOAT",
                    {"default": 0.0, **seconds, "tooltip": "Seconds from silence to full level."},
                ),
                "fade_out": (
                    "FLOAT",
                    {"default": 3.0, **seconds, "tooltip": "Seconds to silence at the end."},
                ),
            },
            "optional": {
                "ending": (
                    [CUT, BAR],
                    {"default": CUT, "tooltip": "cut: where the sound ends. bar: at the last bar "
                     "line that leaves room for the fade out, which begins there; bars have four "
                     "beats, and where no beat is found it is cut."},
                ),
            },
        }  # fmt: skip

    def fade(
        self, audio: dict[str, Any], fade_in: float, fade_out: float, ending: str = CUT
    ) -> tuple[dict[str, Any]]:
        from ..models import dsp

        waveform, rate = wires.checked_audio(audio)
        rising, falling = round(fade_in * rate), round(fade_out * rate)
        if ending == BAR:
            falling = max(falling, round(SHORTEST_FADE_S * rate))
        _check_fits(waveform.shape[2], rising, falling, rate)
        ends = [_end(sound, rate, rising, falling, ending) for sound in waveform]
        faded = waveform[:, :, : max(ends)].clone()
        if rising:
            faded[:, :, :rising] *= dsp.fade_gains(rising).flip(0)
        for sound, end in zip(faded, ends, strict=True):
            if falling:
                sound[:, end - falling : end] *= dsp.fade_gains(falling)
            sound[:, end:] = 0
        return ({"waveform": faded, "sample_rate": rate},)


def _check_fits(samples: int, rising: int, falling: int, rate: int) -> None:
    if rising + falling > samples:
        raise Refused(
            "fade",
            got=f"{rising / rate:g} s in and {falling / rate:g} s out of {samples / rate:g} s",
            expected="both within the sound",
            remedy="fade for less time",
        )


def _end(sound: Tensor, rate: int, rising: int, falling: int, ending: str) -> int:
    """Which sample of `[C, samples]` is the first behind the fade out."""
    from ..models import bar_lines

    length = sound.shape[1]
    if ending == CUT:
        return length
    found = bar_lines.grid(sound, rate)
    line_s = None if found is None else found.last_before((length - falling) / rate)
    if line_s is None or line_s * rate < rising:
        host.say("no beat was found: the music fades where it was cut")
        return length
    host.say(f"the music ends at the bar line at {line_s:.2f} s")
    return round(line_s * rate) + falling


NODES = (AudioFade,)
