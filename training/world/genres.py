"""The genres: what makes each of them itself. Drum pattern and kit, bass figure, backing, lead and its scale, chords, tempi.

Patterns are in the step notation of `notes.py`; grooves are in `drums.py` under the genre's name. Knows no notes.
"""

from dataclasses import dataclass, field

# Backing patterns by kind, one bar each.
BLOCK, HALVES, QUARTERS, EIGHTHS = "x-------", "x---x---", "x-x-x-x-", "xxxxxxxx"
BROKEN, ROLLING, ALBERTI = "0-1-2-1-", "01213121", "02120212"
STRUM = "X-x-.xxx"
PUSHED = "x--x--x-"

# Chords by mode: of the A sections, then of the B sections.
POP = {
    "major": (("I V vi IV", "I IV I V", "I V I IV", "I IV V I", "I V IV I"), ("IV V I I", "IV I V I", "ii V I I")),
    "minor": (("i bVI iv V", "i iv i V", "i bVII i bVI", "i iv bVI V", "i bVI i V"), ("bVI V i i", "iv i V i")),
}
ROCK = {
    "major": (("I5 IV5 V5 IV5", "I5 IV5 I5 V5", "I5 V5 IV5 I5"), ("IV5 V5 I5 I5", "IV5 I5 V5 I5")),
    "minor": (("i5 bVII5 bVI5 V5", "i5 i5 bVI5 bVII5", "i5 iv5 i5 V5"), ("bVI5 V5 i5 i5", "iv5 i5 V5 i5")),
}
METAL = {
    "major": (("I5 I5 IV5 V5", "I5 IV5 V5 I5"), ("IV5 V5 I5 I5",)),
    "minor": (("i5 i5 bVI5 V5", "i5 i5 iv5 bVI5", "i5 bVI5 i5 V5"), ("bVI5 V5 i5 i5", "i5 i5 bVI5 V5")),
}
FUNK = {
    "major": (("I9 I9 IV9 I9", "I7 I7 IV7 I7"), ("IV9 IV9 I9 I9", "IV7 V7 I7 I7")),
    "minor": (("i7 i7 iv7 i7", "i7 i7 i7 V7", "i9 i9 iv9 i9"), ("iv7 iv7 i7 i7", "bVI7 V7 i7 i7")),
}
HOUSE = {
    "major": (("I I IV V", "I IV I V", "I V IV I"), ("IV V I I",)),
    "minor": (("i7 iv7 i7 V", "i7 i7 iv7 V", "i bVI i V"), ("bVI V i i", "iv7 i7 V i")),
}
TECHNO = {
    "major": (("I I I I", "I I IV I"), ("IV IV I I",)),
    "minor": (("i i i i", "i i iv i", "i i i V"), ("bVI bVI i i", "iv iv i i")),
}
TRAP = {
    "major": (("I I IV V", "I IV I V"), ("IV V I I",)),
    "minor": (("i i bVI V", "i bVI iv V", "i i iv V", "i iv i V"), ("bVI V i i", "iv iv i V")),
}
SOUL = {
    "major": (("Imaj7 Imaj7 ii7 V7", "Imaj7 IVmaj7 Imaj7 V7", "Imaj7 vi7 ii7 V7"), ("IVmaj7 V7 Imaj7 Imaj7",)),
    "minor": (("i7 iv7 i7 V7", "i7 i7 bVImaj7 V7", "i9 iv9 i9 iv9", "i7 iv7 bVImaj7 V7"), ("bVImaj7 V7 i7 i7",)),
}
COUNTRY = {
    "major": (("I I IV I", "I IV I V", "I V I I", "I IV V I", "I I V I"), ("IV IV I I", "IV I V I")),
    "minor": (("i i iv i", "i iv i V", "i bVI i V"), ("bVI V i i", "iv iv i V")),
}
JAZZ = {
    "major": (
        ("Imaj7 Imaj7 ii7 V7", "Imaj7/vi7 ii7/V7 Imaj7/vi7 ii7/V7", "Imaj7 vi7 ii7 V7", "I6 IV7 I6 V7"),
        ("ii7 V7 Imaj7 Imaj7", "IVmaj7 iv7 Imaj7 ii7/V7"),
    ),
    "minor": (
        ("i7 i7 iih7 V7", "i6 bVI7 iih7 V7", "i7 iv7 i7 iih7/V7", "i7/bVI7 iih7/V7 i7 V7"),
        ("iv7 iv7 i7 i7", "iv7 i7 iih7 V7"),
    ),
}
BOSSA = {
    "major": (("Imaj7 Imaj7 ii7 V7", "Imaj7 II7 ii7 V7", "Imaj7 ii7 V7 Imaj7"), ("IVmaj7 iv6 Imaj7 V7", "ii7 V7 Imaj7 Imaj7")),
    "minor": (("i7 i7 iih7 V7", "i9 iv7 i9 V7", "i7 iv7 iih7 V7"), ("iv7 V7 i7 i7",)),
}
CLASSICAL = {
    "major": (("I V I V", "I IV V I", "I IV I V", "I vi ii V", "I V7 I IV"), ("V V7 I I", "IV I V I", "ii V I I")),
    "minor": (("i iv V i", "i V i V", "i bVI iv V", "i iv i V"), ("V V7 i i", "iv i V i", "bVI iv i V")),
}
EPIC = {
    "major": (("I V vi IV", "I V I IV", "I IV I V"), ("IV V I I", "IV I V I")),
    "minor": (("i bVI i V", "i i bVI V", "i iv bVI V", "i bVII bVI V"), ("bVI V i i", "iv bVI i V")),
}
AMBIENT = {
    "major": (("Imaj7 Imaj7 IVmaj7 IVmaj7", "Iadd9 IVmaj7 Iadd9 Isus4", "I I IVmaj7 I"), ("IVmaj7 IVmaj7 I I",)),
    "minor": (("i7 i7 iv7 iv7", "iadd9 iv iadd9 V", "i7 i7 bVImaj7 i7"), ("iv7 iv7 i7 i7",)),
}
BLUES = {
    "major": (("I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7", "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7"),) * 2,
    "minor": (("i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7", "i7 iv7 i7 i7 iv7 iv7 i7 i7 V7 iv7 i7 V7"),) * 2,
}
REGGAE = {
    "major": (("I IV I IV", "I V I IV", "I I IV V", "I IV V IV"), ("IV IV I I", "IV V I I")),
    "minor": (("i iv i iv", "i iv i V", "i bVI i V", "i i iv iv"), ("bVI V i i", "iv iv i i")),
}
LATIN = {
    "major": (("I IV V IV", "I V V I", "I IV I V"), ("IV V I I", "ii V I I")),
    "minor": (("i iv V iv", "i V V i", "i bVII bVI V"), ("iv V i i", "bVI V i i")),
}
MARCH = {
    "major": (("I I V V", "I V I V", "I IV V I", "I I II7 V"), ("IV I V I", "IV IV I V")),
    "minor": (("i V i V", "i iv V i", "i i V V"), ("iv i V i", "iv iv i V")),
}


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
    second_patterns: tuple[str, ...] = (BLOCK,)
    scales: dict[str, float] = field(default_factory=lambda: {"diatonic": 1.0})
    minor: float = 0.5  # how often
    textures: dict[str, float] = field(default_factory=dict)
    densities: dict[str, float] = field(default_factory=lambda: {"sparse": 0.15, "medium": 0.5, "busy": 0.35})
    dynamics: dict[str, float] = field(default_factory=lambda: {"soft": 0.1, "normal": 0.65, "loud": 0.25})
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


BAND = {"band": 0.7, "trio": 0.07, "duo": 0.06, "solo": 0.05, "lead and drums": 0.06, "drums": 0.06}
BEATS = {"band": 0.78, "trio": 0.03, "solo": 0.03, "duo": 0.03, "lead and drums": 0.06, "drums": 0.07}
QUIET = {"solo": 0.4, "duo": 0.3, "trio": 0.15, "band": 0.15}

_GENRES = (
    Genre(
        "pop", POP, {32: 1, 30: 2, 27: 2, 25: 3, 23: 2},
        {"piano": 3, "synth": 3, "clean guitar": 2, "steel guitar": 2, "guitar": 1, "e-piano": 1, "flute": 0.5, "strings": 0.5, "marimba": 0.7, "vibraphone": 0.5},
        {"piano": 3, "steel guitar": 2, "pad": 2, "e-piano": 1, "clean guitar": 1, "synth": 0.6}, {"bass": 3, "synth bass": 1},
        (BLOCK, QUARTERS, BROKEN, STRUM, PUSHED, HALVES), ("1-----1-", "11111111", "1---1-1-", "1--1--1-", "1---5---"), "straight",
        kits=("studio", "standard", "room"), seconds={"strings": 2, "pad": 2, "choir": 0.5}, minor=0.35, textures=BAND, weight=1.8,
    ),
    Genre(
        "rock", ROCK, {27: 1, 25: 2, 23: 3, 21: 3, 19: 1.5},
        {"distorted guitar": 5, "clean guitar": 1, "hammond organ": 1, "synth": 0.5, "harmonica": 0.5}, {"distorted guitar": 5, "clean guitar": 1}, {"pick bass": 2, "bass": 1},
        (EIGHTHS, QUARTERS, HALVES, "x--x--x-", "x-xx.xxx"), ("11111111", "1-111-11", "1--1--11"), "straight",
        kits=("power", "rock", "studio"), seconds={"hammond organ": 1, "piano": 0.5}, scales={"pentatonic": 2, "diatonic": 2}, minor=0.55,
        textures=BAND, dynamics={"normal": 0.4, "loud": 0.6}, riff=0.35, low_chords=True, weight=1.5, levels={"backing": 2.5, "lead": -1},
    ),
    Genre(
        "metal", METAL, {23: 1, 21: 2, 19: 3, 17: 3},
        {"distorted guitar": 1}, {"distorted guitar": 1}, {"pick bass": 1},
        ("xxxxxxxxxxxxxxxx", "x-xxx-xxx-xxx-xx", "x--xx-x-x--xx-x-", "x---xxxxx---xxxx"), ("1111111111111111", "1-111-111-111-11", "1-1-1-1-1-1-1-1-"), "riff",
        kits=("power", "rock"), scales={"diatonic": 2, "pentatonic": 1}, minor=0.92, textures={"band": 0.85, "trio": 0.05, "lead and drums": 0.04, "drums": 0.06},
        dynamics={"loud": 1}, riff=0.5, low_chords=True, legato=0.85, levels={"backing": 3, "lead": -2, "drums": 1},
    ),
    Genre(
        "funk", FUNK, {32: 1, 30: 2, 27: 3, 25: 1},
        {"brass": 2, "sax": 2, "hammond organ": 1, "clean guitar": 2, "e-piano": 1, "trumpet": 1}, {"clean guitar": 3, "e-piano": 1, "hammond organ": 1}, {"slap bass": 4, "bass": 1},
        ("..s...s...s.s.s.", "s.s...ss..s.s.ss", "..ss..s...ss..s.", "s..s..s...s.s.s."), ("1--1..8..1.7..5.", "1.1...87..1.5.7.", "1..g1.8.g.1.7.8.", "1.g8..1.7.5.g11."), "sixteenth",
        kits=("studio", "standard", "room"), seconds={"brass": 2, "strings": 0.5}, second_patterns=("x.......x..x....", "....x.......xx..", "x--.......x-...."),
        scales={"pentatonic": 2, "blues": 1}, minor=0.6, textures=BAND, riff=0.6, fills=("snare",), legato=0.7, jitter_s=0.003, crashes=False, levels={"backing": 1, "bass": 2.5},
    ),
    Genre(
        "reggae", REGGAE, {46: 1, 42: 3, 38: 3, 35: 1},
        {"hammond organ": 2, "clean guitar": 2, "trombone": 1, "trumpet": 1, "sax": 1, "harmonica": 1, "flute": 0.5}, {"clean guitar": 3, "hammond organ": 1, "piano": 1}, {"bass": 1},
        ("..s...s...s...s.", "..s...s...s...ss", "..ss..ss..ss..ss"), ("1..1..5...3.1...", "..1.3.5...1.3.5.", "1--.1-5-..3-5-..", "1---5-3-....5-3-"), "straight",
        kits=("studio", "standard"), seconds={"hammond organ": 2}, second_patterns=(".s.s.s.s", "..ss..ss..ss..ss"), scales={"pentatonic": 1, "diatonic": 1}, minor=0.4,
        textures=BAND, dynamics={"soft": 0.2, "normal": 0.8}, fills=("snare", "toms"), swing=(0.25, 0.58), legato=0.8, crashes=False, levels={"backing": 4, "bass": 2, "lead": -2},
    ),
    Genre(
        "house", HOUSE, {25: 4, 23: 2, 27: 1},
        {"synth": 3, "piano": 3, "e-piano": 1, "brass": 0.5, "vibraphone": 0.7}, {"piano": 2, "synth stab": 3, "e-piano": 1, "pad": 1}, {"synth bass": 1},
        ("x.....x.....x...", "..x..x....x..x..", "x..x..x...x..x..", "..x...x...x...x."), ("..1...1...1...1.", "..11..11..11..18", "1..1..1...1..8..", "..1-..1-..8-..1-"), "dance",
        kits=("house", "club"), seconds={"pad": 2, "strings": 1}, minor=0.55, textures=BEATS, riff=0.7, fills=("hats", "snare"), jitter_s=0.0, effects=("duck",), levels={"drums": 1, "lead": -1},
    ),
    Genre(
        "techno", TECHNO, {23: 3, 21: 3, 25: 1},
        {"synth": 3, "square lead": 0.3}, {"synth stab": 3, "pad": 1}, {"synth bass": 1},
        ("..x...x...x...x.", "...x..x...x..x..", "x..x..x..x..x..."), ("..11..11..11..11", ".111.111.111.111", "1.11.11.1.11.118", "..1.1.1...1.1.8."), "dance",
        kits=("techno", "club"), seconds={"pad": 1}, scales={"diatonic": 1, "pentatonic": 1}, minor=0.88, textures=BEATS | {"drums": 0.16}, riff=1.0,
        dynamics={"normal": 0.5, "loud": 0.5}, fills=("hats",), jitter_s=0.0, legato=0.6, effects=("duck",), levels={"lead": -3, "drums": 1.5, "bass": 1},
    ),
    Genre(
        "trap", TRAP, {23: 3, 21: 3, 25: 1},
        {"piano": 2, "music box": 1, "synth": 1, "flute": 1.5, "guitar": 1.5, "strings": 0.7, "vibraphone": 1, "choir": 0.5}, {"piano": 1, "pad": 3, "strings": 1, "guitar": 1}, {"808 bass": 1},
        (BLOCK, HALVES, BROKEN), ("1------1--1-----", "1-----1----1----", "1---------1---1-", "1-----------8---"), "sixteenth",
        kits=("trap",), seconds={"pad": 1, "choir": 1}, minor=0.9, textures=BEATS, densities={"sparse": 0.5, "medium": 0.4, "busy": 0.1}, riff=0.8, fills=("hats",), jitter_s=0.0, crashes=False, levels={"bass": 2.5, "drums": 1},
    ),
    Genre(
        "hip hop", SOUL, {35: 3, 32: 3, 38: 1},
        {"piano": 2, "e-piano": 2, "sax": 1, "trumpet": 1, "flute": 1, "strings": 1, "vibraphone": 1, "synth": 1}, {"e-piano": 2, "piano": 2, "strings": 1, "clean guitar": 1}, {"bass": 2, "synth bass": 2},
        (BLOCK, HALVES, "x--x----", "x..x..x-"), ("1------1..1.....", "1--1......1-5---", "1-----5-..1---7-"), "sixteenth",
        kits=("boombap", "studio", "tr808"), seconds={"strings": 1, "choir": 0.5}, scales={"pentatonic": 2, "diatonic": 1}, minor=0.7, textures=BEATS,
        densities={"sparse": 0.4, "medium": 0.5, "busy": 0.1}, riff=0.7, swing=(0.25, 0.56), fills=("snare", "hats"), crashes=False,
    ),
    Genre(
        "lo-fi", SOUL, {42: 2, 38: 3, 35: 3},
        {"e-piano": 3, "piano": 2, "guitar": 2, "vibraphone": 1, "sax": 1, "flute": 0.5, "music box": 0.5}, {"e-piano": 4, "piano": 1, "guitar": 1}, {"bass": 2, "acoustic bass": 1},
        (BLOCK, "x-----x-", "x--x----", BROKEN), ("1-----1---5-----", "1--------1--5---", "1------5--1-----"), "straight",
        kits=("dusty", "boombap"), seconds={"pad": 1}, scales={"pentatonic": 2, "diatonic": 1}, minor=0.45, textures={"band": 0.82, "solo": 0.04, "duo": 0.06, "trio": 0.03, "drums": 0.05},
        densities={"sparse": 0.5, "medium": 0.45, "busy": 0.05}, dynamics={"soft": 0.5, "normal": 0.5}, swing=(0.25, 0.6), fills=("hats",), crashes=False, jitter_s=0.005, effects=("lo-fi",), weight=1.3,
    ),
    Genre(
        "country", COUNTRY, {30: 1, 27: 2, 25: 3, 23: 2, 21: 1},
        {"banjo": 3, "steel guitar": 3, "harmonica": 1, "mandolin": 1, "clean guitar": 1, "piano": 0.5, "accordion": 0.4}, {"steel guitar": 4, "banjo": 1, "piano": 0.5}, {"acoustic bass": 1, "bass": 2},
        ("..x...x...x...x.", "..X-x-X-..X-x-X-", STRUM, "01210121"), ("1---5---", "1-..5-..", "1---5-3-"), "straight",
        kits=("studio", "brush", "standard"), seconds={"banjo": 1, "strings": 0.5}, second_patterns=("01210321", "02130213"), scales={"pentatonic": 2, "diatonic": 1}, minor=0.15,
        textures=BAND, fills=("snare",), crashes=False, levels={"backing": 2},
    ),
    Genre(
        "folk", COUNTRY, {38: 1, 35: 1, 32: 2, 30: 2, 27: 2, 25: 1},
        {"guitar": 3, "steel guitar": 2, "ukulele": 1.5, "flute": 1, "recorder": 1, "accordion": 1, "harmonica": 1, "mandolin": 1, "pan flute": 0.5}, {"guitar": 2, "steel guitar": 3, "ukulele": 1, "accordion": 0.5}, {"acoustic bass": 1},
        (STRUM, "01213121", "0-2-1-2-", "X---x-xx", "r-x-r-x-"), ("1---5---", "1-------", "1-----1-"), "straight",
        kits=("brush", "studio"), seconds={"strings": 1, "accordion": 1}, minor=0.3, textures={"band": 0.34, "solo": 0.2, "duo": 0.22, "trio": 0.16, "lead and drums": 0.08},
        dynamics={"soft": 0.25, "normal": 0.75}, fills=(), crashes=False, weight=1.2,
    ),
    Genre(
        "jazz", JAZZ, {30: 1, 27: 2, 25: 2, 23: 2, 21: 2, 19: 1},
        {"sax": 4, "trumpet": 2, "piano": 2, "vibraphone": 1, "clean guitar": 1, "clarinet": 1, "trombone": 0.7}, {"piano": 4, "clean guitar": 1, "vibraphone": 0.3}, {"acoustic bass": 1},
        ("x..s.....x..s...", "...s......s.....", "x-....s...s.....", "..s-..s.......s."), ("1-3-5-a-", "1-5-3-a-", "1-3-5-7-"), "swing",
        kits=("brush", "jazz", "brushes"), minor=0.35, textures={"band": 0.66, "trio": 0.16, "duo": 0.06, "solo": 0.08, "drums": 0.04}, densities={"sparse": 0.15, "medium": 0.45, "busy": 0.4},
        dynamics={"soft": 0.3, "normal": 0.7}, swing=(0.5, 0.64), fills=("snare",), crashes=False, jitter_s=0.005, weight=1.3,
    ),
    Genre(
        "bossa nova", BOSSA, {27: 2, 25: 3, 23: 2, 30: 1},
        {"guitar": 3, "flute": 2, "sax": 1.5, "piano": 1, "vibraphone": 1, "clarinet": 0.7}, {"guitar": 5, "piano": 1}, {"acoustic bass": 1},
        ("x--x--x---x--x--", "x-..x-.x..x-..x.", "x..x..x...x..x.."), ("1-----5-5-----1-", "1--5----5--1----", "1-----5-1-----5-"), "straight",
        kits=("brush", "jazz", "standard"), seconds={"strings": 1}, minor=0.4, textures=BAND, dynamics={"soft": 0.5, "normal": 0.5}, fills=(), crashes=False, levels={"backing": 2},
    ),
    Genre(
        "latin", LATIN, {30: 1, 27: 2, 25: 2, 23: 2},
        {"trumpet": 2, "brass": 2, "flute": 1, "piano": 1, "guitar": 2, "accordion": 1, "marimba": 1}, {"piano": 3, "guitar": 2}, {"bass": 1, "acoustic bass": 1},
        ("0.21.2.02.1.2.0.", "x.xx.xx.xx.xx.x.", "x..x..x.x..x..x."), ("1-----5-5-----8-", "..1---5---1-----", "1--5--8-1--5--8-"), "sixteenth",
        kits=("standard", "room"), seconds={"brass": 1}, second_patterns=("x.......x..x....", "......x-......xx"), minor=0.5, textures=BAND, fills=("snare",), legato=0.8, crashes=False,
    ),
    Genre(
        "orchestral", EPIC, {46: 1, 42: 1, 38: 2, 35: 2, 32: 2, 30: 2, 27: 1, 25: 1},
        {"strings": 4, "horn": 2, "trumpet": 1.5, "flute": 1, "choir": 1.5, "brass": 1, "clarinet": 0.5}, {"strings": 4, "horn": 1, "harp": 1, "choir": 1}, {"low strings": 1},
        (EIGHTHS, "x-xxx-xx", HALVES, "xx.xxx.x", QUARTERS), ("1-------", "1---1---", "11111111", "1-111-11"), "long",
        kits=("orchestra",), seconds={"brass": 1, "choir": 2, "harp": 1, "horn": 1}, second_patterns=(BLOCK, HALVES), minor=0.65, textures={"band": 0.6, "trio": 0.2, "duo": 0.2},
        dynamics={"soft": 0.2, "normal": 0.4, "loud": 0.4}, fills=("timpani",), effects=("hall",), legato=1.0, weight=1.3, levels={"second": 2, "drums": 2},
    ),
    Genre(
        "classical", CLASSICAL, {42: 1, 38: 1, 35: 1, 32: 2, 30: 2, 27: 2, 25: 2, 23: 1},
        {"piano": 5, "strings": 2, "flute": 1, "clarinet": 1, "organ": 2, "harp": 1, "trumpet": 0.5, "recorder": 0.5}, {"piano": 3, "strings": 2, "harp": 1}, {"low strings": 1},
        (ALBERTI, BROKEN, BLOCK, "r-x-x-x-", HALVES, ROLLING), ("1---5---", "1-------", "1---3---"), "straight",
        kits=("orchestra",), textures={"solo": 0.44, "duo": 0.28, "trio": 0.18, "band": 0.1}, dynamics={"soft": 0.3, "normal": 0.5, "loud": 0.2}, fills=("timpani",), crashes=False, effects=("room",), weight=1.3,
    ),
    Genre(
        "chiptune", POP, {25: 2, 23: 2, 21: 3, 19: 2, 17: 1},
        {"square lead": 1}, {"square lead": 1}, {"chip bass": 1},
        ("0120120120120120", "0123012301230123", "s.s.s.s.s.s.s.s.", "0.1.2.1.0.1.2.1."), ("1.8.1.8.1.8.1.8.", "11811181", "1.1.1.1.1.1.1.1.", "1.5.8.5.1.5.8.5."), "sixteenth",
        kits=("chip",), minor=0.5, textures={"band": 0.74, "trio": 0.08, "duo": 0.06, "solo": 0.04, "lead and drums": 0.05, "drums": 0.03}, densities={"sparse": 0.05, "medium": 0.45, "busy": 0.5},
        fills=("snare",), crashes=False, jitter_s=0.0, legato=0.8, effects=("dry",), weight=1.1,
    ),
    Genre(
        "ambient", AMBIENT, {50: 4, 46: 2, 42: 1},
        {"pad": 3, "piano": 2, "choir": 1.5, "e-piano": 1, "strings": 1.5, "flute": 0.7, "vibraphone": 0.7, "guitar": 0.7, "synth": 0.5}, {"pad": 5, "choir": 0.5}, {"low strings": 1},
        (BLOCK,), ("1-------",), "long", minor=0.5, textures={"solo": 0.18, "duo": 0.6, "trio": 0.22}, densities={"sparse": 0.35, "medium": 0.5, "busy": 0.15}, dynamics={"soft": 0.8, "normal": 0.2},
        seconds={}, fills=(), crashes=False, legato=1.05, effects=("hall",), weight=1.3,
    ),
    Genre(
        "waltz", CLASSICAL, {35: 1, 32: 1, 30: 1, 27: 1, 25: 1, 23: 1, 21: 1, 19: 1},
        {"piano": 3, "strings": 2, "accordion": 2, "flute": 1, "clarinet": 1, "music box": 1, "organ": 0.6, "guitar": 1, "trumpet": 0.5}, {"piano": 3, "strings": 2, "accordion": 1, "guitar": 1}, {"acoustic bass": 1, "low strings": 1},
        ("..x.x.", "..s.s.", "..x-x-", "0-1-2-"), ("1-----", "1-....", "1---5-"), "waltz", beats_per_bar=3,
        kits=("brush", "studio"), minor=0.4, textures={"band": 0.35, "trio": 0.25, "duo": 0.2, "solo": 0.2}, dynamics={"soft": 0.35, "normal": 0.65}, fills=(), crashes=False,
    ),
    Genre(
        "blues", BLUES, {42: 1, 35: 1, 32: 2, 27: 2, 25: 2},
        {"clean guitar": 3, "harmonica": 3, "piano": 2, "hammond organ": 1, "sax": 1.5, "distorted guitar": 1, "steel guitar": 1}, {"clean guitar": 2, "piano": 2, "hammond organ": 1}, {"bass": 1, "acoustic bass": 1},
        ("x-.xx-.x", "s...s...", "..s...s.", "x-x-x-x-"), ("1-3-5-7-", "11335577", "1-5-7-5-", "11335375"), "shuffle",
        kits=("studio", "standard", "brush"), scales={"blues": 1}, minor=0.35, phrase_bars=12, textures=BAND, riff=0.5, swing=(0.5, 0.66), fills=("snare",), crashes=False,
    ),
    Genre(
        "disco", HOUSE, {27: 3, 25: 4},
        {"strings": 2, "brass": 2, "synth": 1, "piano": 1, "clean guitar": 1, "flute": 0.6}, {"clean guitar": 2, "e-piano": 1, "piano": 1, "strings": 1}, {"bass": 2, "slap bass": 1},
        ("..ss..ss..ss..ss", "s.ss.ss.s.ss.ss.", "x..x..x...x..x.."), ("1.8.1.8.1.8.1.8.", "1.8.1.8.5.8.7.8.", "1181118111811187"), "dance",
        kits=("standard", "studio", "room"), seconds={"strings": 4, "brass": 1}, second_patterns=(BLOCK, "x-------x-----xx", "x.......x..x...."), minor=0.6, textures=BEATS, fills=("toms", "snare"), jitter_s=0.002, levels={"second": 2, "bass": 1.5},
    ),
    Genre(
        "march", MARCH, {30: 1, 27: 3, 25: 3},
        {"trumpet": 3, "flute": 1, "clarinet": 1, "brass": 3, "horn": 1, "trombone": 1}, {"brass": 3, "horn": 2}, {"tuba": 1},
        ("..s...s...s...s.", "..s...s...s.s.s."), ("1-..5-..", "1.5.1.5.", "1-..3-5-"), "straight", kits=("march",), minor=0.2,
        textures={"band": 0.84, "trio": 0.04, "lead and drums": 0.06, "drums": 0.06}, dynamics={"normal": 0.5, "loud": 0.5}, fills=("snare",), legato=0.75,
    ),
    Genre(
        "music box", CLASSICAL, {42: 1, 38: 2, 35: 2, 32: 2, 30: 1, 27: 1},
        {"music box": 3, "celesta": 1}, {"music box": 2, "celesta": 1, "harp": 0.6}, {"low strings": 1},
        (BROKEN, ALBERTI, "0-2-1-2-", "0---2---"), ("1-------",), "straight", minor=0.35, textures={"solo": 0.7, "duo": 0.3}, densities={"sparse": 0.2, "medium": 0.5, "busy": 0.3},
        dynamics={"soft": 0.6, "normal": 0.4}, fills=(), crashes=False, effects=("room",), weight=0.7,
    ),
    Genre(
        "ballad", POP, {50: 1, 46: 2, 42: 3, 38: 2, 35: 1},
        {"piano": 4, "guitar": 2, "strings": 1.5, "flute": 1, "sax": 1, "e-piano": 1, "steel guitar": 1, "clarinet": 0.5}, {"piano": 4, "strings": 1.5, "guitar": 1.5, "pad": 1.5, "e-piano": 1}, {"bass": 1, "acoustic bass": 0.5},
        (BROKEN, BLOCK, ROLLING, HALVES, "r-1-2-1-", "01232123"), ("1-------", "1-----5-", "1---5---"), "straight",
        kits=("studio", "standard"), seconds={"strings": 3, "pad": 1}, minor=0.5, textures=QUIET, densities={"sparse": 0.4, "medium": 0.5, "busy": 0.1}, dynamics={"soft": 0.6, "normal": 0.4},
        fills=("toms",), crashes=False, weight=1.5,
    ),
)  # fmt: skip
GENRES = {g.name: g for g in _GENRES}
