"""What is done of a batch: `manifest.jsonl` in the place of its results, a line for each finished
job.

A line is written behind its files. A process that is killed leaves half a line at most, which the
next one cuts off; the last line of an id counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...models.disk.files import open_file
from ...models.quoting import shown
from ...models.refused import Refused
from .jobs import BatchJob, JobOutcome

NAME = "manifest.jsonl"
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
    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


class Manifest:
    """Of a folder. One process at a time."""

    def __init__(self, folder: Path):
        self._path = folder / NAME

    def entries(self) -> dict[str, ManifestLine]:
        """By id; cuts off half a line. Raises Refused for a file of something else."""
        if not self._path.exists():
            return {}
        with open_file(self._path) as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        found = entries_of(str(self._path), whole)
        if len(whole) < len(content):
            with open(self._path, "r+b") as file:
                file.truncate(len(whole))
        return found

    def add(self, entry: ManifestLine) -> None:
        """Raises Refused where it cannot be written."""
        try:
            with open(self._path, "ab") as file:
                file.write(entry.line.encode())
        except OSError as error:
            raise Refused(f"cannot write {self._path}", got=error.strerror or error) from error

    def close(self) -> None:
        """All that was added is there already."""


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
