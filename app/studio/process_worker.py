"""Processes of this machine as a worker: this one has page, API, keys and takes, and its jobs are
made by others, each with its share of the processors and the same weights in memory.

Python runs one thread at a time. Where many listen, what it does for each of them takes longer than
their steps, and beside it all but one processor wait. A lost process takes along what it was
making, which is said to who waits for that; another one takes its place.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .failures import LOST, JobFailed
from .job import Job, JobResult
from .own_process import begun
from .pace import MusicMade, Pace
from .worker import shares_steps
from .worker_process import EVENT, FAILURE, FORGET, MUSIC, RESULT, RUN, STOP, Post, received

if TYPE_CHECKING:
    from ...workflows.events import Listener

log = logging.getLogger("musicgraph")

LOOK_S = 0.1
"""so often a job of which nothing is heard is asked whether it was stopped"""
ENDS_S = 2.0


class ProcessWorker:
    """Runs jobs in so many processes, which begin with it. See `job.Worker`."""

    def __init__(self, count: int):
        self._lock = threading.Lock()  # guards what follows
        self._count, self._is_closed = count, False
        self._processes = [_Process(count) for _ in range(count)]

    def run(self, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
        """Raises JobFailed for whatever went wrong there, and where the process was lost."""
        shares = shares_steps()
        with self._lock:
            process = self._process_for(job)
            number = process.begin(job, shares)
        try:
            return process.result_of(number, job, listener, stopped)
        finally:
            process.leave(number)

    def has_room(self, job: Job, running: Sequence[Job]) -> bool:
        with self._lock:
            return any(one.has_room(job.stream) for one in self._processes)

    def forget(self) -> None:
        with self._lock:
            for process in self._processes:
                process.forget()

    def close(self) -> None:
        """Ends the processes, and with them what they make."""
        with self._lock:
            self._is_closed = True
            for process in self._processes:
                process.end()

    def _process_for(self, job: Job) -> _Process:
        """With the lock held: the one with least to do of those that have room. The first of them,
        which has the model if any has.
        """
        for place, process in enumerate(self._processes):
            if process.is_lost and not self._is_closed:
                log.warning("a process that makes music was lost; another one is begun")
                self._processes[place] = _Process(self._count)
        able = [one for one in self._processes if one.has_room(job.stream)]
        return min(able or self._processes, key=_Process.at_work)


class _Process:
    def __init__(self, count: int):
        self._process = begun("app.studio.worker_process", of=count)
        assert self._process.stdin is not None
        self._post = Post(self._process.stdin)
        self._numbers = itertools.count()
        self._pace, self._shares_steps = Pace(), False
        self._lock = threading.Lock()  # guards the two that follow
        self._jobs: dict[int, tuple[MusicMade, queue.SimpleQueue[tuple[str, Any]]]] = {}
        self.is_lost = False
        name = "musicgraph-process"
        threading.Thread(target=self._listen, name=name, daemon=True).start()

    def at_work(self) -> int:
        return len(self._jobs)

    def has_room(self, is_heard: bool) -> bool:
        if self.is_lost or not self._jobs:
            return True  # or there will be, in another one's place
        return self._shares_steps and self._pace.has_room(is_heard)

    def begin(self, job: Job, shares_steps: bool) -> int:
        """The job's number here, where it counts from now on."""
        number, self._shares_steps = next(self._numbers), shares_steps
        told = queue.SimpleQueue[tuple[str, Any]]()
        with self._lock:
            self._jobs[number] = self._pace.join(job.stream), told
            if self.is_lost:
                told.put((FAILURE, LOST))
        return number

    def result_of(
        self, number: int, job: Job, listener: Listener, stopped: Callable[[], bool]
    ) -> JobResult:
        progress, told = self._jobs[number]
        self._send(RUN, number, job)
        is_told = False
        while True:
            if stopped() and not is_told:
                self._send(STOP, number)
                is_told = True
            try:
                what, value = told.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if what == EVENT:
                listener(value)
            elif what == MUSIC:
                self._pace.note(progress, value)
            elif what == FAILURE:
                raise JobFailed(value)
            elif what == RESULT:
                return value

    def leave(self, number: int) -> None:
        with self._lock:
            progress, _ = self._jobs.pop(number)
        self._pace.leave(progress)
        self._send(STOP, number)  # it may still go on, where whoever listened failed

    def forget(self) -> None:
        self._send(FORGET)

    def end(self) -> None:
        self._post.close()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _send(self, *message: Any) -> None:
        with contextlib.suppress(
            OSError, ValueError
        ):  # it has ended, which is heard of in its turn
            self._post.send(*message)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while (message := received(self._process.stdout)) is not None:
            what, number, value = message
            with self._lock:
                if number in self._jobs:
                    self._jobs[number][1].put((what, value))
        with self._lock:
            self.is_lost = True
            for _, told in self._jobs.values():
                told.put((FAILURE, LOST))
        self._process.wait()
