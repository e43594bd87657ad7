"""Backing and bass: patterns of a genre over its chords.

Signs of a backing pattern: `x` the chord, `X` the same louder, `s` the same short and sharp, a
digit one of its voices (counted from the lowest, over the octave where it has fewer), `r` its
root below. Signs of a bass pattern: `1` root, `3` third, `5` fifth, `7` seventh (or octave), `8`
octave, `a` a step towards the next root, `g` a dead note on the root.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .form import Bar
from .harmony import Chord, Progression, near, voicing
from .notes import Note, events

STRUM_BEATS = 0.025  # from string to string


@dataclass(frozen=True)
class Backing:
    patterns: dict[str, str]  # by section
    low: int
    high: int
    velocity: int
    strummed: bool
    rootless: bool  # a bass plays the roots


@dataclass(frozen=True)
class _Event:
    """What a pattern begins, where in the piece, and over which chord."""

    bar: Bar
    within: float  # beats from its bar line
    start: float  # beats from the beginning
    duration: float
    sign: str
    chord: Chord


def _events(
    patterns: dict[str, str],
    last: str,
    form: tuple[Bar, ...],
    progressions: dict[str, Progression],
    beats: int,
) -> Iterator[_Event]:
    """None in drop-outs; the last bar holds one chord of the tonic, begun with the sign `last`."""
    for bar in form:
        pattern = last + "-" * 7 if bar.last else patterns[bar.section]
        for start, duration, sign in events(pattern, beats):
            if bar.drop and start >= beats - 2:
                continue
            here = progressions["A" if bar.last else bar.section]
            chord = here.at(0 if bar.last else bar.place, start / beats)
            yield _Event(bar, start, bar.index * beats + start, duration, sign, chord)


def backing(
    rng: random.Random,
    settings: Backing,
    form: tuple[Bar, ...],
    progressions: dict[str, Progression],
    beats: int,
) -> list[Note]:
    notes, before = [], None
    for event in _events(settings.patterns, "x", form, progressions, beats):
        before = voicing(event.chord, settings.low, before, settings.rootless)
        level = int(settings.velocity * event.bar.swell) + rng.randint(-4, 4)
        notes += _struck(settings, before, event, level)
    return [n for n in notes if n.pitch <= settings.high + 12]


def _struck(settings: Backing, pitches: list[int], event: _Event, level: int) -> list[Note]:
    at, duration, sign = event.start, event.duration, event.sign
    if sign == "r":
        return [Note(at, duration * 0.95, near(event.chord.root, settings.low - 12), level + 4)]
    if sign.isdigit():
        octave, voice = divmod(int(sign), len(pitches))
        return [Note(at, duration * 1.05, pitches[voice] + 12 * octave, level)]
    length = min(duration * 0.7, 0.2) if sign == "s" else duration * 0.95
    level += 12 if sign == "X" else 0
    spread = STRUM_BEATS if settings.strummed and duration >= 0.5 else 0.0
    return [Note(at + i * spread, length - i * spread, p, level) for i, p in enumerate(pitches)]


@dataclass(frozen=True)
class Bass:
    patterns: dict[str, str]
    low: int
    high: int
    velocity: int


def bass_line(
    rng: random.Random,
    settings: Bass,
    form: tuple[Bar, ...],
    progressions: dict[str, Progression],
    beats: int,
) -> list[Note]:
    notes = []
    for event in _events(settings.patterns, "1", form, progressions, beats):
        bar, dead = event.bar, event.sign == "g"
        following = form[(bar.index + 1) % len(form)]
        target = near(progressions[following.section].at(following.place).root, settings.low)
        pitch = _bass_pitch(event.chord, event.sign, settings, target)
        level = int(settings.velocity * bar.swell) + (6 if event.within == 0 else 0)
        level += rng.randint(-3, 3) - (30 if dead else 0)
        length = min(event.duration, 0.12) if dead else event.duration * 0.92
        notes.append(Note(event.start, length, pitch, level))
    return notes


def _bass_pitch(chord, sign: str, settings: Bass, target: int) -> int:
    root = near(chord.root, settings.low)
    third = next((i for i in chord.intervals if i in (3, 4)), 7)
    seventh = next((i for i in chord.intervals if i in (9, 10, 11)), 12)
    fifth = next((i for i in chord.intervals if i in (6, 7)), 7)
    if sign == "a":
        return target - 1 if target - 1 >= settings.low and root != target - 1 else target + 2
    rise = {"1": 0, "g": 0, "3": third, "5": fifth, "7": seventh, "8": 12}[sign]
    return root + rise if root + rise <= settings.high else root + rise - 12
