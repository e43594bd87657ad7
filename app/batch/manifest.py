"""What is done of a batch: `manifest.jsonl` in the place of its results, a line for each finished
job.

A line is written behind its files. A process that is killed leaves half a line at most, which the
next one cuts off; the last line of an id counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...models.disk.files import open_file
from ...models.quoting import shown
from ...models.refused import Refused
from .destination import FolderDestination, RemoteDestination
from .jobs import MANIFEST as NAME
from .jobs import BatchJob, JobOutcome

PARTS = ".manifest"
DONE, ERROR = "done", "failed"
ANOTHER = "choose another --output"


@dataclass(frozen=True)
class ManifestLine:
    """A line."""

    id: str
    status: str
    files: tuple[str, ...]
    error: str
    seconds: float
    asked: Mapping[str, Any] = field(default_factory=dict)
    """what the row said, its seed and its model: `musicgraph generate` makes the same of it"""

    @classmethod
    def of(cls, job: BatchJob, outcome: JobOutcome) -> ManifestLine:
        status = ERROR if outcome.error else DONE
        return cls(job.id, status, outcome.files, outcome.error, outcome.seconds, job.asked)

    @classmethod
    def read(cls, line: str) -> ManifestLine:
        """Raises ValueError, TypeError or KeyError for a line of something else."""
        facts = json.loads(line)
        entry = cls(**{**facts, "files": tuple(facts["files"])})
        if not isinstance(entry.id, str) or entry.status not in (DONE, ERROR):
            raise ValueError(entry)
        if not isinstance(entry.asked, dict) or not all(isinstance(n, str) for n in entry.files):
            raise TypeError(entry)
        return entry

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


class Manifest(Protocol):
    """One process at a time."""

    where: str

    def entries(self) -> dict[str, ManifestLine]:
        """By id. Raises Refused for a file of something else."""
        ...

    def add(self, line: ManifestLine) -> None:
        """Raises Refused where it cannot be written."""
        ...

    def close(self) -> None: ...


class FolderManifest:
    """A file that lines are added to."""

    def __init__(self, folder: Path):
        self._path = folder / NAME
        self.where = str(self._path)

    def entries(self) -> dict[str, ManifestLine]:
        """Cuts off half a line."""
        if not self._path.exists():
            return {}
        with open_file(self._path) as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        found = entries_of(self.where, whole)
        if len(whole) < len(content):
            with open(self._path, "r+b") as file:
                file.truncate(len(whole))
        return found

    def add(self, line: ManifestLine) -> None:
        try:
            with open(self._path, "ab") as file:
                file.write(line.text.encode())
        except OSError as error:
            raise Refused(f"cannot write {self._path}", got=error.strerror or error) from error

    def close(self) -> None:
        """All that was added is there already."""


class RemoteManifest:
    """Where nothing can be added to a file: an object for each line, and one of all at the end."""

    def __init__(self, place: RemoteDestination):
        self._place, self._files = place, place.files
        self._whole, self._parts = f"{place.root}/{NAME}", f"{place.root}/{PARTS}"
        self.where = f"{place.url}/{NAME}"

    def entries(self) -> dict[str, ManifestLine]:
        with self._place.refusing():
            self._files.invalidate_cache()
            exists = self._files.exists(self._whole)
            content = self._files.cat_file(self._whole) if exists else b""
            there = self._files.exists(self._parts)
            parts = self._files.ls(self._parts, detail=False) if there else []
            content += b"".join(self._files.cat_file(part) for part in parts)
        return entries_of(self.where, content)

    def add(self, line: ManifestLine) -> None:
        name = hashlib.sha256(line.id.encode()).hexdigest()[:32]
        with self._place.refusing():
            self._files.pipe_file(f"{self._parts}/{name}.json", line.text.encode())

    def close(self) -> None:
        content = "".join(line.text for line in self.entries().values())
        with self._place.refusing():
            self._files.pipe_file(self._whole, content.encode())
            if self._files.exists(self._parts):
                self._files.rm(self._parts, recursive=True)


def manifest_at(place: FolderDestination | RemoteDestination) -> Manifest:
    if isinstance(place, FolderDestination):
        return FolderManifest(place.path)
    return RemoteManifest(place)


def entries_of(where: str, content: bytes) -> dict[str, ManifestLine]:
    """By id. Raises Refused for lines of something else."""
    found: dict[str, ManifestLine] = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        try:
            entry = ManifestLine.read(line.decode())
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Refused(
                f"{where}, line {number}",
                got=shown(line.decode(errors="replace")),
                expected="what a batch has written there",
                remedy=ANOTHER,
            ) from error
        found[entry.id] = entry
    return found


def check_same_list(
    where: str, entries: Mapping[str, ManifestLine], jobs: Sequence[BatchJob]
) -> None:
    """A list may have grown since, and rows that failed may have changed.

    Raises Refused for what is done of rows that are others now, or gone.
    """
    now = {job.id: json.loads(json.dumps(job.asked)) for job in jobs}
    done = [entry for entry in entries.values() if entry.status == DONE]
    gone = [entry.id for entry in done if entry.id not in now]
    if gone:
        raise Refused(
            where,
            got=f"results of {len(gone)} rows that this list lacks, such as {shown(gone[0])}",
            expected="a folder of this list's results, or a new one",
            remedy=ANOTHER,
        )
    for entry in done:
        asked = now[entry.id]
        names = sorted({*entry.asked, *asked})
        other = [name for name in names if entry.asked.get(name) != asked.get(name)]
        if other:
            raise Refused(
                f"{where}: id {shown(entry.id)}",
                got=f"a result of another {', '.join(other)}: {shown(entry.asked.get(other[0]))}",
                expected=f"{shown(asked.get(other[0]))}, as the list says now",
                remedy=f"{ANOTHER}, or give the row an id of its own",
            )
