"""Composes one short piece of music from a seed: facts (what a caption may say) and notes in beats.

Knows the sound world, not captions, MIDI files or audio. Try it: `python training/compose.py 7`.
"""

import random
import sys
from dataclasses import dataclass, field

from sound_world import (
    BACKINGS,
    BASSES,
    CRASH,
    DRUM_BARS,
    DRUM_CHANNEL,
    FRAME_RATE,
    LEADS,
    PROGRESSIONS,
    RHYTHMS,
    SCALES,
    STYLES,
    TEMPI_BPM,
    TONICS,
    Instrument,
    Style,
)

TEXTURES = {"solo": 0.3, "duo": 0.16, "trio": 0.12, "lead and drums": 0.1, "band": 0.28, "drums": 0.04}
LEAD, BACKING, BASS = 0, 1, 2  # MIDI channels


@dataclass(frozen=True)
class Note:
    start_beats: float
    duration_beats: float
    pitch: int
    velocity: int
    channel: int


@dataclass(frozen=True)
class Facts:
    """What is true of the piece, and so what its caption may say."""

    style: str
    texture: str
    lead: str | None  # None: drums alone
    backing: str | None
    bass: str | None
    drums: bool
    tempo_bpm: int
    mode: str | None
    tonic: str | None
    density: str
    dynamic: str  # "soft", "normal" or "loud"
    beats_per_bar: int


@dataclass(frozen=True)
class Song:
    seed: int
    facts: Facts
    frames_per_beat: int
    bars: int
    programs: dict[int, int] = field(default_factory=dict)  # channel -> General MIDI program
    notes: tuple[Note, ...] = ()

    @property
    def beat_s(self) -> float:
        return self.frames_per_beat / FRAME_RATE

    @property
    def duration_s(self) -> float:
        return self.bars * self.facts.beats_per_bar * self.beat_s


@dataclass(frozen=True)
class Harmony:
    tonic: int  # pitch class
    scale: tuple[int, ...]
    degrees: tuple[int, ...]  # one chord a bar

    def pitch_class(self, degree: int) -> int:
        return (self.tonic + self.scale[degree % 7]) % 12

    def chord(self, bar: int) -> tuple[int, int, int]:
        """Pitch classes of root, third and fifth; the fifth degree of minor gets its leading note."""
        root = self.degrees[bar % len(self.degrees)]
        root_pc, third, fifth = (self.pitch_class(root + step) for step in (0, 2, 4))
        if self.scale == SCALES["minor"] and root == 4:
            third = (third + 1) % 12
        return root_pc, third, fifth

    def pitches(self, low: int, high: int) -> list[int]:
        """Every scale pitch in a range."""
        classes = {self.pitch_class(d) for d in range(7)}
        return [p for p in range(low, high + 1) if p % 12 in classes]


def _weighted(rng: random.Random, weights: dict):
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def _near(pitch_class: int, low: int) -> int:
    """The lowest pitch of that class at or above `low`."""
    return low + (pitch_class - low) % 12


def choose_facts(rng: random.Random) -> Facts:
    texture = _weighted(rng, TEXTURES)
    lead = None if texture == "drums" else rng.choice(list(LEADS))
    fitting = {s: STYLES[s].weight for s in STYLES if lead is None or lead in STYLES[s].leads}
    style = STYLES[_weighted(rng, fitting)]
    tempo_bpm = rng.choice([t for t in TEMPI_BPM if style.tempi_bpm[0] <= t <= style.tempi_bpm[1]])
    return Facts(
        style=style.name,
        texture=texture,
        lead=lead,
        backing=_choose_backing(rng, style, lead) if texture in ("duo", "trio", "band") else None,
        bass=style.bass if texture in ("trio", "band") else None,
        drums=texture in ("lead and drums", "band", "drums"),
        tempo_bpm=tempo_bpm,
        mode=rng.choice(("major", "minor")) if lead else None,
        tonic=rng.choice(list(TONICS)) if lead else None,
        density=_weighted(rng, {"sparse": 0.12, "medium": 0.52, "busy": 0.36}),
        dynamic=_weighted(rng, {"soft": 0.15, "normal": 0.6, "loud": 0.25}),
        beats_per_bar=style.beats_per_bar,
    )


def _choose_backing(rng: random.Random, style: Style, lead: str | None) -> str:
    return rng.choice([b for b in style.backings if b != lead] or ["piano"])


def _melody_bar(rng, rhythm, chord, scale_pitches, position: int) -> tuple[list[tuple[float, float, int]], int]:
    """One bar: (beat, duration, pitch); strong beats take chord notes, the others step along the scale."""
    notes, beat = [], 0.0
    for duration in rhythm:
        position += rng.choice((-2, -1, -1, 1, 1, 2))
        position = max(1, min(len(scale_pitches) - 2, position))
        if beat % 2 == 0 or duration >= 2:
            chordal = [i for i, p in enumerate(scale_pitches) if p % 12 in chord]
            position = min(chordal, key=lambda i: abs(i - position))
        notes.append((beat, duration, scale_pitches[position]))
        beat += duration
    return notes, position


def _melody(rng: random.Random, facts: Facts, harmony: Harmony, lead: Instrument, bars: int, velocity: int):
    """Phrases of four bars in the form A A' B A', so that motifs come back."""
    scale_pitches = harmony.pitches(lead.low, lead.high)
    position = len(scale_pitches) // 2 + rng.randint(-2, 2)
    rhythms = [rng.choice(RHYTHMS[(facts.beats_per_bar, facts.density)]) for _ in range(4)]
    rhythms[2] = rhythms[0]
    phrases = {}
    for name in "AB":
        phrase = []
        for bar in range(4):
            notes, position = _melody_bar(rng, rhythms[bar], harmony.chord(bar), scale_pitches, position)
            phrase.append(notes)
        phrases[name] = phrase
    for bar in range(bars):
        phrase = phrases["AABA"[bar // 4 % 4]]
        for beat, duration, pitch in phrase[bar % 4]:
            accent = 8 if beat == 0 else 0
            yield Note(bar * facts.beats_per_bar + beat, duration * 0.95, pitch, velocity + accent, LEAD)


def _voicing(chord: tuple[int, int, int], low: int) -> list[int]:
    return sorted(_near(pc, low) for pc in chord)


def _backing_bar(pattern: str, chord: list[int], beats: int) -> list[tuple[float, float, int]]:
    """One bar of accompaniment: (beat, duration, pitch)."""
    if pattern == "block":
        return [(0, beats * 0.97, p) for p in chord]
    if pattern == "pulse":
        return [(b, 0.8, p) for b in range(beats) for p in chord]
    if pattern == "offbeat":
        return [(b + 0.5, 0.4, p) for b in range(beats) for p in chord]
    if pattern == "comp":
        return [(b, d, p) for b, d in ((0, 1.2), (1 + 2 / 3, 0.6)) for p in chord]
    if pattern == "boomchuck":
        return [(b, 0.5, p) for b in range(1, beats, 1 if beats == 3 else 2) for p in chord]
    if pattern == "arpeggio":
        order = [chord[0], chord[1], chord[2], chord[1]]
        return [(i / 2, 0.55, order[i % 4]) for i in range(2 * beats)]
    raise ValueError(f"got backing pattern {pattern!r}, expected one that _backing_bar knows; see sound_world.STYLES")


def _bass_bar(pattern: str, harmony: Harmony, bar: int, beats: int, low: int) -> list[tuple[float, float, int]]:
    root, third, fifth = (_near(pc, low) for pc in harmony.chord(bar))
    if pattern == "root":
        return [(0, beats * 0.9, root)]
    if pattern == "fifths":
        return [(b, 0.9, (root, fifth)[b // 2 % 2]) for b in range(0, beats, 2)]
    if pattern == "pump":
        return [(b / 2, 0.42, root) for b in range(2 * beats)]
    if pattern == "offbeat":
        return [(b + 0.5, 0.42, root) for b in range(beats)]
    if pattern == "walk":
        following = _near(harmony.chord(bar + 1)[0], low)
        approach = following + (1 if following < fifth else -1)
        return [(b, 0.9, p) for b, p in enumerate((root, third, fifth, approach))]
    raise ValueError(f"got bass pattern {pattern!r}, expected one that _bass_bar knows; see sound_world.STYLES")


def _accompaniment(rng: random.Random, facts: Facts, harmony: Harmony, bars: int, velocity: int):
    style, beats = STYLES[facts.style], facts.beats_per_bar
    lead = LEADS[facts.lead] if facts.lead else None
    if facts.backing:
        pattern = rng.choice(style.backing_patterns)
        gain, channel, low = BACKINGS[facts.backing].gain, BACKING, 52
    elif facts.texture == "solo" and lead and lead.chords and rng.random() < 0.7:
        pattern = rng.choice(("block", "arpeggio", "arpeggio"))  # the player's other hand
        gain, channel, low = lead.gain, LEAD, lead.low - 12
    else:
        return
    level = int(velocity * 0.78 * gain) if channel == BACKING else int(velocity * 0.78)
    for bar in range(bars):
        for beat, duration, pitch in _backing_bar(pattern, _voicing(harmony.chord(bar), low), beats):
            yield Note(bar * beats + beat, duration, pitch, level, channel)


def _bass_line(rng: random.Random, facts: Facts, harmony: Harmony, bars: int, velocity: int):
    if not facts.bass:
        return
    bass = BASSES[facts.bass]
    pattern = rng.choice(STYLES[facts.style].bass_patterns)
    for bar in range(bars):
        for beat, duration, pitch in _bass_bar(pattern, harmony, bar, facts.beats_per_bar, bass.low):
            yield Note(bar * facts.beats_per_bar + beat, duration, pitch, int(velocity * 0.8 * bass.gain), BASS)


def _drums(rng: random.Random, facts: Facts, bars: int, velocity: int):
    if not facts.drums:
        return
    pattern = rng.choice(DRUM_BARS[facts.style])
    for bar in range(bars):
        start = bar * facts.beats_per_bar
        if bar % 8 == 0 and facts.dynamic == "loud":
            yield Note(start, 0.5, CRASH, 90, DRUM_CHANNEL)
        for beat, key, strength in pattern:
            yield Note(start + beat, 0.2, key, int(strength * velocity / 90), DRUM_CHANNEL)


def _swung(note: Note) -> Note:
    """Moves straight off-beats to the third triplet; notes of other channels are written as they sound."""
    if note.channel != LEAD or note.start_beats % 1 != 0.5:
        return note
    return Note(note.start_beats + 1 / 6, note.duration_beats, note.pitch, note.velocity, note.channel)


def compose(seed: int, long: bool = False) -> Song:
    """A whole piece of 12-16 s, or of about 31 s when `long`; the same seed gives the same piece."""
    rng = random.Random(seed)
    facts = choose_facts(rng)
    frames_per_beat = round(FRAME_RATE * 60 / facts.tempo_bpm)
    bar_s = frames_per_beat * facts.beats_per_bar / FRAME_RATE
    bars = round(31 / bar_s + 0.5) if long else max(4, round(rng.uniform(12, 16) / bar_s))
    velocity = {"soft": 66, "normal": 88, "loud": 106}[facts.dynamic]
    programs, notes = {}, []
    if facts.lead:
        lead = LEADS[facts.lead]
        harmony = Harmony(TONICS[facts.tonic], SCALES[facts.mode], rng.choice(PROGRESSIONS[facts.mode]))
        programs[LEAD] = lead.program
        notes += _melody(rng, facts, harmony, lead, bars, int(velocity * lead.gain))
        notes += _accompaniment(rng, facts, harmony, bars, velocity)
        notes += _bass_line(rng, facts, harmony, bars, velocity)
    if facts.backing:
        programs[BACKING] = BACKINGS[facts.backing].program
    if facts.bass:
        programs[BASS] = BASSES[facts.bass].program
    notes += _drums(rng, facts, bars, velocity)
    if STYLES[facts.style].swing:
        notes = [_swung(n) for n in notes]
    return Song(seed, facts, frames_per_beat, bars, programs, tuple(sorted(notes, key=lambda n: n.start_beats)))


if __name__ == "__main__":
    song = compose(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(song.facts, f"{song.duration_s:.1f} s, {len(song.notes)} notes", sep="\n")
