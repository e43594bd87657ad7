"""Nodes for any AUDIO: loudness, a splice and a picture."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..models.refused import Refused
from . import host, wires

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

METHODS = ("loudness", "rms", "peak")
LONGEST_S = 4000.0  # of any sound


class AudioLoudness:
    DESCRIPTION = (
        "Brings sound to a level: by perceived loudness (ITU-R BS.1770, in LUFS), RMS or peak (in "
        "dB below full scale). "
        "A limiter holds peaks under a ceiling. Each item of a batch by itself; silence stays as "
        "it is."
    )
    TITLE = "Audio Loudness"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["normalize audio", "lufs", "limiter", "volume"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The same sound at the level asked for.",)
    FUNCTION = "adjust"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "Any sound."}),
                "method": (
                    list(METHODS),
                    {
                        "default": "loudness",
                        "tooltip": "What is brought to the target: loudness (LUFS), rms or peak "
                        "(dB).",
                    },
                ),
                "target": (
                    "FLOAT",
                    {
                        "default": -14.0,
                        "min": -60.0,
                        "max": 0.0,
                        "step": 0.5,
                        "tooltip": "−14 LUFS is what streaming services play at; −1 is a usual "
                        "peak.",
                    },
                ),
                "ceiling": (
                    "FLOAT",
                    {
                        "default": -1.0,
                        "min": -20.0,
                        "max": 0.0,
                        "step": 0.1,
                        "tooltip": "The limiter keeps every sample below this many dB of full "
                        "scale.",
                    },
                ),
            }
        }

    def adjust(
        self, audio: dict[str, Any], method: str, target: float, ceiling: float
    ) -> tuple[dict[str, Any]]:
        import torch

        waveform, rate = wires.checked_audio(audio)
        items = [_levelled(sound, rate, method, target, ceiling) for sound in waveform]
        return ({"waveform": torch.stack(items), "sample_rate": rate},)


def _levelled(sound: Tensor, rate: int, method: str, target: float, ceiling: float) -> Tensor:
    from ..models import dsp

    now = _level(sound, rate, method)
    if now <= dsp.SILENCE_DB:
        log.warning("Audio Loudness: silence has no level; it stays as it is")
        return sound
    louder = sound * 10 ** ((target - now) / 20)
    return dsp.limit(louder, 10 ** (ceiling / 20), rate, true_peaks=True)


def _level(sound: Tensor, rate: int, method: str) -> float:
    from ..models import dsp

    if method == "loudness":
        return dsp.loudness_lufs(sound, rate)
    return dsp.rms_db(sound) if method == "rms" else dsp.peak_db(sound)


class AudioSplice:
    DESCRIPTION = (
        "Puts a part of one sound in the place of the same part of another: what is outside stays "
        "the original, sample for sample. The joins lie where both are most alike, in short "
        "crossfades, and what is put in is brought to the original's level."
    )
    TITLE = "Audio Splice"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["crossfade", "join audio", "continue recording", "punch in"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("At the original's sample rate, and with its channels.",)
    FUNCTION = "splice"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        seconds = {"default": 0.0, "min": 0.0, "max": LONGEST_S, "step": 0.01}
        return {
            "required": {
                "original": ("AUDIO", {"tooltip": "What stays outside the part."}),
                "changed": (
                    "AUDIO",
                    {"tooltip": "What the part is taken from: begins with the original, such as "
                     "from EnCodec Decode. Its rate and channels are converted."},
                ),
                "begin": (
                    "FLOAT",
                    {**seconds, "tooltip": "Where the part begins, in seconds; if the end is 0, 0 "
                     "is the original's end."},
                ),
                "end": (
                    "FLOAT",
                    {**seconds, "tooltip": "Where it ends, in seconds: crossfades lie within. 0: "
                     "it goes on to the end of what was changed, as a continuation does; its "
                     "crossfade lies just before the beginning."},
                ),
            }
        }  # fmt: skip

    def splice(
        self, original: dict[str, Any], changed: dict[str, Any], begin: float, end: float
    ) -> tuple[dict[str, Any]]:
        import torch

        from ..models.compose.splice import Region, fitted, spliced

        kept, rate = wires.checked_audio(original)
        region = Region.between(begin, end, rate, kept.shape[2])
        put, other_rate = wires.checked_audio(changed)
        items, samples = _items(len(kept), len(put)), -(-put.shape[2] * rate // other_rate)
        host.current_run().limits.check_sound((items, kept.shape[1], samples), rate)
        put = fitted(put, other_rate, kept.shape[1], rate)
        pairs = zip(kept.expand(items, -1, -1), put.expand(items, -1, -1), strict=True)
        sounds = [spliced(*pair, rate, region) for pair in pairs]
        return ({"waveform": torch.stack(sounds), "sample_rate": rate},)


def _items(originals: int, others: int) -> int:
    items = max(originals, others)
    if {originals, others} - {1, items}:
        raise Refused(
            "changed",
            got=f"{others} items for {originals}",
            expected="equally many, or one for all",
            remedy="splice them one by one",
        )
    return items


class AudioSpectrogram:
    DESCRIPTION = (
        "Draws sound: its waveform above its mel spectrogram (80 dB range, low notes below). "
        "One picture for each item."
    )
    TITLE = "Audio Spectrogram"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["waveform image", "mel spectrogram", "visualize audio"]
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("Pictures, one for each item; goes to Preview Image or Save Image.",)
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        size = {"min": 64, "max": 4096, "step": 8}
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "Any sound."}),
                "width": (
                    "INT",
                    {
                        "default": 1024,
                        **size,
                        "tooltip": "In pixels; time runs from left to right.",
                    },
                ),
                "height": (
                    "INT",
                    {"default": 512, **size, "tooltip": "In pixels; a quarter is the waveform."},
                ),
            }
        }

    def draw(self, audio: dict[str, Any], width: int, height: int) -> tuple[Tensor]:
        import torch

        from ..models import dsp

        waveform, rate = wires.checked_audio(audio)
        host.current_run().limits.check_pictures(len(waveform), width, height)
        return (torch.stack([dsp.picture(sound, rate, width, height) for sound in waveform]),)


NODES = (AudioLoudness, AudioSplice, AudioSpectrogram)
