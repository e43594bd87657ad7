"""Twins of the nodes that save pictures: PNG files, with the graph in their tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models.disk.files import replace_file
from ...nodes.graph_tags import HIDDEN, item_tags
from ...nodes.host import check_stop
from .saving import places, prefix_answer, temporary_prefix

if TYPE_CHECKING:
    from torch import Tensor

ENDING = "_.png"


class SaveImage:
    TITLE = "Save Image"
    CATEGORY = "image"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "save_images"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        prefix = ("STRING", {"default": "ComfyUI"})
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": prefix},
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        return prefix_answer(filename_prefix, ENDING)

    def save_images(
        self,
        images: Tensor,
        filename_prefix: str = "ComfyUI",
        prompt: dict | None = None,
        extra_pnginfo: dict | None = None,
    ) -> dict:
        return _saved(images, filename_prefix, "output", (prompt, extra_pnginfo))


class PreviewImage:
    TITLE = "Preview Image"
    CATEGORY = "image"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "save_images"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"images": ("IMAGE",)}, "hidden": HIDDEN}

    def save_images(
        self, images: Tensor, prompt: dict | None = None, extra_pnginfo: dict | None = None
    ) -> dict:
        return _saved(images, temporary_prefix(), "temp", (prompt, extra_pnginfo))


class GetImageSize:
    TITLE = "Get Image Size"
    CATEGORY = "image"
    RETURN_TYPES = ("INT", "INT", "INT")
    RETURN_NAMES = ("width", "height", "batch_size")
    FUNCTION = "measure"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"image": ("IMAGE",)}}

    def measure(self, image: Tensor) -> tuple[int, int, int]:
        items, height, width = image.shape[:3]
        return width, height, items


def _saved(
    images: Tensor, prefix: str, folder_type: str, graph: tuple[dict | None, dict | None]
) -> dict:
    """`graph`: in API format, and what goes beside it."""
    from ..media.pngs import png_bytes
    from ..media.video import whole

    saved, pictures = [], whole(images)
    size = (pictures.shape[2], pictures.shape[1])
    for path, entry in places(prefix, folder_type, ENDING, len(pictures), size):
        check_stop()
        tags = item_tags(*graph, len(saved), len(pictures))
        replace_file(path, png_bytes(pictures[len(saved)], tags))
        saved.append(entry)
    return {"ui": {"images": saved}, "result": (images,)}


NODES: dict[str, type] = {
    "SaveImage": SaveImage,
    "PreviewImage": PreviewImage,
    "GetImageSize": GetImageSize,
}
