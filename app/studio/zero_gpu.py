"""Hugging Face's ZeroGPU as a worker: a GPU is lent for one function call, which runs in a process
of its own.

There the job runs with a runner of that process, and what it reports comes back piece by piece.
Without the package `spaces`, or on a Space with a GPU of its own, none of this is used.
"""

from __future__ import annotations

import functools
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import JobFailed, failure_of
from .job import Job, JobResult, Worker
from .worker import LocalWorker

if TYPE_CHECKING:
    from ...workflows.events import Event, Listener

MARGIN_S = 45
"""to start the process and to load the model"""
SECONDS_PER_SECOND = 2
"""of a lent GPU's time for one of music"""
EVENT, RESULT, FAILURE = "event", "result", "failure"


def is_zero_gpu() -> bool:
    try:
        from spaces.config import Config  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    return bool(Config.zero_gpu)


def announce() -> None:
    """Tells the Space that there is a function for its GPU, which Gradio's own launch would do."""
    from spaces.zero import startup  # pyright: ignore[reportMissingImports]

    _lent()
    startup()


class ZeroGpuWorker:
    """Runs jobs where the GPU is. Raises JobFailed for whatever went wrong there."""

    def run(self, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
        with tempfile.TemporaryDirectory(prefix="musicgraph-job-") as folder:
            # while this file is there, the job is wanted; it goes however this block is left
            wanted, result = Path(folder) / "wanted", None
            wanted.touch()
            for kind, value in _lent()(job, wanted):
                if stopped():
                    wanted.unlink(missing_ok=True)
                if kind == EVENT:
                    listener(value)
                elif kind == RESULT:
                    result = value
                else:
                    raise JobFailed(value)
            assert result is not None, "a run ends with a result or a failure"
            return result

    def has_room(self, job: Job, running: Sequence[Job]) -> bool:
        """A GPU is lent for one call."""
        return False

    def forget(self) -> None:
        """The other process ends, and its model with it."""


@functools.cache
def _lent() -> Callable[..., Iterator[tuple[str, Any]]]:
    import spaces  # pyright: ignore[reportMissingImports]

    return spaces.GPU(duration=lambda job, _: round(MARGIN_S + SECONDS_PER_SECOND * job.music_s))(
        reports
    )


def reports(job: Job, wanted: Path) -> Iterator[tuple[str, Any]]:
    """Runs where the GPU is, while the file `wanted` is there: (event | result | failure, value),
    each of which can be sent to another process.
    """
    found: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()

    def report(event: Event) -> None:
        found.put((EVENT, event))

    def run() -> None:
        try:
            result = _worker().run(job, report, lambda: not wanted.exists())
            found.put((RESULT, result))
        except Exception as error:  # also what nobody foresaw: see failure_of
            found.put((FAILURE, failure_of(error)))
        finally:
            found.put(None)

    threading.Thread(target=run, daemon=True).start()
    while (item := found.get()) is not None:
        yield item


@functools.cache
def _worker() -> Worker:
    return LocalWorker()
