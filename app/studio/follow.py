"""Following a job: what it reports goes from the queue's thread to whoever waits, in order and to
its end.

The page waits in a thread of its own and takes what is new several times a second; an answer over
HTTP waits in the event loop and takes one thing after the other. Both end when the job does,
however it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
TICK_S = 0.2


class JobStream(Generic[T]):
    """What a job reports: events, or the bytes made of them. They are kept until they are taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all that follows
        self._new: deque[T] = deque()
        self._ended = False
        self._wake: Callable[[], object] | None = None

    @property
    def over(self) -> bool:
        """Whether the job is done, and all that it reported was taken."""
        with self._changed:
            return self._ended and not self._new

    @property
    def waiting(self) -> int:
        """How much was reported and not taken yet."""
        with self._changed:
            return len(self._new)

    def put(self, item: T) -> None:
        with self._changed:
            self._new.append(item)
            self._notify()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._notify()

    def batches(self) -> Iterator[list[T]]:
        """What is new, every TICK_S, from a thread that may wait; the last one when the job is
        done.
        """
        over = False
        while not over:
            with self._changed:
                over = self._changed.wait_for(lambda: self._ended, TICK_S)
                batch = list(self._new)
                self._new.clear()
            yield batch

    async def each(self) -> AsyncIterator[T]:
        """One after the other, in an event loop."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        with self._changed:
            self._wake = lambda: loop.call_soon_threadsafe(news.set)
            news.set()
        while not self.over:
            await news.wait()
            news.clear()
            while (item := self._next()) is not None:
                yield item

    def _next(self) -> T | None:
        with self._changed:
            return self._new.popleft() if self._new else None

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._wake()
