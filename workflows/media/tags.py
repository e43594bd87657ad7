"""The tags in which ComfyUI keeps the graph that made a file, and ours beside them, read from
strangers' files.

Only the tags that are wanted are unpacked, and no further than a workflow may be long.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...models.disk.files import open_file
from .audio import open_container
from .id3 import MAX_TAG_BYTES, too_large

WORKFLOW_TAGS = ("prompt", "workflow")
TAGS = (*WORKFLOW_TAGS, "musicgraph")
"""the third says what a graph does not: which model that was, which seed, which engine"""
MAX_CHUNKS = 10_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST_KEYWORD = 80


def read_tags(path: str | Path) -> dict[str, str]:
    """Those of `TAGS` that an audio, video or PNG file has."""
    with open_file(path) as file:
        if file.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE:
            return dict(_png_texts(file, path))
    with open_container(path) as container:
        dictionaries = [container.metadata, *(stream.metadata for stream in container.streams)]
    found = {name.lower(): text for tags in reversed(dictionaries) for name, text in tags.items()}
    wanted = {name: found[name] for name in TAGS if name in found}
    for name, text in wanted.items():
        if len(text) > MAX_TAG_BYTES:
            raise too_large(path, f"the tag {name} of {len(text) >> 20} MB")
    return wanted


# ---------------------------------------------------------------- PNG


def _png_texts(file: BinaryIO, path: str | Path) -> Iterator[tuple[str, str]]:
    """The wanted text chunks in front of the image data; damaged ones are passed over."""
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind in (b"IDAT", b"IEND"):
            return
        end = file.tell() + size + 4
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, rest = file.read(min(size, LONGEST_KEYWORD)).partition(b"\0")
            if (name := keyword.decode("latin-1").lower()) in TAGS:
                if size > MAX_TAG_BYTES:
                    raise too_large(path, f"the tag {name} of {size >> 20} MB")
                rest += file.read(max(0, size - LONGEST_KEYWORD))
                if (text := _png_text(kind, rest, path)) is not None:
                    yield name, text
        file.seek(end)


def _png_text(kind: bytes, rest: bytes, path: str | Path) -> str | None:
    """What stands behind the keyword and its zero byte; None if it is damaged."""
    if kind == b"tEXt":
        return rest.decode("latin-1")
    compressed = kind == b"zTXt" or rest[:1] == b"\x01"
    data = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
    if compressed:
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(data, MAX_TAG_BYTES)
        except zlib.error:
            return None
        if unpacking.unconsumed_tail:
            raise too_large(path, f"a tag that unpacks to more than {MAX_TAG_BYTES >> 20} MB")
    return data.decode("latin-1" if kind == b"zTXt" else "utf-8", "replace")
