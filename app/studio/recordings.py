"""What doors are told about a recording or a loop, read: as fields of a Request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...models.bars import Bars
from ...models.quoting import shown
from ...models.refused import Refused
from ...workflows.request import Request

UNHEARD_BESIDE_REPAINT = ("variations", "automation", "overlap_s", "guidance_until_s")
SECONDS = r"\s*([0-9]+(?:\.[0-9]*)?)\s*"


def continued(path: Path, from_s: float | None, duration_s: float) -> dict[str, Any]:
    """A recording that goes on as new music: from a second on, else from its end on.

    `duration_s` is the length of all. Raises Refused for a second outside the recording, and for a
    length that leaves no room for anything new.
    """
    length_s = _length_s(path)
    begin_s = length_s if from_s is None else from_s
    if not 0 < begin_s <= length_s:
        raise Refused(
            "continue-from",
            got=f"{begin_s:g} s of a recording of {length_s:.4g} s",
            expected="a time within it, after its beginning",
            remedy="choose an earlier one, or leave it out: its end",
        )
    if duration_s <= begin_s:
        raise Refused(
            "duration",
            got=f"{duration_s:g} s, which begin with {begin_s:.4g} s of the recording",
            expected="the length of all, the recording included",
            remedy=f"ask for {begin_s + 10:.0f}, or continue from an earlier second",
        )
    return {"recording": path.name, "continue_from_s": begin_s}


def repainted(path: Path, region: str) -> dict[str, Any]:
    """A recording of which a region is made anew: `4:8`, in seconds; `4:` is up to its end.

    Raises Refused for a text that is none, and for a region outside the recording.
    """
    read = re.fullmatch(rf"{SECONDS}:(?:{SECONDS})?\s*", region)
    if read is None:
        expected, remedy = "BEGIN:END in seconds", "such as 4:8"
        raise Refused("repaint", got=shown(region), expected=expected, remedy=remedy)
    return region_of(path, float(read[1]), float(read[2]) if read[2] else None)


def region_of(
    path: Path, begin_s: float, end_s: float | None, what: str = "repaint"
) -> dict[str, Any]:
    """`repainted`, of numbers; without an end, up to the recording's. `what`: the word for it."""
    length_s = _length_s(path)
    end_s = length_s if end_s is None else end_s
    if not begin_s < end_s <= length_s:
        raise Refused(
            what,
            got=f"{begin_s:g} to {end_s:.4g} s",
            expected=f"a part of 0 to {length_s:.4g} s",
            remedy="choose times within the recording",
        )
    return {"recording": path.name, "repaint": (begin_s, end_s), "duration_s": length_s}


def looped(bars: str, bpm: float | None, prompt: str) -> dict[str, Any]:
    """Raises Refused as `Bars.parse` does."""
    loop = Bars.parse(bars, bpm, prompt)
    return {"loop": loop, "duration_s": loop.enough_s}


def unheard_beside_repaint(values: Mapping[str, Any]) -> dict[str, bool]:
    """What a region that is made anew does not hear, by its name at the doors: whether it is asked
    for in `values`, which are a Request's.
    """
    named = {name: name.removesuffix("_s") for name in UNHEARD_BESIDE_REPAINT}
    return {said: values[name] != getattr(Request, name) for name, said in named.items()}


def check_alone(what: str, others: dict[str, bool]) -> None:
    """Raises Refused if something stands beside `what` that it cannot be together with."""
    for other, is_there in others.items():
        if is_there:
            raise Refused(
                what,
                got=f"{other} too",
                expected="it without",
                remedy=f"leave out {other}, or do one after the other",
            )


def _length_s(path: Path) -> float:
    """As it is decoded: what a file says of its length may be a guess."""
    from ...workflows.media.audio import read_audio

    sound, rate = read_audio(path)
    return sound.shape[1] / rate
