"""Twins of the nodes that load, make, cut, take apart and save videos."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.graph_tags import HIDDEN, item_tags
from ...nodes.host import current_run
from ...nodes.names import input_path
from .files import files_of_kinds
from .saving import places, prefix_answer

if TYPE_CHECKING:
    from torch import Tensor

    from ..media.video import StoredPictures, Video

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""

ENDING = "_.mp4"


class LoadVideo:
    TITLE = "Load Video"
    CATEGORY = "video"
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        names = files_of_kinds(current_run().input_dir, "video")
        return {"required": {"file": (names, {"video_upload": True})}}

    @classmethod
    def VALIDATE_INPUTS(cls, file: str) -> bool | str:
        from ..media.video import probe_video

        try:
            probe_video(input_path(file))
        except Refused as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, file: str) -> str:
        """By size and time, since a video is large."""
        facts = os.stat(input_path(file))
        return f"{facts.st_size} {facts.st_mtime_ns}"

    def load(self, file: str) -> tuple[Video]:
        from ..media.video import Clip, probe_video

        path = input_path(file)
        probe_video(path)
        return (Clip(path),)


class CreateVideo:
    TITLE = "Create Video"
    CATEGORY = "video"
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "create"
    DESCRIPTION = "A video made of pictures, with a sound or without."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        fps = {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0}
        depth = {"default": 8, "min": 8, "max": 10, "step": 2, "tooltip": "bits of a colour"}
        return {
            "required": {"images": ("IMAGE",), "fps": ("FLOAT", fps)},
            "optional": {"audio": ("AUDIO",), "bit_depth": ("INT", depth)},
        }

    def create(
        self,
        images: Tensor | StoredPictures,
        fps: float,
        audio: Audio | None = None,
        bit_depth: int = 8,
    ) -> tuple[Video]:
        from ..media.video import Pictures

        if not (math.isfinite(fps) and 1 <= fps <= 1000):
            raise Refused(
                "cannot make a video", got=f"{fps} pictures a second", expected="1 to 120"
            )
        depth = 10 if bit_depth >= 10 else 8
        return (Pictures(_checked(images), Fraction(fps), audio, depth),)


def _checked(images: Tensor | StoredPictures) -> Tensor | StoredPictures:
    """`[B, H, W, 3]`; those of a file are what they are."""
    from ..media.video import StoredPictures

    if isinstance(images, StoredPictures):
        return images
    if images.ndim != 4 or 0 in images.shape or images.shape[3] not in (3, 4):
        expected = "[1 or more pictures, height, width, 3 colours]"
        raise Refused("cannot make a video", got=f"{list(images.shape)}", expected=expected)
    if not images.isfinite().all():
        raise Refused("cannot make a video", got="colours that are NaN or infinite")
    return images[..., :3]


class GetVideoComponents:
    TITLE = "Get Video Components"
    CATEGORY = "video"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", "INT")
    RETURN_NAMES = ("images", "audio", "fps", "bit_depth")
    FUNCTION = "take_apart"
    DESCRIPTION = "The pictures of a video, its sound, its rate and the bits of a colour."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"video": ("VIDEO",)}}

    def take_apart(self, video: Video) -> tuple[Tensor | StoredPictures, Audio | None, float, int]:
        from ..media.video import unpacked

        parts = unpacked(video)
        return parts.images, parts.audio, float(parts.frame_rate), parts.bit_depth


class VideoSlice:
    TITLE = "Trim Video"
    CATEGORY = "video"
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "trim"
    DESCRIPTION = "A part of a video."

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        start = {"default": 0.0, "min": -1e5, "max": 1e5, "step": 0.001}
        duration = {"default": 0.0, "min": 0.0, "step": 0.001}
        strict = {"default": False, "tooltip": "whether a shorter part is an error"}
        return {
            "required": {
                "video": ("VIDEO",),
                "start_time": ("FLOAT", {**start, "tooltip": "in s; negative: from the end"}),
                "duration": ("FLOAT", {**duration, "tooltip": "in s; 0: up to the end"}),
                "strict_duration": ("BOOLEAN", strict),
            }
        }

    def trim(
        self, video: Video, start_time: float, duration: float, strict_duration: bool
    ) -> tuple[Video]:
        from ..media.video import length_s, trimmed

        part = trimmed(video, start_time, duration)
        left_s = length_s(part)
        if left_s <= 0 or (strict_duration and left_s < duration):
            raise Refused(
                "this part is not in the video",
                got=f"{left_s:g} s from {start_time:g} s on",
                expected=f"{duration:g} s" if strict_duration else "some of it",
            )
        return (part,)


class SaveVideo:
    """In ComfyUI the choice of a codec brings widgets of its own, such as `codec.encoding`; here
    those are optional inputs.
    """

    TITLE = "Save Video"
    CATEGORY = "video"
    RETURN_TYPES = ("VIDEO",)
    RETURN_NAMES = ("video",)
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        crf = {"default": 23.0, "min": 0.0, "max": 51.0, "step": 1.0, "tooltip": "lower is better"}
        return {
            "required": {
                "video": ("VIDEO",),
                "filename_prefix": ("STRING", {"default": "video/ComfyUI"}),
                "format": (["auto", "mp4"], {"default": "auto"}),
                "codec": (["auto", "h264"], {}),
            },
            "optional": {
                "codec.encoding": (["auto", "re-encode"], {"by_choice": {"h264": "auto"}}),
                "codec.encoding.crf": ("FLOAT", crf | {"by_choice": {"re-encode": 23.0}}),
            },
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        return prefix_answer(filename_prefix, ENDING)

    def save(
        self,
        video: Video,
        filename_prefix: str,
        format: str = "auto",
        codec: str = "auto",
        prompt: dict | None = None,
        extra_pnginfo: dict | None = None,
        **others: Any,
    ) -> dict:
        from ..media.video import size
        from ..media.video_files import write_video

        encodes = codec == "h264" and others.get("codec.encoding") == "re-encode"
        crf = others.get("codec.encoding.crf", 23.0) if encodes else None
        tags = item_tags(prompt, extra_pnginfo)
        ((path, entry),) = places(filename_prefix, "output", ENDING, 1, size(video))
        write_video(path, video, tags=tags, container=format, codec=codec, crf=crf)
        return {"ui": {"images": [entry], "animated": (True,)}, "result": (video,)}


NODES: dict[str, type] = {
    "LoadVideo": LoadVideo,
    "CreateVideo": CreateVideo,
    "GetVideoComponents": GetVideoComponents,
    "Video Slice": VideoSlice,
    "SaveVideo": SaveVideo,
}
