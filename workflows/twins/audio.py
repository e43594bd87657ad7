"""Twins of ComfyUI's nodes that make, cut and mix sound.

None stands for the sound of a video that has none; it goes through as in ComfyUI. What a twin makes
is checked against the run's limits before it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.host import current_run
from ...nodes.names import UNBOUNDED
from .rates import at_one_rate, check_made

if TYPE_CHECKING:
    from torch import Tensor

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""


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
                "sample_rate": ("INT", {"default": 44100, "min": 1, "max": 192_000}),
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

    def trim(self, audio: Audio | None, start_index: float, duration: float) -> tuple[Audio | None]:
        if audio is None or not audio["waveform"].shape[-1]:
            return (audio,)
        waveform, rate = audio["waveform"], audio["sample_rate"]
        length = waveform.shape[-1]
        whole_s = length / rate + 1
        start = round(max(-whole_s, min(start_index, whole_s)) * rate)
        start = max(0, min(start + (length if start_index < 0 else 0), length))
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

    def split(self, audio: Audio | None) -> tuple[Audio | None, Audio | None]:
        if audio is None:
            return None, None
        waveform, rate = audio["waveform"], audio["sample_rate"]
        if waveform.shape[1] != 2:
            raise Refused(
                "this audio has no two sides",
                got=f"{waveform.shape[1]} channel(s)",
                expected="stereo",
                remedy="leave mono audio as it is",
            )
        left, right = waveform[:, 0:1], waveform[:, 1:2]
        return {"waveform": left, "sample_rate": rate}, {"waveform": right, "sample_rate": rate}


class JoinAudioChannels:
    TITLE = "Join Audio Channels"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "join"
    DESCRIPTION = "Two mono audios as the sides of a stereo one, as long as the shorter."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"audio_left": ("AUDIO",), "audio_right": ("AUDIO",)}}

    def join(self, audio_left: Audio | None, audio_right: Audio | None) -> tuple[Audio | None]:
        import torch

        if audio_left is None or audio_right is None:
            return (audio_right if audio_left is None else audio_left,)
        channels = [audio["waveform"].shape[1] for audio in (audio_left, audio_right)]
        if channels != [1, 1]:
            raise Refused(
                "these are no two sides",
                got=f"{channels[0]} and {channels[1]} channel(s)",
                expected="two mono audios",
                remedy="split stereo audio first",
            )
        left, right, rate = at_one_rate(audio_left, audio_right)
        _check_same(left, right)
        length = min(left.shape[-1], right.shape[-1])
        sides = torch.cat((left[..., :length], right[..., :length]), dim=1)
        check_made(sides, length, rate)
        return ({"waveform": sides, "sample_rate": rate},)


class AudioConcat:
    TITLE = "Concatenate Audio"
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

    def concat(
        self, audio1: Audio | None, audio2: Audio | None, direction: str
    ) -> tuple[Audio | None]:
        import torch

        if audio1 is None or audio2 is None:
            return (audio2 if audio1 is None else audio1,)
        *waveforms, rate = at_one_rate(audio1, audio2)
        first, second = (w.expand(-1, 2, -1) if w.shape[1] == 1 else w for w in waveforms)
        _check_same(first, second)
        check_made(first, first.shape[-1] + second.shape[-1], rate)
        order = (first, second) if direction == "after" else (second, first)
        return ({"waveform": torch.cat(order, dim=2), "sample_rate": rate},)


class AudioMerge:
    TITLE = "Merge Audio"
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

    def merge(
        self, audio1: Audio | None, audio2: Audio | None, merge_method: str
    ) -> tuple[Audio | None]:
        import torch

        if audio1 is None or audio2 is None:
            return (audio2 if audio1 is None else audio1,)
        first, second, rate = at_one_rate(audio1, audio2)
        items, channels = (max(first.shape[i], second.shape[i]) for i in (0, 1))
        first, second = (
            w.expand(items if w.shape[0] == 1 else -1, channels if w.shape[1] == 1 else -1, -1)
            for w in (first, second)
        )
        _check_same(first, second)
        check_made(first, first.shape[-1], rate)
        if not first.numel() or not second.numel():
            return ({"waveform": first, "sample_rate": rate},)
        merged = _merged(first, second, merge_method)
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
    TITLE = "Adjust Audio Volume"
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

    def adjust(self, audio: Audio | None, volume: int) -> tuple[Audio | None]:
        if audio is None or volume == 0:
            return (audio,)
        louder = audio["waveform"] * 10 ** (volume / 20)
        return ({"waveform": louder, "sample_rate": audio["sample_rate"]},)


class AudioDuration:
    TITLE = "Audio Duration"
    CATEGORY = "audio"
    RETURN_TYPES = ("FLOAT", "INT")
    RETURN_NAMES = ("duration", "sample_rate")
    OUTPUT_TOOLTIPS = ("in s", "in Hz")
    FUNCTION = "measure"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"audio": ("AUDIO",)}}

    def measure(self, audio: Audio | None) -> tuple[float, int]:
        if audio is None:
            return 0.0, 0
        return audio["waveform"].shape[-1] / audio["sample_rate"], audio["sample_rate"]


NODES: dict[str, type] = {
    "EmptyAudio": EmptyAudio,
    "TrimAudioDuration": TrimAudioDuration,
    "SplitAudioChannels": SplitAudioChannels,
    "JoinAudioChannels": JoinAudioChannels,
    "AudioConcat": AudioConcat,
    "AudioMerge": AudioMerge,
    "AudioAdjustVolume": AudioAdjustVolume,
    "AudioDuration": AudioDuration,
}
