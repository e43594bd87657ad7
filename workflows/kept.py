"""Results that are kept: those of the runs under way, and of the last ones before them.

Several runs may be under way, each in a thread of its own. What two of them need, such as a model,
is computed by one while the other waits.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator

from ..nodes.host import TICK_S, Interrupted
from .calls import Outcome


class KeptResults:
    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all that follows
        self._outcomes: dict[str, Outcome] = {}
        self._in_use: list[Collection[str]] = []
        """the keys of each run under way"""
        self._in_the_making: set[str] = set()

    @contextlib.contextmanager
    def in_use(self, keys: Collection[str]) -> Iterator[None]:
        """While a run with these keys is under way.

        What no run can use is let go before it, to make room.
        """
        with self._changed:
            self._in_use.append(keys)
            wanted = set().union(*self._in_use)
            for key in list(self._outcomes):
                if key not in wanted or not _has_files(self._outcomes[key]):
                    del self._outcomes[key]
        try:
            yield
        finally:
            with self._changed:
                self._in_use.remove(keys)

    def get(self, key: str) -> Outcome | None:
        with self._changed:
            return self._outcomes.get(key)

    def keep(self, key: str, outcome: Outcome) -> None:
        with self._changed:
            self._outcomes[key] = outcome

    def drop(self, key: str) -> None:
        with self._changed:
            self._outcomes.pop(key, None)

    def drop_all(self) -> None:
        with self._changed:
            self._outcomes.clear()

    @contextlib.contextmanager
    def making(self, key: str, stopped: Callable[[], bool]) -> Iterator[None]:
        """While a result is computed, for which other runs then wait; look for it again inside.

        Raises Interrupted when `stopped` says so while it waits.
        """
        with self._changed:
            while key in self._in_the_making:
                if stopped():
                    raise Interrupted("stopped by the user")
                self._changed.wait(TICK_S)
            self._in_the_making.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._in_the_making.remove(key)
                self._changed.notify_all()


def _has_files(outcome: Outcome) -> bool:
    return all(file.exists() for file in outcome.files)
