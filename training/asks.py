"""Prompts in the manner of training captions, and what each asks for. Not run by itself;
`evaluate.py` uses them.
"""

import random
from dataclasses import dataclass

from compose import WITH_DRUMS
from sound_world import FRAME_RATE, LEADS
from world import phrases
from world.genres import GENRES


@dataclass(frozen=True)
class Ask:
    """One prompt and what it asks for."""

    text: str
    lead: str
    drums: bool
    tempo_bpm: int
    mode: str


def genres_with_drums(lead: str) -> dict[str, float]:
    """Those in which that lead plays over drums, and how often each is chosen for it."""
    return {
        name: genre.weight * genre.leads[lead]
        for name, genre in GENRES.items()
        if lead in genre.leads and set(WITH_DRUMS) & set(genre.textures)
    }


def asks(items: int, seed: int = 0) -> list[Ask]:
    """Half solo without drums, half with drums and a genre in which the lead plays over them; leads
    and modes evenly spread, tempi as the genres have them.
    """
    rng, made = random.Random(seed), []
    drummed = [lead for lead in LEADS if genres_with_drums(lead)]
    for i in range(items):
        leads = drummed if i % 2 else list(LEADS)
        turn, place = divmod(i // 2, len(leads))
        made.append(_ask(rng, leads[place], ("major", "minor")[turn % 2], drums=bool(i % 2)))
    return made


def _ask(rng: random.Random, lead: str, mode: str, drums: bool) -> Ask:
    playing = {n: g.weight * g.leads[lead] for n, g in GENRES.items() if lead in g.leads}
    fitting = genres_with_drums(lead) if drums else playing
    genre = rng.choices(list(fitting), list(fitting.values()))[0]
    frames = rng.choice(list(GENRES[genre].beat_frames))
    tempo_bpm = round(60 * FRAME_RATE / frames)
    mood, name = {"major": "happy", "minor": "sad"}[mode], phrases.INSTRUMENTS[lead][0]
    words = (
        f"a {mood} {genre} tune for {name} with drums" if drums else f"a {mood} solo {name} tune"
    )
    ending = "" if drums else ", no drums"
    return Ask(f"{words}{ending}, in {mode}, {tempo_bpm} bpm", lead, drums, tempo_bpm, mode)
