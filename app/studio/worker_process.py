"""A process that makes music for a server. See `process_worker`, which begins it.

It is told by pickles on stdin, of (what, number of the job, value), and answers by such on stdout:

    → run, n, Job        → stop, n         → forget
    ← event, n, Event    ← music, n, seconds made by now    ← result, n, JobResult
    ← failure, n, Failure

Only this program's own pickles are read, from pipes that nobody else has. It ends when its stdin
does: with the server, however that ended.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from ...models.disk import part_files
from ...models.engines.processors import prepare_threads
from ...workflows.events import Event, NodeProgress
from .own_process import answers_on_stdout
from .pace import MOST_AT_ONCE

if TYPE_CHECKING:
    from .job import Job
    from .worker import LocalWorker

RUN, STOP, FORGET = "run", "stop", "forget"
EVENT, MUSIC, RESULT, FAILURE = "event", "music", "result", "failure"
REPORT_S = 0.1


class Post:
    """Messages to another process, from any thread."""

    def __init__(self, pipe: IO[bytes]):
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, what: str, number: int = 0, value: object = None) -> None:
        """Raises OSError or ValueError when nobody reads them any more."""
        message = BytesIO()
        _Pickler(message, pickle.HIGHEST_PROTOCOL).dump((what, number, value))
        with self._lock:
            self._pipe.write(message.getbuffer())
            self._pipe.flush()

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._pipe.close()


class _Pickler(pickle.Pickler):
    """Tensors go as arrays: torch would make an archive of each."""

    def reducer_override(self, obj: Any) -> Any:
        import torch

        if isinstance(obj, torch.Tensor) and obj.device.type == "cpu":
            return torch.from_numpy, (obj.numpy(),)
        return NotImplemented


def received(pipe: IO[bytes]) -> Any:
    """The next message; None when there are no more."""
    try:
        return pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError):  # also one that its sender did not live to finish
        return None


def main() -> None:
    """Call it first thing in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    post = Post(os.fdopen(answers_on_stdout(), "wb"))
    prepare_threads()
    from .worker import LocalWorker

    work = _Work(LocalWorker(), post)
    while (message := received(sys.stdin.buffer)) is not None:
        what, number, value = message
        if what == RUN:
            work.begin(number, value)
        elif what == STOP:
            work.stop(number)
        else:
            work.worker.forget()
    part_files.give_up()
    os._exit(0)


class _Work:
    """Jobs, each in a thread, which the next one has after it."""

    def __init__(self, worker: LocalWorker, post: Post):
        self.worker, self._post = worker, post
        self._stops: dict[int, threading.Event] = {}
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "musicgraph-job")

    def begin(self, number: int, job: Job) -> None:
        self._stops[number] = threading.Event()
        self._threads.submit(self._run, number, job)

    def stop(self, number: int) -> None:
        stop = self._stops.get(number)
        if stop is not None:  # it may be over
            stop.set()

    def _run(self, number: int, job: Job) -> None:
        from .failures import failure_of

        report, stopped = _Report(self._post, number), self._stops[number].is_set
        try:
            result = self.worker.run(job, report.event, stopped, report.music)
            self._post.send(RESULT, number, result)
        except Exception as error:  # whoever waits for it is told, in words
            self._post.send(FAILURE, number, failure_of(error))
        finally:
            del self._stops[number]


class _Report:
    """Of one job. How far it is comes with each frame, and is told now and then."""

    def __init__(self, post: Post, number: int):
        self._post, self._number = post, number
        self._told_at, self._untold = 0.0, dict[str, object]()

    def music(self, made_s: float) -> None:
        self._untold[MUSIC] = made_s

    def event(self, event: Event) -> None:
        if isinstance(event, NodeProgress) and event.done:
            self._untold[EVENT] = event
            if time.monotonic() - self._told_at < REPORT_S and event.done < event.total:
                return
            self._told_at = time.monotonic()
            self._tell()
        else:
            self._tell()
            self._post.send(EVENT, self._number, event)

    def _tell(self) -> None:
        for what, value in self._untold.items():
            self._post.send(what, self._number, value)
        self._untold.clear()
