"""Headless twins of ComfyUI's audio nodes: the same ids, inputs, defaults and results, so that one
graph runs in both.

Inside ComfyUI these are never registered; ComfyUI's own nodes do the work there. What a twin makes
is checked against the run's limits before it is made.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.host import current_run
from ..media.names import UNBOUNDED
from .files import FILE_NODES, given

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""


def _at_one_rate(audio1: Audio, audio2: Audio) -> tuple[Tensor, Tensor, int]:
    """Both waveforms at the higher of their rates."""
    from ...models.dsp import resample

    audio1, audio2 = given(audio1), given(audio2)
    rate = max(audio1["sample_rate"], audio2["sample_rate"])
    for audio in (audio1, audio2):
        if audio["sample_rate"] != rate:
            log.info(
                "resampling from %d Hz to %d Hz to fit the other audio", audio["sample_rate"], rate
            )
        _check_made(
            audio["waveform"], audio["waveform"].shape[-1] * rate // audio["sample_rate"], rate
        )
    first, second = (
        resample(audio["waveform"], audio["sample_rate"], rate) for audio in (audio1, audio2)
    )
    return first, second, rate


def _check_made(waveform: Tensor, length: int, rate: int) -> None:
    """Raises Refused if sound like `waveform`, but `length` samples long, would be beyond the run's
    limits.
    """
    current_run().limits.check_sound((*waveform.shape[:2], length), rate)


class EmptyAudio:
    TITLE = "Empty Audio"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "create"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "duration": (
                    "FLOAT",
                    {"default": 60.0, "min": 0.0, "max": UNBOUNDED, "step": 0.01},
                ),
                "sample_rate": ("INT", {"default": 44100, "min": 1}),
                "channels": ("INT", {"default": 2, "min": 1, "max": 2}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, duration: float | None, sample_rate: int | None, channels: int | None
    ) -> bool | str:
        """None stands for a linked input: then `create` checks."""
        if duration is None or sample_rate is None or channels is None:
            return True
        try:
            _silence_shape(duration, sample_rate, channels)
        except Refused as error:
            return str(error)
        return True

    def create(self, duration: float, sample_rate: int, channels: int) -> tuple[Audio]:
        import torch

        shape = _silence_shape(duration, sample_rate, channels)
        return ({"waveform": torch.zeros(shape), "sample_rate": sample_rate},)


def _silence_shape(duration: float, sample_rate: int, channels: int) -> tuple[int, int, int]:
    limits = current_run().limits
    limits.check_rate(sample_rate)
    if not (0 <= duration <= limits.seconds and channels in (1, 2)):
        raise Refused(
            "this silence cannot be made",
            got=f"{duration} s and {channels} channel(s)",
            expected=f"0 to {limits.seconds:g} s and 1 or 2 channels",
        )
    shape = (1, channels, round(duration * sample_rate))
    limits.check_sound(shape, sample_rate)
    return shape


def _check_same(first: Tensor, second: Tensor) -> None:
    if first.shape[:2] != second.shape[:2]:
        raise Refused(
            "these two do not go together",
            got=f"[batch, channels] of {list(first.shape[:2])} and {list(second.shape[:2])}",
            expected="two of the same",
            remedy="split or repeat one of them",
        )


class TrimAudioDuration:
    TITLE = "Trim Audio Duration"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "trim"
    DESCRIPTION = "Cuts a piece out of the audio."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        start = {
            "default": 0.0,
            "min": -UNBOUNDED,
            "max": UNBOUNDED,
            "step": 0.01,
            "tooltip": "in s; negative: from the end",
        }
        return {
            "required": {
                "audio": ("AUDIO",),
                "start_index": ("FLOAT", start),
                "duration": (
                    "FLOAT",
                    {"default": 60.0, "min": 0.0, "step": 0.01, "tooltip": "in s"},
                ),
            }
        }

    def trim(self, audio: Audio, start_index: float, duration: float) -> tuple[Audio]:
        waveform, rate = given(audio)["waveform"], audio["sample_rate"]
        length = waveform.shape[-1]
        whole_s = length / rate + 1
        start = round(max(-whole_s, min(start_index, whole_s)) * rate)
        start = max(0, min(start + (length if start_index < 0 else 0), length - 1))
        end = max(0, min(start + round(min(duration, whole_s) * rate), length))
        if start >= end:
            got = (
                f"start {start_index} s and duration {duration} s in {length / rate:.2f} s of audio"
            )
            raise Refused(
                "nothing is left after trimming", got=got, expected="a piece of at least one sample"
            )
        return ({"waveform": waveform[..., start:end], "sample_rate": rate},)


class SplitAudioChannels:
    TITLE = "Split Audio Channels"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO", "AUDIO")
    RETURN_NAMES = ("left", "right")
    FUNCTION = "split"
    DESCRIPTION = "The left and the right channel, each as mono audio."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"audio": ("AUDIO",)}}

    def split(self, audio: Audio) -> tuple[Audio, Audio]:
        waveform, rate = given(audio)["waveform"], audio["sample_rate"]
        if waveform.shape[1] != 2:
            raise Refused(
                "this audio has no two sides",
                got=f"{waveform.shape[1]} channel(s)",
                expected="stereo",
                remedy="leave mono audio as it is",
            )
        left, right = waveform[:, 0:1], waveform[:, 1:2]
        return {"waveform": left, "sample_rate": rate}, {"waveform": right, "sample_rate": rate}


class AudioConcat:
    TITLE = "Audio Concat"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "concat"
    DESCRIPTION = "One audio after the other. Mono becomes stereo."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        direction = {"default": "after", "tooltip": "where audio2 comes: after or before audio1"}
        return {
            "required": {
                "audio1": ("AUDIO",),
                "audio2": ("AUDIO",),
                "direction": (["after", "before"], direction),
            },
        }

    def concat(self, audio1: Audio, audio2: Audio, direction: str) -> tuple[Audio]:
        import torch

        *waveforms, rate = _at_one_rate(audio1, audio2)
        first, second = (w.expand(-1, 2, -1) if w.shape[1] == 1 else w for w in waveforms)
        _check_same(first, second)
        _check_made(first, first.shape[-1] + second.shape[-1], rate)
        order = (first, second) if direction == "after" else (second, first)
        return ({"waveform": torch.cat(order, dim=2), "sample_rate": rate},)


class AudioMerge:
    TITLE = "Audio Merge"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "merge"
    DESCRIPTION = "Two audios at the same time, as long as the first."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        methods = (
            ["add", "mean", "subtract", "multiply"],
            {"tooltip": "how two samples become one"},
        )
        return {"required": {"audio1": ("AUDIO",), "audio2": ("AUDIO",), "merge_method": methods}}

    def merge(self, audio1: Audio, audio2: Audio, merge_method: str) -> tuple[Audio]:
        import torch

        first, second, rate = _at_one_rate(audio1, audio2)
        items, channels = (max(first.shape[i], second.shape[i]) for i in (0, 1))
        first, second = (
            w.expand(items if w.shape[0] == 1 else -1, channels if w.shape[1] == 1 else -1, -1)
            for w in (first, second)
        )
        _check_same(first, second)
        _check_made(first, first.shape[-1], rate)
        merged = _merged(first, second, merge_method)
        if merged.numel():
            merged /= max(1.0, *(abs(float(value)) for value in torch.aminmax(merged)))
        return ({"waveform": merged, "sample_rate": rate},)


def _merged(first: Tensor, second: Tensor, method: str) -> Tensor:
    """As long as the first, with silence behind the second; works on one copy, since sound can be
    large.
    """
    merged, length = first.clone(), min(first.shape[-1], second.shape[-1])
    both, other, alone = merged[..., :length], second[..., :length], merged[..., length:]
    if method in ("add", "mean"):
        both += other
    elif method == "subtract":
        both -= other
    else:
        both *= other
        alone.zero_()
    return merged.div_(2) if method == "mean" else merged


class AudioAdjustVolume:
    TITLE = "Audio Adjust Volume"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "adjust"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        volume = {
            "default": 1.0,
            "min": -100,
            "max": 100,
            "tooltip": "in dB; 0 changes nothing, −6 is half, +6 is double",
        }
        return {"required": {"audio": ("AUDIO",), "volume": ("INT", volume)}}

    def adjust(self, audio: Audio, volume: int) -> tuple[Audio]:
        if volume == 0:
            return (given(audio),)
        return (
            {
                "waveform": given(audio)["waveform"] * 10 ** (volume / 20),
                "sample_rate": audio["sample_rate"],
            },
        )


NODE_CLASS_MAPPINGS = FILE_NODES | {
    "EmptyAudio": EmptyAudio,
    "TrimAudioDuration": TrimAudioDuration,
    "SplitAudioChannels": SplitAudioChannels,
    "AudioConcat": AudioConcat,
    "AudioMerge": AudioMerge,
    "AudioAdjustVolume": AudioAdjustVolume,
}
