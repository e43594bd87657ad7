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
MOST_USED = 0.95
"""of real time"""
LEAST_SEEN_S = 0.2
"""of somebody's work, before it is known what it costs"""
LOOK_BACK_S = 2.0
KNOWN_FOR_S = 120.0
"""a machine that others use, too, is not the same for long"""
GROWTH = 0.2
"""what one more costs, of what the first one does, before it has been seen"""


class MusicMade:
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
        if ended - began < LEAST_SEEN_S or after <= before:
            return None
        return (ended - began) / (after - before)


class Pace:
    """Of all jobs that compose in one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()  # guards all that follows
        self._at_work: list[MusicMade] = []
        self._costs: dict[int, tuple[float, float]] = {}
        """by how many were at work: what it was, and when"""

    def join(self, is_heard: bool) -> MusicMade:
        one = MusicMade(is_heard)
        with self._lock:
            self._at_work.append(one)
            self._begin_anew()
        return one

    def leave(self, one: MusicMade) -> None:
        with self._lock:
            self._at_work.remove(one)
            self._begin_anew()

    def note(self, one: MusicMade, music_s: float) -> None:
        """So much of its music is made by now."""
        with self._lock:
            one.note(self._clock(), music_s)

    def has_room(self, is_heard: bool) -> bool:
        """For one more.

        Where nobody knows yet what those cost who joined last, by what others did, and for twice as
        many as were ever seen.
        """
        with self._lock:
            count = len(self._at_work)
            if not count:
                return True
            if not (is_heard or any(one.is_heard for one in self._at_work)):
                return count < MOST_FILES
            is_seen = self._look()
            if not self._costs or count >= MOST_AT_ONCE:
                return False
            is_near = count + 1 <= 2 * max(self._costs)
            return (is_seen or is_near) and self._predicted(count + 1) <= MOST_USED

    def _begin_anew(self) -> None:
        for one in self._at_work:
            one.begin_anew()

    def _look(self) -> bool:
        """Notes what those at work cost; whether that is known of all who are heard."""
        now, found = self._clock(), [one.cost for one in self._at_work]
        old = [count for count, (_, at) in self._costs.items() if now - at > KNOWN_FOR_S]
        for count in old:
            del self._costs[count]
        heard = [one.cost for one in self._at_work if one.is_heard]
        known = [cost for cost in found if cost is not None]
        if not known or None in heard:
            return False
        self._costs[len(found)] = max(known), now
        return True

    def _predicted(self, count: int) -> float:
        """What a second of music takes with so many at work."""
        known = {of: cost for of, (cost, _) in self._costs.items()}
        if count in known:
            return known[count]
        fewer = sorted(of for of in known if of < count)
        if not fewer:
            return known[min(known)]
        near, cost = fewer[-1], known[fewer[-1]]
        if len(fewer) == 1:
            return cost * (1 + GROWTH * count) / (1 + GROWTH * near)
        slope = (cost - known[fewer[-2]]) / (near - fewer[-2])
        return cost + max(0.0, slope) * (count - near)
