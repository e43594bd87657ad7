"""What tells one model's files from another's, on any machine, at the price of a look.

A `fingerprint` knows times and inodes, so it changes with a copy. This digest is of contents: the
settings, the size of each weights file, and pieces of it that lie evenly apart, since a model that
was trained further differs everywhere.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import BinaryIO

from .contract import fingerprint

PIECES, PIECE_BYTES = 64, 16 * 1024
SETTINGS = ("config.json", "adapter_config.json")
HASH_CHARACTERS = 32


def content_digest(folder: Path) -> str:
    """SHA-256 of the sampled contents of a checkpoint's or an adapter's folder, cut to 32 digits;
    empty if a file cannot be read.
    """
    try:
        return _digest(folder, fingerprint(folder))
    except OSError:
        return ""


@functools.lru_cache(maxsize=32)
def _digest(folder: Path, fingerprint: str) -> str:
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode("utf-8", "replace"))
        with open(path, "rb") as file:
            _add_pieces(digest, file, path.stat().st_size)
    return digest.hexdigest()[:HASH_CHARACTERS]


def _files(folder: Path) -> list[Path]:
    """Where both layouts lie side by side, Hugging Face's is the one that is read."""
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    return weights + [folder / name for name in SETTINGS if (folder / name).is_file()]


def _add_pieces(digest: hashlib._Hash, file: BinaryIO, size: int) -> None:
    if size <= PIECES * PIECE_BYTES:
        digest.update(file.read())
        return
    for number in range(PIECES):
        file.seek((size - PIECE_BYTES) * number // (PIECES - 1))
        digest.update(file.read(PIECE_BYTES))
