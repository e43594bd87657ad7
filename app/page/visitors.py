"""Visitors and their jobs: each may stop their own, and whoever leaves takes theirs along.

A page's handler is a generator. It submits a job to the queue, yields something to show every
fraction of a second, and cancels the job when it is closed, which Gradio does when the visitor goes
away.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ...nodes.host import Interrupted
from ...workflows.events import Event
from ..studio.follow import JobStream
from ..studio.job import Job, JobResult
from ..studio.queue import JobHandle, JobQueue

MAX_LEFT = 1000


def visitor_of(session: str | None) -> str:
    """Who asks: a session's own name; one for each call where there is no session."""
    return session or secrets.token_hex(16)


@dataclass(frozen=True)
class VisitorJob:
    """A visitor's job in the queue, and the events of its run."""

    handle: JobHandle[JobResult]
    stream: JobStream[Event]


class Visitors:
    """Hands visitors' jobs to the queue, and stops a visitor's own on request."""

    def __init__(self, queue: JobQueue):
        self.queue = queue
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, str], set[JobHandle[JobResult]]] = {}
        self._left: deque[str] = deque(maxlen=MAX_LEFT)

    @contextlib.contextmanager
    def submitted(self, visitor: str, tab: str, job: Job) -> Iterator[VisitorJob]:
        """The job in the queue; it is cancelled, or done, when this ends.

        Raises Interrupted for a visitor who has left, and what JobQueue.submit raises.
        """
        stream = JobStream[Event]()
        handle = self.queue.submit(visitor, job, listener=stream.put)
        handle.when_done(stream.end)
        with self._lock:
            has_left = visitor in self._left
            self._jobs.setdefault((visitor, tab), set()).add(handle)
        try:
            if has_left:
                raise Interrupted("stopped by the user")
            yield VisitorJob(handle, stream)
        finally:
            handle.cancel()
            with self._lock:
                self._jobs[visitor, tab].discard(handle)
                if not self._jobs[visitor, tab]:
                    del self._jobs[visitor, tab]

    def leave(self, visitor: str) -> None:
        """For a visitor who never comes again: stops their jobs, also what is yet on its way
        here.
        """
        with self._lock:
            self._left.append(visitor)
        self.stop(visitor)

    def stop(self, visitor: str, tab: str | None = None) -> None:
        """Stops what a visitor runs on one tab, or everywhere."""
        with self._lock:
            mine = [
                handle
                for (who, where), handles in self._jobs.items()
                if who == visitor and tab in (None, where)
                for handle in handles
            ]
        for handle in mine:
            handle.cancel()
