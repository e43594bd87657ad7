"""What a genre consists of, and how the tables write it.

`weights("piano 3, strings 1")` are chances, `patterns("x---x--- xxxxxxxx")` patterns of one bar
in the step notation.
"""

from dataclasses import dataclass, field


def weights(text: str) -> dict[str, float]:
    """Names, each with a number after it."""
    pairs = (entry.strip().rpartition(" ") for entry in text.split(","))
    return {name: float(number) for name, _, number in pairs}


def patterns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Genre:
    name: str
    chords: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    beat_frames: dict[int, float]  # codec frames a beat, and their weights
    leads: dict[str, float]
    backings: dict[str, float]
    basses: dict[str, float]
    backing_patterns: tuple[str, ...]
    bass_patterns: tuple[str, ...]
    feel: str  # of the lead: a key of melody.RHYTHMS
    kits: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # a further part, in the band
    second_patterns: tuple[str, ...] = ("x-------",)
    scales: dict[str, float] = field(default_factory=lambda: {"diatonic": 1.0})
    minor: float = 0.5  # how often
    textures: dict[str, float] = field(default_factory=dict)
    densities: dict[str, float] = field(
        default_factory=lambda: {"sparse": 0.15, "medium": 0.5, "busy": 0.35}
    )
    dynamics: dict[str, float] = field(
        default_factory=lambda: {"soft": 0.1, "normal": 0.65, "loud": 0.25}
    )
    beats_per_bar: int = 4
    phrase_bars: int = 8
    riff: float = 0.0  # how often the lead repeats a bar or two
    swing: tuple[float, float] | None = None  # unit in beats and the share of the first of two
    fills: tuple[str, ...] = ("toms", "snare")
    crashes: bool = True
    low_chords: bool = False  # power chords, an octave below other backings
    jitter_s: float = 0.004
    legato: float = 0.92
    effects: tuple[str, ...] = ()  # of `mix.py`
    levels: dict[str, float] = field(default_factory=dict)  # dB by role, added to those of `mix.py`
    weight: float = 1.0


BAND = weights("band 0.7, trio 0.07, duo 0.06, solo 0.05, lead and drums 0.06, drums 0.06")
BEATS = weights("band 0.78, trio 0.03, solo 0.03, duo 0.03, lead and drums 0.06, drums 0.07")
QUIET = weights("solo 0.4, duo 0.3, trio 0.15, band 0.15")
