"""Several conditionings heard at once, each with its share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .conditioning import Conditioning, Melody, Style
from .config import MAX_PARTS, LMConfig
from .refused import Refused

Shares = tuple[tuple[Conditioning | None, float], ...]
"""what one item hears on one side (nothing among it), and how much each counts; they sum to 1"""
NOTHING: Shares = ((None, 1.0),)


class Items(Protocol):
    """What a batch of items hears on one side."""

    def __len__(self) -> int: ...

    def shares(self, index: int, /) -> Shares: ...

    def check_fits(self, config: LMConfig) -> None: ...


@dataclass(frozen=True)
class Mix:
    """Conditionings of equally many items, with shares that sum to 1."""

    parts: tuple[tuple[Conditioning, float], ...]

    def __len__(self) -> int:
        return len(self.parts[0][0])

    @property
    def melody(self) -> Melody | None:
        """That of the first part that has one."""
        return next((one.melody for one, _ in self.parts if one.melody is not None), None)

    @property
    def style(self) -> Style | None:
        """That of the first part that has one."""
        return next((one.style for one, _ in self.parts if one.style is not None), None)

    @property
    def text_length(self) -> int:
        """Tokens of the longest text."""
        return max(one.text_length for one, _ in self.parts)

    def shares(self, index: int) -> Shares:
        return tuple((one.item(index), share) for one, share in self.parts)

    def repeated(self, times: int) -> Mix:
        return Mix(tuple((one.repeated(times), share) for one, share in self.parts))

    def with_melody(self, melody: Melody) -> Mix:
        return Mix(tuple((one.with_melody(melody), share) for one, share in self.parts))

    def with_style(self, style: Style) -> Mix:
        return Mix(tuple((one.with_style(style), share) for one, share in self.parts))

    def check_fits(self, config: LMConfig) -> None:
        for one, _ in self.parts:
            one.check_fits(config)


@dataclass(frozen=True)
class InRow:
    """Items of several batches, one batch after the other: each as it is by itself."""

    batches: tuple[tuple[Items | None, int], ...]
    """what a batch hears (one for all, one for each, or nothing), and how many items it has"""

    def __len__(self) -> int:
        return sum(count for _, count in self.batches)

    def shares(self, index: int, /) -> Shares:
        for heard, count in self.batches:
            if index < count:
                return NOTHING if heard is None else heard.shares(index % len(heard))
            index -= count
        raise IndexError(index)

    def check_fits(self, config: LMConfig) -> None:
        for heard, _ in self.batches:
            if heard is not None:
                heard.check_fits(config)


AnyMix = Conditioning | Mix
"""one conditioning, or several at once"""


def combined(weighted: Sequence[tuple[AnyMix, float]]) -> Mix:
    """A mix in which each counts by its weight: share = weight / Σ weights.

    What is itself a mix brings its parts, by its weight together. A weight of 0 leaves one out. A
    single item goes to all items of the others.

    Raises Refused for weights that are no numbers, below 0 or all 0, for more than `MAX_PARTS`
    parts, and for numbers of items that do not fit.
    """
    total = sum(_checked_weight(weight) for _, weight in weighted)
    if total == 0:
        raise Refused("mix", got="weights that are all 0", expected="one above 0")
    parts = [
        (one, share * weight / total)
        for mix, weight in weighted
        for one, share in (mix.parts if isinstance(mix, Mix) else ((mix, 1.0),))
        if weight > 0
    ]
    if len(parts) > MAX_PARTS:
        remedy = "leave some out"
        raise Refused("mix", got=len(parts), expected=f"at most {MAX_PARTS} parts", remedy=remedy)
    items = items_of([one for one, _ in parts], "mix")
    return Mix(
        tuple((one.repeated(items) if len(one) == 1 else one, share) for one, share in parts)
    )


def _checked_weight(weight: float) -> float:
    if not (math.isfinite(weight) and weight >= 0):
        raise Refused(
            "weight",
            got=weight,
            expected="0 or more",
            remedy="connect what the music should not be to the sampler's negative",
        )
    return weight


def items_of(together: Sequence[AnyMix], what: str) -> int:
    """How many items they make, where one item goes to all; Refused if they do not fit."""
    counts = {len(one) for one in together} - {1}
    if len(counts) > 1:
        raise Refused(
            what,
            got=" and ".join(f"{count} texts" for count in sorted(counts)),
            expected="equally many, or one for all",
            remedy="give each as many lines of text",
        )
    return counts.pop() if counts else 1
