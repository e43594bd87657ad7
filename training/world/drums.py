"""Drum grooves: one bar a pattern, a line a drum in the step notation; fills, crashes and the last
stroke.

Signs: `X` accent, `x` stroke, `o` soft stroke. Knows the names of drums, not their sounds
(`kits.py`).
"""

import random

from .form import Bar
from .notes import Hit, events

STRENGTH = {"X": 116, "x": 96, "o": 62}
Groove = dict[str, str]  # drum -> pattern of one bar


def _groove(**lines: str) -> Groove:
    return lines


# Per genre: grooves of the A sections, of which one is drawn, and of the B sections.
GROOVES: dict[str, tuple[tuple[Groove, ...], tuple[Groove, ...]]] = {
    "pop": (
        (
            _groove(kick="X.......X.......", snare="....X.......X...", hat="x.o.x.o.x.o.x.o."),
            _groove(kick="X.....x.X.......", snare="....X.......X...", hat="x.o.x.o.x.o.x.o."),
            _groove(kick="X.......X.x.....", snare="....X.......X...", hat="x.o.x.o.x.o.x.o."),
        ),
        (
            _groove(
                kick="X.....x.X.x.....",
                snare="....X.......X...",
                hat="x.x.x.x.x.x.x...",
                open="..............x.",
            ),
        ),
    ),
    "rock": (
        (
            _groove(kick="X.......X.x.....", snare="....X.......X...", hat="X.x.X.x.X.x.X.x."),
            _groove(kick="X.x.....X.x.....", snare="....X.......X...", hat="X.x.X.x.X.x.X.x."),
            _groove(kick="X.....x...X.....", snare="....X.......X...", hat="X.x.X.x.X.x.X.x."),
        ),
        (
            _groove(kick="X.x...x.X.x.....", snare="....X.......X...", ride="X.x.X.x.X.x.X.x."),
            _groove(kick="X.......X.x.....", snare="....X.......X...", crash="o...o...o...o..."),
        ),
    ),
    "metal": (
        (
            _groove(kick="xxxxxxxxxxxxxxxx", snare="....X.......X...", hat="X...X...X...X..."),
            _groove(kick="x.xxx.xxx.xxx.xx", snare="....X.......X...", crash="o...o...o...o..."),
            _groove(kick="x..xx.x.x..xx.x.", snare="....X.......X...", hat="X...X...X...X..."),
        ),
        (
            _groove(kick="xxxxxxxxxxxxxxxx", snare="........X.......", crash="o...o...o...o..."),
            _groove(kick="x.x.x.x.x.x.x.x.", snare=".x.x.x.x.x.x.x.x", ride="x.x.x.x.x.x.x.x."),
        ),
    ),
    "funk": (
        (
            _groove(kick="X.x.......x..x..", snare="....X..o.o..X..o", hat="x.o.x.o.x.o.x.o."),
            _groove(kick="X..x....x.x.....", snare="....X..o.o..X...", hat="xoxoxoxoxoxoxoxo"),
            _groove(
                kick="X.x...x...x..x..",
                snare="....X..o....X..o",
                hat="x.x.x.x.x.x.x...",
                open="..............x.",
            ),
        ),
        (
            _groove(
                kick="X.x...xx..x.....",
                snare="....X..o.o..X.oo",
                hat="xoxoxo..xoxoxo..",
                open="......x.......x.",
            ),
        ),
    ),
    "reggae": (
        (
            _groove(kick="........X.......", rim="........X.......", hat="x.xox.xox.xox.xo"),
            _groove(kick="........X.......", rim="........X..o..o.", hat="..x...x...x...x."),
            _groove(kick="X...X...X...X...", rim="........X.......", hat="x.o.x.o.x.o.x.o."),
        ),
        (
            _groove(
                kick="........X.......",
                snare="........X.....o.",
                hat="x.xxx.xxx.xxx.x.",
                open="..............o.",
            ),
        ),
    ),
    "house": (
        (
            _groove(kick="X...X...X...X...", clap="....X.......X...", open="..x...x...x...x."),
            _groove(
                kick="X...X...X...X...",
                clap="....X.......X...",
                open="..x...x...x...x.",
                hat="o.o.o.o.o.o.o.o.",
            ),
            _groove(
                kick="X...X...X...X...",
                clap="....X.......X...",
                open="..x...x...x...x.",
                shaker="xoxoxoxoxoxoxoxo",
            ),
        ),
        (
            _groove(
                kick="X...X...X...X...",
                clap="....X.......X..x",
                open="..X...X...X...X.",
                hat="xoxoxoxoxoxoxoxo",
            ),
        ),
    ),
    "techno": (
        (
            _groove(kick="X...X...X...X...", hat="..x...x...x...x."),
            _groove(kick="X...X...X...X...", hat="..X...X...X...X.", rim="...x..x....x..x."),
            _groove(kick="X...X...X...X...", hat="o.x.o.x.o.x.o.x.", tom_lo="...o..o....o.o.."),
        ),
        (
            _groove(
                kick="X...X...X...X...",
                hat="xoxoxoxoxoxoxoxo",
                clap="....x.......x...",
                open="..x...x...x...x.",
            ),
        ),
    ),
    "trap": (
        (
            _groove(kick="X......x..x.....", clap="........X.......", hat="x.x.x.x.x.x.xxxx"),
            _groove(kick="X.....x....x....", clap="........X.......", hat="x.x.x.xxx.x.x.x."),
            _groove(
                kick="X..........X..............X.....",
                clap="................X...............",
                hat="x...x...x...x.x.x...x...xxxxxxx.",
            ),
        ),
        (
            _groove(
                kick="X.....X.............X.X.........",
                clap="................X...............",
                hat="x...x...xxxxx...x...x.x.x...xxxx",
                open="............................x...",
            ),
        ),
    ),
    "hip hop": (
        (
            _groove(kick="X..x......x.....", snare="....X.......X...", hat="x.x.x.x.x.x.x.x."),
            _groove(kick="X.....x..xx.....", snare="....X.......X..o", hat="x.x.x.x.x.x.x.x."),
        ),
        (
            _groove(
                kick="X.x......xx.....",
                snare="....X.......X...",
                hat="x.xxx.x.x.xxx...",
                open="..............x.",
            ),
        ),
    ),
    "lo-fi": (
        (
            _groove(kick="X......x..x.....", snare="....x.......x...", hat="x.o.x.o.x.o.x.o."),
            _groove(kick="X.....x...x.....", rim="....x.......x...", hat="x.o.x.o.x.o.x.oo"),
            _groove(kick="X..x......x.....", snare="....x.......x..o", hat="x.x.x.x.x.x.x.x."),
        ),
        (
            _groove(
                kick="X......x..x..x..",
                snare="....x.......x...",
                hat="x.o.xoo.x.o.x...",
                open="..............o.",
            ),
        ),
    ),
    "country": (
        (
            _groove(kick="X.......X.......", snare="..x...X...x...X.", hat="o.o.o.o.o.o.o.o."),
            _groove(kick="X.......X.......", snare="o.x.o.X.o.x.o.X."),
            _groove(kick="X.......X.......", rim="....X.......X...", hat="x.o.x.o.x.o.x.o."),
        ),
        (_groove(kick="X.......X.......", snare="oox.ooX.oox.ooX.", hat="x...x...x...x..."),),
    ),
    "folk": (
        (
            _groove(
                kick="X.......X.......", tambourine="....x.......x...", shaker="o.o.o.o.o.o.o.o."
            ),
            _groove(kick="X.....x.X.......", tambourine="....x.......x..."),
            _groove(kick="X.......X.......", rim="....x.......x...", shaker="x.o.x.o.x.o.x.o."),
        ),
        (
            _groove(
                kick="X.......X.......", snare="....x.......x...", tambourine="x.o.x.o.x.o.x.o."
            ),
        ),
    ),
    "jazz": (
        (
            _groove(
                ride="x...x.x.x...x.x.",
                pedal="....x.......x...",
                kick="o...............",
                snare="..........o.....",
            ),
            _groove(ride="X...x.x.x...x.x.", pedal="....x.......x...", snare="......o.......o."),
        ),
        (
            _groove(
                ride="X...x.x.X...x.x.",
                pedal="....x.......x...",
                kick="o.....o.........",
                snare="..o.......o...o.",
            ),
        ),
    ),
    "bossa nova": (
        (
            _groove(kick="x.....x.x.....x.", rim="x.....x.....x...", hat="xoxoxoxoxoxoxoxo"),
            _groove(kick="x.....x.x.....x.", rim="x..x..x...x..x..", shaker="x.oxx.oxx.oxx.ox"),
        ),
        (_groove(kick="x.....x.x.....x.", rim="..x.x...x..x..x.", shaker="xoxoxoxoxoxoxoxo"),),
    ),
    "latin": (
        (
            _groove(
                conga_lo="x......x........",
                conga_hi="..x.....x.x...xx",
                clave="x.....x.....x...",
                shaker="x.o.x.o.x.o.x.o.",
                kick="x.....x.x.....x.",
            ),
            _groove(
                conga_lo="......xx......xx",
                conga_hi="..x.......x.x...",
                cowbell="x...x.x.x...x.x.",
                kick="X.....x.X.....x.",
            ),
        ),
        (
            _groove(
                conga_lo="......xx......xx",
                conga_hi="..x.......x.x...",
                cowbell="X.x.x.xxX.x.x.x.",
                kick="X.....x.X.....x.",
                clap="....o.......o...",
            ),
        ),
    ),
    "orchestral": (
        (
            _groove(
                timpani_lo="X.......X.......",
                timpani_hi="............x.x.",
                snare="....x.oo....x.oo",
            ),
            _groove(
                timpani_lo="X.....x.X.....x.", big_drum="X.......x.......", snare="..o.x.o...o.x.oo"
            ),
        ),
        (
            _groove(
                timpani_lo="X..x..x.X..x..x.", big_drum="X.......X.......", snare="o.oox.ooo.oox.oo"
            ),
            _groove(
                timpani_lo="X...x...X...x.xx",
                big_drum="X.......x.......",
                cymbal="x...............",
            ),
        ),
    ),
    "classical": (
        (
            _groove(timpani_lo="X...............", timpani_hi="........x......."),
            _groove(timpani_lo="x.......x.......", snare="....o.......o.oo"),
        ),
        (_groove(timpani_lo="X.......x.......", timpani_hi="....x.......x..."),),
    ),
    "chiptune": (
        (
            _groove(kick="X.......X.......", snare="....X.......X...", hat="x.x.x.x.x.x.x.x."),
            _groove(kick="X..x....X..x....", snare="....X.......X..x", hat="x.xxx.xxx.xxx.xx"),
            _groove(kick="X.x.....X.x.....", snare="....X.......X...", hat="xxxxxxxxxxxxxxxx"),
        ),
        (_groove(kick="X...X...X...X...", snare="....X.......X.xx", hat="..x...x...x...x."),),
    ),
    "waltz": (
        (
            _groove(kick="X...........", snare="....o...o...", hat="x...o...o..."),
            _groove(kick="X...........", rim="....x...x..."),
            _groove(kick="X...........", pedal="....x...x...", ride="x...x...x.o."),
        ),
        (_groove(kick="X...........", snare="....x...x.o.", hat="x.o.x.o.x.o."),),
    ),
    "blues": (
        (
            _groove(kick="X.....x.....", snare="...X.....X..", hat="x.ox.ox.ox.o"),
            _groove(kick="X....xx.....", snare="...X.....X..", ride="x.ox.ox.ox.o"),
            _groove(kick="X..o..X..o..", snare="...X.....X..", hat="X.xX.xX.xX.x"),
        ),
        (_groove(kick="X....xx....x", snare="...X.....X.o", ride="X.xX.xX.xX.x"),),
    ),
    "disco": (
        (
            _groove(
                kick="X...X...X...X...",
                snare="....X.......X...",
                open="..x...x...x...x.",
                hat="x...x...x...x...",
            ),
            _groove(
                kick="X...X...X...X...",
                snare="....X.......X...",
                open="..X...X...X...X.",
                hat="xo.ox.oox.oox.oo",
            ),
        ),
        (
            _groove(
                kick="X...X...X...X...",
                clap="....X.......X...",
                snare="....X.......X...",
                open="..X...X...X...X.",
                tambourine="x.xxx.xxx.xxx.xx",
            ),
        ),
    ),
    "march": (
        (
            _groove(kick="X...X...X...X...", march_snare="x.oox.oox.oox.oo"),
            _groove(kick="X.......X.......", march_snare="..x...x...x...xx"),
            _groove(kick="X...X...X...X...", march_snare="X..ox.xxX..ox.oo"),
        ),
        (
            _groove(
                kick="X...X...X...X...", march_snare="X.ooX.ooX.ooXxxx", cymbal="x.......x......."
            ),
        ),
    ),
    "ballad": (
        (
            _groove(kick="X.........x.....", rim="........x.......", hat="x.o.x.o.x.o.x.o."),
            _groove(kick="X.......x.......", rim="....x.......x...", hat="x...x...x...x..."),
        ),
        (_groove(kick="X.....x...x.....", snare="........X.......", hat="x.o.x.o.x.o.x.o."),),
    ),
}

# The last beat or two of a phrase, in sixteenths (or triplets), high drums to low ones.
_FILLS = {
    "snare": {"small": ("oxxx", "x.xx", ".x.x"), "full": ("x.xxxxxx", "xxxxxxXX", "o.oxo.xX")},
    "toms": {
        "small": ("hhml", "sh.l", "s.ml"),
        "full": ("sshhmmll", "s.shh.ml", "hhhhmmll", "sssshhml"),
    },
    "hats": {"small": ("oooo", "x.xx"), "full": ("x.x.xxxx", "xxxxxxxx")},
    "timpani": {"small": ("l.lh", "llll"), "full": ("oooollLL", "l.l.lhlh")},
}
_SIGNS = {
    "snare": {"o": ("snare", "o"), "x": ("snare", "x"), "X": ("snare", "X")},
    "toms": {
        s: (d, "x") for s, d in zip("shml", ("snare", "tom_hi", "tom_mid", "tom_lo"), strict=True)
    },
    "hats": {"o": ("hat", "o"), "x": ("hat", "x")},
    "timpani": {
        "o": ("timpani_lo", "o"),
        "l": ("timpani_lo", "x"),
        "L": ("timpani_lo", "X"),
        "h": ("timpani_hi", "x"),
    },
}


def drums(
    rng: random.Random,
    genre: str,
    fills: tuple[str, ...],
    form: tuple[Bar, ...],
    beats: int,
    loudness: float,
) -> list[Hit]:
    """The hits of a piece; `fills` are keys of `_FILLS`, none for a groove that never changes."""
    first, second = GROOVES[genre]
    grooves = {"A": rng.choice(first), "B": rng.choice(second)}
    hits = []
    for bar in form:
        hits += _bar(rng, grooves[bar.section], fills, bar, beats, loudness)
    return hits


def _bar(rng, groove: Groove, fills, bar: Bar, beats: int, loudness: float) -> list[Hit]:
    start = bar.index * beats
    if bar.last:
        return [Hit(start, d, int(100 * loudness)) for d in groove if d in _LAST] + _crash(
            bar, start, loudness
        )
    until = beats
    hits = _crash(bar, start, loudness)
    if bar.fill and fills:
        filled, length = _fill(rng, rng.choice(fills), bar.fill, start + beats, beats, loudness)
        until = beats - length
        hits += filled
    if bar.drop:
        until = min(until, beats - 2)
    for drum, pattern in groove.items():
        for at, _, sign in events(pattern, beats):
            if at < until:
                velocity = STRENGTH[sign] * loudness * bar.swell + rng.randint(-5, 5)
                hits.append(Hit(start + at, drum, _clip(velocity)))
    return hits


_LAST = ("kick", "timpani_lo", "big_drum", "cymbal", "march_snare")


def _crash(bar: Bar, start: float, loudness: float) -> list[Hit]:
    return [Hit(start, "crash", _clip(100 * loudness))] if bar.crash else []


def _fill(
    rng, kind: str, size: str, end: float, beats: int, loudness: float
) -> tuple[list[Hit], float]:
    pattern = rng.choice(_FILLS[kind][size])
    length = len(pattern) / 4
    hits = []
    for at, _, sign in events(pattern, 1):
        drum, strength = _SIGNS[kind][sign]
        rise = 0.85 + 0.15 * at  # fills lead to the next bar
        hits.append(
            Hit(end - length + at * length, drum, _clip(STRENGTH[strength] * loudness * rise))
        )
    return hits, length


def _clip(velocity: float) -> int:
    return max(1, min(127, int(velocity)))
