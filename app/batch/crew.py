"""Workers of this machine: processes that are given groups of jobs, and replaced when they end."""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from ..studio.own_process import begun
from .jobs import BatchJob, JobOutcome, OnMusic

MAX_LOSSES = 2

Group = Sequence[BatchJob]


class Crew(Protocol):
    def outcomes(self, groups: Iterable[Group], on_music: OnMusic) -> Iterator[JobOutcome]:
        """Of every job, as they come. Groups are taken when somebody is free for them."""
        ...


class Retries:
    """Groups whose worker was lost: each job is tried again, by itself, and once only."""

    def __init__(self, groups: Iterable[Group]):
        self._new, self._again = iter(groups), deque[Group]()
        self._losses: Counter[str] = Counter()

    def next(self) -> Group | None:
        return self._again.popleft() if self._again else next(self._new, None)

    def lost(self, group: Group, how: str) -> list[JobOutcome]:
        """What comes of those that are given up."""
        given_up = []
        for job in group:
            self._losses[job.id] += 1
            if self._losses[job.id] < MAX_LOSSES:
                self._again.append([job])
            else:
                words = f"its worker was lost, {MAX_LOSSES} times ({how}); memory may be short"
                given_up.append(JobOutcome(job.id, error=words))
        return given_up


class LocalCrew:
    def __init__(self, count: int, place: str):
        """`place`: as `destination.destination_at` takes it."""
        self._count, self._place = count, place

    def outcomes(self, groups: Iterable[Group], on_music: OnMusic) -> Iterator[JobOutcome]:
        """Raises RuntimeError if a worker cannot even start."""
        work, told = Retries(groups), queue.SimpleQueue[tuple[_Process, Any]]()
        busy: dict[_Process, Group] = {}
        try:
            for _ in range(self._count):
                self._engage(None, work, told, busy)
            while busy:
                process, message = told.get()
                if process not in busy:  # it had nothing more to do, and ended
                    continue
                if message is None:
                    how = process.ended()
                    yield from work.lost(busy.pop(process), how)
                    self._engage(None, work, told, busy)
                elif "music_s" in message:
                    on_music(message["music_s"])
                elif "outcomes" in message:
                    yield from map(JobOutcome.read, message["outcomes"])
                    del busy[process]
                    self._engage(process, work, told, busy)
        finally:
            for process in busy:
                process.end()

    def _engage(
        self,
        process: _Process | None,
        work: Retries,
        told: queue.SimpleQueue,
        busy: dict[_Process, Group],
    ) -> None:
        """Gives somebody the next group, or an end."""
        group = work.next()
        if group is not None:
            process = process or _Process(self._place, self._count, told)
            busy[process] = group
            process.give(group)
        elif process is not None:
            process.end()


class _Process:
    def __init__(self, place: str, count: int, told: queue.SimpleQueue):
        """`count`: how many share this machine's processors."""
        self._process = begun("app.batch.worker", place, of=count, text=True, encoding="utf-8")
        self._has_started = False
        threading.Thread(target=self._listen, args=(told,), daemon=True).start()

    def _listen(self, told: queue.SimpleQueue) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._has_started = True
            told.put((self, json.loads(line)))
        told.put((self, None))

    def give(self, group: Group) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"jobs": [job.as_json() for job in group]}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which is heard of in its turn

    def ended(self) -> str:
        """How, in words. Raises RuntimeError if it had not even started."""
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not self._has_started:
            raise RuntimeError(f"a worker could not start ({how})")
        return how

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
