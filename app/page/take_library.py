"""The takes that were made, as a folder of sound files: the folder is the database.

Each file says in its tags how it was made, so takes are found again after a restart, on another
machine, and after they were moved about in a file manager. Beside the files lies one hidden folder:
pictures, which can be drawn again, and what was deleted within the last day.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.config import MAX_DURATION_S
from ...models.disk.files import replace_file
from ...models.refused import Refused
from ...workflows.media.audio import read_audio, write_audio
from ...workflows.media.retag import TAGGED_SUFFIXES, all_tags, copy_with_tags, duration_of
from ...workflows.media.tags import TAGS
from ..studio.sounds import plain, uploaded

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.bars import Bars

log = logging.getLogger("musicgraph")

NOTE_TAG = "musicgraph_take"
"""the tag that makes a file of sound a take: a `Note` as JSON"""
HIDDEN = ".musicgraph"
KEEP_DELETED_S = 24 * 3600.0
PICTURE_SIZE = (1024, 256)
MAX_TITLE_CHARACTERS = 2000
ID = re.compile(r"[0-9a-f]{16}")
SOUND = re.compile(r"[a-z0-9-]+(\.[a-z0-9.]*)?")
"""as `taken_in` names them"""


@dataclass(frozen=True)
class Note:
    """What a take's file says of it, beside its graph."""

    title: str
    duration_s: float
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    made_at: float = field(default_factory=time.time)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """what stood in the form, by the page's names; empty for what a graph has made"""
    engine: str = ""
    sounds: Mapping[str, str] = field(default_factory=dict)
    """what it follows, or was made around: one of SOUNDS, or `recording` → the name of a copy in
    the library
    """
    of: str = ""
    """the id of the take that it was made of"""
    doing: Mapping[str, Any] = field(default_factory=dict)
    """what was done with that one, as `from_take.read_doing` reads it"""
    is_favourite: bool = False
    was_stopped: bool = False
    """whether it ends where somebody pressed Stop"""
    came: str = ""
    """how, where neither words nor a graph have made it: `brought` along, or `played`"""
    run: str = ""
    """the id of the run that made it, by which a page finds it when the server was started anew"""

    @classmethod
    def parse(cls, text: str) -> Note | None:
        """None for what no page has written."""
        try:
            given = json.loads(text)
            known = {name: given[name] for name in cls.__dataclass_fields__ if name in given}
            note = cls(**known)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        return note if note._is_sound() else None

    def _is_sound(self) -> bool:
        """Whether all is of its type: strangers' files may lie in the folder too."""
        numbers = (self.duration_s, self.made_at)
        return (
            all(isinstance(one, (int, float)) and 0 <= one < 1e12 for one in numbers)
            and isinstance(self.id, str)
            and ID.fullmatch(self.id) is not None
            and isinstance(self.title, str)
            and isinstance(self.engine, str)
            and isinstance(self.is_favourite, bool)
            and isinstance(self.was_stopped, bool)
            and isinstance(self.of, str)
            and isinstance(self.run, str)
            and isinstance(self.came, str)
            and isinstance(self.settings, dict)
            and isinstance(self.doing, dict)
            and isinstance(self.sounds, dict)
            and all(isinstance(one, str) and SOUND.fullmatch(one) for one in self.sounds.values())
        )

    def tags(self) -> dict[str, str]:
        date = time.strftime("%Y-%m-%d", time.localtime(self.made_at))
        return {"title": self.title, "date": date, NOTE_TAG: json.dumps(asdict(self))}


@dataclass(frozen=True)
class Origin:
    """The take that another is made of, what is done with it, and what the other is called."""

    of: str
    doing: Mapping[str, Any]
    title: str


@dataclass(frozen=True)
class Take:
    """One piece of music, and the file that it lies in."""

    note: Note
    path: Path

    @property
    def id(self) -> str:
        return self.note.id

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.note), "file": self.path.name}


class Library:
    """The takes in a folder, which appears with the first one. Safe for several threads."""

    def __init__(self, folder: Path, *, keep_s: float | None = None):
        """`keep_s`: after so long whoever owns the folder removes what lies in it; None: it
        stays.
        """
        self.folder, self.keep_s = folder, keep_s
        self._lock = threading.RLock()
        self._read: dict[str, tuple[tuple[int, int], Note | None]] = {}

    # ------------------------------------------------------------ reading

    def takes(self) -> list[Take]:
        """Newest first. Files that changed since are read again; of copies one is shown."""
        with self._lock:
            found = {note.id: Take(note, path) for path, note in self._notes(self.folder)}
        return sorted(found.values(), key=lambda take: take.note.made_at, reverse=True)

    def take(self, id: str) -> Take:
        for take in self.takes():
            if take.id == id:
                return take
        raise Refused("this take", got="none of that kind here", remedy="reload the page")

    def _notes(self, folder: Path) -> Iterable[tuple[Path, Note]]:
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(folder.iterdir(), reverse=True):
                if path.suffix.lower() in TAGGED_SUFFIXES and not path.name.startswith("."):
                    if (note := self._note(path)) is not None:
                        yield path, note

    def _note(self, path: Path) -> Note | None:
        try:
            facts = path.stat()
            state = (facts.st_mtime_ns, facts.st_size)
            known = self._read.get(str(path))
            if known is None or known[0] != state:
                known = (state, Note.parse(all_tags(path).get(NOTE_TAG, "")))
                self._read[str(path)] = known
        except (Refused, OSError):  # gone meanwhile, or no sound: not a take
            return None
        return known[1]

    def picture(self, id: str) -> Path:
        """Waveform above mel spectrogram, as JPEG; drawn when it is first asked for."""
        path = self.folder / HIDDEN / f"{id}.jpg"
        if not path.is_file():
            sound, rate = read_audio(self.take(id).path)
            draw_picture(sound, rate, path)
        return path

    def sound(self, id: str, how: str) -> Path | None:
        """What a take follows, or was made around; None if there is none, or it has gone."""
        name = self.take(id).note.sounds.get(how)
        path = self.folder / HIDDEN / "sounds" / name if name else None
        return path if path is not None and path.is_file() else None

    # ------------------------------------------------------------ changing

    def keep_sound(self, path: str) -> str:
        """A copy of an upload that takes follow. Returns the name that their notes have for it."""
        folder = self.folder / HIDDEN / "sounds"
        folder.mkdir(parents=True, exist_ok=True)
        return uploaded(path, folder)

    def add(
        self,
        sound: Tensor,
        sample_rate: int,
        note: Note,
        tags: Mapping[str, str],
        loop: Bars | None = None,
    ) -> Take:
        """Writes float `[C, T]`. Raises Refused for what cannot be written."""
        with self._lock:
            path = self._free_path(note, ".flac")
            write_audio(path, sound, sample_rate, tags={**tags, **note.tags()}, loop=loop)
        return Take(note, path)

    def take_in(self, source: Path, title: str, tags: Mapping[str, str]) -> Take:
        """A copy of a file that a graph has saved, with its tags; of one that has no place for any,
        a FLAC with `tags`. Raises Refused.
        """
        note = Note(title[:MAX_TITLE_CHARACTERS], duration_of(source))
        if source.suffix.lower() not in TAGGED_SUFFIXES:
            return self.add(*read_audio(source), note, tags)
        with self._lock:
            path = self._free_path(note, source.suffix.lower())
            copy_with_tags(source, path, note.tags())
        return Take(note, path)

    def welcome(self, source: Path, title: str) -> Take:
        """A sound from elsewhere, as FLAC. What a page has made keeps its words and settings.

        Raises Refused for what is no sound, and for one that is longer than music may be.
        """
        (sound, rate), tags = read_audio(source), all_tags(source)
        duration_s = sound.shape[-1] / rate
        if duration_s > MAX_DURATION_S:
            got, expected = f"{duration_s:.0f} s", f"at most {MAX_DURATION_S:g} s"
            raise Refused("this sound", got=got, expected=expected, remedy="cut it first")
        own = {one: tags[one] for one in TAGS if one in tags}
        came = "" if own else "brought"
        note = Note(title[:MAX_TITLE_CHARACTERS] or "A sound", duration_s, came=came)
        if (told := Note.parse(tags.get(NOTE_TAG, ""))) is not None:
            same = {"settings": told.settings, "engine": told.engine, "came": told.came or came}
            note = replace(note, title=told.title, **same)
        return self.add(sound, rate, note, own)

    def rename(self, id: str, title: str) -> Take:
        """Title and file get the name."""
        title = " ".join(title.split())[:MAX_TITLE_CHARACTERS]
        if not title:
            raise Refused("name", got="nothing", expected="a few words", remedy="type a name")
        return self._changed(id, title=title)

    def favour(self, id: str, is_favourite: bool) -> Take:
        return self._changed(id, is_favourite=is_favourite)

    def _changed(self, id: str, **changes: Any) -> Take:
        with self._lock:
            old = self.take(id)
            note = replace(old.note, **changes)
            is_renamed = note.title != old.note.title
            path = self._free_path(note, old.path.suffix) if is_renamed else old.path
            copy_with_tags(old.path, path, note.tags())
            if is_renamed:
                old.path.unlink(missing_ok=True)
        return Take(note, path)

    def remove(self, id: str) -> None:
        """Out of sight, for a day within which it can be restored."""
        with self._lock:
            take, bin_ = self.take(id), self.folder / HIDDEN / "deleted"
            bin_.mkdir(parents=True, exist_ok=True)
            self._empty_bin(bin_)
            gone = bin_ / f"{id}{take.path.suffix}"
            take.path.rename(gone)
            gone.touch()  # from now on it counts

    def restore(self, id: str) -> Take:
        with self._lock:
            for path, note in self._notes(self.folder / HIDDEN / "deleted"):
                if note.id == id:
                    return Take(note, path.rename(self._free_path(note, path.suffix)))
        raise Refused("this take", got="nothing that was deleted", remedy="reload the page")

    def _empty_bin(self, folder: Path) -> None:
        for path in folder.iterdir():
            if path.stat().st_mtime < time.time() - KEEP_DELETED_S:
                path.unlink(missing_ok=True)

    def _free_path(self, note: Note, suffix: str) -> Path:
        when = time.strftime("%Y-%m-%d-%H%M", time.localtime(note.made_at))
        stem, number = f"{plain(note.title, 'music')}-{when}", 1
        path = self.folder / f"{stem}{suffix}"
        while path.exists():
            number += 1
            path = self.folder / f"{stem}-{number}{suffix}"
        return path


def draw_picture(sound: Tensor, sample_rate: int, path: Path) -> None:
    """Waveform above mel spectrogram of `[C, samples]`, as JPEG."""
    import io

    from PIL import Image

    from ...models.dsp import picture

    pixels = (picture(sound, sample_rate, *PICTURE_SIZE) * 255).byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    replace_file(path, buffer.getvalue())
