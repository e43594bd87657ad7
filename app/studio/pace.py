"""Whether one more may join those that compose together: none of them may fall behind whoever
listens.

A step in company costs little more than a step alone, as long as there is time for it. How much
more is what is measured here: how many seconds a second of music takes, by how many were at work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

MOST_AT_ONCE = 64
MOST_FILES = 8
"""to whom nobody listens: more of them at once are hardly faster, and each takes memory"""
SPARE = 0.9
"""of real time may be used: what is left is for what comes beside"""
SETTLE_S = 0.6
"""for so long nobody else joins, so that what the last one costs is seen"""
LOOK_BACK_S = 2.0
GROWTH = 0.3
"""what one more costs, of what the first one does, before it has been seen"""


class Progress:
    """How much music one job has made, and when; over the last `LOOK_BACK_S`."""

    def __init__(self, is_heard: bool):
        self.is_heard = is_heard
        """whether somebody listens to it while it is made"""
        self._made: deque[tuple[float, float]] = deque()

    def note(self, now: float, music_s: float) -> None:
        self._made.append((now, music_s))
        while now - self._made[0][0] > LOOK_BACK_S:
            self._made.popleft()

    def begin_anew(self) -> None:
        """In other company: what was before says nothing of it."""
        self._made.clear()

    @property
    def cost(self) -> float | None:
        """Seconds for a second of music; None while that is not known."""
        if len(self._made) < 2:
            return None
        (began, before), (ended, after) = self._made[0], self._made[-1]
        if ended - began < SETTLE_S / 2 or after <= before:
            return None
        return (ended - began) / (after - before)


class Pace:
    """Of all jobs that compose in one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()  # guards all that follows
        self._at_work: list[Progress] = []
        self._joined = -SETTLE_S
        self._costs: dict[int, float] = {}
        """by how many were at work: the latest"""

    def join(self, is_heard: bool) -> Progress:
        one = Progress(is_heard)
        with self._lock:
            self._at_work.append(one)
            self._joined = self._clock()
            self._begin_anew()
        return one

    def leave(self, one: Progress) -> None:
        with self._lock:
            self._at_work.remove(one)
            self._begin_anew()

    def note(self, one: Progress, music_s: float) -> None:
        """So much of its music is made by now."""
        with self._lock:
            one.note(self._clock(), music_s)

    def has_room(self, is_heard: bool) -> bool:
        with self._lock:
            count = len(self._at_work)
            if not count:
                return True
            if not (is_heard or any(one.is_heard for one in self._at_work)):
                return count < MOST_FILES
            if count >= MOST_AT_ONCE or self._clock() - self._joined < SETTLE_S:
                return False
            costs = [one.cost for one in self._at_work]
            if None in costs:
                return False
            self._costs[count] = max(cost for cost in costs if cost is not None)
            return self._predicted(count) <= SPARE

    def _begin_anew(self) -> None:
        for one in self._at_work:
            one.begin_anew()

    def _predicted(self, count: int) -> float:
        """What a second of music takes with one more."""
        now = self._costs[count]
        fewer = [known for known in self._costs if known < count]
        if not fewer:
            return now * (1 + GROWTH * (count + 1)) / (1 + GROWTH * count)
        before = max(fewer)
        return now + max(0.0, (now - self._costs[before]) / (count - before))
