"""Twins of the nodes that load, record and save sound."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.disk.files import open_file
from ...models.quoting import shown
from ...models.refused import Refused
from ...nodes.graph_tags import HIDDEN, item_tags
from ...nodes.host import current_run
from ...nodes.names import input_path
from ..media.encode import CODINGS
from .rates import check_made, resampled
from .saving import places, prefix_answer, temporary_prefix

if TYPE_CHECKING:
    from torch import Tensor

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""


def given(audio: Audio | None) -> Audio:
    if audio is None:
        raise Refused(
            "got no audio (a video without sound?)",
            expected="AUDIO",
            remedy="connect something that has sound",
        )
    return audio


def files_of_kinds(folder: Path, *wanted: str) -> list[str]:
    """The names in a folder whose suffixes stand for one of these kinds, such as "audio"."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    kinds = {
        name: (mimetypes.guess_type(name, strict=False)[0] or "").partition("/")[0]
        for name in names
    }
    return sorted(name for name, kind in kinds.items() if kind in wanted)


class LoadAudio:
    TITLE = "Load Audio"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        names = files_of_kinds(current_run().input_dir, "audio", "video")
        return {"required": {"audio": (names, {"audio_upload": True})}}

    def load(self, audio: str) -> tuple[Audio]:
        from ..media.audio import read_audio

        waveform, sample_rate = read_audio(input_path(audio))
        return ({"waveform": waveform.unsqueeze(0), "sample_rate": sample_rate},)

    @classmethod
    def IS_CHANGED(cls, audio: str) -> str:
        digest = hashlib.sha256()
        with open_file(input_path(audio)) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, audio: str) -> bool | str:
        from ..media.audio import probe_audio

        try:
            path = input_path(audio)
            probe_audio(path)
        except Refused as error:
            absent = "\0" not in audio and not os.path.lexists(
                os.path.join(current_run().input_dir, audio)
            )
            return f"{error}; put the audio file into the input folder" if absent else str(error)
        return True


class RecordAudio(LoadAudio):
    """A microphone is in ComfyUI's page only; what was recorded there is loaded as a file."""

    TITLE = "Record Audio"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"audio": ("STRING", {"default": ""})}}

    @classmethod
    def VALIDATE_INPUTS(cls, audio: str) -> bool | str:
        try:
            found = bool(audio) and input_path(audio).is_file()
        except (Refused, ValueError):  # ValueError: a name that no file can have
            found = False
        if found:
            return super().VALIDATE_INPUTS(audio)
        return (
            f"got {shown(audio)}, which is no recording that is here; record in ComfyUI's page, "
            "or put a file into the input folder and load it with Load Audio"
        )


class _Saver:
    """Writes each item of a batch to a numbered file, with the graph in its tags, and hands the
    sound on.
    """

    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "save"
    OUTPUT_NODE = True
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
        return {"required": required, "hidden": HIDDEN}

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        return prefix_answer(filename_prefix, cls.SUFFIX)

    def save(
        self,
        audio: Audio,
        filename_prefix: str = "ComfyUI",
        quality: str | None = None,
        prompt: dict | None = None,
        extra_pnginfo: dict | None = None,
    ) -> dict:
        graph = (prompt, extra_pnginfo)
        return _saved(audio, filename_prefix, "output", self.SUFFIX, quality, graph)


def _saved(
    audio: Audio | None,
    prefix: str,
    folder_type: str,
    suffix: str,
    quality: str | None,
    graph: tuple[dict | None, dict | None],
) -> dict:
    """`graph`: in API format, and what goes beside it."""
    from ..media.audio import write_audio

    audio = given(audio)
    items, rate = audio["waveform"], audio["sample_rate"]
    if suffix == ".opus":
        items, rate = _as_opus_takes_it(items, rate)
    saved = []
    for path, entry in places(prefix, folder_type, suffix, len(items)):
        tags = item_tags(*graph, len(saved), len(items))
        factor = write_audio(path, items[len(saved)], rate, tags=tags, quality=quality)
        saved.append({**entry, **({"scaled_by": factor} if factor < 1 else {})})
    return {"ui": {"audio": saved}, "result": (audio,)}


def _as_opus_takes_it(waveform: Tensor, rate: int) -> tuple[Tensor, int]:
    """At one of its rates, by ComfyUI's filter, so that both files hold the same sound."""
    fitting = CODINGS[".opus"].fitting_rate(rate)
    check_made(waveform, waveform.shape[-1] * fitting // rate, fitting)
    return resampled(waveform, rate, fitting), fitting


class SaveAudio(_Saver):
    TITLE = "Save Audio (FLAC) (DEPRECATED)"
    SUFFIX = ".flac"


class SaveAudioMP3(_Saver):
    TITLE = "Save Audio (MP3) (DEPRECATED)"
    SUFFIX = ".mp3"
    QUALITIES = ("V0", "128k", "320k")
    DEFAULT_QUALITY = "V0"


class SaveAudioOpus(_Saver):
    TITLE = "Save Audio (Opus) (DEPRECATED)"
    SUFFIX = ".opus"
    QUALITIES = ("64k", "96k", "128k", "192k", "320k")
    DEFAULT_QUALITY = "128k"


class SaveAudioAdvanced:
    """In ComfyUI the choice of a format brings its own widget, `format.quality`; here that is an
    optional input.
    """

    TITLE = "Save Audio (Advanced)"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "save"
    OUTPUT_NODE = True
    QUALITIES = {"flac": (), "mp3": SaveAudioMP3.QUALITIES, "opus": SaveAudioOpus.QUALITIES}

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        every = list(dict.fromkeys(one for some in cls.QUALITIES.values() for one in some))
        return {
            "required": {
                "audio": ("AUDIO",),
                "filename_prefix": ("STRING", {"default": "audio/ComfyUI"}),
                "format": (list(cls.QUALITIES), {}),
            },
            "optional": {
                "format.quality": (
                    every,
                    {
                        "tooltip": "of MP3 and Opus; FLAC has none",
                        "by_choice": {
                            "mp3": SaveAudioMP3.DEFAULT_QUALITY,
                            "opus": SaveAudioOpus.DEFAULT_QUALITY,
                        },
                    },
                ),
            },
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, filename_prefix: str | None = None, format: str | None = None, **others: Any
    ) -> bool | str:
        """None stands for a linked input: then `save` checks."""
        try:
            _checked_quality(format or "flac", others.get("format.quality"))
        except Refused as error:
            return str(error)
        return prefix_answer(filename_prefix, f".{format or 'flac'}")

    def save(
        self,
        audio: Audio,
        filename_prefix: str,
        format: str = "flac",
        prompt: dict | None = None,
        extra_pnginfo: dict | None = None,
        **others: Any,
    ) -> dict:
        quality = _checked_quality(format, others.get("format.quality"))
        graph = (prompt, extra_pnginfo)
        return _saved(audio, filename_prefix, "output", f".{format}", quality, graph)


def _checked_quality(format: str, quality: str | None) -> str | None:
    """What the encoder is told: nothing for a format that has no qualities."""
    known = SaveAudioAdvanced.QUALITIES
    if format not in known:
        raise Refused("format", got=shown(format), expected=f"one of {', '.join(known)}")
    qualities = CODINGS[f".{format}"].qualities
    if qualities and quality is not None and quality not in qualities:
        expected = f"one of {', '.join(known[format])}"
        raise Refused(f"the quality of {format}", got=shown(quality), expected=expected)
    return quality if qualities else None


class PreviewAudio:
    TITLE = "Preview Audio"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"audio": ("AUDIO",)}, "hidden": HIDDEN}

    def save(
        self, audio: Audio, prompt: dict | None = None, extra_pnginfo: dict | None = None
    ) -> dict:
        graph = (prompt, extra_pnginfo)
        return _saved(audio, temporary_prefix(), "temp", ".flac", None, graph)


NODES: dict[str, type] = {
    "LoadAudio": LoadAudio,
    "RecordAudio": RecordAudio,
    "SaveAudio": SaveAudio,
    "SaveAudioMP3": SaveAudioMP3,
    "SaveAudioOpus": SaveAudioOpus,
    "SaveAudioAdvanced": SaveAudioAdvanced,
    "PreviewAudio": PreviewAudio,
}
