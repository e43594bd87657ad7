"""Where the wires of a drawn graph run: in a curve where the way is free, else around the boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]

SAMPLES = 24
STUB, SPREAD = 18.0, 5.0
"""how far a wire that goes around runs straight out of a box; how far such wires lie apart"""
CLEARANCE = 8.0
ROUND = 14.0
MOST_ROUTED = 150
"""wires of a graph; in a larger one each is a curve"""


@dataclass(frozen=True)
class Rect:
    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Point) -> bool:
        x, y = point
        return self.left < x < self.right and self.top < y < self.bottom

    def is_crossed(self, a: Point, b: Point) -> bool:
        """By a line that runs across or down."""
        (x1, x2), (y1, y2) = sorted((a[0], b[0])), sorted((a[1], b[1]))
        return x1 < self.right and x2 > self.left and y1 < self.bottom and y2 > self.top


@dataclass(frozen=True)
class Wire:
    """Its corners; two of them: a curve from one to the other."""

    points: tuple[Point, ...]

    @property
    def is_curve(self) -> bool:
        return len(self.points) == 2

    def along(self) -> Iterator[Point]:
        """Points on it, close to one another."""
        if self.is_curve:
            yield from _curve(*self.points)
            return
        for (x1, y1), (x2, y2) in pairwise(self.points):
            for step in range(SAMPLES):
                share = step / SAMPLES
                yield x1 + (x2 - x1) * share, y1 + (y2 - y1) * share

    def path(self) -> str:
        """As SVG."""
        (x1, y1), (x2, y2) = self.points[0], self.points[-1]
        if self.is_curve:
            bend = _bend(x1, x2)
            ends = f"{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
            return f"M{x1:.0f} {y1:.0f} C{ends}"
        parts = [f"M{x1:.0f} {y1:.0f}"]
        for before, corner, after in zip(
            self.points, self.points[1:], self.points[2:], strict=False
        ):
            (ax, ay), (bx, by) = _towards(corner, before), _towards(corner, after)
            parts.append(f"L{ax:.0f} {ay:.0f} Q{corner[0]:.0f} {corner[1]:.0f} {bx:.0f} {by:.0f}")
        return " ".join([*parts, f"L{x2:.0f} {y2:.0f}"])


def wire(start: Point, end: Point, boxes: Sequence[Rect], number: int = 0) -> Wire:
    """From one socket to another, past all `boxes` that lie between. `number`: one of its own, by
    which wires that go the same way lie beside one another.
    """
    straight = Wire((start, end))
    if not any(box.holds(point) for point in straight.along() for box in boxes):
        return straight
    shift = SPREAD * (number % 4)
    out, into = start[0] + STUB + shift, end[0] - STUB - shift
    lanes = sorted(_lanes(boxes, shift), key=lambda y: abs(y - start[1]) + abs(y - end[1]))
    ways = (((start, (out, start[1]), (out, y), (into, y), (into, end[1]), end)) for y in lanes)
    return Wire(min(ways, key=lambda way: _crossed(way, boxes)))


def _lanes(boxes: Sequence[Rect], shift: float) -> Iterator[float]:
    for box in boxes:
        yield box.top - CLEARANCE - shift
        yield box.bottom + CLEARANCE + shift


def _crossed(way: tuple[Point, ...], boxes: Sequence[Rect]) -> int:
    return sum(box.is_crossed(*side) for side in pairwise(way) for box in boxes)


def _bend(x1: float, x2: float) -> float:
    return max(40.0, abs(x2 - x1) / 2)


def _curve(start: Point, end: Point) -> Iterator[Point]:
    (x1, y1), (x2, y2) = start, end
    bend = _bend(x1, x2)
    xs, ys = (x1, x1 + bend, x2 - bend, x2), (y1, y1, y2, y2)
    for step in range(SAMPLES + 1):
        t = step / SAMPLES
        weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        yield (
            sum(w * x for w, x in zip(weights, xs, strict=True)),
            sum(w * y for w, y in zip(weights, ys, strict=True)),
        )


def _towards(corner: Point, other: Point) -> Point:
    """A little way from a corner, where its rounding begins."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)
    share = min(ROUND, length / 2) / length if length else 0.0
    return corner[0] + dx * share, corner[1] + dy * share
