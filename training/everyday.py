"""Forty prompts as strangers write them, and what a listener expects of each. None of their pieces
of five words is in training captions.

Not run by itself; `evaluate_everyday.py` uses them. Other prompts can be given to it as a JSON file
of such objects.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Expected:
    """A prompt and what a listener expects of it; None where either would do."""

    text: str
    drums: bool | None = None
    bpm: tuple[float, float] | None = None
    mode: str | None = None
    families: tuple[str, ...] = ()  # of the sound world's leads: those that come nearest


def _row(text: str, drums: bool | None, bpm: str, mode: str | None, families: str) -> Expected:
    low_high = tuple(float(b) for b in bpm.split("-")) if bpm else None
    return Expected(text, drums, low_high, mode, tuple(f.strip() for f in families.split(",") if f))


EVERYDAY = (
    _row(
        "warm lo-fi groove to play while I cook dinner, dusty drums and mellow keys",
        True,
        "60-100",
        None,
        "e-piano,piano",
    ),
    _row(
        "Big stadium rock number: crunchy guitars, pounding drums, everybody claps",
        True,
        "100-170",
        None,
        "distorted guitar,electric guitar",
    ),
    _row(
        "deep house for a rooftop party at sunset, 122 bpm, soft pads underneath",
        True,
        "118-126",
        None,
        "synth,pad,piano,e-piano",
    ),
    _row("lonely violin over the sea, no drums whatsoever", False, "50-110", "minor", "strings"),
    _row(
        "jolly banjo picking on the porch, foot stomping country fun",
        None,
        "100-180",
        "major",
        "banjo",
    ),
    _row(
        "Vienna ballroom, an elegant waltz for strings and nobody drumming",
        False,
        "90-200",
        None,
        "strings",
    ),
    _row(
        "spooky organ for a halloween castle, slow and without any percussion",
        False,
        "50-110",
        "minor",
        "organ,hammond organ",
    ),
    _row("gym motivation, hard electronic beat around 140", True, "133-147", None, "synth,chip"),
    _row("bedtime music box for my newborn daughter", False, "50-110", "major", "music box"),
    _row(
        "a jazzy trumpet strolling down Broadway at midnight with brushed drums",
        True,
        "80-150",
        None,
        "trumpet",
    ),
    _row(
        "MAKE IT LOUD! THRASHING METAL WITH DOUBLE KICK DRUMS",
        True,
        "110-200",
        "minor",
        "distorted guitar,electric guitar",
    ),
    _row(
        "slow reggae jam on a tropical island, offbeat guitars",
        True,
        "60-100",
        None,
        "electric guitar,guitar",
    ),
    _row("trap beat, dark piano, heavy 808, 140bpm", True, "133-147", "minor", "piano"),
    _row("Traurige Klaviermusik ohne Schlagzeug, langsam", False, "50-100", "minor", "piano"),
    _row(
        "musique joyeuse avec guitare et batterie pour la fête",
        True,
        "90-170",
        "major",
        "guitar,electric guitar",
    ),
    _row(
        "una canción triste de piano para una noche de lluvia, sin batería",
        False,
        "50-110",
        "minor",
        "piano",
    ),
    _row(
        "celtic flute reel, brisk and merry, bodhran drum keeping time",
        True,
        "110-180",
        "major",
        "flute",
    ),
    _row(
        "a choir of synths floating through outer space, no beat please",
        False,
        "",
        None,
        "choir,pad,synth",
    ),
    _row("80's arcade game, bleepy and quick", True, "115-200", None, "chip,synth"),
    _row(
        "upbeat indie song about a road trip with my best friends, jangly guitars, tambourine",
        True,
        "95-160",
        "major",
        "electric guitar,guitar",
    ),
    _row(
        "church organ hymn in C major, peaceful, no drums",
        False,
        "50-110",
        "major",
        "organ,hammond organ",
    ),
    _row(
        "marching band brass at a football match, bold snare drums",
        True,
        "90-140",
        None,
        "brass,trumpet,trombone,horn",
    ),
    _row(
        "solo classical guitar, tender and sad, in a minor key", False, "50-120", "minor", "guitar"
    ),
    _row(
        "disco fever, four on the floor, strings and funky bass, 118 beats per minute",
        True,
        "113-123",
        None,
        "strings",
    ),
    _row(
        "gentle piano for reading a book by the fireplace, drumless", False, "50-110", None, "piano"
    ),
    _row(
        "dramatic movie trailer where the hero runs out of time: huge drums, dark strings",
        True,
        "70-160",
        "minor",
        "strings",
    ),
    _row("hip-hop instrumental at 90, chill but punchy kick and snare", True, "86-94", None, ""),
    _row("bossa nova by the pool, nylon guitar and shaker", True, "90-150", None, "guitar"),
    _row(
        "techno, minimal, relentless kick, underground basement vibe",
        True,
        "115-150",
        None,
        "synth,chip",
    ),
    _row(
        "happy birthday tune for a five year old on xylophone",
        None,
        "90-160",
        "major",
        "marimba,vibraphone,music box",
    ),
    _row(
        "punk anthem shouting at the government, three chords, fast as hell",
        True,
        "130-200",
        None,
        "distorted guitar,electric guitar",
    ),
    _row(
        "A relaxing spa soundscape with flute and wind chimes; please leave out the drums",
        False,
        "",
        None,
        "flute,music box",
    ),
    _row(
        "slow blues at 80 bpm with a crying electric guitar and a lazy drummer",
        True,
        "76-84",
        None,
        "electric guitar,distorted guitar",
    ),
    _row("funky clavinet and slap bass, tight drum groove", True, "85-130", None, ""),
    _row(
        "ukelele and whistling, sunny saturday in the park, light percussion",
        True,
        "85-150",
        "major",
        "guitar,flute",
    ),
    _row(
        "melancholic cello with a soft piano behind it, no percussion, D minor",
        False,
        "50-110",
        "minor",
        "strings,piano",
    ),
    _row(
        "synthwave night ride, neon lights, retro synth bass and gated drums",
        True,
        "90-140",
        None,
        "synth,pad",
    ),
    _row(
        "baroque harpsichord dance at the royal court, no drums",
        False,
        "80-150",
        None,
        "piano,harp",
    ),
    _row("energetic salsa with trumpets and congas", True, "90-200", None, "trumpet,brass"),
    _row(
        "soft acoustic guitar ballad in G major for our first anniversary, brushes on the snare",
        True,
        "50-100",
        "major",
        "guitar",
    ),
)


def read_prompts(path: Path) -> tuple[Expected, ...]:
    """A JSON list of objects with the fields of `Expected`."""
    rows = json.loads(path.read_text())
    return tuple(
        Expected(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
        for row in rows
    )


def pieces_of_words(text: str, length: int = 5) -> set[tuple[str, ...]]:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
