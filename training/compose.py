"""Composes one short piece of music from a seed: facts (what a caption may say) and every part's
notes in beats.

Knows the sound world, not captions, MIDI events or audio. Try it: `python training/compose.py 7`.
"""

import random
import sys
from dataclasses import dataclass, replace

from sound_world import (
    BACKINGS,
    BASSES,
    FRAME_RATE,
    INSTRUMENTS,
    LEADS,
    TONICS,
    Instrument,
)
from world import accompany, drums, form, melody
from world.fluid import Voice
from world.genres import GENRES, Genre
from world.harmony import Progression
from world.notes import Hit, Note, swing_hit, swing_note

CHORD_HANDS = (
    "piano",
    "e-piano",
    "guitar",
    "ukulele",
    "steel guitar",
    "organ",
    "accordion",
    "harp",
    "music box",
    "celesta",
)
HAND_PATTERNS = {
    4: ("0-1-2-1-", "r-x-x-x-", "01213121", "x-------", "r-1-2-1-"),
    3: ("r-x-x-", "012121", "x-----"),
}

WITH_BACKING = ("duo", "trio", "band")
WITH_BASS = ("trio", "band")
WITH_DRUMS = ("lead and drums", "band", "drums")
PORTRAITS = 0.12  # pieces that are solos of any lead, all equally often


@dataclass(frozen=True)
class Facts:
    """What is true of the piece, and so what its caption may say."""

    style: str  # a genre
    texture: str  # "solo", "duo", "trio", "lead and drums", "band" or "drums"
    lead: str | None  # None: drums alone
    backing: str | None
    bass: str | None
    drums: bool
    tempo_bpm: int
    mode: str | None
    tonic: str | None
    density: str  # of the lead: "sparse", "medium" or "busy"
    dynamic: str  # "soft", "normal" or "loud"
    beats_per_bar: int
    second: str | None = None  # a further part
    kit: str | None = None
    ending: bool = False  # it closes and rings out; otherwise it stops on a bar line
    sections: str = ""  # letters of the phrases that are heard


@dataclass(frozen=True)
class Part:
    """`role`: "lead", "backing", "second" or "bass"."""

    role: str
    instrument: Instrument
    voice: Voice
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Song:
    seed: int
    facts: Facts
    frames_per_beat: int
    bars: int
    parts: tuple[Part, ...] = ()
    hits: tuple[Hit, ...] = ()

    @property
    def genre(self) -> Genre:
        return GENRES[self.facts.style]

    @property
    def tonic(self) -> int | None:
        """As a pitch class."""
        return TONICS[self.facts.tonic] if self.facts.tonic else None

    @property
    def beat_s(self) -> float:
        return self.frames_per_beat / FRAME_RATE

    @property
    def duration_s(self) -> float:
        return self.bars * self.facts.beats_per_bar * self.beat_s


def _weighted(rng: random.Random, weights: dict):
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def choose_facts(rng: random.Random, genre: Genre, alone: str | None) -> tuple[Facts, int]:
    """Facts and the codec frames a beat."""
    texture = "solo" if alone else _weighted(rng, genre.textures)
    lead = None if texture == "drums" else alone or _weighted(rng, genre.leads)
    frames = _weighted(rng, genre.beat_frames)
    with_drums = texture in WITH_DRUMS
    with_second = genre.seconds and texture == "band" and rng.random() < 0.5
    mode = "minor" if rng.random() < genre.minor else "major"
    facts = Facts(
        style=genre.name,
        texture=texture,
        lead=lead,
        backing=_weighted(rng, beside(genre.backings, lead)) if texture in WITH_BACKING else None,
        bass=_weighted(rng, genre.basses) if texture in WITH_BASS else None,
        drums=with_drums,
        tempo_bpm=round(60 * FRAME_RATE / frames),
        mode=mode if lead else None,
        tonic=rng.choice(list(TONICS)) if lead else None,
        density=_weighted(rng, genre.densities),
        dynamic=_weighted(rng, genre.dynamics),
        beats_per_bar=genre.beats_per_bar,
        second=_weighted(rng, beside(genre.seconds, lead)) if with_second else None,
        kit=rng.choice(genre.kits) if with_drums else None,
        ending=rng.random() < 0.15,
    )
    if facts.second in (facts.backing, facts.lead):
        facts = replace(facts, second=None)
    return facts, frames


def beside(weights: dict[str, float], lead: str | None) -> dict[str, float]:
    """Rarely the same instrument as the lead, unless the genre has no other."""
    return {n: w if n != lead else w * 0.25 for n, w in weights.items()}


def compose(seed: int, long: bool = False) -> Song:
    """A piece of 12-16 s, or of about 31 s when `long`; the same seed gives the same piece."""
    genre, alone = choose_genre(seed)
    return compose_in(genre, seed, long, alone)


def choose_genre(seed: int) -> tuple[Genre, str | None]:
    """The genre of a piece, and the lead when it is a portrait of one."""
    rng = random.Random(seed)
    if rng.random() < PORTRAITS:
        lead = rng.choice(list(LEADS))
        fitting = {n: g.leads[lead] for n, g in GENRES.items() if lead in g.leads}
        return GENRES[_weighted(rng, fitting)], lead
    return GENRES[_weighted(rng, {n: g.weight for n, g in GENRES.items()})], None


def facts_of(seed: int) -> Facts:
    """What `compose(seed)` has as its facts, its sections aside."""
    genre, alone = choose_genre(seed)
    return choose_facts(random.Random(f"{genre.name} {seed}"), genre, alone)[0]


def compose_in(genre: Genre, seed: int, long: bool = False, alone: str | None = None) -> Song:
    """A piece of that genre; `alone`: a solo of that lead."""
    rng = random.Random(f"{genre.name} {seed}")
    facts, frames = choose_facts(rng, genre, alone)
    bar_s = frames * facts.beats_per_bar / FRAME_RATE
    bars = round(31 / bar_s + 0.5) if long else max(3, round(rng.uniform(12, 16) / bar_s))
    plan = form.plan(
        rng, bars, genre.phrase_bars, genre.crashes or facts.dynamic == "loud", facts.ending
    )
    facts = replace(facts, sections="".join(b.section for b in plan if b.place == 0))
    parts = _Arranger(rng, genre, facts, plan).parts() if facts.lead else []
    hits = _hits(rng, genre, facts, plan)
    if genre.swing:
        parts = [
            replace(p, notes=tuple(swing_note(n, *genre.swing) for n in p.notes)) for p in parts
        ]
        hits = [swing_hit(h, *genre.swing) for h in hits]
    return Song(seed, facts, frames, bars, tuple(p for p in parts if p.notes), tuple(hits))


VELOCITIES = {"soft": 62, "normal": 86, "loud": 106}


def _sections(rng: random.Random, patterns: tuple[str, ...]) -> dict[str, str]:
    """One pattern for A; another one for B half of the time."""
    first = rng.choice(patterns)
    return {"A": first, "B": first if rng.random() < 0.5 else rng.choice(patterns)}


class _Arranger:
    """Writes the parts of one piece, in an order that its seed's numbers depend on."""

    def __init__(
        self, rng: random.Random, genre: Genre, facts: Facts, plan: tuple[form.Bar, ...]
    ) -> None:
        self.rng, self.genre, self.facts, self.plan = rng, genre, facts, plan
        tonic, sections = TONICS[facts.tonic], zip("AB", genre.chords[facts.mode], strict=True)
        self.progressions = {
            s: Progression.parse(tonic, rng.choice(texts)) for s, texts in sections
        }
        self.velocity = VELOCITIES[facts.dynamic]

    def parts(self) -> list[Part]:
        facts = self.facts
        parts = [self._lead()]
        if facts.backing:
            parts.append(self._backing())
        elif facts.texture == "solo" and facts.lead in CHORD_HANDS and self.rng.random() < 0.75:
            parts.append(self._other_hand())
        if facts.second:
            parts.append(self._second())
        if facts.bass:
            parts.append(self._bass())
        return parts

    def _part(self, role: str, instrument: Instrument, write, settings) -> Part:
        """`write` is a function of world/ that makes notes of settings."""
        score = self.plan, self.progressions, self.facts.beats_per_bar
        notes = write(self.rng, settings, *score)
        notes = [replace(n, velocity=max(1, min(127, n.velocity))) for n in notes]
        notes.sort(key=lambda n: (n.start_beats, n.pitch))
        return Part(role, instrument, self.rng.choice(instrument.voices), tuple(notes))

    def _lead(self) -> Part:
        instrument, genre = LEADS[self.facts.lead], self.genre
        settings = melody.LeadSettings(
            feel=genre.feel,
            density=self.facts.density,
            scale=_weighted(self.rng, genre.scales),
            mode=self.facts.mode,
            riff=self.rng.random() < genre.riff,
            low=instrument.low,
            high=min(instrument.high, instrument.low + 24),
            velocity=self.velocity,
            legato=genre.legato,
        )
        return self._part("lead", instrument, melody.melody, settings)

    def _backing(self) -> Part:
        instrument = BACKINGS[self.facts.backing]
        settings = accompany.Backing(
            patterns=_sections(self.rng, self.genre.backing_patterns),
            low=40 if self.genre.low_chords else max(50, instrument.low - 3),
            high=instrument.high,
            velocity=int(self.velocity * 0.85),
            strummed=instrument.family in ("guitar", "banjo", "harp", "electric guitar"),
            rootless=self.facts.bass is not None,
        )
        return self._part("backing", instrument, accompany.backing, settings)

    def _other_hand(self) -> Part:
        """The player of a solo accompanies the tune below it, on the same instrument."""
        lead = LEADS[self.facts.lead]
        settings = accompany.Backing(
            patterns=_sections(self.rng, HAND_PATTERNS[self.facts.beats_per_bar]),
            low=lead.low - 9,
            high=lead.high,
            velocity=int(self.velocity * 0.72),
            strummed=False,
            rootless=False,
        )
        return self._part("hand", lead, accompany.backing, settings)

    def _second(self) -> Part:
        instrument = INSTRUMENTS[self.facts.second]
        settings = accompany.Backing(
            patterns=_sections(self.rng, self.genre.second_patterns),
            low=max(57, instrument.low),
            high=instrument.high,
            velocity=int(self.velocity * 0.8),
            strummed=False,
            rootless=self.facts.bass is not None,
        )
        return self._part("second", instrument, accompany.backing, settings)

    def _bass(self) -> Part:
        instrument = BASSES[self.facts.bass]
        settings = accompany.Bass(
            patterns=_sections(self.rng, self.genre.bass_patterns),
            low=instrument.low,
            high=instrument.high,
            velocity=int(self.velocity * 0.95),
        )
        return self._part("bass", instrument, accompany.bass_line, settings)


def _hits(rng, genre: Genre, facts: Facts, plan) -> list[Hit]:
    if not facts.drums:
        return []
    loudness = {"soft": 0.72, "normal": 0.92, "loud": 1.08}[facts.dynamic]
    made = drums.drums(rng, genre.name, genre.fills, plan, facts.beats_per_bar, loudness)
    return sorted(made, key=lambda h: (h.start_beats, h.drum))


if __name__ == "__main__":
    song = compose(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(song.facts, f"{song.duration_s:.1f} s", sep="\n")
    for part in song.parts:
        print(f"{part.role}: {part.instrument.name} {part.voice}, {len(part.notes)} notes")
    print(f"{len(song.hits)} hits")
