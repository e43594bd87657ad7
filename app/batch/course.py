"""The course of a batch: what is left to do, in groups, done by a crew, and written down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...models.config import MAX_BATCH
from ...models.disk.file_lock import locked
from ...models.refused import Refused
from .crew import Crew, Group
from .destination import FolderDestination, RemoteDestination, output_at
from .jobs import BatchJob
from .manifest import DONE, ManifestLine, check_same_list, manifest_at

LOCK = ".mg-batch.lock"


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
    jobs: Sequence[BatchJob], output: str, crew: Crew, together: int, workers: int,
    listener: CourseListener,
) -> BatchResult:  # fmt: skip
    """What is left of the jobs, and `manifest.jsonl`.

    `output`: as `destination.output_at` takes it. Raises Refused: a place that cannot be written or
    has another list's results, a second process at a folder.
    """
    place = output_at(output)
    place.prepare()
    with _only_one(place):
        manifest = manifest_at(place)
        left, earlier = left_of(jobs, place)
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
    jobs: Sequence[BatchJob], place: FolderDestination | RemoteDestination
) -> tuple[list[BatchJob], int]:
    """What is not done yet, or has lost a file since; and how many are done."""
    manifest = manifest_at(place)
    entries = manifest.entries()
    check_same_list(manifest.where, entries, jobs)
    there = place.names() if entries else set()
    made = {
        entry.id
        for entry in entries.values()
        if entry.status == DONE and there.issuperset(entry.files)
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
def _only_one(place: FolderDestination | RemoteDestination) -> Iterator[None]:
    """Stores of objects have no locks."""
    if not isinstance(place, FolderDestination):
        yield
        return

    def refuse() -> None:
        got = "a folder that another batch is writing to"
        raise Refused(str(place.path), got=got, expected="one at a time", remedy="wait for it")

    with locked(place.path / LOCK, refuse):
        yield
