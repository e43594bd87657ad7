"""What threads that work side by side share: the processors.

Threads of one call of compiled code wait for each other without sleep, so a call that has fewer
processors than threads takes many times as long. So it is counted who has which.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from .processors import own_processors


class Cores:
    """This process's processors.

    Who decodes waits for one, as all who do. Who composes never waits: it is what all wait for, and
    may hold what another decoder needs. A thread that has one may take it again.
    """

    def __init__(self, count: int | None = None):
        # may be taken twice: what the garbage collector ends may compute, in whatever thread
        self._changed = threading.Condition(threading.RLock())
        self._count = count
        self._taken = self._decoding = self._composing = 0
        self._mine = threading.local()

    def __enter__(self) -> None:
        """Waits for one."""
        if not self._depth():
            with self._changed:
                while self._must_wait():
                    self._changed.wait()
                self._taken += 1
                self._decoding += 1
        self._mine.depth = self._depth() + 1

    def __exit__(self, *_: object) -> None:
        self._mine.depth -= 1
        if not self._mine.depth:
            with self._changed:
                self._decoding -= 1
                self._give_back(1)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One, whether it is free or not."""
        with self.some(1):
            more = int(not self._depth())
            self._mine.depth = self._depth() + 1
            self._compose(more)
            try:
                yield
            finally:
                self._compose(-more)
                self._mine.depth -= 1

    @contextlib.contextmanager
    def some(self, most: int) -> Iterator[int]:
        """This thread's own, or one whether it is free or not, and with it those that are free, up
        to `most` in all: how many.
        """
        has_one = bool(self._depth())
        with self._changed:
            free = max(0, self._free() - (not has_one))
            more = min(most - 1, free)
            taken = more + (not has_one)
            self._taken += taken
        try:
            yield 1 + more
        finally:
            self._give_back(taken)

    def _depth(self) -> int:
        return getattr(self._mine, "depth", 0)

    def _compose(self, more: int) -> None:
        with self._changed:
            self._composing += more
            self._changed.notify_all()

    def _must_wait(self) -> bool:
        """Where those who compose have all, such as the only one, one who decodes shares them."""
        return self._free() <= 0 and (self._decoding > 0 or self._composing < self._all())

    def _free(self) -> int:
        return self._all() - self._taken

    def _all(self) -> int:
        if self._count is None:
            self._count = own_processors()
        return self._count

    def _give_back(self, count: int) -> None:
        with self._changed:
            self._taken -= count
            self._changed.notify(count)


CORES = Cores()
