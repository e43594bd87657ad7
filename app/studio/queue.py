"""One generation at a time per device, for everybody: the page, the API, Gradio's own endpoints.

A piece of work is a function of the runner and of `stopped`. Who asked for it is its owner (a browser session, an API
key); the next in line is taken from the owners in turn, so ten requests of one do not hold up another. The runner is
kept, so the model stays loaded until nobody has asked for anything for a while.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, TypeVar

import torch

from ...nodes.host import Interrupted
from ...workflows.events import Listener
from ...workflows.executor import Runner

log = logging.getLogger("musicgraph")

T = TypeVar("T")
Work = Callable[[Runner, Callable[[], bool]], T]
PageWork = Callable[[Runner, Callable[[], bool], Listener], Any]
"""work that reports to a listener as it goes on"""

FIRST_GUESS_S = 10.0
"""how long a piece of work takes, before any has been seen"""


class QueueFull(Exception):
    """As many are waiting as may wait. Ask again after `retry_after_s`."""

    def __init__(self, waiting: int, retry_after_s: int):
        self.waiting, self.retry_after_s = waiting, retry_after_s
        super().__init__(
            f"the queue is full: {waiting} are waiting; try again in {retry_after_s} s"
        )


class StudioClosed(Interrupted):
    """The studio ended the work, and not whoever had asked for it."""


class Ticket(Generic[T]):
    """A place in line, and then what came of the work."""

    def __init__(self, studio: Studio, owner: str, work: Work[T]):
        self.owner = owner
        self._studio, self._work = studio, work
        self._stop = threading.Event()
        self._future: Future[T] = Future()

    def position(self) -> int:
        """0: running (or done); n: the n-th in line."""
        return self._studio._position(self)

    def cancel(self) -> None:
        """Takes it out of the line, or stops it within a step. No harm once it is done."""
        self._stop.set()
        self._studio._leave(self)

    def done(self) -> bool:
        return self._future.done()

    def result(self, timeout: float | None = None) -> T:
        """What the work returned or raised; host.Interrupted if it was cancelled; TimeoutError if it isn't done yet."""
        return self._future.result(timeout)

    def error(self) -> BaseException | None:
        """What `result` would raise, once it is done."""
        return self._future.exception()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Calls back once, from another thread, or at once if it is done."""
        self._future.add_done_callback(lambda _: callback())

    def _run(self, runner: Runner) -> None:
        try:
            result = self._work(runner, self._stop.is_set)
            if self._stop.is_set():
                raise Interrupted("stopped by the user")
        except BaseException as error:  # not handled: handed, whole, to whoever waits for it
            self._fail(error)
        else:
            with contextlib.suppress(InvalidStateError):  # the studio closed a moment ago
                self._future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        with contextlib.suppress(InvalidStateError):  # it was done, or given up, already
            self._future.set_exception(error)

    def _send_home(self) -> None:
        """Whoever waits is told at once, even while the work is where it cannot be stopped."""
        if not self._stop.is_set():
            self._fail(StudioClosed("the studio closed"))
        self._stop.set()


class Studio:
    """The line in front of the one runner. Its thread starts with the first piece of work."""

    def __init__(
        self, *, max_waiting: int = 16, idle_unload_s: float = 600.0, runner: Runner | None = None
    ):
        self.runner = runner or Runner()
        self.max_waiting, self.idle_unload_s = max_waiting, idle_unload_s
        self._changed = threading.Condition()  # guards all that follows
        self._lines: dict[str, deque[Ticket[Any]]] = {}  # in the order of the owners' turns
        self._running: Ticket[Any] | None = None
        self._worker: threading.Thread | None = None
        self._closed = False
        self._usual_s = FIRST_GUESS_S

    def submit(self, owner: str, work: Work[T]) -> Ticket[T]:
        """Puts a piece of work in line. Raises QueueFull, or StudioClosed."""
        ticket = Ticket(self, owner, work)
        with self._changed:
            if self._closed:
                raise StudioClosed("the studio is closed")
            if self._is_full_for(owner):
                raise QueueFull(self._waiting(), self._wait_s())
            self._line_up(ticket)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._attend, name="musicgraph-studio", daemon=True
                )
                self._worker.start()
            self._changed.notify_all()
        return ticket

    def waiting(self) -> int:
        """How many are in line, the running one left out."""
        with self._changed:
            return self._waiting()

    def busy(self) -> bool:
        with self._changed:
            return self._running is not None

    def close(self, timeout_s: float | None = None) -> bool:
        """Stops what runs, sends all home, and ends the thread. Whether it has ended in time."""
        with self._changed:
            self._closed = True
            left = [ticket for line in self._lines.values() for ticket in line]
            self._lines.clear()
            running, worker = self._running, self._worker
            self._changed.notify_all()
        for ticket in (*left, *([running] if running is not None else [])):
            ticket._send_home()
        if worker is None or worker is threading.current_thread():
            return True
        worker.join(timeout_s)
        return not worker.is_alive()

    # ------------------------------------------------------------ the line; all of it with the lock held

    def _waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    def _is_full_for(self, owner: str) -> bool:
        """For somebody new the others count once each, so nobody can take all places by asking often."""
        places = self._waiting() if owner in self._lines else len(self._lines)
        return places >= self.max_waiting + (self._running is None)

    def _wait_s(self) -> int:
        """A guess at when a place gets free."""
        return max(1, math.ceil(self._usual_s))

    def _line_up(self, ticket: Ticket[Any]) -> None:
        is_new = ticket.owner not in self._lines
        self._lines.setdefault(ticket.owner, deque()).append(ticket)
        at_work = self._running.owner if self._running else None
        if is_new and at_work != ticket.owner and at_work in self._lines:
            self._lines[at_work] = self._lines.pop(
                at_work
            )  # who is having a turn comes after those who had none

    def _in_order(self) -> list[Ticket[Any]]:
        """The line as it will be served: one of each owner, then the second of each …"""
        lines = [list(line) for line in self._lines.values()]
        return [
            line[i]
            for i in range(max(map(len, lines), default=0))
            for line in lines
            if i < len(line)
        ]

    def _next(self) -> Ticket[Any]:
        owner = next(iter(self._lines))
        line = self._lines.pop(owner)
        ticket = line.popleft()
        if line:
            self._lines[owner] = line
        return ticket

    def _position(self, ticket: Ticket[Any]) -> int:
        with self._changed:
            order, ahead = self._in_order(), int(self._running is not None)
        return order.index(ticket) + ahead if ticket in order else 0

    def _leave(self, ticket: Ticket[Any]) -> None:
        with self._changed:
            line = self._lines.get(ticket.owner)
            if line is None or ticket not in line:
                return
            line.remove(ticket)
            if not line:
                del self._lines[ticket.owner]
        ticket._fail(Interrupted("cancelled while waiting"))

    # ------------------------------------------------------------ the thread

    def _attend(self) -> None:
        while (ticket := self._take()) is not None:
            started = time.monotonic()
            ticket._run(self.runner)
            with self._changed:
                self._running = None
                self._usual_s += (time.monotonic() - started - self._usual_s) / 4

    def _take(self) -> Ticket[Any] | None:
        """Waits for the next to run; None when the studio is closed. Forgets the model on the way."""
        with self._changed:
            is_idle = not self._changed.wait_for(self._has_news, timeout=self.idle_unload_s)
        if is_idle:
            self._unload()
        with self._changed:
            self._changed.wait_for(self._has_news)
            if self._closed:
                return None
            self._running = ticket = self._next()
        return ticket

    def _has_news(self) -> bool:
        return self._closed or bool(self._lines)

    def _unload(self) -> None:
        log.info("idle for %g s: the model is unloaded", self.idle_unload_s)
        self.runner.forget()
        gc.collect()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
