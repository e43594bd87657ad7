"""The plan of a piece, bar by bar: phrases of eight bars (or of a genre's own length) in the form
AABA, cut to its length.

It says where in its phrase each bar stands, where the drums fill, where a cymbal crashes, where
the groove drops out, and which bar rings out at the end. Knows no notes.
"""

import random
from dataclasses import dataclass

FORM = "AABA"


@dataclass(frozen=True)
class Bar:
    index: int  # in the piece
    place: int  # in its phrase
    section: str  # a letter of `FORM`
    fill: str = ""  # "", "small": its last beat, "full": its last two
    crash: bool = False
    drop: bool = False  # accompaniment and drums are silent for its last two beats
    last: bool = False  # one chord of the tonic, ringing out
    swell: float = 1.0  # factor on velocities: phrases grow a little and relax


def plan(
    rng: random.Random, bars: int, phrase_bars: int, crashes: bool, ending: bool
) -> tuple[Bar, ...]:
    first = rng.choices(range(len(FORM)), (4, 3, 1, 4))[0]
    opens = (
        crashes and rng.random() < 0.35
    )  # what is heard first depends on the words alone: let it be the music
    drops = rng.random() < 0.25
    return tuple(
        _bar(rng, i, bars, phrase_bars, first, drops, opens if i == 0 else crashes, ending)
        for i in range(bars)
    )


def _bar(rng, index, bars, phrase_bars, first, drops, crashes, ending) -> Bar:
    place = index % phrase_bars
    section = FORM[(first + index // phrase_bars) % len(FORM)]
    last = ending and index == bars - 1
    closes = place == phrase_bars - 1 or (ending and index == bars - 2)
    fill = "full" if closes else "small" if place % 4 == 3 and rng.random() < 0.6 else ""
    return Bar(
        index=index,
        place=place,
        section=section,
        fill="" if last else fill,
        crash=crashes and (place == 0 or last),
        drop=drops and closes and not last and index > 1,
        last=last,
        swell=0.95 + 0.1 * place / max(1, phrase_bars - 1),
    )
