"""Where the page keeps files: everybody's uploads and results in a folder of their own, for a
limited time, and the library of takes.

On one's own machine the library is one folder that stays; on a server for others each browser has
one of its own, which goes like everything else.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..studio.sounds import KnownFiles
from .take_library import Library

KEEP_S = 24 * 3600.0


class Shelf:
    """Folders by visitor. They appear when the first file is made."""

    def __init__(
        self,
        root: Path | None = None,
        keep_s: float = KEEP_S,
        now: Callable[[], float] = time.time,
        library: Path | None = None,
    ):
        """`library`: everybody's takes lie in this folder, and stay."""
        self.keep_s, self._now = keep_s, now
        self.files = KnownFiles()
        self._root = root
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._shared = Library(library) if library is not None else None

    def folder(self, visitor: str, purpose: str) -> Path:
        """A visitor's own folder for takes, input, output or temp."""
        folder = self._own(visitor) / purpose
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def takes_of(self, visitor: str) -> Library:
        """The takes that a visitor sees."""
        return self._shared or self.own_library(visitor)

    def own_library(self, visitor: str) -> Library:
        """Takes that nobody else sees, and that do not stay."""
        return Library(self._own(visitor) / "takes", keep_s=self.keep_s)

    def _own(self, visitor: str) -> Path:
        with self._lock:
            if visitor not in self._folders:
                self._root = self._root or Path(tempfile.mkdtemp(prefix="musicgraph-"))
                self._folders[visitor] = self._root / secrets.token_hex(16)
            return self._folders[visitor]

    def sweep(self) -> None:
        """Removes what is too old in visitors' folders."""
        limit = self._now() - self.keep_s
        with self._lock:
            folders = dict(self._folders)
        for visitor, folder in folders.items():
            if _delete_old(folder, limit):
                with self._lock:
                    self._folders.pop(visitor, None)

    def close(self) -> None:
        """Removes everything but a library that stays."""
        with self._lock:
            root, self._root = self._root, None
            self._folders = {}
        if root is not None:
            shutil.rmtree(root, ignore_errors=True)


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
