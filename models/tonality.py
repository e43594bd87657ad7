"""The key of music: which notes sound, compared with what the 24 keys use.

The spectrum is folded onto the twelve pitch classes, as in Fujishima (1999), and the mean over
time correlated with key profiles, as Krumhansl and Schmuckler do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from . import rhythm

Mode = Literal["major", "minor"]
MODES: tuple[Mode, ...] = ("major", "minor")
NOTES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
LETTERS = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
SPELLED = re.compile(r"([A-Ga-g])([#b♯♭]?)(m|min|minor|maj|major)?")
PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
"""how often each note sounds, from the tonic: Albrecht and Shanahan (2013), from 490 pieces"""


@dataclass(frozen=True)
class Key:
    """A tonic (0 is C) and a mode, each confidence 0 … 1."""

    tonic: int
    mode: Mode
    confidence: float = 1.0
    """by how much no other key would do"""
    mode_confidence: float = 1.0
    """by how much no key of the other mode would do"""

    @property
    def name(self) -> str:
        """As musicians write it above a tune: Dm, F#, Bb."""
        return NOTES[self.tonic] + ("m" if self.mode == "minor" else "")

    @property
    def words(self) -> str:
        return f"{NOTES[self.tonic]} {self.mode}"

    def fifths_to(self, other: Key) -> int:
        """Steps on the circle of fifths between the scales, 0 … 6; relative keys share theirs."""
        apart = (7 * (self._scale - other._scale)) % 12
        return min(apart, 12 - apart)

    @property
    def _scale(self) -> int:
        """The tonic of the major key with the same notes."""
        return (self.tonic + (3 if self.mode == "minor" else 0)) % 12


def read_key(text: str) -> Key | None:
    """Dm, F#, Bbm, also Dmin or Dmajor; None for anything else."""
    found = SPELLED.fullmatch(text)
    if not found:
        return None
    shift = {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(found[2], 0)
    mode: Mode = "minor" if found[3] in ("m", "min", "minor") else "major"
    return Key((LETTERS[found[1].upper()] + shift) % 12, mode)


# ---------------------------------------------------------------- listening

WINDOW, HOP = 8192, 4096
LOWEST_NOTE, HIGHEST_NOTE = 33, 96
"""MIDI, A1 to C7: below, a window cannot tell a note from the next"""
NOTE_WIDTH = 0.3
MIDDLE_NOTE, NOTES_AROUND = 60, 12
"""where most of harmony is played: octaves above it hold the overtones"""
COMPRESSION = 0.5
WEAKEST_FIT, FLATTEST = 0.45, 0.1
"""correlation with its profile, and deviation of the pitch classes beside their mean, below which
there is no key
"""
RIVAL_FIT = 0.15
"""by how much better than any other a key fits that is beyond doubt"""


def key(waveform: Tensor, sample_rate: int) -> Key | None:
    """Of `[C, samples]` at concert pitch; None where no key fits, as with drums alone."""
    heard = pitch_classes(rhythm.power_spectrum(waveform, sample_rate, WINDOW, HOP))
    if float(heard.std() / heard.mean().clamp_min(1e-9)) < FLATTEST:
        return None
    fits = _profiles() @ _standardised(heard) / 12  # [24], correlations
    order = fits.argsort(descending=True)
    best, second = float(fits[order[0]]), float(fits[order[1]])
    if best < WEAKEST_FIT:
        return None
    tonic, mode = int(order[0]) % 12, int(order[0]) // 12
    of_other_mode = float(fits.view(2, 12)[1 - mode].max())
    sure, of_mode = ((best - fit) / RIVAL_FIT for fit in (second, of_other_mode))
    return Key(tonic, MODES[mode], min(1.0, sure), min(1.0, of_mode))


def pitch_classes(power: Tensor) -> Tensor:
    """`[bins, frames]` → `[12]` from C: how much of each there is.

    Of the peaks of the spectrum alone, compressed, and with quiet moments counting nearly as much
    as loud ones.
    """
    amplitude = _peaks(power.sqrt())
    notes = torch.arange(LOWEST_NOTE, HIGHEST_NOTE + 1)
    levels = (_note_filters(power.shape[0], notes) @ amplitude) ** COMPRESSION
    weights = torch.exp(-0.5 * ((notes - MIDDLE_NOTE) / NOTES_AROUND) ** 2)
    levels = levels * weights.unsqueeze(1)
    levels = levels / levels.norm(dim=0).clamp_min(1e-9).sqrt()
    return torch.zeros(12).index_add(0, notes % 12, levels.sum(dim=1))


def _peaks(amplitude: Tensor) -> Tensor:
    """Zero wherever a neighbour in frequency is larger."""
    higher = torch.zeros_like(amplitude)
    higher[1:] = amplitude[:-1]
    higher[:-1] = torch.maximum(higher[:-1], amplitude[1:])
    return amplitude * (amplitude >= higher)


def _note_filters(bins: int, notes: Tensor) -> Tensor:
    """`[notes, bins]`: a bump a third of a semitone wide around each note."""
    hz = torch.linspace(0, rhythm.RATE / 2, bins).clamp_min(1)
    apart = 69 + 12 * torch.log2(hz / 440) - notes.unsqueeze(1)
    return torch.exp(-0.5 * (apart / NOTE_WIDTH) ** 2) * (apart.abs() < 2 * NOTE_WIDTH)


def _profiles() -> Tensor:
    """`[24, 12]`, standardised: the major keys from C upwards, then the minor ones."""
    rows = [torch.tensor(PROFILES[mode]).roll(tonic) for mode in MODES for tonic in range(12)]
    return torch.stack([_standardised(row) for row in rows])


def _standardised(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0).clamp_min(1e-9)
