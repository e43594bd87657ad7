"""What each row of an item hears, and how much it counts, frame by frame.

Models that hear text in layers of their own can be told another one between two steps. A row keeps
its past then:

    bank 0    a row for each prompt of what is followed
    bank 1    the same, where something is blended in: it goes over to the new at once, bank 0
              when the blend is over
    away      a row for each negative, or for nothing, where there is guidance

Outside a blend bank 1 hears what bank 0 hears, and counts nothing; so a blend begins with the same
past on both sides, and one of no frames is a change at once. What counts behind a blend is bank 0,
which has just been told: a row that had the new words while the old music went on has learnt to
keep to that music.

Once guidance has ended (`Sampling.guidance_until_s`) what it led away from is heard no more: those
rows leave, always the last of their slot.

Models that read their conditioning first have, for everything that is followed within a window, a
slot for each prompt, with its own negatives: so a prefix is as long as it is alone, whatever comes
later. Only weights change within a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..config import LMConfig
from ..refused import Refused
from .direction import Direction, Schedule, Turn
from .guidance import Branch, Branches, Sides, heard_as

MAX_ROWS = 64

Groups = tuple[Branches, ...]
"""of an item: the branches of each of its slots"""


@dataclass(frozen=True)
class Room:
    """How many rows a composition keeps for each item: enough for all that was said at the start,
    since a row that comes later would have no past.
    """

    prompts: int
    """of a direction, at most"""
    negatives: tuple[int, ...]
    """by item; 0: no guidance"""
    heard_as: int = 1
    """branches of a prompt, at most"""
    blends: bool = False
    """whether a blend that nobody knew of may begin at any time; else in the next window"""

    @classmethod
    def for_all(cls, directions: Sequence[Direction]) -> Room:
        """Raises Refused if they are of different numbers of items."""
        first = len(directions[0].positive)
        for direction in directions:
            if len(direction.positive) != first:
                raise _wrong_items(len(direction.positive), first)
        prompts = max(_prompts(direction) for direction in directions)
        negatives = tuple(max(_negatives(d, i) for d in directions) for i in range(first))
        return cls(prompts, negatives, max(_heard_as(direction) for direction in directions))

    def widened(self, prompts: int, blends: bool = True) -> Room:
        """For what nobody knows yet: so many prompts at once, guidance, and, where there are to be
        `blends`, these at any time.
        """
        return replace(
            self,
            prompts=max(prompts, self.prompts),
            negatives=tuple(max(1, count) for count in self.negatives),
            blends=blends,
        )

    def check_holds(self, direction: Direction) -> None:
        """Raises Refused if a direction needs more rows than there are."""
        if len(direction.positive) != len(self.negatives):
            raise _wrong_items(len(direction.positive), len(self.negatives))
        wanted = Room.for_all([direction])
        counts = (
            ("prompts", wanted.prompts, self.prompts),
            ("branches of a prompt", wanted.heard_as, self.heard_as),
            *(("negatives", *pair) for pair in zip(wanted.negatives, self.negatives, strict=True)),
        )
        for what, got, there in counts:
            if got > there:
                raise Refused(
                    "direction",
                    got=f"{got} {what}",
                    expected=f"at most {there}, as the music began with",
                    remedy="say all that will come when it begins (its schedule), or begin with a "
                    "cfg other than 1",
                )


def _wrong_items(got: int, expected: int) -> Refused:
    return Refused("direction", got=f"{got} items", expected=f"{expected}, as the music began with")


def _prompts(direction: Direction) -> int:
    return max(len(sides.positive) for sides in direction.sides)


def _heard_as(direction: Direction) -> int:
    heard = (one for sides in direction.sides for one, _ in sides.positive)
    return max(len(heard_as(one, 1.0)) for one in heard)


def _negatives(direction: Direction, item: int) -> int:
    sides = direction.sides[item]
    return len(sides.negative) if direction.is_guided and not sides.hears_nothing else 0


class Rows(Protocol):
    """Of one window."""

    @property
    def can_blend(self) -> bool:
        """Whether a blend that nobody knew of may begin in this window."""
        ...

    def at(self, turn: Turn, frame: int, cfg: float, has_ended: bool = False) -> tuple[Groups, ...]:
        """`has_ended`: there is no guidance then or later."""
        ...


def rows_for(
    config: LMConfig, room: Room, turn: Turn, coming: Sequence[Direction], begin: int
) -> Rows:
    """For a window that begins at frame `begin`; `coming` are the changes within it."""
    if not config.cross_attention:
        before = [turn.before] if turn.before and turn.share_at(begin) < 1 else []
        return PrefixRows(room, [*before, turn.now, *coming])
    known = turn.share_at(begin) < 1 or any(change.blend_frames for change in coming)
    return TextRows(room, 2 if known or room.blends else 1)


class TextRows:
    def __init__(self, room: Room, banks: int):
        self._room, self._banks = room, banks

    @property
    def can_blend(self) -> bool:
        return self._banks == 2

    def at(self, turn: Turn, frame: int, cfg: float, has_ended: bool = False) -> tuple[Groups, ...]:
        share = turn.share_at(frame)
        items = range(len(self._room.negatives))
        return tuple((self._item(i, turn, share, cfg, has_ended),) for i in items)

    def _item(self, item: int, turn: Turn, share: float, cfg: float, has_ended: bool) -> Branches:
        heard = [(turn.now.sides[item], share), (turn.now.sides[item], 0.0)][: self._banks]
        if turn.before is not None and share < 1:
            heard = [(turn.before.sides[item], 1 - share), (turn.now.sides[item], share)]
        banks = [self._prompts(sides, part, _strength(sides, cfg)) for sides, part in heard]
        away = [] if has_ended else self._away(item, heard, cfg)
        return (*(branch for bank in banks for branch in bank), *away)

    def _prompts(self, sides: Sides, part: float, strength: float) -> list[Branch]:
        branches = [Branch(one, part * strength * share) for one, share in sides.positive]
        spare = Branch(branches[0].conditioning, 0.0)
        return branches + [spare] * (self._room.prompts - len(branches))

    def _away(self, item: int, heard: list[tuple[Sides, float]], cfg: float) -> list[Branch]:
        count = self._room.negatives[item]
        if not count:
            return []
        away = sum(part * (1 - _strength(sides, cfg)) for sides, part in heard)
        branches = [Branch(one, away * share) for one, share in heard[0][0].negative]
        return branches + [Branch(branches[0].conditioning, 0.0)] * (count - len(branches))


class PrefixRows:
    can_blend = True  # between what the window has read; another text waits for the next window

    def __init__(self, room: Room, heard: Sequence[Direction]):
        self._room, self._heard = room, _distinct(heard)

    def at(self, turn: Turn, frame: int, cfg: float, has_ended: bool = False) -> tuple[Groups, ...]:
        share = turn.share_at(frame)
        guided = [bool(count) and not has_ended for count in self._room.negatives]
        parts = [self._part(one, turn, share) for one in self._heard]
        return tuple(
            tuple(
                group
                for one, part in zip(self._heard, parts, strict=True)
                for group in self._slots(one.sides[i], part, cfg, guided[i])
            )
            for i in range(len(guided))
        )

    @staticmethod
    def _part(one: Direction, turn: Turn, share: float) -> float:
        part = share if one.says_the_same_as(turn.now) else 0.0
        if turn.before is not None and one.says_the_same_as(turn.before):
            part += 1 - share
        return part

    @staticmethod
    def _slots(sides: Sides, part: float, cfg: float, guided: bool) -> Iterable[Branches]:
        strength = _strength(sides, cfg)
        for one, share in sides.positive:
            prompt, away = part * share * strength, part * share * (1 - strength)
            negatives = [Branch(no, away * by) for no, by in sides.negative] if guided else []
            yield (*heard_as(one, prompt), *negatives)


def _distinct(directions: Iterable[Direction]) -> list[Direction]:
    kept: list[Direction] = []
    for one in directions:
        if not any(one.says_the_same_as(other) for other in kept):
            kept.append(one)
    return kept


def _strength(sides: Sides, cfg: float) -> float:
    """Guidance that has no effect is none."""
    return 1.0 if sides.hears_nothing else cfg


def rows_of(
    config: LMConfig, begun: Direction, schedule: Schedule, room: Room | None = None
) -> int:
    """How many rows any window has at most, in a room for more than these or one of their own.

    Raises Refused for more than `MAX_ROWS`.
    """
    room = room or Room.for_all([begun, *(direction for _, direction in schedule)])
    if config.cross_attention:
        blends = room.blends or any(direction.blend_frames for _, direction in schedule)
        banks = 2 if blends else 1
        rows = sum(banks * room.prompts + away for away in room.negatives)
    else:
        said = [(frame, _prefix_rows(one, room)) for frame, one in ((0, begun), *schedule)]
        blends = any(direction.blend_frames for _, direction in schedule)
        rows = _most_within(said, config.window_frames, before=1 + blends)
    if rows > MAX_ROWS:
        raise Refused(
            "branches",
            got=f"{rows} for {len(room.negatives)} items",
            expected=f"at most {MAX_ROWS} in all",
            remedy="mix fewer prompts, change less often, or make fewer takes at once",
        )
    return rows


def _prefix_rows(direction: Direction, room: Room) -> int:
    """Of all items, as `PrefixRows` has them."""
    return sum(
        len(heard_as(one, 1.0)) + (len(sides.negative) if away else 0)
        for sides, away in zip(direction.sides, room.negatives, strict=True)
        for one, _ in sides.positive
    )


def _most_within(said: Sequence[tuple[int, int]], frames: int, before: int) -> int:
    """The most rows that a window of so many frames can need: of the directions that begin within
    it, and of those `before` that are still heard when it begins. `said`: (frame, rows), in order.
    """
    return max(
        sum(rows for frame, rows in said[max(0, first - before) :] if frame < begin + frames)
        for first, (begin, _) in enumerate(said)
    )
