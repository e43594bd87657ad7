"""How captions call what the sound world knows: concept -> phrases, the usual one first.

A phrase that stands twice is drawn twice as often.
"""


def listed(table: dict) -> dict:
    """Phrases that are written with commas between them, as tuples."""
    return {concept: tuple(text.split(", ")) for concept, text in table.items()}


GENRES = listed(
    {
        "pop": "pop, pop, pop music, catchy pop, radio pop, indie pop, mainstream pop",
        "rock": "rock, rock, rock music, hard rock, punk rock, alternative rock, grunge",
        "metal": "metal, heavy metal, thrash metal, metal music, death metal",
        "funk": "funk, funky, funk music, groovy funk, soul funk",
        "reggae": "reggae, reggae music, roots reggae, dub, ska",
        "house": "house, house music, deep house, dance, club, electronic dance, edm",
        "techno": "techno, techno music, electronic, rave, trance, industrial techno",
        "trap": "trap, trap beat, trap music, drill, drill beat",
        "hip hop": "hip hop, hip-hop, rap beat, boom bap, hip hop beat, r&b, old school hip hop",
        "lo-fi": "lo-fi, lofi, lo-fi hip hop, lofi beat, chillhop, chill, lofi hip hop",
        "country": "country, country music, bluegrass, western, americana",
        "folk": "folk, folk music, acoustic, indie folk, acoustic folk, celtic",
        "jazz": "jazz, jazz music, swing, smooth jazz, bebop, cool jazz, swing jazz",
        "bossa nova": "bossa nova, bossa, samba, brazilian",
        "latin": "latin, salsa, latin music, tango, cumbia, mambo",
        "orchestral": "orchestral, cinematic, epic orchestral, film score, symphonic, soundtrack, "
        "movie score",
        "classical": "classical, classical music, baroque, chamber music, romantic classical",
        "chiptune": "chiptune, 8-bit, 8 bit, video game, retro game, arcade, chip music",
        "ambient": "ambient, ambient music, drone, meditation, new age, soundscape, atmospheric",
        "waltz": "waltz, waltz, viennese waltz, waltz dance",
        "blues": "blues, blues shuffle, blues music, twelve-bar blues, bluesy",
        "disco": "disco, disco music, nu disco, 70s disco, dance floor disco",
        "march": "march, military march, marching band, parade march, brass band",
        "music box": "lullaby, music box, nursery, children's, cradle song",
        "ballad": "ballad, slow ballad, love song, romantic ballad, sentimental ballad",
    }
)

# What each genre is asked for, and what it is like: said now and then.
USES = listed(
    {
        "pop": "for a commercial, for the radio, summer, 2000s, 80s, for a vlog",
        "rock": "90s, stadium, driving, road trip, garage band",
        "metal": "aggressive, brutal, mosh pit, for a fight scene",
        "funk": "groovy, 70s, party, for dancing",
        "reggae": "laid back, beach, summer, island, off-beat",
        "house": "club, four on the floor, dance floor, party, ibiza, 90s",
        "techno": "warehouse, late night, rave, driving, hypnotic, four on the floor",
        "trap": "808s, street, hard, type beat",
        "hip hop": "head nodding, for rapping, 90s, boom bap",
        "lo-fi": "for studying, relaxing, rainy day, vinyl crackle, chill, late night, cozy",
        "country": "cowboy, front porch, barn dance, road trip",
        "folk": "campfire, storytelling, rustic, wholesome",
        "jazz": "late night, in a cozy bar, swinging, dinner, smoky club",
        "bossa nova": "beach, lounge, cafe, elevator, relaxing",
        "latin": "for dancing, fiesta, hot, summer night",
        "orchestral": "for a trailer, heroic, battle, adventure, fantasy, majestic",
        "classical": "elegant, concert hall, salon, baroque court",
        "chiptune": "retro, boss battle, 80s arcade, game boy, level one",
        "ambient": "for meditation, for sleep, ethereal, space, floating, yoga, no beat",
        "waltz": "ballroom, elegant, for dancing, wedding",
        "blues": "smoky bar, shuffle, delta, soulful",
        "disco": "70s, dance floor, glitter ball, party, groovy",
        "march": "parade, military, patriotic, ceremony",
        "music box": "for a baby, bedtime, fairy tale, toy, christmas",
        "ballad": "romantic, love, heartfelt, wedding, emotional",
    }
)

INSTRUMENTS = listed(
    {
        "piano": "piano, piano, piano, grand piano, acoustic piano",
        "e-piano": "electric piano, e-piano, rhodes, rhodes piano, keys",
        "music box": "music box",
        "celesta": "celesta, bells, glockenspiel",
        "vibraphone": "vibraphone, vibes",
        "marimba": "marimba, xylophone",
        "organ": "organ, church organ, pipe organ",
        "hammond organ": "hammond organ, electric organ, organ, hammond",
        "accordion": "accordion",
        "harmonica": "harmonica, mouth organ, blues harp",
        "guitar": "guitar, acoustic guitar, nylon guitar, classical guitar, spanish guitar",
        "ukulele": "ukulele, uke",
        "steel guitar": "acoustic guitar, steel guitar, guitar, western guitar",
        "clean guitar": "electric guitar, clean guitar, guitar, clean electric guitar",
        "distorted guitar": "distorted guitar, electric guitar, heavy guitar, loud guitar, "
        "overdriven guitar",
        "mandolin": "mandolin",
        "banjo": "banjo",
        "harp": "harp",
        "strings": "strings, violins, string section, string ensemble, orchestra strings",
        "choir": "choir, voices, vocal pad, oohs",
        "trumpet": "trumpet",
        "trombone": "trombone",
        "horn": "french horn, horn, horns",
        "brass": "brass, horns, brass section, horn section",
        "sax": "saxophone, sax, tenor sax",
        "clarinet": "clarinet",
        "flute": "flute",
        "recorder": "recorder, tin whistle",
        "pan flute": "pan flute, panpipes",
        "synth": "synth, synthesizer, synth lead, bright synth",
        "square lead": "square wave synth, 8-bit synth, chip lead, game synth",
        "synth stab": "synth stabs, stab synth, bright synth stabs",
        "pad": "synth pad, warm pad, pads, ethereal pads",
        "bass": "bass, bass guitar, bass line, electric bass",
        "pick bass": "bass, bass guitar, picked bass",
        "acoustic bass": "upright bass, double bass, acoustic bass, bass, walking bass",
        "slap bass": "slap bass, funky bass, bass",
        "synth bass": "synth bass, bass, deep bass, bass synth",
        "808 bass": "808 bass, 808s, deep 808, sub bass, bass",
        "chip bass": "8-bit bass, triangle bass, bass",
        "tuba": "tuba, bass tuba",
        "low strings": "cellos, low strings, double basses",
    }
)
WALKING = ("jazz", "blues")  # where an upright bass walks

# By mode and dynamic; those of "normal" fit any dynamic.
MOODS = listed(
    {
        (
            "major",
            "normal",
        ): "happy, happy, cheerful, joyful, bright, sunny, uplifting, upbeat, positive, feel-good, "
        "fun, playful, optimistic, hopeful, warm",
        (
            "major",
            "soft",
        ): "peaceful, tender, sweet, warm, serene, dreamy, soothing, romantic, hopeful",
        (
            "major",
            "loud",
        ): "triumphant, energetic, exciting, euphoric, upbeat, powerful, joyful, happy",
        (
            "minor",
            "normal",
        ): "sad, sad, melancholic, melancholy, dark, gloomy, moody, mysterious, tense, "
        "bittersweet, nostalgic, serious, emotional, haunting",
        (
            "minor",
            "soft",
        ): "sad, melancholic, lonely, mournful, wistful, haunting, somber, nostalgic",
        ("minor", "loud"): "dark, aggressive, angry, dramatic, intense, epic, menacing, tense",
    }
)
NOT_SLOW = ("upbeat", "energetic", "exciting", "euphoric")  # moods that a slow piece has not

DYNAMICS = listed(
    {
        "soft": "soft, quiet, calm, gentle, relaxed, mellow, soft dynamics",
        "loud": "loud, energetic, powerful, strong, high energy, intense",
    }
)
DENSITIES = listed(
    {
        "sparse": "sparse, long notes, minimal, simple",
        "busy": "busy, many notes, fast notes, lots of notes",
    }
)
DRUMS = ("with drums", "drums", "with drums", "drum beat", "with a beat", "drum kit", "percussion")
# Kits that have a name of their own.
ONE_KIT = listed(
    {
        "brush": "brushed drums, brushes",
        "brushes": "brushed drums, brushes",
        "tr808": "808 drums, drum machine",
        "house": "four on the floor drums, electronic drums, drum machine",
        "club": "four on the floor drums, electronic drums, club drums",
        "techno": "driving kick, electronic drums, pounding kick",
        "trap": "trap drums, hi-hat rolls, 808 drums",
        "boombap": "hard drums, boom bap drums",
        "power": "heavy drums, rock drums, big drums",
        "rock": "heavy drums, rock drums, loud drums",
        "orchestra": "timpani, thunderous percussion, orchestral percussion",
        "march": "snare drums, marching drums, military drums",
        "chip": "8-bit drums, noise drums",
        "dusty": "dusty drums, soft drums",
    }
)
NO_DRUMS = ("no drums", "without drums", "no percussion", "drumless", "no beat")
NOUNS = ("tune", "song", "piece", "track", "melody", "music", "instrumental", "loop")
# Up to that many bpm.
TEMPI = listed(
    {
        79: "slow, slow tempo, slowly, very slow, slow bpm",
        95: "slow, relaxed tempo, laid back, moderately slow",
        122: "medium tempo, mid tempo, moderate tempo, midtempo",
        143: "fast, upbeat tempo, quick, lively",
        999: "fast, very fast, rapid, fast tempo, up tempo",
    }
)


def vocabulary() -> set[str]:
    """Every word of these tables."""
    tables = (GENRES, USES, INSTRUMENTS, MOODS, DYNAMICS, DENSITIES, ONE_KIT, TEMPI)
    said = [phrase for table in tables for some in table.values() for phrase in some]
    return {word for phrase in (*said, *DRUMS, *NO_DRUMS, *NOUNS) for word in phrase.split()}
