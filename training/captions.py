"""Writes an English caption for a piece, always true and varied in wording. Try it: `python training/captions.py`.

Nearly every caption names the lead instrument, whether there are drums, the mode or a mood, and the tempo: what a small
model is to follow it must be told each time. Facts that are left out are left out at random.
"""

import random

from compose import Facts, compose
from sound_world import BACKINGS, BASSES, LEADS, STYLES

MOODS = {
    "major": ("happy", "happy", "cheerful", "joyful", "bright", "sunny", "uplifting", "upbeat", "positive"),
    "minor": ("sad", "sad", "melancholic", "melancholy", "dark", "gloomy", "mournful", "mysterious", "tense"),
}
NOUNS = ("tune", "song", "piece", "track", "melody")  # "music" is the beginning of an instrument


def tempo_word(bpm: int) -> str:
    return "slow" if bpm <= 80 else "medium tempo" if bpm <= 120 else "fast"


def _tempo(rng: random.Random, facts: Facts) -> list[str]:
    word = tempo_word(facts.tempo_bpm)
    bpm = facts.tempo_bpm + (rng.randint(-5, 5) if rng.random() < 0.3 else 0)  # so that numbers between are words too
    number = rng.choice((f"{bpm} bpm", f"{bpm} bpm", f"{bpm} BPM", f"at {bpm} bpm", f"{bpm}bpm"))
    said = (
        word
        if word.endswith("tempo")
        else rng.choice((word, f"{word} tempo", {"slow": "slowly", "fast": "quick"}[word]))
    )
    return rng.choice(([number], [number], [number], [said], [word, number]))


def _mode(rng: random.Random, facts: Facts) -> tuple[str, list[str]]:
    """An adjective for the head of the caption (or ""), and phrases for its tail."""
    if facts.mode is None:
        return "", []
    mood = rng.choice(MOODS[facts.mode])
    named = rng.choice((f"in {facts.mode}", f"{facts.mode} key", f"in {facts.tonic} {facts.mode}"))
    return rng.choice(((mood, []), (mood, []), (mood, [named]), ("", [named])))


def _drums(rng: random.Random, facts: Facts) -> list[str]:
    if facts.texture == "solo" and rng.random() < 0.25:
        return []
    if facts.drums:
        return [rng.choice(("with drums", "with drums", "drums", "with a drum beat", "drum kit"))]
    return [rng.choice(("no drums", "without drums", "no percussion"))]


def _others(rng: random.Random, facts: Facts) -> list[str]:
    """Accompaniment, dynamics and density: each is said about half of the time."""
    phrases = []
    if facts.backing:
        word = rng.choice(BACKINGS[facts.backing].words)
        phrases += [rng.choice((f"{word} chords", f"{word} accompaniment", f"accompanied by {word}"))]
    if facts.bass:
        phrases += [rng.choice(BASSES[facts.bass].words)]
    if facts.dynamic != "normal":
        phrases += [
            rng.choice(
                {"soft": ("soft", "quiet", "calm", "gentle"), "loud": ("loud", "energetic", "strong")}[facts.dynamic]
            )
        ]
    if facts.density != "medium" and facts.lead:
        phrases += [rng.choice({"sparse": ("sparse", "long notes"), "busy": ("busy", "many notes")}[facts.density])]
    return [p for p in phrases if rng.random() < 0.6]


def _head(rng: random.Random, facts: Facts, mood: str) -> str:
    style = rng.choice(STYLES[facts.style].words) if rng.random() < 0.6 else ""
    noun = "waltz" if style == "waltz" else rng.choice(NOUNS)
    style = "" if style == "waltz" else style
    if facts.lead is None:
        return " ".join(w for w in (style, rng.choice(("drum beat", "drum solo", "drums only", "solo drums"))) if w)
    lead = rng.choice(LEADS[facts.lead].words)
    solo = "solo" if facts.texture == "solo" else ""
    return rng.choice(
        (
            " ".join(w for w in (mood, solo, style, lead, noun) if w),
            " ".join(w for w in (mood, style, solo, lead, noun) if w),
            " ".join(w for w in (mood, solo, lead, style, noun) if w),
            " ".join(w for w in (mood, style, noun, "for", solo, lead) if w),
        )
    )


def caption(facts: Facts, seed: int) -> str:
    """One of many captions that fit; the same seed gives the same words."""
    rng = random.Random(seed)
    mood, tail = _mode(rng, facts)
    head = _head(rng, facts, mood)
    if rng.random() < 0.4:
        head = ("an " if head[0] in "aeiou" else "a ") + head
    phrases = tail + _drums(rng, facts) + _tempo(rng, facts) + _others(rng, facts)
    if facts.lead is None:
        phrases = [p for p in phrases if "drum" not in p]
    rng.shuffle(phrases)
    drums_first = [p for p in phrases if p.startswith("with ")]
    if drums_first and rng.random() < 0.5:
        phrases.remove(drums_first[0])
        head += " " + drums_first[0]
    text = ", ".join([head, *phrases])
    return text if rng.random() < 0.5 else text[0].upper() + text[1:]


if __name__ == "__main__":
    for seed in range(20):
        print(caption(compose(seed).facts, seed))
