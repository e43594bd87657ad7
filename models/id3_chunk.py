"""Texts for a WAV file: an ID3 tag in a chunk of its own."""

from __future__ import annotations

import struct
from collections.abc import Mapping


def id3_chunk(tags: Mapping[str, str]) -> bytes:
    """A chunk of a WAV file with these texts (ID3v2.4, a TXXX frame in UTF-8 for each); empty
    without any.
    """
    if not tags:
        return b""
    frames = b"".join(_text_frame(name, text) for name, text in tags.items())
    tag = b"ID3\x04\0\0" + _as_syncsafe(len(frames)) + frames
    return b"id3 " + struct.pack("<I", len(tag)) + tag + b"\0" * (len(tag) % 2)


def _text_frame(name: str, text: str) -> bytes:
    body = b"\x03" + f"{name}\0{text}".encode("utf-8", "replace")
    return b"TXXX" + _as_syncsafe(len(body)) + b"\0\0" + body


def _as_syncsafe(number: int) -> bytes:
    """Seven bits a byte."""
    return bytes(number >> bits & 0x7F for bits in (21, 14, 7, 0))
