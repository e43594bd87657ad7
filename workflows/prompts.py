"""The short forms in which the front doors take mixes and schedules: text, and nothing else.

ambient pads 0.7 + drum and bass 0.3          a mix: every part ends with a decimal number
0: ambient pads; 20: drum and bass            a schedule: seconds, and what is heard from there
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..models.config import MAX_PARTS, ROUNDING_S
from ..models.quoting import shown
from ..models.refused import Refused

MAX_CHANGES = 1000

Parts = tuple[tuple[str, float], ...]
"""(text, weight)"""

_WEIGHTED = re.compile(r"(.*\S)\s+(\d*\.\d+)", re.DOTALL)


def in_one_line(text: str) -> str:
    """The text node makes an item of every line; a front door's prompt is one item however it is
    broken.
    """
    return " ".join(text.split())


def parts_of(text: str) -> Parts:
    """The parts of a mix; any other text is a single part.

    A mix is told by its decimal numbers, which no tempo has: "house 124 + piano" is a text.

    Raises Refused where only some parts have one, and for more than `MAX_PARTS`.
    """
    pieces = [in_one_line(piece) for piece in re.split(r"\s\+\s", text)]
    found = [_WEIGHTED.fullmatch(piece) for piece in pieces]
    if len(pieces) == 1 or not any(found):
        return ((in_one_line(text), 1.0),)
    for piece, weighted in zip(pieces, found, strict=True):
        if weighted is None:
            raise Refused(
                "mix",
                got=f"{shown(piece)} without a weight",
                expected="a decimal number behind every part, such as pads 0.7 + drums 0.3",
                remedy="weigh all parts, or none",
            )
    if len(pieces) > MAX_PARTS:
        expected = f"at most {MAX_PARTS} parts"
        raise Refused("mix", got=len(pieces), expected=expected, remedy="leave some out")
    return tuple((weighted[1], float(weighted[2])) for weighted in found if weighted)


def changes_of(text: str, duration_s: float, blend_s: float = 0.0) -> tuple[tuple[float, str], ...]:
    """(second, text) of each entry, in order. Entries stand behind semicolons or in lines.

    Raises Refused for what is no entry, for times that are no numbers, negative, unsorted, there
    twice, at the end of a piece of `duration_s` or behind it, or within the blend before.
    """
    entries = [in_one_line(entry) for entry in re.split(r"[;\n]", text) if entry.strip()]
    if len(entries) > MAX_CHANGES:
        raise _refused(f"{len(entries)} entries", f"at most {MAX_CHANGES}")
    changes = tuple(_entry(entry) for entry in entries)
    _check([second for second, _ in changes], duration_s, blend_s)
    return changes


def _entry(entry: str) -> tuple[float, str]:
    second, colon, text = entry.partition(":")
    try:
        at = float(second)
    except ValueError:
        colon, at = "", 0.0
    if not colon:
        raise _refused(shown(entry), "seconds: text, such as 20: drum and bass")
    return at, text.strip()


def _check(seconds: Sequence[float], duration_s: float, blend_s: float) -> None:
    for before, second in zip([None, *seconds], seconds, strict=False):
        if not 0 <= second < duration_s:  # NaN fails every comparison
            expected = f"0 s or later, before the piece's end at {duration_s:g} s"
            raise _refused(f"{second:g} s", expected)
        if before is not None and second == before:
            raise _refused(f"two entries at {second:g} s", "one at a time")
        if before is not None and second < before:
            raise _refused(f"{second:g} s behind {before:g} s", "times in order")
        if before and second < before + blend_s - ROUNDING_S:  # nothing is blended in at 0 s
            blend = f"the blend from {before:g} to {before + blend_s:g} s"
            raise _refused(f"{second:g} s within {blend}", "a shorter blend")


def _refused(got: str, expected: str) -> Refused:
    return Refused("schedule", got=got, expected=expected, remedy="check the schedule")
