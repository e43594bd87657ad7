"""The lead: a motif of one bar that comes back, steps along a scale, chord notes on strong beats,
cadences.

A phrase is made of bars that share rhythms: m n m k, m n m c with k a half cadence and c one on
the tonic. Riffs repeat one bar or two. Sections of the same letter are the same music.
"""

import random
from dataclasses import dataclass

from .form import Bar
from .harmony import Chord, Progression
from .notes import Note, events

SCALES = {
    ("diatonic", "major"): (0, 2, 4, 5, 7, 9, 11),
    ("diatonic", "minor"): (0, 2, 3, 5, 7, 8, 10),
    ("pentatonic", "major"): (0, 2, 4, 7, 9),
    ("pentatonic", "minor"): (0, 3, 5, 7, 10),
    ("blues", "major"): (0, 2, 3, 4, 7, 9),
    ("blues", "minor"): (0, 3, 5, 6, 7, 10),
}

# Rhythms of one bar by the feel of a genre and the density of the piece, in the step notation.
RHYTHMS: dict[str, dict[str, tuple[str, ...]]] = {
    "straight": {
        "sparse": ("x---x---", "x-----x-", "x---x-x-", "x-------"),
        "medium": ("x-x-x-x-", "x--xx-x-", "x-xxx---", "xxx-x-x-", "x-x-xxx-", "x--x--x-"),
        "busy": ("xxxxxxx-", "xxxxx-x-", "x-xxxxx-", "xxx-xxxx"),
    },
    "sixteenth": {
        "sparse": ("x-----x-----x---", "x---..x-x---....", "..x---x-....x---"),
        "medium": ("x--x--x-x---x-x-", "x-xx..x-x--x..x-", "..x-x-xx..x-x---", "x-.xx-.xx---..x-"),
        "busy": ("x-xxx-x-xxx-x-x-", "xxx-x-xxx-x-xx..", "x-xx.xx-x-xx.xx-"),
    },
    "waltz": {
        "sparse": ("x-----", "x---x-", "x-----"),
        "medium": ("x-x-x-", "x---x-", "x--xx-", "x-xxx-"),
        "busy": ("xxxxxx", "x-xxxx", "xxxxx-"),
    },
    "swing": {
        "sparse": ("x---..x-", "..x---x-", "x-----x-"),
        "medium": ("x-x--xx-", ".xx-x-x-", "x-xx.x--", "x--xx--x", ".x-xx-x-"),
        "busy": ("xxxxx-xx", "xxxx-xxx", ".xxxxxx-", "x-xxxxxx"),
    },
    "shuffle": {
        "sparse": ("x---....", "..x-x---", "x--x----"),
        "medium": ("x-xxx---", ".xx-xx--", "xxx-..xx", "x-xx-x.."),
        "busy": ("xxxxxxx-", "xxx-xxxx", "x-xxxxx-"),
    },
    "riff": {
        "sparse": ("x---x---x---....", "x-----x-----x---"),
        "medium": ("x-x-..x-x-x-..x-", "x---x-x-..x-x---", "x-xx..x-..xxx---", "x-..x-..xx..x-.."),
        "busy": ("x-xxx-xxx-xxx-x-", "xx.xx.xx.xx.x-x-", "x-xxxx.xx-xxxx.x"),
    },
    "long": {
        "sparse": ("x-------", "x-------", "x-----x-"),
        "medium": ("x---x---", "x-----x-", "x--x----"),
        "busy": ("x-x-x-x-", "x-x-x---", "x--x--x-"),
    },
    "dance": {
        "sparse": ("x--x--x-........", "x-----x-x---....", "..x-..x-..x-...."),
        "medium": ("x--x--x-x--x--x-", "x-.x-.x-.x-.x-x-", "..x-x-x-..x-x-x-"),
        "busy": ("x.xxx.x.xx.xx.x.", "xxx.xxx.xxx.xx..", "x.xx.xx.x.xx.xx."),
    },
}
CADENCES = {
    8: ("x-x-x---", "x---x---", "x-x-----"),
    16: ("x-x-x-x-x-------", "x---x---x-------"),
    6: ("x-x---", "x-----"),
}


@dataclass(frozen=True)
class LeadSettings:
    feel: str
    density: str
    scale: str
    mode: str
    riff: bool  # one or two bars that repeat, instead of a tune
    low: int
    high: int
    velocity: int
    legato: float  # share of a note that sounds


class _Line:
    """Where the melody is, and how it goes on."""

    def __init__(self, rng: random.Random, settings: LeadSettings, tonic: int) -> None:
        steps = SCALES[(settings.scale, settings.mode)]
        classes = {(tonic + s) % 12 for s in steps}
        self.pitches = [p for p in range(settings.low, settings.high + 1) if p % 12 in classes]
        self.rng, self.tonic = rng, tonic

    def chordal(self, position: int, chord: Chord) -> int:
        """The place of the scale nearest to `position` that belongs to the chord."""
        fits = [i for i, p in enumerate(self.pitches) if p % 12 in chord.classes]
        return min(fits, key=lambda i: (abs(i - position), i)) if fits else position

    def home(self, position: int) -> int:
        """The place of the tonic nearest to `position`."""
        tonics = [i for i, p in enumerate(self.pitches) if p % 12 == self.tonic]
        return min(tonics, key=lambda i: (abs(i - position), i)) if tonics else position

    def clip(self, position: int) -> int:
        return max(0, min(len(self.pitches) - 1, position))

    def sounding(self, position: int, chord: Chord) -> int:
        """Its pitch; a note that would rub against a chord note from outside the scale becomes that
        note.
        """
        pitch = self.pitches[self.clip(position)]
        if pitch % 12 in chord.classes:
            return pitch
        scale = {p % 12 for p in self.pitches}
        for move in (1, -1):
            if (pitch + move) % 12 in set(chord.classes) - scale:
                return pitch + move
        return pitch


@dataclass(frozen=True)
class _Motif:
    """A bar's rhythm and the steps between its notes."""

    rhythm: str
    moves: tuple[int, ...]


def _motif(rng: random.Random, rhythm: str) -> _Motif:
    moves, direction = [], rng.choice((-1, 1))
    for _ in range(sum(sign == "x" for sign in rhythm)):
        moves.append(direction * rng.choices((0, 1, 2, 3), (0.14, 0.6, 0.18, 0.08))[0])
        if rng.random() < 0.35:
            direction = -direction
    return _Motif(rhythm, tuple(moves))


def melody(
    rng: random.Random,
    settings: LeadSettings,
    form: tuple[Bar, ...],
    progressions: dict[str, Progression],
    beats: int,
) -> list[Note]:
    line = _Line(rng, settings, progressions["A"].tonic)
    phrases = {letter: _phrase(rng, settings) for letter in "AB"}
    phrase_bars = max(bar.place for bar in form) + 1
    composed = {
        letter: _realise(
            rng, line, phrases[letter], progressions[letter], beats, letter, max(8, phrase_bars)
        )
        for letter in "AB"
    }
    notes = []
    for bar in form:
        if bar.last:
            notes.append(_final(line, settings, bar, beats))
            continue
        for start, duration, pitch in composed[bar.section][bar.place]:
            strong = 6 if start == 0 else 3 if start == beats / 2 else 0
            velocity = int((settings.velocity + strong) * bar.swell) + rng.randint(-4, 4)
            notes.append(
                Note(bar.index * beats + start, duration * settings.legato, pitch, velocity)
            )
    return notes


def _phrase(rng: random.Random, settings: LeadSettings) -> list[_Motif]:
    """The motifs of eight bars."""
    rhythms = RHYTHMS[settings.feel][settings.density]
    m, n = (_motif(rng, rng.choice(rhythms)) for _ in range(2))
    if settings.riff:
        return [m, m, m, n] * 2 if rng.random() < 0.5 else [m, n] * 4
    k, c = (_motif(rng, rng.choice(CADENCES[len(m.rhythm)])) for _ in range(2))
    return [m, n, m, k, m, n, rng.choice((m, n)), c]


def _realise(
    rng, line: _Line, motifs, progression: Progression, beats: int, letter: str, bars: int
):
    """Every bar as (start, duration, pitch); B lies higher than A. A bar that repeats a motif
    repeats its notes as nearly as the chord allows.
    """
    middle = len(line.pitches) // 2
    home = line.clip(middle + (2 if letter == "B" else 0) + rng.randint(-1, 1))
    made, starts = [], {}
    for place in range(bars):
        motif = motifs[place % 8]
        chord = progression.at(place)
        if place == 0:  # the tonic first, or a note of its chord: the key is to be heard
            starts[motif] = line.home(home) if rng.random() < 0.6 else line.chordal(home, chord)
        anchor = starts.setdefault(motif, line.chordal(line.clip(home + rng.randint(-2, 2)), chord))
        made.append(
            _bar_notes(line, motif, anchor, progression, place, beats, cadence=place == bars - 1)
        )
    return made


def _bar_notes(
    line, motif, anchor, progression, place, beats, cadence
) -> list[tuple[float, float, int]]:
    notes, position = [], anchor
    for number, (start, duration, _) in enumerate(events(motif.rhythm, beats)):
        chord = progression.at(place, start / beats)
        if number:
            moved = position + motif.moves[number]
            position = moved if 0 <= moved < len(line.pitches) else position - motif.moves[number]
            position = line.clip(position)
        if start % 1 == 0 and (start % 2 == 0 or duration >= 1):
            position = line.chordal(position, chord)
        notes.append((start, duration, line.sounding(position, chord)))
    if cadence and notes:
        start, duration, pitch = notes[-1]
        notes[-1] = (start, duration, _tonic_near(line, pitch))
    return notes


def _tonic_near(line: _Line, pitch: int) -> int:
    return min(
        (p for p in line.pitches if p % 12 == line.tonic),
        key=lambda p: abs(p - pitch),
        default=pitch,
    )


def _final(line: _Line, settings: LeadSettings, bar: Bar, beats: int) -> Note:
    pitch = _tonic_near(line, line.pitches[len(line.pitches) // 2])
    return Note(bar.index * beats, beats * 0.9, pitch, settings.velocity)
