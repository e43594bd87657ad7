"""What music follows, from some frame on, and how one direction gives way to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from ..automation import STEADY, Automation
from ..config import LMConfig, Sampling
from ..mix import Items
from ..refused import Refused
from .guidance import Sides, sides_of


@dataclass(frozen=True)
class Direction:
    """What the music follows from some frame on."""

    positive: Items
    negative: Items | None = None
    sampling: Sampling = Sampling()
    automation: Automation = STEADY
    """of the sampling, by the time since the music's beginning"""
    blend_frames: int = 0
    """in which what was followed before gives way to this; 0: at once"""

    @cached_property
    def sides(self) -> tuple[Sides, ...]:
        """Of each item. Raises Refused if positive and negative do not fit each other."""
        return sides_of(self.positive, self.negative)

    @property
    def is_guided(self) -> bool:
        """Whether guidance has an effect at any time."""
        return self.sampling.guidance_until_s > 0 and self.automation.guides(self.sampling.cfg)

    def is_guided_from(self, second: float) -> bool:
        """Whether guidance may have an effect then or later."""
        return self.is_guided and second < self.sampling.guidance_until_s

    @cached_property
    def texts(self) -> tuple[frozenset[str], ...]:
        """All that each item is led to."""
        heard = ([one for one, _ in sides.positive if one is not None] for sides in self.sides)
        return tuple(frozenset(text for one in some for text in one.texts) for some in heard)

    def says_the_same_as(self, other: Direction) -> bool:
        """Whether the same is heard, however it is drawn."""
        return self.positive is other.positive and self.negative is other.negative

    def is_news_after(self, before: Direction) -> bool:
        """Whether other texts take over at once, and no item goes on with one that it followed."""
        pairs = zip(self.texts, before.texts, strict=True)
        is_other = self.texts != before.texts and all(now.isdisjoint(then) for now, then in pairs)
        return is_other and not self.blend_frames

    def check_unguided(self, second: float) -> None:
        """Raises Refused for guidance from there on: its rows have left, and one that came later
        would have no past.
        """
        if self.is_guided_from(second):
            raise Refused(
                "direction",
                got="guidance, after it has ended",
                expected="cfg 1",
                remedy="let guidance end later",
            )

    def check(self, config: LMConfig) -> None:
        """Raises Refused for what does not fit the model, or is out of range."""
        self.sampling.check(config.codebook_size)
        self.automation.check(self.sampling, config.codebook_size)
        for heard in (self.positive, self.negative):
            if heard is not None:
                heard.check_fits(config)


Schedule = tuple[tuple[int, Direction], ...]
"""(frame, what is followed from there on), in order"""


@dataclass(frozen=True)
class Turn:
    """The direction in force, and the one that still gives way to it."""

    now: Direction
    since: int = 0
    """its first frame"""
    before: Direction | None = None

    def followed_by(self, direction: Direction, frame: int) -> Turn:
        """What says the same is only drawn otherwise: a blend under way goes on."""
        if direction.says_the_same_as(self.now):
            return replace(self, now=replace(direction, blend_frames=self.now.blend_frames))
        return Turn(direction, frame, self.now if direction.blend_frames else None)

    @property
    def whole_from(self) -> int:
        """The frame from which nothing of what was before is heard."""
        return self.since + self.now.blend_frames

    def share_at(self, frame: int) -> float:
        """Of `now`: n frames of a blend have 1/(n + 1), 2/(n + 1) …, so that none is a change at
        once.
        """
        if self.before is None or frame >= self.whole_from:
            return 1.0
        return (frame - self.since + 1) / (self.now.blend_frames + 1)


def guidance_has_ended(followed: Iterable[Direction], second: float) -> bool:
    """Whether, whatever is followed, it was to last no longer."""
    return all(one.sampling.guidance_until_s <= second for one in followed)


def check_blends(begun: Direction, changes: Schedule) -> None:
    """Raises Refused for a blend that begins before another one has ended, and for one of
    negatives, whose rows all directions share.
    """
    before, whole_from = begun, 0
    for frame, direction in changes:
        if direction.says_the_same_as(before):
            continue
        if direction.blend_frames and frame < whole_from:
            raise Refused(
                "blend",
                got=f"one from frame {frame} on, within another to frame {whole_from}",
                expected="one after the other",
                remedy="blend for less time, or change later",
            )
        if direction.blend_frames and direction.negative is not before.negative:
            raise Refused(
                "blend",
                got="another negative",
                expected="the same before and after",
                remedy="change the negative at once",
            )
        before, whole_from = direction, frame + direction.blend_frames
