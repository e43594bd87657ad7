"""Settings of drawing over time: guidance, temperature and top-k as lines through points, seeds as
steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .config import Sampling
from .refused import Refused

NAMES = ("cfg", "temperature", "top_k", "seed")
FORM = "such as cfg 0: 3, 20: 5; temperature 10: 1.2"

Points = tuple[tuple[float, float], ...]
"""(second, value), in order; seeds are ints, since no float holds them all"""


@dataclass(frozen=True)
class Automation:
    """Lines through points, by setting.

    Before its first point a setting has that one's value, behind its last point that one's; in
    between it moves in a straight line. A jump is two points close together. A seed holds from its
    second on.
    """

    lines: tuple[tuple[str, Points], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Automation:
        """Of `cfg 0: 3, 20: 5; temperature 10: 1.2`.

        Raises Refused for another form, an unknown setting or one that is there twice, and times
        that are negative, no numbers, unsorted or there twice.
        """
        lines: dict[str, Points] = {}
        for line in filter(None, (part.strip() for part in text.split(";"))):
            name, _, points = line.partition(" ")
            if name not in NAMES or name in lines:
                got = f"{name!r} twice" if name in lines else repr(name)
                raise _refused(got, f"each of {', '.join(NAMES)} at most once, {FORM}")
            lines[name] = tuple(_point(name, point) for point in points.split(","))
            _check_times(name, [second for second, _ in lines[name]])
        return cls(tuple(lines.items()))

    def __bool__(self) -> bool:
        return bool(self.lines)

    def at(self, sampling: Sampling, second: float) -> Sampling:
        """`sampling`, but for what has points, and for guidance that has ended."""
        values = {name: _value(points, second) for name, points in self.lines if name != "seed"}
        if "top_k" in values:
            values["top_k"] = round(values["top_k"])
        if second >= sampling.guidance_until_s:
            values["cfg"] = 1.0
        seeds = [seed for since, seed in dict(self.lines).get("seed", ()) if since <= second]
        return replace(sampling, **values, seed=seeds[-1] if seeds else sampling.seed)

    def guides(self, cfg: float) -> bool:
        """Whether guidance has an effect at any time, where `cfg` is what it is without points."""
        points = dict(self.lines).get("cfg", ((0.0, cfg),))
        return any(value != 1 for _, value in points)

    def check(self, sampling: Sampling, codebook_size: int) -> None:
        """Raises Refused for a value out of range, and for points that would have no effect."""
        for _, points in self.lines:
            for second, _ in points:
                self.at(sampling, second).check(codebook_size)
        if "top_k" in dict(self.lines) and sampling.top_p > 0:
            raise _refused("top_k with top_p above 0, where it has no effect", "top_p 0")

    def check_within(self, duration_s: float) -> None:
        """Raises Refused for a point at the end of a piece or behind it."""
        for name, points in self.lines:
            if points[-1][0] >= duration_s:
                raise _refused(
                    f"{name} at {points[-1][0]:g} s in a piece of {duration_s:g} s",
                    "points before its end",
                )


STEADY = Automation()
"""nothing moves"""


def _point(name: str, text: str) -> tuple[float, float]:
    second, colon, value = text.partition(":")
    try:
        point = float(second), int(value) if name == "seed" else float(value)
    except ValueError:
        raise _refused(f"{text.strip()!r} for {name}", f"second: value, {FORM}") from None
    if not (colon and all(math.isfinite(one) for one in point if isinstance(one, float))):
        raise _refused(f"{text.strip()!r} for {name}", f"second: value, {FORM}")
    if name == "top_k" and point[1] != int(point[1]):
        raise _refused(f"{text.strip()!r} for top_k", "whole numbers")
    return point


def _check_times(name: str, seconds: Sequence[float]) -> None:
    if seconds[0] < 0:
        raise _refused(f"{name} at {seconds[0]:g} s", "0 s or later")
    for before, after in zip(seconds, seconds[1:], strict=False):
        if after == before:
            raise _refused(f"two values of {name} at {after:g} s", "one at a time")
        if after < before:
            raise _refused(f"{name} at {after:g} s behind {before:g} s", "times in order")


def _value(points: Points, second: float) -> float:
    """On the line through the points."""
    if second <= points[0][0]:
        return points[0][1]
    for (begin, low), (end, high) in zip(points, points[1:], strict=False):
        if second < end:
            return low + (high - low) * (second - begin) / (end - begin)
    return points[-1][1]


def _refused(got: str, expected: str) -> Refused:
    return Refused("automation", got=got, expected=expected, remedy="check the points")
