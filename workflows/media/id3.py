"""ID3 tags, looked at before FFmpeg reads them, which unpacks compressed frames before anybody can
bound them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from ...models.disk.files import name_of
from ...models.refused import Refused

MAX_TAG_BYTES = 16 * 2**20
"""of one tag, unpacked: as much as a workflow's JSON may have"""
MAX_CHUNKS = 10_000
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def check_id3(file: BinaryIO, path: str | Path) -> None:
    """Raises Refused if an ID3 tag of the file is larger than a tag may be, or would be once it is
    unpacked.
    """
    for place in _id3_places(file):
        file.seek(place)
        head = file.read(10)
        if head[:3] != b"ID3":
            continue
        size = _syncsafe(head[6:10])
        if size > MAX_TAG_BYTES:
            raise too_large(path, f"an ID3 tag of {size >> 20} MB")
        unpacked = sum(_id3_claims(file.read(size), head[3]))
        if unpacked > MAX_TAG_BYTES:
            raise too_large(path, f"an ID3 tag that unpacks to {unpacked >> 20} MB")


def _id3_places(file: BinaryIO) -> Iterator[int]:
    """Where FFmpeg looks for one: at the start, in chunks of WAV and AIFF, in the header of ASF."""
    yield 0
    file.seek(0)
    start = file.read(24)
    if start[:4] in (b"RIFF", b"RF64", b"FORM"):
        yield from _chunks_named_id3(file, "big" if start[:4] == b"FORM" else "little")
    elif start[:16] == ASF_HEADER:
        file.seek(0)
        header = file.read(min(int.from_bytes(start[16:24], "little"), MAX_TAG_BYTES))
        place = header.find(b"ID3")
        while place >= 0:
            yield place
            place = header.find(b"ID3", place + 1)


def _chunks_named_id3(file: BinaryIO, order: Literal["big", "little"]) -> Iterator[int]:
    place = 12
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        if head[:4].lower() == b"id3 ":
            yield place + 8
        size = int.from_bytes(head[4:], order)
        place += 8 + size + size % 2


def _id3_claims(tag: bytes, version: int) -> Iterator[int]:
    """The size that each compressed frame says it unpacks to."""
    place = 0
    while version in (3, 4) and place + 14 <= len(tag) and tag[place]:
        length = tag[place + 4 : place + 8]
        size = _syncsafe(length) if version == 4 else int.from_bytes(length, "big")
        claim = tag[place + 10 : place + 14]
        if version == 4 and tag[place + 9] & 0x08:
            yield max(_syncsafe(claim), size)
        elif version == 3 and tag[place + 9] & 0x80:
            yield max(int.from_bytes(claim, "big"), size)
        place += 10 + size


def _syncsafe(four: bytes) -> int:
    """A number of four bytes with seven bits each; set eighth bits are not looked at, as FFmpeg
    does not.
    """
    value = 0
    for byte in four:
        value = value << 7 | byte & 0x7F
    return value


def too_large(path: str | Path, got: str) -> Refused:
    return Refused(
        f"the tags of {name_of(path)} are too large",
        got=got,
        expected=f"at most {MAX_TAG_BYTES >> 20} MB",
        remedy="take the tags out of the file",
    )
