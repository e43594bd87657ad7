"""Where results of a batch go. Files and folders appear there whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ...models.disk import part_files
from ...models.disk.files import check_folder_writable, replace_file
from ...models.refused import Refused

MARK = "://"


class Destination(Protocol):
    def write(self, name: str, content: bytes) -> None:
        """Raises Refused where it cannot be written."""
        ...

    def folder(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A folder to fill, which becomes `name` if the block ends well. Raises Refused."""
        ...

    def has(self, name: str) -> bool: ...


class FolderDestination:
    def __init__(self, folder: Path):
        self._folder = folder

    def write(self, name: str, content: bytes) -> None:
        replace_file(self._folder / name, content)

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        target = self._folder / name
        with tempfile.TemporaryDirectory(prefix=".mg-", suffix=".made", dir=self._folder) as held:
            made = Path(held) / "made"
            made.mkdir()
            yield made
            try:
                if target.exists():  # of a process that was killed before it could say so
                    target.rename(Path(held) / "old")
                made.rename(target)
            except OSError as error:
                raise Refused(f"cannot write {target}", got=error.strerror or error) from error

    def has(self, name: str) -> bool:
        return (self._folder / name).exists()

    def prepare(self) -> None:
        """Makes the folder, and removes what killed processes have left in it. Raises Refused."""
        check_folder_writable(self._folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"cannot make {self._folder}", got=error.strerror or error) from error
        part_files.sweep(self._folder)
        for left in self._folder.glob(".mg-*.made"):
            shutil.rmtree(left, ignore_errors=True)


class Nowhere:
    """For trials: what is made is let go."""

    def write(self, name: str, content: bytes) -> None:
        pass

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="musicgraph-") as held:
            yield Path(held)

    def has(self, name: str) -> bool:
        return False


def destination_at(text: str) -> Destination:
    """A folder's path, or nothing for a trial."""
    return FolderDestination(Path(text)) if text else Nowhere()
