"""Writes what the page knows of pocket's words: `python training/words/ship.py`.

Run it when the tables change. `chips` are words to choose from, a group each; `musical` are words
that a table has, and so tell pocket something; `absent` are those of them that it knows only to be
without ("no vocals"); `other` tell it nothing, and do no harm.
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from sound_world import TONICS  # noqa: E402

from words import genres, languages, moods, sounds, spelling  # noqa: E402
from words.wishes import TABLES, vocabulary  # noqa: E402

SHIPPED = Path(__file__).parents[2] / "app/page/vocabulary.json"
BPM = (70, 80, 90, 100, 110, 120, 130, 140)
USUAL_NAME = {"plucked": "harp", "mallets": "marimba", "string music": "string quartet"}
"""concepts whose first phrase is not what one would choose"""
NEGATIONS = ("no", "without")


def chips() -> dict[str, list[str]]:
    """The usual name of each concept, as a prompt says it."""
    tempi = [*(TABLES["tempo"][word][0] for word in ("slow", "medium", "fast"))]
    keys = [f"in {tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS]
    instruments = _names(sounds.INSTRUMENTS)
    return {
        "genre": _names(genres.GENRES),
        "mood": _names(moods.MOODS),
        "instrument": [*instruments, "drums", "no drums"],
        "tempo": [*tempi, *(f"{bpm} bpm" for bpm in BPM)],
        "key": keys,
    }


def _names(table: dict[str, tuple[str, ...]]) -> list[str]:
    return [USUAL_NAME.get(concept, phrases[0]) for concept, phrases in table.items()]


def musical() -> set[str]:
    """Words of phrases that mean something, but for the little ones between them."""
    phrases = [p for table in TABLES.values() for some in table.values() for p in some]
    for tables in languages.PHRASES.values():
        phrases += [p for table in tables.values() for some in table.values() for p in some]
    phrases += [form for forms in spelling.MISSPELLED.values() for form in forms]
    little = {word.lower() for word in spelling.LITTLE_WORDS}
    return {word for phrase in phrases for word in _words(phrase)} - little


def absent() -> set[str]:
    """What a table has behind "no" or "without", and nowhere else."""
    phrases = [p for table in TABLES.values() for some in table.values() for p in some]
    without = [words[1] for p in phrases if (words := _words(p))[0] in NEGATIONS and len(words) > 1]
    others = {word for p in phrases if _words(p)[0] not in NEGATIONS for word in _words(p)}
    return set(without) - others


def _words(text: str) -> list[str]:
    return [word.strip(",.:") for word in text.lower().split()]


def shipped() -> dict[str, object]:
    told = musical()
    known = {word for entry in vocabulary() for word in _words(entry)}
    return {
        "chips": chips(),
        "absent": sorted(absent()),
        "musical": sorted(told),
        "other": sorted(known - told - {""}),
    }


def text_of(content: dict[str, object]) -> str:
    """A group a line."""
    return (
        json.dumps(content, ensure_ascii=False, separators=(", ", ": ")).replace('], "', '],\n "')
        + "\n"
    )


if __name__ == "__main__":
    SHIPPED.write_text(text_of(shipped()), encoding="utf-8")
