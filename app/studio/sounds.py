"""Sounds that people send for music to follow: which one is, and a copy of it to read."""

from __future__ import annotations

import hashlib
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from ...models.disk import part_files
from ...models.refused import Refused

MAX_NAME_CHARACTERS = 40
MAX_SUFFIX_CHARACTERS = 8
SOUNDS = ("melody", "style")
"""the ways in which a sound may be followed: each a field of a Request, and of a model's kind"""

HEARD = (*SOUNDS, "recording")
"""with the sound that music is made around: fields of a Request that name a sound"""

WORDS = {
    "melody": "A sound whose tune the music follows; for melody models.",
    "style": "A sound to sound like; for style models.",
}

MAX_KNOWN_FILES = 100_000

Sound = TypeVar("Sound")


class KnownFiles:
    """Paths that a page may name: what was uploaded in this process, and what it gave to a page
    itself. The oldest go.
    """

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def add(self, path: str) -> None:
        self._paths.pop(path, None)
        self._paths[path] = None
        while len(self._paths) > MAX_KNOWN_FILES:
            del self._paths[next(iter(self._paths))]


def followed(
    melody: Sound | None, style: Sound | None, style_guidance: float | None
) -> tuple[str, Sound | None]:
    """How a sound is followed, one of SOUNDS, and the sound; ("", None) if none is.

    Raises Refused if there are two, or no style for the guidance.
    """
    if melody is not None and style is not None:
        remedy = "choose one: no model follows both"
        raise Refused("style", got="a melody too", expected="one of them", remedy=remedy)
    if style_guidance is not None and style is None:
        expected, remedy = "a style beside the text", "send one, or leave it out"
        raise Refused("style_guidance", got="no style", expected=expected, remedy=remedy)
    if melody is not None:
        return "melody", melody
    return ("", None) if style is None else ("style", style)


def plain(words: str, otherwise: str) -> str:
    """Words as a part of a file's name: plain letters and digits, not too many."""
    bare = unicodedata.normalize("NFKD", words.lower()).encode("ascii", "ignore").decode()
    letters = re.sub(r"[^a-z0-9]+", "-", bare).strip("-")
    return letters[:MAX_NAME_CHARACTERS].strip("-") or otherwise


def taken_in(sound: BinaryIO, name: str, folder: Path) -> str:
    """Copies it into a folder, and returns its name there: made of its own and of what is in it, so
    that none takes another's place and the same one stays the same. Raises OSError.
    """
    digest = hashlib.sha256()
    while block := sound.read(1 << 20):
        digest.update(block)
    sound.seek(0)
    own = Path(name)
    suffix = re.sub(r"[^.a-z0-9]", "", own.suffix.lower())[:MAX_SUFFIX_CHARACTERS]
    mark = f"-{digest.hexdigest()[:8]}"
    kept = f"{plain(own.stem.removesuffix(mark), 'sound')}{mark}{suffix}"
    with part_files.written(folder / kept) as part, part.open("wb") as copy:
        shutil.copyfileobj(sound, copy)
    return kept


def uploaded(path: str, folder: Path) -> str:
    """`taken_in`, of a file that Gradio keeps."""
    with open(path, "rb") as sound:
        return taken_in(sound, Path(path).name, folder)
