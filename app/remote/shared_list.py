"""Several workers share a list of jobs: each takes the next, and one that is lost gives its own
back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...workflows.events import Listener
from ..studio.job import Job, JobResult, Worker
from .comfyui import ServerLost

TICK_S = 0.2

Told = Callable[[int, "JobResult | Exception"], None]
"""called with a job's number and what came of it, from a worker's thread, one at a time"""


@dataclass
class SharedList:
    """Jobs by number, and what came of each: a result, or what its run raised."""

    jobs: Sequence[Job]
    listeners: Sequence[Listener]
    tell: Told
    outcomes: dict[int, JobResult | Exception] = field(default_factory=dict)
    _waiting: deque[int] = field(default_factory=deque)
    _lost: list[ServerLost] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stop: threading.Event = field(default_factory=threading.Event)

    def work(self, workers: Sequence[Worker]) -> Mapping[int, JobResult | Exception]:
        """Returns when every job has an outcome.

        A job whose worker is lost waits for another one; where none is left, that loss is what
        came of it. An exception in this thread, such as KeyboardInterrupt, stops the jobs first.
        """
        self._waiting.extend(range(len(self.jobs)))
        threads = [
            threading.Thread(target=self._serve, args=(one,), name="musicgraph-remote")
            for one in workers
        ]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                time.sleep(TICK_S)  # Ctrl-C comes here: this thread holds no lock then
            for number in self._waiting:  # nobody is left who could
                self._done(number, self._lost[-1])
        finally:
            self._end()
            for thread in threads:
                thread.join()
        return self.outcomes

    def _serve(self, worker: Worker) -> None:
        while (number := self._take()) is not None:
            try:
                result = worker.run(self.jobs[number], self.listeners[number], self._stop.is_set)
            except ServerLost as lost:
                self._give_back(number, lost)
                return
            except Exception as error:  # handed on to whoever asked for the job
                self._done(number, error)
            else:
                self._done(number, result)

    def _take(self) -> int | None:
        """The next job; None when all are done, or it is to stop. A job that runs elsewhere may
        still come back.
        """
        with self._changed:
            while not (self._stop.is_set() or len(self.outcomes) == len(self.jobs)):
                if self._waiting:
                    return self._waiting.popleft()
                self._changed.wait(TICK_S)
        return None

    def _give_back(self, number: int, lost: ServerLost) -> None:
        with self._changed:
            self._lost.append(lost)
            self._waiting.appendleft(number)
            self._changed.notify_all()

    def _done(self, number: int, outcome: JobResult | Exception) -> None:
        with self._changed:
            self.outcomes[number] = outcome
            if not self._stop.is_set():
                self.tell(number, outcome)
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
