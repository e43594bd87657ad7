"""What the concepts of a prompt mean in pocket's sound world. Tables only; `pocket.py` reads them.

A ground names a style of the world and what differs from the style's likeliest piece; all else is
read from `world/` itself.
"""

from dataclasses import dataclass

from .tables import table


@dataclass(frozen=True)
class Ground:
    """What a genre, a use or a mood asks for before anything else is said; None: as its style."""

    style: str
    lead: str | None = None
    backing: str | None = None
    bass: str | None = None
    tempo_bpm: int | None = None
    mode: str | None = None
    dynamic: str | None = None
    density: str | None = None
    texture: str | None = None
    drums: bool | None = None


GENRES = {
    "pop": Ground("pop"),
    "synth pop": Ground("pop", lead="synth", backing="pad", bass="synth bass"),
    "indie pop": Ground("pop", lead="clean guitar", backing="steel guitar"),
    "k-pop": Ground("pop", lead="synth", tempo_bpm=130),
    "dance pop": Ground("house", lead="synth", tempo_bpm=130, mode="major"),
    "latin": Ground("latin"),
    "tango": Ground("latin", lead="accordion", tempo_bpm=120, mode="minor"),
    "rock": Ground("rock"),
    "soft rock": Ground("pop", lead="clean guitar", backing="piano", tempo_bpm=100),
    "hard rock": Ground("rock", mode="minor", dynamic="loud"),
    "metal": Ground("metal"),
    "punk": Ground("rock", tempo_bpm=158, mode="major", dynamic="loud"),
    "rock and roll": Ground("rock", lead="clean guitar", tempo_bpm=158, mode="major"),
    "electronic": Ground("techno"),
    "house": Ground("house"),
    "techno": Ground("techno"),
    "trance": Ground("techno", tempo_bpm=143, dynamic="loud"),
    "drum and bass": Ground("techno", tempo_bpm=143, density="busy"),
    "dubstep": Ground("trap", lead="synth", tempo_bpm=143, dynamic="loud"),
    "synthwave": Ground(
        "pop", lead="synth", backing="pad", bass="synth bass", tempo_bpm=111, mode="minor"
    ),
    "chiptune": Ground("chiptune"),
    "hip hop": Ground("hip hop"),
    "trap": Ground("trap"),
    "lo-fi": Ground("lo-fi"),
    "chill": Ground("lo-fi", tempo_bpm=86),
    "r&b": Ground("hip hop", lead="e-piano"),
    "soul": Ground("funk", lead="brass", backing="e-piano", tempo_bpm=100, mode="major"),
    "funk": Ground("funk"),
    "disco": Ground("disco", mode="major"),
    "reggae": Ground("reggae"),
    "ska": Ground("reggae", lead="trumpet", tempo_bpm=86, mode="major"),
    "afrobeat": Ground("latin", lead="guitar", tempo_bpm=111, mode="major"),
    "jazz": Ground("jazz"),
    "smooth jazz": Ground("jazz", tempo_bpm=100, dynamic="soft"),
    "swing": Ground("jazz", lead="trumpet", tempo_bpm=143),
    "bossa nova": Ground("bossa nova"),
    "blues": Ground("blues"),
    "ragtime": Ground("jazz", lead="piano", backing="clean guitar", tempo_bpm=143),
    "folk": Ground("folk"),
    "medieval": Ground("folk", lead="recorder", tempo_bpm=111, mode="minor"),
    "polka": Ground("country", lead="accordion", tempo_bpm=143, mode="major"),
    "sea shanty": Ground("folk", lead="accordion", tempo_bpm=111),
    "country": Ground("country"),
    "bluegrass": Ground("country", lead="banjo", tempo_bpm=143, density="busy"),
    "celtic": Ground("folk", lead="flute", tempo_bpm=120, density="busy"),
    "acoustic": Ground("folk", drums=False),
    "waltz": Ground("waltz", drums=False),
    "march": Ground("march"),
    "fanfare": Ground("march", lead="trumpet", tempo_bpm=100, dynamic="loud"),
    "ballad": Ground("ballad"),
    "ambient": Ground("ambient"),
    "new age": Ground("ambient", lead="flute", mode="major"),
    "lullaby": Ground("music box"),
    "nursery rhyme": Ground("music box", tempo_bpm=111, mode="major", dynamic="normal"),
    "classical": Ground("classical"),
    "baroque": Ground("classical", lead="organ", tempo_bpm=111, mode="minor"),
    "string music": Ground("classical", lead="strings", backing="strings", texture="trio"),
    "church": Ground("classical", lead="organ", tempo_bpm=79, mode="major", texture="solo"),
    "orchestral": Ground("orchestral"),
    "epic": Ground("orchestral", tempo_bpm=120, mode="minor", dynamic="loud"),
    "fantasy": Ground("orchestral", tempo_bpm=100, mode="major", dynamic="normal"),
    "christmas": Ground("music box", lead="celesta", tempo_bpm=94, mode="major"),
    "horror": Ground("orchestral", tempo_bpm=71, mode="minor", dynamic="soft", drums=False),
    "minimalism": Ground("classical", tempo_bpm=111, mode="minor", density="busy"),
    "circus": Ground("waltz", lead="accordion", tempo_bpm=143, mode="major", drums=True),
}

NO_GENRE = GENRES["pop"]
STILL = Ground("ballad", drums=False, dynamic="soft", mode="major")
SAD = Ground("ballad", drums=False, dynamic="soft", mode="minor")
MOOD_GROUNDS = {
    "calm": STILL,
    "dreamy": GENRES["ambient"],
    "romantic": STILL,
    "sad": SAD,
    "nostalgic": SAD,
    "dark": GENRES["horror"],
    "tense": Ground("orchestral", tempo_bpm=111, mode="minor"),
    "heroic": Ground("orchestral", tempo_bpm=100, mode="major", dynamic="loud"),
    "angry": GENRES["metal"],
    "energetic": Ground("pop", lead="synth", tempo_bpm=130, dynamic="loud"),
    "groovy": GENRES["funk"],
    "playful": Ground("folk", lead="ukulele", tempo_bpm=120, mode="major"),
    "hopeful": NO_GENRE,
    "happy": NO_GENRE,
}
USE_GROUNDS = {
    "study": GENRES["lo-fi"],
    "sleep": GENRES["lullaby"],
    "meditate": GENRES["new age"],
    "game": GENRES["chiptune"],
    "boss": GENRES["epic"],
    "party": Ground("house", mode="major"),
    "workout": GENRES["trance"],
    "advert": GENRES["pop"],
    "vlog": GENRES["indie pop"],
    "wedding": STILL,
    "cafe": GENRES["smooth jazz"],
    "film": GENRES["orchestral"],
    "sad scene": SAD,
    "scary scene": GENRES["horror"],
    "nature": GENRES["ambient"],
    "kids": GENRES["nursery rhyme"],
    "drive": GENRES["synthwave"],
    "morning": GENRES["acoustic"],
}
ERA_GROUNDS = {
    "50s": GENRES["rock and roll"],
    "60s": GENRES["rock and roll"],
    "70s": GENRES["disco"],
    "80s": GENRES["synth pop"],
}
# Of pop, where no instrument is named.
ERA_LEADS = {"50s": "clean guitar", "60s": "clean guitar", "80s": "synth"}

# What comes nearest to an instrument of the tables, the nearest first.
KIN = table(
    {
        "piano": "piano, e-piano",
        "electric piano": "e-piano, piano",
        "harpsichord": "piano, harp, e-piano",
        "acoustic guitar": "guitar, steel guitar, ukulele, clean guitar",
        "electric guitar": "clean guitar, distorted guitar",
        "distorted guitar": "distorted guitar, clean guitar",
        "ukulele": "ukulele, guitar, steel guitar",
        "banjo": "banjo, mandolin, steel guitar, guitar",
        "plucked": "harp, guitar, mandolin",
        "violin": "strings",
        "cello": "strings",
        "strings": "strings",
        "flute": "flute, pan flute, recorder",
        "recorder": "recorder, pan flute, flute",
        "clarinet": "clarinet, flute, recorder",
        "trumpet": "trumpet, brass, trombone",
        "brass": "brass, horn, trombone, trumpet",
        "saxophone": "sax, clarinet, trumpet",
        "organ": "organ, hammond organ",
        "hammond": "hammond organ, organ",
        "accordion": "accordion, harmonica",
        "choir": "choir, pad",
        "synth": "synth, square lead, synth stab",
        "pad": "pad, synth, choir",
        "music box": "music box, celesta, vibraphone",
        "bells": "celesta, music box, vibraphone",
        "mallets": "marimba, vibraphone, celesta",
        "bass": "bass, pick bass, slap bass, acoustic bass, synth bass, 808 bass, chip bass, tuba, "
        "low strings",
        "synth bass": "synth bass, 808 bass, chip bass",
    }
)
# Where an instrument is at home, when it is all that a prompt names.
HOMES = {
    "piano": "ballad",
    "electric piano": "lo-fi",
    "harpsichord": "classical",
    "acoustic guitar": "folk",
    "electric guitar": "rock",
    "distorted guitar": "rock",
    "ukulele": "folk",
    "banjo": "country",
    "plucked": "classical",
    "violin": "classical",
    "cello": "classical",
    "strings": "classical",
    "flute": "folk",
    "recorder": "folk",
    "clarinet": "jazz",
    "trumpet": "jazz",
    "brass": "funk",
    "saxophone": "jazz",
    "organ": "classical",
    "hammond": "blues",
    "accordion": "waltz",
    "choir": "ambient",
    "synth": "pop",
    "pad": "ambient",
    "music box": "music box",
    "bells": "music box",
    "mallets": "pop",
}

# What a style gives way to where it is never played as the prompt says: the nearest first.
RELATIVES = table(
    {
        "pop": "ballad, rock, disco, house, folk, country, hip hop",
        "rock": "metal, blues, pop, country",
        "metal": "rock, orchestral",
        "funk": "disco, hip hop, blues, pop",
        "reggae": "latin, pop, lo-fi",
        "country": "folk, rock, pop, blues",
        "folk": "country, ballad, pop, waltz",
        "jazz": "blues, bossa nova, lo-fi, ballad",
        "bossa nova": "jazz, latin, lo-fi, ballad",
        "latin": "bossa nova, pop, disco, reggae",
        "blues": "jazz, rock, country, ballad",
        "disco": "funk, house, pop",
        "house": "techno, disco, pop, hip hop",
        "techno": "house, trap, chiptune",
        "trap": "hip hop, techno, lo-fi",
        "hip hop": "lo-fi, trap, funk, pop",
        "lo-fi": "hip hop, ballad, jazz",
        "chiptune": "techno, pop",
        "ambient": "ballad, lo-fi, classical, orchestral",
        "orchestral": "classical, ballad, march, rock",
        "classical": "orchestral, ballad, waltz, folk, march",
        "waltz": "classical, ballad, jazz, folk",
        "march": "orchestral, classical, rock",
        "music box": "ballad, lo-fi, classical, pop",
        "ballad": "pop, lo-fi, folk, classical",
    }
)
# The key where none is said: one that the style's players like.
KEYS = {
    "pop": "G",
    "rock": "D",
    "metal": "D",
    "funk": "D",
    "reggae": "G",
    "country": "G",
    "folk": "D",
    "jazz": "C",
    "bossa nova": "D",
    "latin": "D",
    "blues": "G",
    "disco": "C",
    "house": "C",
    "techno": "D",
    "trap": "C",
    "hip hop": "C",
    "lo-fi": "C",
    "chiptune": "C",
    "ambient": "C",
    "orchestral": "D",
    "classical": "C",
    "waltz": "G",
    "march": "C",
    "music box": "G",
    "ballad": "C",
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
MOOD_DYNAMICS = {
    "calm": "soft",
    "dreamy": "soft",
    "romantic": "soft",
    "energetic": "loud",
    "angry": "loud",
    "heroic": "loud",
}
# How many times as fast as the genre is played otherwise.
MOOD_PACES = {"energetic": 1.12, "angry": 1.12, "sad": 0.89, "calm": 0.89}
# The phrase of the captions that a word for a tempo means.
TEMPO_PHRASES = {"slow": "slow", "medium": "medium tempo", "fast": "fast"}
