"""Pocket's sound world as its text encoder is to see it: a wish -> a piece -> the caption that its
decoder was trained on.

Not run by itself. Facts that a wish leaves out take the defaults of its genre, use or mood: this
decoder was always told the tempo, the mode and whether there are drums, and plays the mean of
several answers as mush. So each wish has one piece.
"""

import math
import random
from dataclasses import dataclass, replace

from .wishes import Wish

TEMPI_BPM = (80, 100, 120, 140)
TONICS = ("C", "D", "G")


@dataclass(frozen=True)
class Piece:
    """What the decoder can be told."""

    style: str
    lead: str | None  # None: drums alone
    tempo_bpm: int
    mode: str = "major"
    drums: bool = True
    dynamic: str = "normal"
    density: str = "medium"
    # Not said unless a prompt says it: told of chords and bass that nobody asked for, the decoder
    # keeps the beat less well.
    backing: str | None = None
    bass: bool = False
    solo: bool = False
    tonic: str | None = None


GENRES = {
    "pop": Piece("pop", "piano", 120),
    "synth pop": Piece("pop", "synth", 120, backing="pad"),
    "indie pop": Piece("pop", "guitar", 120),
    "k-pop": Piece("pop", "synth", 120),
    "dance pop": Piece("pop", "synth", 120),
    "latin": Piece("pop", "guitar", 100),
    "tango": Piece("pop", "guitar", 120, "minor"),
    "rock": Piece("rock", "guitar", 140, "minor"),
    "soft rock": Piece("pop", "guitar", 100),
    "hard rock": Piece("rock", "guitar", 140, "minor", dynamic="loud"),
    "metal": Piece("rock", "guitar", 140, "minor", dynamic="loud", density="busy"),
    "punk": Piece("rock", "guitar", 140, "major", dynamic="loud"),
    "rock and roll": Piece("rock", "guitar", 140),
    "electronic": Piece("electronic", "synth", 120, "minor"),
    "house": Piece("electronic", "synth", 120, "minor"),
    "techno": Piece("electronic", "synth", 140, "minor"),
    "trance": Piece("electronic", "synth", 140, "minor", dynamic="loud"),
    "drum and bass": Piece("electronic", "synth", 140, "minor", density="busy"),
    "dubstep": Piece("electronic", "synth", 140, "minor", dynamic="loud"),
    "synthwave": Piece("electronic", "synth", 120, "minor"),
    "chiptune": Piece("electronic", "synth", 140, "major", density="busy"),
    "hip hop": Piece("pop", "piano", 100, "minor"),
    "trap": Piece("electronic", "synth", 140, "minor"),
    "lo-fi": Piece("ballad", "piano", 80, "major", dynamic="soft"),
    "chill": Piece("pop", "synth", 80, "major", dynamic="soft", backing="pad"),
    "r&b": Piece("pop", "piano", 100, "minor"),
    "soul": Piece("pop", "piano", 100),
    "funk": Piece("pop", "guitar", 100, "minor"),
    "disco": Piece("pop", "synth", 120),
    "reggae": Piece("pop", "guitar", 80),
    "ska": Piece("rock", "trumpet", 140),
    "afrobeat": Piece("pop", "guitar", 120),
    "jazz": Piece("jazz", "piano", 120),
    "smooth jazz": Piece("jazz", "piano", 100, dynamic="soft"),
    "swing": Piece("jazz", "trumpet", 140),
    "bossa nova": Piece("jazz", "guitar", 120, dynamic="soft"),
    "blues": Piece("jazz", "guitar", 100, "minor"),
    "ragtime": Piece("jazz", "piano", 140),
    "folk": Piece("folk", "guitar", 120),
    "medieval": Piece("folk", "flute", 120, "minor"),
    "polka": Piece("folk", "organ", 140),
    "sea shanty": Piece("folk", "flute", 120),
    "country": Piece("folk", "guitar", 120),
    "bluegrass": Piece("folk", "guitar", 140, density="busy"),
    "celtic": Piece("folk", "flute", 140, density="busy"),
    "acoustic": Piece("folk", "guitar", 100, drums=False),
    "waltz": Piece("waltz", "strings", 120, drums=False),
    "march": Piece("classical", "trumpet", 120, dynamic="loud"),
    "fanfare": Piece("classical", "trumpet", 100, dynamic="loud"),
    "ballad": Piece("ballad", "piano", 80),
    "ambient": Piece(
        "ballad",
        "strings",
        80,
        "major",
        drums=False,
        density="sparse",
        backing="pad",
        dynamic="soft",
    ),
    "new age": Piece(
        "ballad", "flute", 80, "major", drums=False, density="sparse", backing="pad", dynamic="soft"
    ),
    "lullaby": Piece("ballad", "music box", 80, "major", drums=False, dynamic="soft"),
    "nursery rhyme": Piece("folk", "music box", 120, "major", drums=False),
    "classical": Piece("classical", "strings", 100, "major", drums=False),
    "baroque": Piece("classical", "organ", 120, "minor", drums=False),
    "string music": Piece("classical", "strings", 100, "minor", drums=False, backing="strings"),
    "church": Piece("classical", "organ", 80, "major", drums=False),
    "orchestral": Piece("classical", "strings", 100, "minor", drums=True),
    "epic": Piece("classical", "strings", 120, "minor", dynamic="loud"),
    "fantasy": Piece("classical", "strings", 120, "major"),
    "christmas": Piece("classical", "music box", 120, "major", drums=False),
    "horror": Piece("classical", "strings", 80, "minor", drums=False),
    "minimalism": Piece("classical", "piano", 120, "minor", drums=False),
    "circus": Piece("waltz", "organ", 140),
}

LEADS = {
    "piano": "piano",
    "electric piano": "piano",
    "harpsichord": "piano",
    "acoustic guitar": "guitar",
    "electric guitar": "guitar",
    "distorted guitar": "guitar",
    "ukulele": "guitar",
    "banjo": "guitar",
    "plucked": "guitar",
    "violin": "strings",
    "cello": "strings",
    "strings": "strings",
    "choir": "strings",
    "flute": "flute",
    "recorder": "flute",
    "clarinet": "flute",
    "trumpet": "trumpet",
    "brass": "trumpet",
    "saxophone": "trumpet",
    "organ": "organ",
    "hammond": "organ",
    "accordion": "organ",
    "synth": "synth",
    "pad": "strings",  # where nothing else leads; beside a lead it accompanies
    "music box": "music box",
    "bells": "music box",
    "mallets": "music box",
}
BACKINGS = ("piano", "guitar", "strings", "pad")
STYLE_BACKINGS = {
    "pop": ("piano", "guitar", "pad"),
    "rock": ("guitar", "piano"),
    "electronic": ("pad", "piano"),
    "jazz": ("piano", "guitar"),
    "folk": ("guitar", "piano"),
    "waltz": ("piano", "strings", "guitar"),
    "ballad": ("piano", "strings", "pad", "guitar"),
    "classical": ("piano", "strings"),
}
STYLE_TEMPI = {
    "rock": (100, 120, 140),
    "electronic": (120, 140),
    "jazz": (100, 120, 140),
    "waltz": (100, 120, 140),
    "ballad": (80,),
}
# What a style that was never played this slowly, or this fast, gives way to.
AT_OTHER_TEMPI = {"rock": "pop", "electronic": "pop", "jazz": "ballad", "ballad": "pop"}

NO_GENRE = Piece("pop", "piano", 120)
STILL = Piece("ballad", "piano", 80, drums=False, dynamic="soft")
MOOD_GENRES = {
    "calm": STILL,
    "dreamy": replace(STILL, lead="strings", backing="pad"),
    "romantic": STILL,
    "sad": replace(STILL, mode="minor"),
    "nostalgic": replace(STILL, mode="minor"),
    "dark": Piece("classical", "strings", 80, "minor", drums=False),
    "tense": Piece("classical", "strings", 120, "minor"),
    "heroic": GENRES["epic"],
    "angry": GENRES["hard rock"],
    "energetic": Piece("pop", "synth", 140, dynamic="loud"),
    "groovy": GENRES["funk"],
    "playful": Piece("folk", "flute", 120),
    "hopeful": Piece("pop", "piano", 120),
}
USE_GENRES = {
    "study": "lo-fi",
    "sleep": "lullaby",
    "meditate": "new age",
    "game": "chiptune",
    "party": "house",
    "workout": "trance",
    "advert": "pop",
    "vlog": "pop",
    "cafe": "smooth jazz",
    "scary scene": "horror",
    "kids": "nursery rhyme",
    "drive": "synthwave",
    "film": "orchestral",
    "morning": "folk",
    "nature": "ambient",
}
USE_PIECES = {
    "boss": replace(GENRES["epic"], tempo_bpm=140),
    "wedding": STILL,
    "sad scene": replace(STILL, mode="minor"),
}
MOOD_MODES = {
    "happy": "major",
    "hopeful": "major",
    "playful": "major",
    "romantic": "major",
    "calm": "major",
    "dreamy": "major",
    "heroic": "major",
    "sad": "minor",
    "nostalgic": "minor",
    "dark": "minor",
    "tense": "minor",
    "angry": "minor",
}
MOOD_STEPS = {
    "energetic": 1,
    "angry": 1,
    "sad": -1,
    "calm": -1,
}  # along TEMPI_BPM, from the genre's tempo
MOOD_DYNAMICS = {
    "calm": "soft",
    "dreamy": "soft",
    "romantic": "soft",
    "energetic": "loud",
    "angry": "loud",
    "heroic": "loud",
}
ERA_LEADS = {
    "80s": "synth",
    "50s": "guitar",
    "60s": "guitar",
}  # of pop, where no instrument is named
TEMPO_STEPS = {"slow": 80, "medium": 100, "fast": 140}


def nearest_tempo(bpm: float) -> int:
    """Of those that the decoder knows; an octave away counts as being 15 % away."""

    def distance(tempo: int) -> float:
        return min(
            abs(math.log(tempo / bpm / octave)) + 0.15 * (octave != 1) for octave in (0.5, 1, 2)
        )

    return min(TEMPI_BPM, key=distance)


def _ground(wish: Wish) -> Piece:
    """What genre, use or mood make of it before anything else is said."""
    if wish.genre:
        return GENRES[wish.genre]
    if wish.use in USE_PIECES:
        return USE_PIECES[wish.use]
    if wish.use in USE_GENRES:
        return GENRES[USE_GENRES[wish.use]]
    if wish.mood in MOOD_GENRES:
        return MOOD_GENRES[wish.mood]
    if wish.mood is None and (wish.energy == "soft" or wish.tempo == "slow"):
        return STILL
    if "distorted guitar" in wish.instruments:
        return GENRES["rock"]
    return NO_GENRE


def _with_instruments(piece: Piece, wish: Wish) -> Piece:
    named = [i for i in wish.instruments if i not in ("bass", "synth bass")]
    if not named:
        return _era(piece, wish)
    leading = next((i for i in named if i != "pad"), named[0])
    piece = replace(piece, lead=LEADS[leading])
    others = ["pad" if i == "pad" else LEADS[i] for i in named if i != leading]
    backing = next((o for o in others if o in BACKINGS and o != piece.lead), None)
    if named == ["pad"]:
        backing = "pad"
    return replace(piece, backing=backing or piece.backing)


def _era(piece: Piece, wish: Wish) -> Piece:
    if wish.era in ERA_LEADS and piece.style == "pop" and piece.drums:
        return replace(piece, lead=ERA_LEADS[wish.era])
    return piece


def _without(piece: Piece, wish: Wish) -> Piece:
    """Another lead or accompaniment than those that the wish excludes."""
    unwanted = {"pad" if i == "pad" else LEADS.get(i) for i in wish.without}
    if piece.lead in unwanted and not wish.instruments:
        piece = replace(
            piece,
            lead=next(lead for lead in ("piano", "strings", "guitar") if lead not in unwanted),
        )
    if unwanted & {piece.backing, *STYLE_BACKINGS[piece.style]}:
        left = [b for b in ("piano", "strings", "guitar") if b not in unwanted and b != piece.lead]
        piece = replace(piece, backing=left[0])
    return piece


def _with_mood(piece: Piece, wish: Wish) -> Piece:
    """Mode, strength and pace of a mood; what a solo or a genre is made of stays."""
    mode = wish.mode or MOOD_MODES.get(wish.mood) or piece.mode
    dynamic = wish.energy or MOOD_DYNAMICS.get(wish.mood) or piece.dynamic
    tempo = piece.tempo_bpm
    if wish.genre and wish.mood in MOOD_STEPS:
        at = TEMPI_BPM.index(tempo) + MOOD_STEPS[wish.mood]
        tempo = TEMPI_BPM[max(0, min(len(TEMPI_BPM) - 1, at))]
    tonic = wish.tonic if wish.tonic in TONICS else None
    density = wish.density or piece.density
    return replace(piece, mode=mode, dynamic=dynamic, tempo_bpm=tempo, tonic=tonic, density=density)


def _with_tempo(piece: Piece, wish: Wish) -> Piece:
    if wish.tempo_bpm:
        piece = replace(piece, tempo_bpm=nearest_tempo(wish.tempo_bpm))
    elif wish.tempo:
        piece = replace(piece, tempo_bpm=TEMPO_STEPS[wish.tempo])
    played = STYLE_TEMPI.get(piece.style, TEMPI_BPM)
    if piece.tempo_bpm in played:
        return piece
    if piece.style in AT_OTHER_TEMPI:
        return replace(piece, style=AT_OTHER_TEMPI[piece.style])
    return replace(piece, tempo_bpm=min(played, key=lambda t: abs(t - piece.tempo_bpm)))


def piece_for(wish: Wish) -> Piece:
    """The one piece that a wish stands for."""
    ground = _ground(wish)
    if wish.drums == "only":
        return replace(_with_tempo(_with_mood(ground, wish), wish), lead=None, drums=True)
    piece = _without(_with_instruments(ground, wish), wish)
    piece = _with_tempo(_with_mood(piece, wish), wish)
    if wish.solo:
        piece = replace(piece, solo=True, drums=False)
    if wish.drums:
        piece = replace(piece, drums=wish.drums == "on")
    return replace(
        piece, bass=bool({"bass", "synth bass"} & set(wish.instruments)) and not piece.solo
    )


MOODS = {"major": "happy", "minor": "sad"}
DYNAMIC_WORDS = {"soft": "soft", "loud": "loud"}


def caption_for(piece: Piece) -> str:
    """In the words that the decoder was trained on, every fact said."""
    tempo = f"{piece.tempo_bpm} bpm"
    extra = [piece.dynamic] if piece.dynamic != "normal" else []
    if piece.lead is None:
        style = "" if piece.style in ("waltz", "ballad") else piece.style + " "
        return ", ".join([f"a {style}drum beat", tempo, *extra])
    key = f"in {piece.tonic} {piece.mode}" if piece.tonic else f"in {piece.mode}"
    solo = "solo " if piece.solo else ""
    style = "" if piece.solo or piece.style == "waltz" else piece.style + " "
    noun = "waltz" if piece.style == "waltz" else "tune"
    head = f"a {MOODS[piece.mode]} {solo}{style}{piece.lead} {noun}"
    tail = [key, tempo, *extra]
    if not piece.solo:
        if piece.backing:
            tail.append(f"{'synth pad' if piece.backing == 'pad' else piece.backing} chords")
        if piece.bass:
            tail.append("synth bass" if piece.style == "electronic" else "bass")
    if piece.density != "medium":
        tail.append(piece.density)
    return ", ".join([head + (" with drums" if piece.drums else ", no drums"), *tail])


# ---- captions in the manner of those that the decoder knows: they must go on meaning what they say

STYLE_WORDS = {
    "pop": ("pop",),
    "rock": ("rock",),
    "electronic": ("electronic", "techno", "dance"),
    "jazz": ("jazz", "swing"),
    "folk": ("folk", "country"),
    "waltz": ("waltz",),
    "ballad": ("ballad", "ambient", "lullaby"),
    "classical": ("classical", "baroque"),
}
LEAD_WORDS = {
    "piano": ("piano", "grand piano"),
    "guitar": ("guitar", "acoustic guitar", "nylon guitar"),
    "strings": ("strings", "violins", "string ensemble"),
    "flute": ("flute",),
    "trumpet": ("trumpet",),
    "organ": ("organ", "church organ", "pipe organ"),
    "synth": ("synth", "synthesizer", "synth lead"),
    "music box": ("music box",),
}
MOOD_WORDS = {
    "major": ("happy", "cheerful", "joyful", "bright", "sunny", "uplifting", "upbeat", "positive"),
    "minor": (
        "sad",
        "melancholic",
        "melancholy",
        "dark",
        "gloomy",
        "mournful",
        "mysterious",
        "tense",
    ),
}
NOUNS = ("tune", "song", "piece", "track", "melody")


def draw_plain(rng: random.Random) -> tuple[str, Piece]:
    """A caption of the old manner and its piece:

    lead, drums, mode and tempo said, the rest or not.
    """
    style = rng.choice(list(STYLE_WORDS))
    solo = rng.random() < 0.35
    piece = Piece(
        style,
        rng.choice(list(LEAD_WORDS)),
        rng.choice(STYLE_TEMPI.get(style, TEMPI_BPM)),
        rng.choice(("major", "minor")),
        drums=not solo and rng.random() < 0.7,
        dynamic=rng.choice(("normal", "normal", "soft", "loud")),
        solo=solo,
        tonic=rng.choice((None, None, *TONICS)),
    )
    style_said = not solo and (style == "waltz" or rng.random() < 0.6)
    if not style_said:
        piece = replace(piece, style="pop" if piece.drums or piece.tempo_bpm > 80 else "ballad")
    return _plain_caption(piece, style_said, rng), piece


def _plain_caption(piece: Piece, style_said: bool, rng: random.Random) -> str:
    mood = rng.choice(MOOD_WORDS[piece.mode])
    key = (
        f"in {piece.tonic} {piece.mode}"
        if piece.tonic
        else rng.choice((f"in {piece.mode}", f"{piece.mode} key", ""))
    )
    style = rng.choice(STYLE_WORDS[piece.style]) if style_said else ""
    noun = "waltz" if style == "waltz" else rng.choice(NOUNS)
    solo = "solo" if piece.solo else ""
    lead = rng.choice(LEAD_WORDS[piece.lead])
    words = [mood, solo, "" if style == "waltz" else style, lead, noun]
    head = rng.choice(("a ", "")) + " ".join(w for w in words if w)
    drums = rng.choice(
        ("with drums", "drums", "with a drum beat", "drum kit")
        if piece.drums
        else ("no drums", "without drums", "no percussion")
    )
    bpm = piece.tempo_bpm + (rng.randint(-5, 5) if rng.random() < 0.3 else 0)
    tail = [key, rng.choice((f"{bpm} bpm", f"at {bpm} bpm", f"{bpm} BPM", f"{bpm}bpm"))]
    tail += [piece.dynamic] if piece.dynamic != "normal" else []
    rng.shuffle(tail)
    if drums.startswith("with") and rng.random() < 0.6:
        head += " " + drums
    else:
        tail.insert(rng.randint(0, len(tail)), drums)
    text = ", ".join(w for w in (head, *tail) if w)
    return text if rng.random() < 0.5 else text[0].upper() + text[1:]
