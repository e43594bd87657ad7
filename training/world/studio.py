"""Plays a song: every part by its voice, the drums by their kit, mixed, at the common loudness.

Knows songs and audio; nothing of shards and captions.
"""

import random
from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import chip, mix
from .fluid import Synth, TimedNote
from .kits import Drummer

PREROLL_S = 0.4  # before the first bar line, cut off: tones that are slow to come begin there
LONGEST_JITTER_S = 0.009  # below half a codec frame
REPEAT_GAP_S = 0.006


class Studio:
    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.synth = Synth(sample_rate)
        self.drummer = Drummer(self.synth)

    def play(self, song) -> np.ndarray:
        """float32 [T] of a `compose.Song`: whole bars, mono, at `mix.TARGET_LUFS`."""
        stems = self.stems(song)
        genre = song.genre
        if "duck" in genre.effects:
            kicks = [h.start_beats * song.beat_s + PREROLL_S for h in song.hits if h.drum == "kick"]
            for role in ("backing", "second", "bass"):
                if role in stems:
                    depth = 0.4 if role == "bass" else 0.65
                    stems[role] = mix.ducked(stems[role], kicks, self.sample_rate, depth)
        mixed = sum(stems.values())
        for room in ("hall", "room"):
            if room in genre.effects:
                mixed = mix.reverberant(mixed, room, self.sample_rate)
        start = round(PREROLL_S * self.sample_rate)
        mixed = mixed[start : start + round(song.duration_s * self.sample_rate)]
        if "lo-fi" in genre.effects:
            mixed = mix.low_fidelity(mixed, self.sample_rate, song.seed)
        fade = round((0.3 if song.facts.ending else 0.005) * self.sample_rate)
        mixed[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        return mix.mastered(mixed, self.sample_rate)

    def stems(self, song) -> dict[str, np.ndarray]:
        """Every role at its level."""
        rng = random.Random(song.seed)
        length_s = PREROLL_S + song.duration_s + 0.1
        stems = self._fonts(song, rng, length_s)
        for part in song.parts:
            if part.voice.font == chip.FONT:
                notes = self.timed(part, 0, song, rng)
                stems[part.role] = chip.render(
                    part.voice.program, notes, length_s, self.sample_rate
                )
        if song.hits:
            jitter = song.genre.jitter_s
            hits = [
                (PREROLL_S + h.start_beats * song.beat_s + _jitter(rng, jitter), h)
                for h in song.hits
            ]
            tonic = song.tonic or 0
            stems["drums"] = self.drummer.render(song.facts.kit, hits, length_s, tonic)
        levels = {r: mix.ROLE_DB[r] + song.genre.levels.get(r, 0.0) for r in stems}
        for role, crest_db in mix.CRESTS_DB.items():
            if role in stems:
                stems[role] = mix.rounded(stems[role], crest_db, self.sample_rate)
        return {r: mix.at_level(a, levels[r], self.sample_rate) for r, a in stems.items()}

    def _fonts(self, song, rng, length_s: float) -> dict[str, np.ndarray]:
        parts = [p for p in song.parts if p.voice.font != chip.FONT]
        if not parts:
            return {}
        notes = [
            n for channel, part in enumerate(parts) for n in self.timed(part, channel, song, rng)
        ]
        voices = {channel: part.voice for channel, part in enumerate(parts)}
        out = self.synth.render(voices, notes, length_s)
        length = round(length_s * self.sample_rate)
        return {part.role: out[channel][:length] for channel, part in enumerate(parts)}

    def timed(self, part, channel: int, song, rng: random.Random) -> list[TimedNote]:
        """Notes in seconds; one of a pitch is over before the next of that pitch begins."""
        ahead = PREROLL_S - part.instrument.lead_s
        made, sounding = [], {}
        for note in part.notes:
            start = ahead + note.start_beats * song.beat_s + _jitter(rng, song.genre.jitter_s)
            end = start + note.duration_beats * song.beat_s
            before = sounding.get(note.pitch)
            if before is not None and made[before].end_s > start - REPEAT_GAP_S:
                made[before] = replace(
                    made[before], end_s=max(made[before].start_s + 0.02, start - REPEAT_GAP_S)
                )
            sounding[note.pitch] = len(made)
            made.append(TimedNote(channel, start, end, note.pitch, note.velocity))
        return made


def _jitter(rng: random.Random, deviation_s: float) -> float:
    """None for machines."""
    if not deviation_s:
        return 0.0
    return max(-LONGEST_JITTER_S, min(LONGEST_JITTER_S, rng.gauss(0, deviation_s)))


@lru_cache(maxsize=2)
def studio(sample_rate: int) -> Studio:
    """This process's own."""
    return Studio(sample_rate)
