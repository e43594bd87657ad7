"""A folder of sound files with captions: `NAME.txt` beside each, or one table for all.

    captions.csv      two columns with the headings file,caption
    captions.jsonl    an object {"file": …, "caption": …} on each line

Every sound has a caption and every caption a sound, or nothing begins. Knows no model.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...models.disk.files import open_file
from ...models.quoting import shown
from ...models.refused import Refused
from ...workflows.media.audio import probe_audio
from ...workflows.request import MAX_PROMPT_CHARACTERS

SOUNDS = tuple(".wav .flac .mp3 .ogg .opus .m4a .aac .aif .aiff .wma .webm".split())
TABLES = ("captions.csv", "captions.jsonl")
MAX_FILES = 10_000
MAX_TEXT_BYTES = 16 * 2**20
NAMED = 3
"""how many files a message names"""


@dataclass(frozen=True)
class CaptionedSound:
    path: Path
    caption: str


def read_folder(folder: Path) -> list[CaptionedSound]:
    """In the order of the names. Opens each sound, and decodes none.

    Raises Refused: no folder, an empty one, sounds without captions, captions without sounds, a
    caption that is empty or too long, a file that is no sound.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise Refused(str(folder), got=got, expected="a folder of sound files with captions")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    sounds = [name for name in names if name.lower().endswith(SOUNDS) and name[0] != "."]
    if not 1 <= len(sounds) <= MAX_FILES:
        raise Refused(
            str(folder),
            got=f"{len(sounds)} sound files",
            expected=f"1 to {MAX_FILES}, each with a caption",
            remedy=f"put sounds into it ({' '.join(SOUNDS)}), and beside each NAME.txt",
        )
    captions = _captions(folder, names)
    _check_pairs(folder, sounds, captions)
    found = [CaptionedSound(folder / name, captions[name]) for name in sounds]
    for one in found:
        _check_caption(one)
        probe_audio(one.path)
    return found


def _captions(folder: Path, names: list[str]) -> dict[str, str]:
    """Sound file → caption, from wherever captions are; a text without a sound under its own
    name.
    """
    tables = [name for name in TABLES if name in names]
    texts = [name for name in names if name.lower().endswith(".txt")]
    if len(tables) + bool(texts) > 1:
        got = " and ".join([*tables, *texts[:1]])
        raise Refused(str(folder), got=got, expected="captions in one place", remedy="remove one")
    if tables:
        rows = list(_table(folder / tables[0]))
        captions = dict(rows)
        if len(captions) < len(rows):
            twice = next(name for name, _ in rows if sum(name == one for one, _ in rows) > 1)
            raise Refused(str(folder / tables[0]), got=f"{shown(twice)} twice", expected="once")
        return captions
    by_stem = {Path(name).stem: name for name in names if name.lower().endswith(SOUNDS)}
    return {by_stem.get(Path(text).stem, text): _text(folder / text) for text in texts}


def _table(path: Path) -> Iterator[tuple[str, str]]:
    lines = _text(path).splitlines()
    rows = csv.DictReader(lines) if path.suffix == ".csv" else map(_object, lines)
    for number, row in enumerate(rows, start=1):
        name, caption = row.get("file"), row.get("caption")
        if not isinstance(name, str) or not isinstance(caption, str):
            raise Refused(
                f"{path}: entry {number}",
                got=shown(row),
                expected="file and caption, both as text",
                remedy="name the columns file,caption" if path.suffix == ".csv" else "",
            )
        yield name, caption


def _object(line: str) -> dict:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"line": line}


def _text(path: Path) -> str:
    with open_file(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    try:
        if len(content) > MAX_TEXT_BYTES:
            raise Refused(str(path), got="more than 16 MiB", expected="captions")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(str(path), got="bytes that are no UTF-8", expected="text") from error


def _check_pairs(folder: Path, sounds: list[str], captions: dict[str, str]) -> None:
    without = [name for name in sounds if name not in captions]
    if without:
        raise Refused(
            str(folder),
            got=f"{len(without)} sounds without a caption: {_some(without)}",
            expected="a caption for each",
            remedy=f"write {Path(without[0]).stem}.txt beside it, or a line in captions.csv",
        )
    left = [name for name in captions if name not in sounds]
    if left:
        raise Refused(
            str(folder),
            got=f"{len(left)} captions without a sound: {_some(left)}",
            expected="a sound for each",
            remedy="add the sound or remove the caption",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown(name) for name in names[:NAMED]) + more


def _check_caption(sound: CaptionedSound) -> None:
    caption = sound.caption.strip()
    if not 1 <= len(caption) <= MAX_PROMPT_CHARACTERS:
        raise Refused(
            f"caption of {sound.path}",
            got=f"{len(caption)} characters",
            expected=f"1 to {MAX_PROMPT_CHARACTERS}",
            remedy="say in a sentence what is heard",
        )
