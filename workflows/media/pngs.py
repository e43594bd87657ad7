"""Pictures as PNG files (ISO/IEC 15948), 8 bits a channel, with text tags in front."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...models.refused import Refused
from .tags import PNG_SIGNATURE

if TYPE_CHECKING:
    from torch import Tensor

COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""channels → what PNG calls grey, RGB and RGB with alpha"""


def png_bytes(image: Tensor, tags: Mapping[str, str]) -> bytes:
    """`[H, W, C]` in 0 … 1, beyond which it is clipped, as a file.

    Steps are rounded down, as ComfyUI's are: one picture gives one file in both.
    Raises Refused for anything else.
    """
    import torch

    if image.ndim != 3 or 0 in image.shape or image.shape[2] not in COLOUR_TYPES:
        expected = "[height, width, 1, 3 or 4 channels]"
        raise Refused(
            "cannot write a picture", got=f"the shape {list(image.shape)}", expected=expected
        )
    if not image.isfinite().all():
        raise Refused("cannot write a picture", got="values that are NaN or infinite")
    height, width, channels = image.shape
    pixels = (image.detach().cpu() * 255).clamp(0, 255).to(torch.uint8).reshape(height, -1)
    rows = torch.cat([pixels.new_zeros(height, 1), pixels], dim=1)  # 0: a row as it is, unfiltered
    size = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    texts = [_chunk(b"tEXt", _text(name, text)) for name, text in tags.items()]
    body = _chunk(b"IDAT", zlib.compress(rows.numpy().tobytes(), 6))
    return b"".join([PNG_SIGNATURE, _chunk(b"IHDR", size), *texts, body, _chunk(b"IEND", b"")])


def _text(name: str, text: str) -> bytes:
    """JSON is written in ASCII, which Latin-1 contains."""
    return name.encode("latin-1", "replace") + b"\0" + text.encode("latin-1", "replace")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
