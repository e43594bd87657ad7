"""Headless twins of ComfyUI's audio nodes: the same ids, inputs, defaults and results, so that one graph runs in both.

Inside ComfyUI these are never registered; ComfyUI's own nodes do the work there.
"""

from __future__ import annotations

import hashlib
import logging
import mimetypes
import os
import secrets
import string
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.dsp import resample
from ..models.refused import Refused
from ..nodes.host import current_run
from .media import MAX_VALUES, probe_audio, read_audio, workflow_tags, write_audio
from .problems import shown

log = logging.getLogger("musicgraph")

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""

UNBOUNDED = 2**64 - 1


# ---------------------------------------------------------------- files


def input_path(name: str) -> Path:
    """A file of the input folder; "x.wav [output]" and "[temp]" name the other two folders, as in ComfyUI."""
    run = current_run()
    for mark, folder in (
        ("[output]", run.output_dir),
        ("[temp]", run.temp_dir),
        ("[input]", run.input_dir),
    ):
        if name.endswith(mark):
            return _inside(folder, name.removesuffix(mark).rstrip(), "read")
    return _inside(run.input_dir, name, "read")


def save_place(prefix: str, folder: Path) -> tuple[Path, str, str, int]:
    """Where `prefix` leads inside `folder`: directory, subfolder, file name and the next free number."""
    prefix = os.path.normpath(_filled_in(prefix))
    subfolder, name = os.path.split(prefix)
    directory = _inside(folder, subfolder, "written")
    return directory, subfolder, name, _last_number(directory, name) + 1


def _inside(folder: Path, name: str, done: str) -> Path:
    base = os.path.abspath(folder)
    path = os.path.abspath(os.path.join(base, name))
    if os.path.commonpath((base, path)) != base:
        raise Refused(
            f"got {shown(name)}, expected a place inside {shown(base)}: nothing outside is {done}"
        )
    return Path(path)


def _filled_in(prefix: str) -> str:
    now = time.localtime()
    values = {
        "width": "0",
        "height": "0",
        "year": f"{now.tm_year}",
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
    }
    values |= {
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix


def _last_number(directory: Path, name: str) -> int:
    start = os.path.normcase(name + "_")
    try:
        found = [
            entry[len(start) :]
            for entry in os.listdir(directory)
            if os.path.normcase(entry).startswith(start)
        ]
    except FileNotFoundError:
        return 0
    numbers = [rest.partition("_")[0] for rest in found]
    return max(
        (int(number) for number in numbers if number.isascii() and number.isdigit()), default=0
    )


def _audio_files(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    kinds = {
        name: (mimetypes.guess_type(name, strict=False)[0] or "").partition("/")[0]
        for name in names
    }
    return sorted(name for name, kind in kinds.items() if kind in ("audio", "video"))


class LoadAudio:
    TITLE = "Load Audio"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {"audio": (_audio_files(current_run().input_dir), {"audio_upload": True})}
        }

    def load(self, audio: str) -> tuple[Audio]:
        waveform, sample_rate = read_audio(input_path(audio))
        return ({"waveform": waveform.unsqueeze(0), "sample_rate": sample_rate},)

    @classmethod
    def IS_CHANGED(cls, audio: str) -> str:
        digest = hashlib.sha256()
        with open(input_path(audio), "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, audio: str) -> bool | str:
        try:
            probe_audio(input_path(audio))
        except Refused as error:
            return f"{error}; put the audio file into the input folder"
        return True


class _Saver:
    """Writes each item of a batch to a numbered file, with the graph in its tags."""

    CATEGORY = "audio"
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True
    FOLDER_TYPE = "output"
    SUFFIX: str
    QUALITIES: tuple[str, ...] = ()
    DEFAULT_QUALITY = ""

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        required: dict[str, tuple] = {
            "audio": ("AUDIO",),
            "filename_prefix": ("STRING", {"default": "audio/ComfyUI"}),
        }
        if cls.QUALITIES:
            required["quality"] = (list(cls.QUALITIES), {"default": cls.DEFAULT_QUALITY})
        return {
            "required": required,
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        try:
            _inside(
                current_run().output_dir,
                os.path.dirname(os.path.normpath(filename_prefix or "")),
                "written",
            )
        except Refused as error:
            return str(error)
        return True

    def save(
        self,
        audio: Audio,
        filename_prefix: str = "ComfyUI",
        quality: str | None = None,
        prompt: dict | None = None,
        extra_pnginfo: dict | None = None,
    ) -> dict:
        run = current_run()
        folder = run.temp_dir if self.FOLDER_TYPE == "temp" else run.output_dir
        directory, subfolder, name, number = save_place(filename_prefix, folder)
        tags = workflow_tags(prompt, extra_pnginfo)
        saved = []
        for index, waveform in enumerate(_given(audio)["waveform"]):
            filename = (
                f"{name.replace('%batch_num%', str(index))}_{number + index:05}_{self.SUFFIX}"
            )
            write_audio(
                directory / filename, waveform, audio["sample_rate"], tags=tags, quality=quality
            )
            saved.append({"filename": filename, "subfolder": subfolder, "type": self.FOLDER_TYPE})
        return {"ui": {"audio": saved}}


class SaveAudio(_Saver):
    TITLE = "Save Audio (FLAC)"
    SUFFIX = ".flac"


class SaveAudioMP3(_Saver):
    TITLE = "Save Audio (MP3)"
    SUFFIX = ".mp3"
    QUALITIES = ("V0", "128k", "320k")
    DEFAULT_QUALITY = "V0"


class SaveAudioOpus(_Saver):
    TITLE = "Save Audio (Opus)"
    SUFFIX = ".opus"
    QUALITIES = ("64k", "96k", "128k", "192k", "320k")
    DEFAULT_QUALITY = "128k"


class PreviewAudio(_Saver):
    TITLE = "Preview Audio"
    SUFFIX = ".flac"
    FOLDER_TYPE = "temp"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {"audio": ("AUDIO",)},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save(
        self, audio: Audio, prompt: dict | None = None, extra_pnginfo: dict | None = None
    ) -> dict:
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
        return super().save(
            audio, f"ComfyUI_temp_{letters}", prompt=prompt, extra_pnginfo=extra_pnginfo
        )


# ---------------------------------------------------------------- audio → audio


def _given(audio: Audio | None) -> Audio:
    if audio is None:
        raise Refused(
            "got no audio (a video without sound?), expected AUDIO; connect something that has sound"
        )
    return audio


def _at_one_rate(audio1: Audio, audio2: Audio) -> tuple[Tensor, Tensor, int]:
    """Both waveforms at the higher of their rates."""
    audio1, audio2 = _given(audio1), _given(audio2)
    rate = max(audio1["sample_rate"], audio2["sample_rate"])
    for audio in (audio1, audio2):
        if audio["sample_rate"] != rate:
            log.info(
                "resampling from %d Hz to %d Hz to fit the other audio", audio["sample_rate"], rate
            )
    first, second = (
        resample(audio["waveform"], audio["sample_rate"], rate) for audio in (audio1, audio2)
    )
    return first, second, rate


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
                "sample_rate": ("INT", {"default": 44100}),
                "channels": ("INT", {"default": 2, "min": 1, "max": 2}),
            }
        }

    def create(self, duration: float, sample_rate: int, channels: int) -> tuple[Audio]:
        if sample_rate < 1 or not 0 <= duration * sample_rate * channels <= MAX_VALUES:
            got = f"{duration} s at {sample_rate} Hz"
            raise Refused(
                f"got {got}, expected a positive rate and at most {MAX_VALUES} samples over all channels"
            )
        samples = int(round(duration * sample_rate))
        return ({"waveform": torch.zeros(1, channels, samples), "sample_rate": sample_rate},)


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
        waveform, rate = _given(audio)["waveform"], audio["sample_rate"]
        length = waveform.shape[-1]
        start = int(round(start_index * rate)) + (length if start_index < 0 else 0)
        start = max(0, min(start, length - 1))
        end = max(0, min(start + int(round(duration * rate)), length))
        if start >= end:
            got = (
                f"start {start_index} s and duration {duration} s in {length / rate:.2f} s of audio"
            )
            raise Refused(
                f"nothing is left after trimming: got {got}, expected a piece of at least one sample"
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
        waveform, rate = _given(audio)["waveform"], audio["sample_rate"]
        if waveform.shape[1] != 2:
            raise Refused(
                f"got audio with {waveform.shape[1]} channel(s), expected stereo; leave mono audio as it is"
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
        *waveforms, rate = _at_one_rate(audio1, audio2)
        first, second = (w.repeat(1, 2, 1) if w.shape[1] == 1 else w for w in waveforms)
        if first.shape[:2] != second.shape[:2]:
            got = f"{list(first.shape[:2])} and {list(second.shape[:2])}"
            raise Refused(
                f"got [batch, channels] of {got}, expected two of the same; split or repeat one of them"
            )
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
        first, second, rate = _at_one_rate(audio1, audio2)
        length = first.shape[-1]
        second = torch.nn.functional.pad(
            second[..., :length], (0, max(0, length - second.shape[-1]))
        )
        merged = {
            "add": lambda: first + second,
            "mean": lambda: (first + second) / 2,
            "subtract": lambda: first - second,
            "multiply": lambda: first * second,
        }[merge_method]()
        peak = merged.abs().max() if merged.numel() else torch.tensor(0.0)
        return ({"waveform": merged / peak if peak > 1 else merged, "sample_rate": rate},)


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
            return (_given(audio),)
        return (
            {
                "waveform": _given(audio)["waveform"] * 10 ** (volume / 20),
                "sample_rate": audio["sample_rate"],
            },
        )


NODE_CLASS_MAPPINGS = {
    "LoadAudio": LoadAudio,
    "SaveAudio": SaveAudio,
    "SaveAudioMP3": SaveAudioMP3,
    "SaveAudioOpus": SaveAudioOpus,
    "PreviewAudio": PreviewAudio,
    "EmptyAudio": EmptyAudio,
    "TrimAudioDuration": TrimAudioDuration,
    "SplitAudioChannels": SplitAudioChannels,
    "AudioConcat": AudioConcat,
    "AudioMerge": AudioMerge,
    "AudioAdjustVolume": AudioAdjustVolume,
}
