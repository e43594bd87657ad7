"""Writes an English caption for a piece, always true. Try it: `python training/captions.py`.

`canonical` says every fact in one fixed form. `caption` is one of many wordings, and leaves 20
to 40 % of the facts out, as people do: the model is to learn what a genre implies when nothing
else is said.
"""

import random
from dataclasses import replace

from compose import WITH_BACKING, WITH_BASS, WITH_DRUMS, Facts, compose
from sound_world import BEAT_FRAMES, FRAME_RATE
from world import phrases
from world.genres import GENRES

CANONICAL = 4  # so that the model knows the form in which everything is said


def tempo_words(bpm: int) -> tuple[str, ...]:
    return next(words for most, words in phrases.TEMPI.items() if bpm <= most)


def near_tempi(bpm: int) -> range:
    """Every whole number that is nearer to this tempo than to any other of the grid, and at most 8
    away.
    """
    exact = sorted(60 * FRAME_RATE / frames for frames in BEAT_FRAMES)
    place = min(range(len(exact)), key=lambda i: abs(exact[i] - bpm))
    low = (exact[place - 1] + exact[place]) / 2 if place else exact[place] - 4
    high = (exact[place + 1] + exact[place]) / 2 if place + 1 < len(exact) else exact[place] + 8
    return range(max(int(low) + 1, bpm - 8), min(int(high), bpm + 8) + 1)


def canonical(facts: Facts) -> str:
    """Every fact that there is, in one form."""
    genre = phrases.GENRES[facts.style][0]
    if facts.lead is None:
        said = [f"{genre} drum beat", "drums only"]
    else:
        mood = phrases.MOODS[(facts.mode, facts.dynamic)][0]
        words = (mood, "" if _groove_without_its_band(facts) else genre)
        kind = "solo" if facts.texture == "solo" else "song"
        said = [" ".join(w for w in (*words, kind) if w), _usual(facts.lead)]
        said += [f"{_usual(facts.backing)} chords"] if facts.backing else []
        said += [_usual(name) for name in (facts.second, facts.bass) if name]
        said += ["drums" if facts.drums else "no drums"]
    said += [f"{facts.tempo_bpm} bpm"]
    said += [" ".join(w for w in ("in", facts.tonic, facts.mode) if w)] if facts.mode else []
    said += [facts.dynamic] if facts.dynamic != "normal" else []
    if facts.density != "medium" and facts.lead:
        said += [phrases.DENSITIES[facts.density][1]]
    return ", ".join(said)


def _usual(instrument: str) -> str:
    return phrases.INSTRUMENTS[instrument][0]


def _instrument(rng: random.Random, name: str, style: str) -> str:
    words = phrases.INSTRUMENTS[name]
    if style not in phrases.WALKING:
        words = tuple(w for w in words if w != "walking bass")
    return rng.choice(words)


def _tempo(rng: random.Random, facts: Facts) -> list[str]:
    bpm = rng.choice(near_tempi(facts.tempo_bpm)) if rng.random() < 0.4 else facts.tempo_bpm
    number = rng.choice((f"{bpm} bpm", f"{bpm} bpm", f"{bpm} BPM", f"at {bpm} bpm", f"{bpm}bpm"))
    word = rng.choice(tempo_words(facts.tempo_bpm))
    return rng.choice(([number], [number], [word], [word], [word, number]))


def _key(rng: random.Random, facts: Facts) -> list[str]:
    named = (
        f"in {facts.mode}",
        f"{facts.mode} key",
        f"in {facts.tonic} {facts.mode}",
        f"{facts.tonic} {facts.mode}",
    )
    return [rng.choice(named)]


def _drums(rng: random.Random, facts: Facts) -> list[str]:
    if not facts.drums:
        return [rng.choice(phrases.NO_DRUMS)]
    named = phrases.ONE_KIT.get(facts.kit, ())
    return [rng.choice(named if named and rng.random() < 0.4 else phrases.DRUMS)]


def _mood(rng: random.Random, facts: Facts) -> str:
    """An adjective; half of them true of any loudness."""
    moods = phrases.MOODS[(facts.mode, rng.choice(("normal", facts.dynamic)))]
    return rng.choice([m for m in moods if facts.tempo_bpm >= 90 or m not in phrases.NOT_SLOW])


def hides_genre(style: str, texture: str) -> bool:
    """A trumpet alone is no reggae: its caption does not say so."""
    return texture in ("solo", "duo") and GENRES[style].textures.get(texture, 0) < 0.1


def _groove_without_its_band(facts: Facts) -> bool:
    return hides_genre(facts.style, facts.texture)


def _tail(rng: random.Random, facts: Facts) -> dict[str, list[str]]:
    """Phrases by fact, all that there are but those of the head."""
    tail = {"tempo": _tempo(rng, facts)}
    if facts.lead:
        tail["drums"] = _drums(rng, facts)
        tail["key"] = _key(rng, facts)
    if facts.backing:
        word = _instrument(rng, facts.backing, facts.style)
        forms = (
            f"{word} chords",
            f"{word} accompaniment",
            f"accompanied by {word}",
            f"over {word}",
            word,
        )
        tail["backing"] = [rng.choice(forms)]
    for name in ("bass", "second"):
        instrument = getattr(facts, name)
        if instrument:
            tail[name] = [_instrument(rng, instrument, facts.style)]
    if facts.dynamic != "normal":
        tail["dynamic"] = [rng.choice(phrases.DYNAMICS[facts.dynamic])]
    if facts.density != "medium" and facts.lead:
        tail["density"] = [rng.choice(phrases.DENSITIES[facts.density])]
    if facts.ending:
        tail["ending"] = [
            rng.choice(("with an ending", "outro", "final chord", "ends with a ring-out"))
        ]
    return tail


WEIGHT = {
    "tempo": 1.15,
    "drums": 1.1,
    "key": 0.6,
    "second": 0.8,
    "density": 0.6,
    "ending": 0.7,
}  # of being said


def _head(rng: random.Random, facts: Facts, share: float) -> str:
    """Mood, genre, lead and a noun, in some order; each may be left out, but not all."""
    genre = rng.choice(phrases.GENRES[facts.style]) if rng.random() < share * 1.2 else ""
    if _groove_without_its_band(facts):
        genre = ""
    if facts.lead is None:
        return " ".join(
            w
            for w in (genre, rng.choice(("drum beat", "drum solo", "drums only", "solo drums")))
            if w
        )
    mood = _mood(rng, facts) if rng.random() < share else ""
    lead = (
        _instrument(rng, facts.lead, facts.style) if not genre or rng.random() < share * 1.1 else ""
    )
    solo = "solo" if facts.texture == "solo" and lead else ""
    noun = rng.choice(phrases.NOUNS)
    orders = [(mood, genre, solo, lead, noun), (mood, solo, lead, genre, noun)]
    if lead:
        orders += [(mood, genre, noun, "for", solo, lead), (mood, genre, noun, "with", solo, lead)]
    return " ".join(w for w in rng.choice(orders) if w)


def caption(facts: Facts, seed: int) -> str:
    """One of many captions that are true; the same seed gives the same words. One in `CANONICAL`
    is the canonical one.
    """
    rng = random.Random(seed)
    if rng.randrange(CANONICAL) == 0:
        return canonical(facts)
    share = rng.uniform(0.6, 0.8)
    head = _head(rng, facts, share)
    if rng.random() < 0.35:
        head = ("an " if head[0] in "aeiou" else "a ") + head
    said = [
        p
        for name, ps in _tail(rng, facts).items()
        if rng.random() < share * WEIGHT.get(name, 1)
        for p in ps
    ]
    if rng.random() < 0.15 and not _groove_without_its_band(facts):
        said += [u for u in [rng.choice(phrases.USES[facts.style])] if _fits(u, facts)]
    return _joined(rng, head, said)


def _joined(rng: random.Random, head: str, said: list[str]) -> str:
    rng.shuffle(said)
    joined = [p for p in said if p.startswith("with ")]
    if joined and rng.random() < 0.5:
        said.remove(joined[0])
        head += " " + joined[0]
    text = rng.choice((", ", ", ", ", ", " ", ". ")).join([head, *said])
    return text if rng.random() < 0.6 else text[0].upper() + text[1:]


def thorough(facts: Facts, rng: random.Random) -> str:
    """One of many wordings of what `canonical` says, nothing left out: tempo and key by name."""
    facts = replace(facts, ending=False)
    tail = _tail(rng, facts)
    tail["tempo"] = [rng.choice(("{} bpm", "at {} bpm", "{} BPM")).format(facts.tempo_bpm)]
    if facts.mode:
        tail["key"] = [rng.choice(("in {} {}", "{} {}")).format(facts.tonic, facts.mode)]
    return _joined(rng, _head(rng, facts, share=2.0), [p for some in tail.values() for p in some])


def _fits(use: str, facts: Facts) -> bool:
    """Whether a genre's usual word is true of this piece."""
    if use in (
        "four on the floor",
        "808s",
        "off-beat",
        "no beat",
        "shuffle",
        "boom bap",
        "vinyl crackle",
    ):
        return (
            facts.texture in ("band", "drums")
            or (use == "no beat" and not facts.drums)
            or use == "vinyl crackle"
        )
    return True


def typical(style: str, **said) -> Facts:
    """The facts that a genre implies where nothing else is `said`: the likeliest of each."""
    genre = GENRES[style]
    frames = max(genre.beat_frames, key=genre.beat_frames.get)
    texture = said.pop("texture", max(genre.textures, key=genre.textures.get))
    lead = None if texture == "drums" else max(genre.leads, key=genre.leads.get)
    with_backing, with_bass = texture in WITH_BACKING, texture in WITH_BASS
    with_drums = texture in WITH_DRUMS
    implied = {
        "lead": lead,
        "backing": max(genre.backings, key=genre.backings.get) if with_backing else None,
        "bass": max(genre.basses, key=genre.basses.get) if with_bass else None,
        "drums": with_drums,
        "tempo_bpm": round(60 * FRAME_RATE / frames),
        "mode": ("minor" if genre.minor >= 0.5 else "major") if lead else None,
        "tonic": "C" if lead else None,
        "density": max(genre.densities, key=genre.densities.get),
        "dynamic": max(genre.dynamics, key=genre.dynamics.get),
        "beats_per_bar": genre.beats_per_bar,
        "kit": genre.kits[0] if with_drums else None,
    }
    return Facts(style=style, texture=texture, **(implied | said))


if __name__ == "__main__":
    for seed in range(30):
        facts = compose(seed).facts
        print(caption(facts, seed), "|", canonical(facts), sep="  ")
