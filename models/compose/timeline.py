"""What is heard over time, in seconds, as nodes say it: and as a schedule of frames, as a
composition follows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..automation import Automation
from ..conditioning import Melody, Style
from ..config import ROUNDING_S, Generation, LMConfig
from ..mix import AnyMix, items_of
from ..refused import Refused
from .direction import Direction, Schedule


@dataclass(frozen=True)
class Change:
    """From a second on, something else."""

    second: float
    heard: AnyMix
    blend_s: float = 0.0
    """in which it takes over"""


@dataclass(frozen=True)
class Timeline:
    """What is heard first, and the changes in order, the first of them after second 0."""

    first: AnyMix
    changes: tuple[Change, ...] = ()

    def __len__(self) -> int:
        return items_of(self.all, "schedule")

    @property
    def all(self) -> tuple[AnyMix, ...]:
        return (self.first, *(change.heard for change in self.changes))

    @property
    def melody(self) -> Melody | None:
        return next((one.melody for one in self.all if one.melody is not None), None)

    @property
    def style(self) -> Style | None:
        return next((one.style for one in self.all if one.style is not None), None)

    @property
    def text_length(self) -> int:
        """Tokens of the longest text."""
        return max(one.text_length for one in self.all)

    def then(self, change: Change) -> Timeline:
        """With another change behind those that are there.

        Raises Refused for times that are no numbers, not after the last change or within its blend.
        """
        for name, seconds in (("second", change.second), ("blend", change.blend_s)):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise Refused(
                    f"schedule: {name}",
                    got=seconds,
                    expected="0 s or more",
                    remedy="choose a time within the piece",
                )
        last = self.changes[-1] if self.changes else Change(0.0, self.first)
        if change.second == last.second:
            raise _refused(f"two changes at {change.second:g} s", "one at a time")
        if change.second < last.second:
            raise _refused(f"{change.second:g} s behind {last.second:g} s", "times in order")
        if change.second < last.second + last.blend_s - ROUNDING_S:
            blend = f"{last.second:g} to {last.second + last.blend_s:g} s"
            raise _refused(
                f"a change at {change.second:g} s within the blend from {blend}",
                "blends that end before the next change",
            )
        changed = replace(self, changes=(*self.changes, change))
        items_of(changed.all, "schedule")
        return changed

    def with_melody(self, melody: Melody) -> Timeline:
        return self._each(lambda one: one.with_melody(melody))

    def with_style(self, style: Style) -> Timeline:
        return self._each(lambda one: one.with_style(style))

    def repeated(self, times: int) -> Timeline:
        """Each item `times` times; what is said once for all is said to each."""
        items = len(self)
        return self._each(lambda one: one.repeated(times * items if len(one) == 1 else times))

    def check_fits(self, config: LMConfig) -> None:
        for one in self.all:
            one.check_fits(config)

    def schedule(self, begun: Direction, frame_rate: float, count: int) -> Schedule:
        """The changes of a piece of `count` frames that begins as `begun`: at the frames nearest to
        their seconds.

        Raises Refused for a change at the piece's end or behind it, and for two within a frame.
        """
        changes: list[tuple[int, Direction]] = []
        for change in self.changes:
            frame = round(change.second * frame_rate)
            if frame >= count:
                got = f"a change at {change.second:g} s in a piece of {count / frame_rate:g} s"
                raise _refused(got, "changes before its end")
            if frame <= (changes[-1][0] if changes else 0):
                got = f"two changes within the frame at {change.second:g} s"
                raise _refused(got, f"at least {1 / frame_rate:g} s between them")
            blend = round(change.blend_s * frame_rate)
            changes.append((frame, replace(begun, positive=change.heard, blend_frames=blend)))
        return tuple(changes)

    def _each(self, change: Callable[[AnyMix], AnyMix]) -> Timeline:
        changes = tuple(replace(one, heard=change(one.heard)) for one in self.changes)
        return Timeline(change(self.first), changes)


def _refused(got: str, expected: str) -> Refused:
    return Refused("schedule", got=got, expected=expected, remedy="check the times")


def timeline_of(heard: AnyMix | Timeline) -> Timeline:
    """What does not change is a timeline without changes."""
    return heard if isinstance(heard, Timeline) else Timeline(heard)


def score_of(
    config: LMConfig,
    generation: Generation,
    heard: AnyMix | Timeline,
    negative: AnyMix | None,
    automation: Automation,
) -> tuple[Direction, Schedule]:
    """What a piece follows from its beginning, and from which frames on what else.

    Raises Refused for times that are not within the piece.
    """
    timeline = timeline_of(heard).repeated(1)
    automation.check_within(generation.frames / config.frame_rate)
    begun = Direction(timeline.first, negative, generation.sampling, automation)
    return begun, timeline.schedule(begun, config.frame_rate, generation.frames)
