"""The course of a batch: what is left to do, in groups, done by a crew, and written down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...models.config import MAX_BATCH
from ...models.disk.file_lock import locked
from ...models.refused import Refused
from .crew import Crew, Group
from .destination import FolderDestination
from .jobs import BatchJob
from .manifest import DONE, Manifest, ManifestLine, check_same_list

LOCK = ".mg-batch.lock"
TOGETHER = 8
"""items side by side at most, where nobody says"""


class CourseListener(Protocol):
    def begun(self, left: Sequence[BatchJob], earlier: int) -> None: ...

    def made(self, music_s: float) -> None:
        """So much more music; of failed jobs, too."""
        ...

    def finished(self, entry: ManifestLine) -> None: ...


@dataclass(frozen=True)
class BatchResult:
    done: int
    failed: int
    earlier: int
    """that were done before"""


def run_batch(
    jobs: Sequence[BatchJob], folder: Path, crew: Crew, together: int, workers: int,
    listener: CourseListener,
) -> BatchResult:  # fmt: skip
    """What is left of the jobs, and `manifest.jsonl`.

    Raises Refused: a folder that cannot be written or is another list's, a second process at it.
    """
    place = FolderDestination(folder)
    place.prepare()
    with _only_one(folder):
        manifest = Manifest(folder)
        left, earlier = left_of(jobs, manifest, place, str(folder))
        listener.begun(left, earlier)
        done = failed = 0
        by_id = {job.id: job for job in left}
        for outcome in crew.outcomes(groups_of(left, together, workers), listener.made):
            entry = ManifestLine.of(by_id[outcome.id], outcome)
            manifest.add(entry)
            done, failed = done + (entry.status == DONE), failed + (entry.status != DONE)
            listener.finished(entry)
        manifest.close()
    return BatchResult(done, failed, earlier)


def left_of(
    jobs: Sequence[BatchJob], manifest: Manifest, place: FolderDestination, where: str
) -> tuple[list[BatchJob], int]:
    """What is not done yet, or has lost a file since; and how many are done."""
    entries = manifest.entries()
    check_same_list(where, entries, jobs)
    made = {
        entry.id
        for entry in entries.values()
        if entry.status == DONE and all(map(place.has, entry.files))
    }
    left = [job for job in jobs if job.id not in made]
    return left, len(jobs) - len(left)


def groups_of(jobs: Sequence[BatchJob], together: int, workers: int) -> Iterator[Group]:
    """Jobs of a kind, kind by kind, so many takes at once at most; fewer where somebody would have
    nothing to do.
    """
    most = max(1, min(together, MAX_BATCH, -(-len(jobs) // workers)))
    kinds: dict[str, list[BatchJob]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    for alike in kinds.values():
        group: list[BatchJob] = []
        for job in alike:
            if group and sum(one.takes for one in [*group, job]) > most:
                yield group
                group = []
            group.append(job)
        yield group


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    def refuse() -> None:
        got = "a folder that another batch is writing to"
        raise Refused(str(folder), got=got, expected="one at a time", remedy="wait for it")

    with locked(folder / LOCK, refuse):
        yield
