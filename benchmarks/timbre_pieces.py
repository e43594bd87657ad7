"""Solos by the recipe's composer in the manner of pocket's world, and the words for them.

Not run by itself; see tune_timbre.py. Tempi, keys and genres are those that pocket knows; the lead
may be any of the recipe's or one of `NEW`, which pocket never heard.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
from compose import Song, compose_in
from render import synthesize
from sound_world import FRAME_RATE, LEADS, SAMPLE_RATE, Instrument
from world.fluid import Voice
from world.genres import GENRES


def _both(name: str, program: int, low: int, high: int) -> Instrument:
    """Of both sound fonts' General MIDI."""
    return Instrument(name, name, low, high, True, tuple(Voice(f, program) for f in FONTS))


FONTS = ("fluid", "musescore")
NEW = {
    one.name: one
    for one in (
        _both("sitar", 104, 52, 76),
        _both("kalimba", 108, 60, 84),
        _both("bagpipe", 109, 57, 76),
        _both("steel drum", 114, 55, 79),
    )
}
STYLES = ("pop", "folk", "ballad", "classical")
BEAT_FRAMES = (38, 30, 25, 21)  # 79, 100, 120 and 143 bpm
KNOWN = ("piano", "guitar", "strings", "flute", "trumpet", "organ", "synth", "music box")
MOODS = {"major": ("happy", "cheerful", "bright"), "minor": ("sad", "dark", "melancholic")}
NOUNS = ("tune", "song", "piece", "melody")
FORMS = (
    "a {lead} {noun}, {bpm} bpm",
    "a {mood} {lead} {noun}, {bpm} bpm",
    "{mood} solo {lead} {noun}, no drums, {bpm} bpm",
    "a {mood} {style} {noun} for {lead}, in {mode}",
    "solo {lead}, {mode}, {bpm} bpm",
)
PROMPTS = (  # of which none is in FORMS' words
    "a {lead} playing a happy melody, 120 bpm",
    "sad music with {lead}, slow",
    "quiet evening, somebody plays the {lead}",
    "a cheerful {lead}, 140 bpm, in major",
    "{lead} music for studying, 100 bpm",
    "a dark {lead} piece in minor, without drums",
    "gentle {lead} alone, 80 bpm",
    "fast and joyful {lead} solo",
    "lonely {lead}, melancholic, 100 bpm",
    "a folk dance on the {lead}, 140 bpm",
    "a {lead} lullaby, no drums",
    "bright {lead} tune in C major, 120 bpm",
    "classical {lead} study, 100 bpm",
    "a pop song, only {lead}, 120 bpm",
    "mysterious {lead} melody, medium tempo",
    "simple {lead} practice, 80 bpm, no percussion",
)


@dataclass(frozen=True)
class Solo:
    audio: np.ndarray  # float32 [T] at SAMPLE_RATE
    caption: str


def said(form: str, **words: str | int | None) -> str:
    """With the article that the next word wants."""
    return re.sub(r"\ba (?=[aeiou])", "an ", form.format(**words))


def solos(lead: str, count: int, first: int, seconds: float) -> Iterator[Solo]:
    """`count` pieces from the index `first` on, the same ones for the same numbers."""
    for index in range(first, first + count):
        song = _song(lead, index)
        audio = synthesize(song)[: round(seconds * SAMPLE_RATE)]
        yield Solo(audio, _caption(song, index))


def _song(lead: str, index: int) -> Song:
    usual = GENRES[STYLES[index % len(STYLES)]]
    genre = replace(usual, beat_frames=dict.fromkeys(BEAT_FRAMES, 1.0))
    with patch.dict(LEADS, NEW):  # where the composer looks up who leads
        return compose_in(genre, index, alone=lead)


def _caption(song: Song, index: int) -> str:
    rng, facts = random.Random(index), song.facts
    return said(
        rng.choice(FORMS),
        lead=facts.lead,
        noun=rng.choice(NOUNS),
        mood=rng.choice(MOODS[facts.mode or "major"]),
        style=facts.style,
        mode=facts.mode,
        bpm=round(60 * FRAME_RATE / song.frames_per_beat),
    )
