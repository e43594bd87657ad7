"""Backing and bass: patterns of a genre over its chords.

Signs of a backing pattern: `x` the chord, `X` the same louder, `s` the same short and sharp, a
digit one of its voices (counted from the lowest, over the octave where it has fewer), `r` its
root below. Signs of a bass pattern: `1` root, `3` third, `5` fifth, `7` seventh (or octave), `8`
octave, `a` a step towards the next root, `g` a dead note on the root.
"""

import random
from dataclasses import dataclass

from .form import Bar
from .harmony import Progression, near, voicing
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


def backing(
    rng: random.Random,
    settings: Backing,
    form: tuple[Bar, ...],
    progressions: dict[str, Progression],
    beats: int,
) -> list[Note]:
    notes, before = [], None
    for bar in form:
        progression = progressions[bar.section]
        pattern = "x" + "-" * 7 if bar.last else settings.patterns[bar.section]
        for start, duration, sign in events(pattern, beats):
            if bar.drop and start >= beats - 2:
                continue
            chord = (
                progressions["A"].at(0) if bar.last else progression.at(bar.place, start / beats)
            )
            pitches = voicing(chord, settings.low, before, settings.rootless)
            before = pitches
            level = int(settings.velocity * bar.swell) + rng.randint(-4, 4)
            at = bar.index * beats + start
            notes += _struck(settings, pitches, chord.root, at, duration, sign, level)
    return [n for n in notes if n.pitch <= settings.high + 12]


def _struck(settings: Backing, pitches, root, at, duration, sign, level) -> list[Note]:
    if sign == "r":
        return [Note(at, duration * 0.95, near(root, settings.low - 12), level + 4)]
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
    for number, bar in enumerate(form):
        following = form[number + 1] if number + 1 < len(form) else form[0]
        target = near(progressions[following.section].at(following.place).root, settings.low)
        pattern = "1" + "-" * 7 if bar.last else settings.patterns[bar.section]
        for start, duration, sign in events(pattern, beats):
            if bar.drop and start >= beats - 2:
                continue
            progression = progressions["A"] if bar.last else progressions[bar.section]
            chord = progression.at(0 if bar.last else bar.place, start / beats)
            pitch = _bass_pitch(chord, sign, settings, target)
            level = (
                int(settings.velocity * bar.swell) + (6 if start == 0 else 0) + rng.randint(-3, 3)
            )
            length = min(duration, 0.12) if sign == "g" else duration * 0.92
            notes.append(
                Note(bar.index * beats + start, length, pitch, level - 30 if sign == "g" else level)
            )
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
