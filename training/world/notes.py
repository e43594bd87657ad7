"""Notes, drum hits and the step notation in which every pattern of the sound world is written.

A pattern is a string of equal steps over one bar: a letter or a digit begins something, `-`
holds it, `.` is silence. `x---x-x.` over 4 beats is a half note, a quarter that is cut short,
and so on; what a letter means is its reader's matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Note:
    start_beats: float
    duration_beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Hit:
    start_beats: float
    drum: str
    velocity: int


def events(pattern: str, beats: int) -> Iterator[tuple[float, float, str]]:
    """(start, duration, sign) of everything that a pattern of one bar begins, in beats from its bar
    line.
    """
    step = beats / len(pattern)
    for place, sign in enumerate(pattern):
        if sign in ".-":
            continue
        held = 1
        while place + held < len(pattern) and pattern[place + held] == "-":
            held += 1
        yield place * step, held * step, sign


def swung(beats: float, unit: float, share: float) -> float:
    """A time moved so that the first of two `unit`s takes that share of both: 1/2 is straight, 2/3
    a triplet.
    """
    pair = 2 * unit
    whole, within = divmod(beats + 1e-9, pair)
    within -= 1e-9
    first = share * pair
    if within <= unit:
        return whole * pair + within * first / unit
    return whole * pair + first + (within - unit) * (pair - first) / unit


def swing_note(note: Note, unit: float, share: float) -> Note:
    """Both ends of it."""
    start = swung(note.start_beats, unit, share)
    end = swung(note.start_beats + note.duration_beats, unit, share)
    return replace(note, start_beats=start, duration_beats=end - start)


def swing_hit(hit: Hit, unit: float, share: float) -> Hit:
    return replace(hit, start_beats=swung(hit.start_beats, unit, share))
