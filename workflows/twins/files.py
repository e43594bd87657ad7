"""Twins of the nodes that load and save sound and pictures."""

from __future__ import annotations

import hashlib
import logging
import mimetypes
import os
import secrets
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.host import check_stop, current_run
from ..media.files import open_file, replace_file
from ..media.names import check_prefix, input_path, save_place
from ..media.tags import workflow_tags

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

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
            check_prefix(filename_prefix or "", current_run().output_dir, cls.SUFFIX)
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
        from ..media.audio import write_audio

        tags = workflow_tags(prompt, extra_pnginfo)
        items = given(audio)["waveform"]
        saved = []
        for path, entry in _places(filename_prefix, self.FOLDER_TYPE, self.SUFFIX, len(items)):
            factor = write_audio(
                path, items[len(saved)], audio["sample_rate"], tags=tags, quality=quality
            )
            saved.append({**entry, **({"scaled_by": factor} if factor < 1 else {})})
        return {"ui": {"audio": saved}}


def _places(
    prefix: str, folder_type: str, suffix: str, count: int, size: tuple[int, int] = (0, 0)
) -> Iterable[tuple[Path, dict[str, Any]]]:
    """The files of a batch, each with what ComfyUI's page is told of it."""
    run = current_run()
    folder = run.temp_dir if folder_type == "temp" else run.output_dir
    directory, subfolder, name, number = save_place(prefix, folder, suffix, size)
    for index in range(count):
        filename = f"{name.replace('%batch_num%', str(index))}_{number + index:05}_{suffix}"
        yield (
            directory / filename,
            {"filename": filename, "subfolder": subfolder, "type": folder_type},
        )


def _temporary_prefix() -> str:
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
    return f"ComfyUI_temp_{letters}"


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
        return super().save(audio, _temporary_prefix(), prompt=prompt, extra_pnginfo=extra_pnginfo)


class SaveImage:
    """PNG files, with the graph in their tags."""

    TITLE = "Save Image"
    CATEGORY = "image"
    RETURN_TYPES = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        prefix = ("STRING", {"default": "ComfyUI"})
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": prefix},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        try:
            check_prefix(filename_prefix or "", current_run().output_dir, ".png")
        except Refused as error:
            return str(error)
        return True

    def save_images(
        self,
        images: Tensor,
        filename_prefix: str = "ComfyUI",
        prompt: dict | None = None,
        extra_pnginfo: dict | None = None,
    ) -> dict:
        return _saved_images(
            images, filename_prefix, "output", workflow_tags(prompt, extra_pnginfo)
        )


class PreviewImage:
    TITLE = "Preview Image"
    CATEGORY = "image"
    RETURN_TYPES = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {"images": ("IMAGE",)},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save_images(
        self, images: Tensor, prompt: dict | None = None, extra_pnginfo: dict | None = None
    ) -> dict:
        return _saved_images(
            images, _temporary_prefix(), "temp", workflow_tags(prompt, extra_pnginfo)
        )


def _saved_images(images: Tensor, prefix: str, folder_type: str, tags: Mapping[str, str]) -> dict:
    from ..media.pngs import png_bytes

    saved = []
    size = (images.shape[2], images.shape[1])
    for path, entry in _places(prefix, folder_type, ".png", len(images), size):
        check_stop()
        replace_file(path, png_bytes(images[len(saved)], tags))
        saved.append(entry)
    return {"ui": {"images": saved}}


FILE_NODES: dict[str, type] = {
    "LoadAudio": LoadAudio,
    "SaveAudio": SaveAudio,
    "SaveAudioMP3": SaveAudioMP3,
    "SaveAudioOpus": SaveAudioOpus,
    "PreviewAudio": PreviewAudio,
    "SaveImage": SaveImage,
    "PreviewImage": PreviewImage,
}
