"""Where results of a batch go: a folder, or any place that fsspec knows (`s3://bucket/pieces`).

In a folder files and folders appear whole or not at all; elsewhere files do, if it is a store of
objects.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ...models.disk import part_files
from ...models.disk.files import check_folder_writable, replace_file
from ...models.quoting import one_line, shown
from ...models.refused import Refused

MARK = "://"
ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""a place with a slash too few; a letter alone is a drive of Windows"""
OF_A_PROCESS = re.compile(r"(^|::)memory://")
"""what only one process sees; a batch has several"""


class Destination(Protocol):
    def write(self, name: str, content: bytes) -> None:
        """Raises Refused where it cannot be written."""
        ...

    def folder(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A folder to fill, which becomes `name` if the block ends well. Raises Refused."""
        ...


class FolderDestination:
    def __init__(self, folder: Path):
        self.path = folder

    def write(self, name: str, content: bytes) -> None:
        replace_file(self.path / name, content)

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        target = self.path / name
        with tempfile.TemporaryDirectory(prefix=".mg-", suffix=".made", dir=self.path) as held:
            made = Path(held) / "made"
            made.mkdir()
            yield made
            try:
                if target.exists():  # of a process that was killed before it could say so
                    target.rename(Path(held) / "old")
                made.rename(target)
            except OSError as error:
                raise Refused(f"cannot write {target}", got=error.strerror or error) from error

    def names(self) -> set[str]:
        """Of what is there. An empty file, as a loss of power leaves it, is not."""
        there = self.path.iterdir() if self.path.is_dir() else ()
        return {path.name for path in there if path.is_dir() or _has_content(path)}

    def prepare(self) -> None:
        """Makes the folder, and removes what killed processes have left in it. Raises Refused."""
        check_folder_writable(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"cannot make {self.path}", got=error.strerror or error) from error
        part_files.sweep(self.path)
        for left in self.path.glob(".mg-*.made"):
            shutil.rmtree(left, ignore_errors=True)


class RemoteDestination:
    """Raises Refused for what fsspec does not know, or lacks a library for."""

    def __init__(self, url: str):
        from fsspec.core import url_to_fs

        try:
            self.files, self.root = url_to_fs(url)
        except Exception as error:  # whatever a place raises that is not there or lets nobody in
            expected = "a folder, or a place that fsspec knows"
            raise Refused(url, got=_words(error), expected=expected) from error
        self.url = url

    def write(self, name: str, content: bytes) -> None:
        with self.refusing():
            self.files.pipe_file(f"{self.root}/{name}", content)

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="musicgraph-") as held:
            yield Path(held)
            with self.refusing():
                for path in Path(held).rglob("*"):
                    if path.is_file():
                        target = path.relative_to(held).as_posix()
                        self.files.pipe_file(f"{self.root}/{name}/{target}", path.read_bytes())

    def names(self) -> set[str]:
        """Of what is there."""
        with self.refusing():
            self.files.invalidate_cache()
            there: list[Any] = self.files.ls(self.root, detail=False)
        return {str(path).rstrip("/").rpartition("/")[2] for path in there}

    def prepare(self) -> None:
        """Makes the place, if such places are made."""
        with self.refusing():
            self.files.makedirs(self.root, exist_ok=True)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Whatever the place does not do is a Refused."""
        try:
            yield
        except Exception as error:  # each library of a place has errors of its own
            got, remedy = _words(error), "check its name and rights"
            raise Refused(f"cannot use {self.url}", got=got, remedy=remedy) from error


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _words(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return one_line(said or str(error) or type(error).__name__)


class Nowhere:
    """For trials: what is made is let go."""

    def write(self, name: str, content: bytes) -> None:
        pass

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="musicgraph-") as held:
            yield Path(held)


def check_output(text: str) -> None:
    """Raises Refused for what can be no place for the results of several processes."""
    expected, remedy = "a folder, or a place such as s3://bucket/pieces", "name one"
    if not text.strip():
        raise Refused("--output", got="nothing", expected=expected, remedy=remedy)
    if ONE_SLASH.match(text):
        remedy = f"write {MARK}, or ./ before the name of a folder"
        raise Refused("--output", got=shown(text), expected=expected, remedy=remedy)
    if OF_A_PROCESS.search(text):
        got = f"{shown(text)}, which is gone with the process that writes it"
        raise Refused("--output", got=got, expected=expected, remedy=remedy)


def output_at(text: str) -> FolderDestination | RemoteDestination:
    """A folder's path or a URL. Raises Refused for a URL that nobody knows."""
    if MARK not in text:
        return FolderDestination(Path(text).absolute())
    remote = RemoteDestination(text)
    protocols = remote.files.protocol
    is_local = "file" in ((protocols,) if isinstance(protocols, str) else protocols)
    return FolderDestination(Path(remote.root)) if is_local else remote


def destination_at(text: str) -> Destination:
    """As `output_at`; nothing is for a trial."""
    return output_at(text) if text else Nowhere()
