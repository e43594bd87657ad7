"""How sound begins and ends."""

from __future__ import annotations

from typing import Any

from ..models.config import MAX_DURATION_S
from ..models.refused import Refused
from . import wires


class AudioFade:
    DESCRIPTION = (
        "Lets sound come out of silence and go back into it: music that is cut at its end, as "
        "generated music is, then closes."
    )
    TITLE = "Audio Fade"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["fade in", "fade out", "ending", "outro"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The same sound, as long as before, faded.",)
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
            }
        }

    def fade(self, audio: dict[str, Any], fade_in: float, fade_out: float) -> tuple[dict[str, Any]]:
        from ..models import dsp

        waveform, rate = wires.checked_audio(audio)
        length, rising, falling = waveform.shape[2], round(fade_in * rate), round(fade_out * rate)
        if rising + falling > length:
            raise Refused(
                "fade",
                got=f"{fade_in:g} s in and {fade_out:g} s out of {length / rate:g} s",
                expected="both within the sound",
                remedy="fade for less time",
            )
        faded = waveform.clone()
        if rising:
            faded[:, :, :rising] *= dsp.fade_gains(rising).flip(0)
        if falling:
            faded[:, :, length - falling :] *= dsp.fade_gains(falling)
        return ({"waveform": faded, "sample_rate": rate},)


NODES = (AudioFade,)
