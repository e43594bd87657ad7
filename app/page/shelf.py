"""What the visitors made: each visitor's takes and files, in a folder of their own, for a limited
time.

A visitor is a browser session. Files lie under a folder that nobody can guess and are handed out
through Gradio's cache only.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...models.disk.files import replace_file
from ...workflows.media.audio import write_audio
from ...workflows.media.formats import FORMATS
from ...workflows.request import Request
from ..studio.music import Music
from ..studio.sounds import plain

log = logging.getLogger("musicgraph")

KEEP_S = 24 * 3600.0
SUFFIXES = tuple(FORMATS[name].suffix for name in ("flac", "wav", "mp3"))
PICTURE_SIZE = (1024, 256)


@dataclass(frozen=True)
class Take:
    """One finished piece of music. `request` makes exactly this one again."""

    id: str
    request: Request
    files: tuple[Path, ...]
    """the same sound, a file for each of SUFFIXES"""
    picture: Path
    duration_s: float
    engine: str
    x_real_time: float
    made_at: float = field(default_factory=time.time)

    @property
    def title(self) -> str:
        return self.request.prompt.strip() or "No words: unconditional"


class Shelf:
    """Takes by visitor. Folders appear when the first file is made."""

    def __init__(
        self, root: Path | None = None, keep_s: float = KEEP_S, now: Callable[[], float] = time.time
    ):
        self.keep_s, self._now = keep_s, now
        self._root = root
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._takes: dict[str, tuple[Take, ...]] = {}

    def folder(self, visitor: str, purpose: str) -> Path:
        """A visitor's own folder for takes, input, output or temp."""
        with self._lock:
            if visitor not in self._folders:
                self._root = self._root or Path(tempfile.mkdtemp(prefix="musicgraph-"))
                self._folders[visitor] = self._root / secrets.token_hex(16)
            folder = self._folders[visitor] / purpose
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add(self, visitor: str, takes: tuple[Take, ...]) -> None:
        with self._lock:
            self._takes[visitor] = (*reversed(takes), *self._takes.get(visitor, ()))

    def takes(self, visitor: str) -> tuple[Take, ...]:
        """Newest first."""
        with self._lock:
            return self._takes.get(visitor, ())

    def remove(self, visitor: str, take_id: str) -> None:
        with self._lock:
            mine = self._takes.get(visitor, ())
            gone = [take for take in mine if take.id == take_id]
            self._takes[visitor] = tuple(take for take in mine if take.id != take_id)
        for take in gone:
            _delete(take)

    def sweep(self) -> None:
        """Removes what is too old: takes, and whatever else was left in a visitor's folder."""
        limit = self._now() - self.keep_s
        with self._lock:
            gone = [
                take for takes in self._takes.values() for take in takes if take.made_at < limit
            ]
            kept = {
                who: tuple(t for t in takes if t.made_at >= limit)
                for who, takes in self._takes.items()
            }
            self._takes = {who: takes for who, takes in kept.items() if takes}
            folders = dict(self._folders)
        for take in gone:
            _delete(take)
        for visitor, folder in folders.items():
            if _delete_old(folder, limit):
                with self._lock:
                    self._folders.pop(visitor, None)

    def close(self) -> None:
        """Removes everything."""
        with self._lock:
            root, self._root = self._root, None
            self._takes, self._folders = {}, {}
        if root is not None:
            shutil.rmtree(root, ignore_errors=True)


def _delete(take: Take) -> None:
    for path in (*take.files, take.picture):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else lies there, or it is gone already
        take.picture.parent.rmdir()


def _delete_old(folder: Path, limit: float) -> bool:
    """Removes a visitor's old files, then the old folders that are empty.

    Whether nothing is left of it.

    Others may delete and write at the same time: what vanishes meanwhile is as good as deleted.
    """
    inside_first = [*sorted(folder.rglob("*"), reverse=True), folder]
    for path in [path for path in inside_first if _is_older(path, limit)]:
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
    return not folder.exists()


def _is_older(path: Path, limit: float) -> bool:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime < limit
    return False


# ---------------------------------------------------------------- from music to files


def write_takes(folder: Path, request: Request, music: Music) -> tuple[Take, ...]:
    """Each item of a batch as files and a picture. Item i is what seed + i makes by itself."""
    takes = []
    for index, sound in enumerate(music.waveform):
        own = replace(request, seed=request.seed + index, variations=1)
        name = f"{plain(request.prompt, 'music')}-{own.seed}"
        place = folder / secrets.token_hex(8)
        files = tuple(place / (name + suffix) for suffix in SUFFIXES)
        for path in files:
            write_audio(path, sound, music.sample_rate, tags=music.tags)
        picture = draw_picture(sound, music.sample_rate, place / f"{name}.jpg")
        takes.append(
            Take(place.name, own, files, picture, music.duration_s, music.engine, music.x_real_time)
        )
    return tuple(takes)


def draw_picture(sound, sample_rate: int, path: Path) -> Path:
    """Waveform above mel spectrogram of `[C, samples]`, as JPEG."""
    import io

    from PIL import Image

    from ...models.dsp import picture

    pixels = (picture(sound, sample_rate, *PICTURE_SIZE) * 255).byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    replace_file(path, buffer.getvalue())
    return path
