"""Chords from Roman numerals, and their voicings: close to the one before, inside a range.

`ii7`, `bVI`, `Imaj7`, `i5`: an accidental, a degree of the major scale (small letters are
minor), a colour.
"""

import re
from dataclasses import dataclass

DEGREES = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
COLOURS = {  # semitones above the root; the third follows the case of the numeral where it says 3
    "": (0, 3, 7),
    "5": (0, 7, 12),
    "7": (0, 3, 7, 10),
    "9": (0, 3, 7, 10, 14),
    "maj7": (0, 4, 7, 11),
    "6": (0, 3, 7, 9),
    "sus4": (0, 5, 7),
    "add9": (0, 3, 7, 14),
    "o7": (0, 3, 6, 9),
    "o": (0, 3, 6),
    "h7": (0, 3, 6, 10),  # half diminished
}


@dataclass(frozen=True)
class Chord:
    root: int  # pitch class
    intervals: tuple[int, ...]

    @property
    def classes(self) -> tuple[int, ...]:
        return tuple((self.root + i) % 12 for i in self.intervals)


def chord(tonic: int, numeral: str) -> Chord:
    """`tonic` as a pitch class. Raises ValueError for a numeral that is none."""
    match = re.fullmatch(r"(b|#)?(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)", numeral)
    if match is None or match[3] not in COLOURS:
        raise ValueError(f"got numeral {numeral!r}, expected one like ii7, bVI or Imaj7")
    root = DEGREES[match[2].upper()] + {"b": -1, "#": 1, None: 0}[match[1]]
    major = match[2].isupper()
    spelled = COLOURS[match[3]]
    if match[3] not in ("o", "o7", "h7"):
        spelled = tuple(4 if i == 3 and major else i for i in spelled)
    return Chord((tonic + root) % 12, spelled)


@dataclass(frozen=True)
class Progression:
    """Chords bar by bar; a bar may hold two (`ii7/V7`). It repeats."""

    tonic: int
    bars: tuple[tuple[Chord, ...], ...]

    @classmethod
    def parse(cls, tonic: int, text: str) -> "Progression":
        bars = (tuple(chord(tonic, n) for n in bar.split("/")) for bar in text.split())
        return cls(tonic, tuple(bars))

    def at(self, place: int, share: float = 0.0) -> Chord:
        """The chord at a share (0 to 1) of the bar at that place of the phrase."""
        chords = self.bars[place % len(self.bars)]
        return chords[min(len(chords) - 1, int(share * len(chords)))]


def near(pitch_class: int, low: int) -> int:
    """The lowest pitch of that class at or above `low`."""
    return low + (pitch_class - low) % 12


def voicing(wanted: Chord, low: int, before: list[int] | None, rootless: bool) -> list[int]:
    """Pitches from `low` upwards, in the inversion that moves least from the one before."""
    if wanted.intervals == COLOURS["5"]:  # power chords keep their shape and move along the neck
        root = near(wanted.root, low)
        return [root, root + 7]
    classes = list(dict.fromkeys(wanted.classes))
    if rootless and len(classes) > 3:
        classes = classes[1:]
    inversions = []
    for turn in range(len(classes)):
        pitches = [near(classes[turn], low)]
        for pitch_class in classes[turn + 1 :] + classes[:turn]:
            pitches.append(near(pitch_class, pitches[-1] + 1))
        inversions.append(pitches)
    centre = sum(before) / len(before) if before else low + 6
    return min(inversions, key=lambda ps: (abs(sum(ps) / len(ps) - centre), ps))
