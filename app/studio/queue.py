"""The queue in front of the worker, for everybody: page, API, Gradio's own endpoints.

As many jobs run at once as the worker has room for. Who asked for a job is its owner (a browser
session, an API key); the next one is taken from the owners in turn, so ten jobs of one do not hold
up another. The worker keeps the model until nobody has asked for anything for a while.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...nodes.host import Interrupted
from .job import Job, JobResult, Worker

if TYPE_CHECKING:
    from ...workflows.events import Event, Listener

log = logging.getLogger("musicgraph")

T = TypeVar("T")
FIRST_GUESS_S = 10.0
"""how long a job takes, before any has been seen"""
LOOK_S = 0.03
"""how often the worker is asked for room while somebody waits for it"""


class QueueFull(Exception):
    """As many are waiting as may wait. Ask again after `retry_after_s`."""

    def __init__(self, waiting: int, retry_after_s: int):
        self.waiting, self.retry_after_s = waiting, retry_after_s
        super().__init__(
            f"the queue is full: {waiting} are waiting; try again in {retry_after_s} s"
        )


class QueueClosed(Interrupted):
    """The queue ended the job, and not whoever had asked for it."""


def _ignore(_: Event) -> None:
    pass


def _as_it_is(result: JobResult) -> Any:
    return result


class JobHandle(Generic[T]):
    """A job's place in the queue, and then what came of it."""

    def __init__(
        self,
        queue: JobQueue,
        owner: str,
        job: Job,
        listener: Listener,
        then: Callable[[JobResult], T],
    ):
        self.owner, self.job = owner, job
        self._queue, self._listener, self._then = queue, listener, then
        self._context = contextvars.copy_context()  # a Space lends its GPU to whom Gradio's names
        self._stop = threading.Event()
        self._future: Future[T] = Future()

    def position(self) -> int:
        """0: running (or done); n: the n-th in the queue, behind those that run."""
        return self._queue._position(self)

    def cancel(self) -> None:
        """Takes it out of the queue, or stops it within a step. No harm once it is done.

        Whoever follows hears of it at once, even while the work is where it cannot be stopped.
        """
        self._stop.set()
        self._queue._leave(self)
        self._fail(Interrupted("stopped by the user"))

    def done(self) -> bool:
        return self._future.done()

    def result(self, timeout: float | None = None) -> T:
        """What came of it, or what it raised; Interrupted if it was cancelled; TimeoutError if it
        isn't done yet.
        """
        return self._future.result(timeout)

    def error(self) -> BaseException | None:
        """What `result` would raise, once it is done."""
        return self._future.exception()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Calls back once, from another thread, or at once if it is done."""
        self._future.add_done_callback(lambda _: callback())

    def _run(self, worker: Worker) -> None:
        try:
            result = self._context.run(self._work, worker)
        except BaseException as error:  # not handled: handed, whole, to whoever waits for it
            self._fail(error)
        else:
            with contextlib.suppress(InvalidStateError):  # it was cancelled, or the queue closed
                self._future.set_result(result)

    def _work(self, worker: Worker) -> T:
        if self._stop.is_set():  # after its turn had come, and before it began
            raise Interrupted("stopped by the user")
        return self._then(worker.run(self.job, self._listener, self._stop.is_set))

    def _fail(self, error: BaseException) -> None:
        with contextlib.suppress(InvalidStateError):  # it was done, or given up, already
            self._future.set_exception(error)

    def _send_home(self) -> None:
        """Whoever waits is told at once, even while the work is where it cannot be stopped."""
        self._fail(QueueClosed("the queue closed"))
        self._stop.set()


class JobQueue:
    """Jobs, and the threads in which the worker runs them; they start when they are needed."""

    def __init__(self, worker: Worker, *, max_waiting: int = 16, idle_unload_s: float = 600.0):
        self.worker, self.max_waiting, self.idle_unload_s = worker, max_waiting, idle_unload_s
        self._changed = threading.Condition()  # guards all that follows
        self._lines: dict[str, deque[JobHandle[Any]]] = {}  # in the order of the owners' turns
        self._running: list[JobHandle[Any]] = []
        self._threads: list[threading.Thread] = []
        self._free_threads = 0
        self._is_loaded = False
        """whether the worker has run anything since it was told to forget"""
        self._idle_since = 0.0
        self._closed = False
        self._at_close: list[Callable[[], None]] = []
        self._usual_s = FIRST_GUESS_S

    def submit(
        self,
        owner: str,
        job: Job,
        *,
        listener: Listener = _ignore,
        then: Callable[[JobResult], T] = _as_it_is,
    ) -> JobHandle[T]:
        """Queues a job; its handle gives what `then` makes of the result.

        Raises QueueFull, or QueueClosed.

        The thread in which the job runs calls both `listener` and `then`.
        """
        handle = JobHandle(self, owner, job, listener, then)
        with self._changed:
            if self._closed:
                raise QueueClosed("the queue is closed")
            if self._is_full_for(owner):
                raise QueueFull(self._waiting(), self._wait_s())
            self._line_up(handle)
            if not self._free_threads:
                self._start_thread()
            self._changed.notify_all()
        return handle

    def waiting(self) -> int:
        """How many are in the queue, those that run left out."""
        with self._changed:
            return self._waiting()

    def running(self) -> int:
        with self._changed:
            return len(self._running)

    def busy(self) -> bool:
        return self.running() > 0

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Calls back when the queue is closed, for what else is to end then."""
        with self._changed:
            self._at_close.append(callback)

    def close(self, timeout_s: float | None = None) -> bool:
        """Stops what runs, sends all home, and ends the threads. Whether they have ended in
        time.
        """
        with self._changed:
            self._closed = True
            left = [handle for line in self._lines.values() for handle in line]
            self._lines.clear()
            running, threads = list(self._running), list(self._threads)
            callbacks, self._at_close = self._at_close, []
            self._changed.notify_all()
        for handle in (*left, *running):
            handle._send_home()
        for callback in callbacks:
            callback()
        return _ended(threads, timeout_s)

    # -------------------------------------------------------- the lines, all with the lock held

    def _waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    def _is_full_for(self, owner: str) -> bool:
        """For somebody new the others count once each, so nobody can take all places by asking
        often.
        """
        places = self._waiting() if owner in self._lines else len(self._lines)
        return places >= self.max_waiting + (not self._running)

    def _wait_s(self) -> int:
        """A guess at when a place gets free."""
        return max(1, math.ceil(self._usual_s / max(1, len(self._running))))

    def _line_up(self, handle: JobHandle[Any]) -> None:
        is_new = handle.owner not in self._lines
        self._lines.setdefault(handle.owner, deque()).append(handle)
        at_work = dict.fromkeys(one.owner for one in self._running)
        if is_new and handle.owner not in at_work:
            for owner in at_work:  # who is having a turn comes after those who had none
                if owner in self._lines:
                    self._lines[owner] = self._lines.pop(owner)

    def _in_order(self) -> list[JobHandle[Any]]:
        """The queue as it will be served: one of each owner, then the second of each …"""
        lines = [list(line) for line in self._lines.values()]
        return [
            line[i]
            for i in range(max(map(len, lines), default=0))
            for line in lines
            if i < len(line)
        ]

    def _next(self) -> JobHandle[Any] | None:
        """None while nobody waits, or there is no room."""
        if not self._lines:
            return None
        owner, line = next(iter(self._lines.items()))
        running = [one.job for one in self._running]
        if running and not self.worker.has_room(line[0].job, running):
            return None
        del self._lines[owner]
        handle = line.popleft()
        if line:
            self._lines[owner] = line
        return handle

    def _position(self, handle: JobHandle[Any]) -> int:
        with self._changed:
            order, ahead = self._in_order(), int(bool(self._running))
        return order.index(handle) + ahead if handle in order else 0

    def _leave(self, handle: JobHandle[Any]) -> None:
        with self._changed:
            line = self._lines.get(handle.owner)
            if line is None or handle not in line:
                return
            line.remove(handle)
            if not line:
                del self._lines[handle.owner]

    # ------------------------------------------------------------ the threads

    def _start_thread(self) -> None:
        """With the lock held. It counts as free from now on, so that nobody starts another."""
        thread = threading.Thread(target=self._serve, name="musicgraph-queue", daemon=True)
        self._threads.append(thread)
        self._free_threads += 1
        thread.start()

    def _serve(self) -> None:
        while self._serve_next():  # who waits for the next has nothing of the last one
            pass

    def _serve_next(self) -> bool:
        """Whether there was one."""
        handle = self._take()
        if handle is None:
            return False
        started = time.monotonic()
        handle._run(self.worker)
        with self._changed:
            self._running.remove(handle)
            self._free_threads += 1
            self._idle_since = time.monotonic()
            self._usual_s += (self._idle_since - started - self._usual_s) / 4
            self._changed.notify_all()
        return True

    def _take(self) -> JobHandle[Any] | None:
        """Waits for the next to run; None when the queue is closed.

        Has the model forgotten on the way.
        """
        with self._changed:
            while not self._closed:
                if (handle := self._next()) is not None:
                    self._running.append(handle)
                    self._is_loaded = True
                    self._free_threads -= 1
                    if self._lines and not self._free_threads:
                        self._start_thread()
                    return handle
                wait_s = LOOK_S if self._lines else self._until_unload_s()
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                else:
                    self._unload()
        return None

    def _until_unload_s(self) -> float | None:
        if self._running or not self._is_loaded:
            return None
        return self._idle_since + self.idle_unload_s - time.monotonic()

    def _unload(self) -> None:
        """With the lock held, which is let go meanwhile: who comes now need not wait."""
        self._is_loaded = False
        self._changed.release()
        try:
            log.info("idle for %g s: the model is unloaded", self.idle_unload_s)
            self.worker.forget()
        except Exception:  # such as a GPU's, after an error: whoever comes is served all the same
            log.exception("the model could not be unloaded")
        finally:
            self._changed.acquire()


def _ended(threads: list[threading.Thread], timeout_s: float | None) -> bool:
    """Whether all end in time; whoever asks is not waited for."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    others = [one for one in threads if one is not threading.current_thread()]
    for thread in others:
        thread.join(None if until is None else max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in others)
