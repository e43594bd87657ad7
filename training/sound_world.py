"""The sound world of the pocket model: instruments, styles, chords, rhythms and tempi.

Everything that the composer may use is listed here and nowhere else, so that this one page says what the model can know.
It is narrow on purpose: a model of this size learns a few things well. It does not know MIDI files or audio.
"""

from dataclasses import dataclass

SAMPLE_RATE = 16_000
FRAME_RATE = 50  # codec frames a second; beats are whole numbers of frames, so that onsets meet the codec's grid
TEMPI_BPM = (80, 100, 120, 140)  # every tempo from 70 to 150 is near one of them, and no two are an octave apart
DRUM_CHANNEL = 9


@dataclass(frozen=True)
class Instrument:
    name: str
    program: int  # General MIDI program, counted from 0
    family: str
    low: int  # lowest comfortable MIDI pitch of a melody
    high: int
    chords: bool  # can play several notes at once
    gain: float  # loudness relative to the piano, applied to velocities
    words: tuple[str, ...]  # how captions call it


def _instrument(name, program, family, low, high, chords, gain, *words) -> Instrument:
    return Instrument(name, program, family, low, high, chords, gain, words or (name,))


LEADS = {
    i.name: i
    for i in (
        _instrument("piano", 0, "piano", 60, 84, True, 1.0, "piano", "piano", "piano", "grand piano"),
        _instrument("guitar", 24, "guitar", 55, 79, True, 1.1, "guitar", "guitar", "acoustic guitar", "nylon guitar"),
        _instrument("strings", 48, "strings", 60, 84, True, 0.9, "strings", "strings", "violins", "string ensemble"),
        _instrument("flute", 73, "flute", 67, 91, False, 1.0, "flute"),
        _instrument("trumpet", 56, "brass", 60, 82, False, 0.85, "trumpet"),
        _instrument("organ", 19, "organ", 60, 84, True, 0.8, "organ", "organ", "church organ", "pipe organ"),
        _instrument("synth", 81, "synth", 60, 84, False, 0.75, "synth", "synth", "synthesizer", "synth lead"),
        _instrument("music box", 10, "music box", 72, 96, True, 1.1, "music box"),
    )
}
BACKINGS = {
    "piano": LEADS["piano"],
    "guitar": LEADS["guitar"],
    "strings": LEADS["strings"],
    "pad": _instrument("pad", 89, "synth", 55, 79, True, 0.9, "synth pad", "warm pad"),
}
BASSES = {
    "bass": _instrument("bass", 33, "bass", 31, 50, False, 1.1, "bass", "bass", "bass line"),
    "synth bass": _instrument("synth bass", 38, "bass", 31, 50, False, 1.0, "synth bass", "bass"),
}

# Drum keys of General MIDI.
KICK, SNARE, RIM, HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 37, 42, 46, 49, 51

# One bar of drums: (beat, key, velocity). Beats count from 0.
DrumBar = tuple[tuple[float, int, int], ...]


def _eighths(key: int, beats: int, strong: int, weak: int) -> DrumBar:
    return tuple((b / 2, key, strong if b % 2 == 0 else weak) for b in range(2 * beats))


def _hits(key: int, velocity: int, *beats: float) -> DrumBar:
    return tuple((b, key, velocity) for b in beats)


DRUM_BARS: dict[str, tuple[DrumBar, ...]] = {
    "pop": (
        _hits(KICK, 105, 0, 2) + _hits(SNARE, 100, 1, 3) + _eighths(HAT, 4, 75, 55),
        _hits(KICK, 105, 0, 1.5, 2) + _hits(SNARE, 100, 1, 3) + _eighths(HAT, 4, 75, 55),
        _hits(KICK, 105, 0, 2, 2.5) + _hits(SNARE, 100, 1, 3) + _eighths(HAT, 4, 75, 55),
    ),
    "rock": (
        _hits(KICK, 115, 0, 2, 2.5) + _hits(SNARE, 112, 1, 3) + _eighths(HAT, 4, 90, 75),
        _hits(KICK, 115, 0, 0.5, 2) + _hits(SNARE, 112, 1, 3) + _eighths(RIDE, 4, 85, 70),
    ),
    "electronic": (
        _hits(KICK, 115, 0, 1, 2, 3) + _hits(SNARE, 90, 1, 3) + _hits(OPEN_HAT, 70, 0.5, 1.5, 2.5, 3.5),
        _hits(KICK, 115, 0, 1, 2, 3) + _hits(OPEN_HAT, 75, 0.5, 1.5, 2.5, 3.5),
    ),
    "jazz": (
        _hits(RIDE, 90, 0, 1, 2, 3) + _hits(RIDE, 70, 1 + 2 / 3, 3 + 2 / 3) + _hits(HAT, 70, 1, 3) + _hits(KICK, 70, 0),
    ),
    "folk": (
        _hits(KICK, 95, 0, 2) + _hits(RIM, 85, 1, 3) + _eighths(HAT, 4, 60, 45),
        _hits(KICK, 95, 0, 2) + _hits(SNARE, 75, 0.5, 1.5, 2.5, 3.5),
    ),
    "waltz": (_hits(KICK, 100, 0) + _hits(SNARE, 70, 1, 2) + _hits(HAT, 65, 0, 1, 2),),
    "ballad": (
        _hits(KICK, 90, 0, 2.5) + _hits(RIM, 85, 2) + _eighths(HAT, 4, 60, 45),
        _hits(KICK, 90, 0, 2) + _hits(RIM, 85, 1, 3) + _hits(HAT, 55, 0, 1, 2, 3),
    ),
    "classical": (_hits(KICK, 90, 0, 2) + _hits(SNARE, 75, 1, 3, 3.5),),
}


@dataclass(frozen=True)
class Style:
    name: str
    words: tuple[str, ...]
    beats_per_bar: int
    tempi_bpm: tuple[int, int]  # lowest and highest
    leads: tuple[str, ...]
    backings: tuple[str, ...]
    bass: str
    backing_patterns: tuple[str, ...]
    bass_patterns: tuple[str, ...]
    swing: bool = False
    weight: float = 1.0


STYLES = {
    s.name: s
    for s in (
        Style(
            "pop",
            ("pop",),
            4,
            (80, 140),
            ("piano", "guitar", "synth", "strings", "flute"),
            ("piano", "guitar", "pad"),
            "bass",
            ("block", "pulse", "arpeggio"),
            ("root", "pump"),
            weight=1.6,
        ),
        Style(
            "rock",
            ("rock",),
            4,
            (100, 160),
            ("guitar", "organ", "synth", "trumpet"),
            ("guitar", "piano"),
            "bass",
            ("pulse", "block"),
            ("pump",),
        ),
        Style(
            "electronic",
            ("electronic", "techno", "dance"),
            4,
            (110, 150),
            ("synth", "piano"),
            ("pad", "piano"),
            "synth bass",
            ("block", "offbeat", "arpeggio"),
            ("offbeat", "pump"),
            weight=1.2,
        ),
        Style(
            "jazz",
            ("jazz", "swing"),
            4,
            (90, 160),
            ("trumpet", "piano", "guitar", "flute"),
            ("piano", "guitar"),
            "bass",
            ("comp",),
            ("walk",),
            swing=True,
        ),
        Style(
            "folk",
            ("folk", "country"),
            4,
            (80, 150),
            ("guitar", "flute", "strings", "piano"),
            ("guitar", "piano"),
            "bass",
            ("boomchuck", "arpeggio"),
            ("fifths",),
            weight=1.2,
        ),
        Style(
            "waltz",
            ("waltz",),
            3,
            (90, 160),
            ("piano", "strings", "flute", "music box", "organ", "trumpet"),
            ("piano", "strings", "guitar"),
            "bass",
            ("boomchuck",),
            ("root",),
            weight=0.8,
        ),
        Style(
            "ballad",
            ("ballad", "ambient", "lullaby"),
            4,
            (70, 90),
            ("piano", "flute", "strings", "music box", "guitar"),
            ("piano", "strings", "pad", "guitar"),
            "bass",
            ("block", "arpeggio"),
            ("root",),
            weight=1.2,
        ),
        Style(
            "classical",
            ("classical", "baroque"),
            4,
            (70, 140),
            ("piano", "organ", "strings", "flute", "trumpet", "music box"),
            ("piano", "strings"),
            "bass",
            ("block", "arpeggio"),
            ("root", "fifths"),
            weight=1.2,
        ),
    )
}

TONICS = {"C": 0, "D": 2, "G": 7}
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Scale degrees from 0; one chord a bar. Every progression opens on the tonic, which keeps the mode audible.
PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (0, 3, 0, 4), (0, 2, 3, 4), (0, 1, 4, 0)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 4), (0, 5, 3, 4), (0, 3, 0, 4), (0, 6, 5, 6)),
}
# Rhythms of one bar of melody as durations in beats, by beats per bar and density.
RHYTHMS: dict[tuple[int, str], tuple[tuple[float, ...], ...]] = {
    (4, "sparse"): ((2, 2), (4,), (3, 1), (2, 1, 1), (1, 1, 2)),
    (4, "medium"): ((1, 1, 1, 1), (1.5, 0.5, 1, 1), (1, 0.5, 0.5, 2), (0.5, 0.5, 1, 1, 1), (1, 1, 0.5, 0.5, 1)),
    (4, "busy"): (
        (0.5,) * 8,
        (0.5, 0.5, 0.5, 0.5, 1, 1),
        (1, 0.5, 0.5, 0.5, 0.5, 1),
        (0.5, 0.5, 1, 0.5, 0.5, 1),
    ),
    (3, "sparse"): ((3,), (2, 1)),
    (3, "medium"): ((1, 1, 1), (2, 1), (1.5, 0.5, 1)),
    (3, "busy"): ((0.5,) * 6, (1, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)),
}
