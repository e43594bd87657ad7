"""Where the beats of sound fall, and which of them begin a bar of four.

Beats: the grid at the sound's tempo whose places have the strongest onsets. Bars: of the eight
places within a bar, half beats too, since hats between the beats may be louder, the one at which
the harmony changes most, sound sets in, and the bass does (Goto 2001). Sound is `[C, samples]`.

How often that is right is written down in docs/analysis.md (`benchmarks/analysis_truth.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from . import rhythm

BEATS = 4
"""of a bar: other metres are taken for this one"""
LISTENED_S = 30.0
"""before the end: a tempo may drift, and it is the end that is asked about"""
PHASES = 48
"""places within a beat that are tried"""
STRETCH = 0.01
"""by how much the tempo may be off"""
LATE_S = 0.01
"""a window of 43 ms shows an onset so much before its middle is there"""
BASS_BANDS = 8
"""of `rhythm.BANDS`: below about 300 Hz"""
HARMONY_WINDOW, HARMONY_HZ = 8192, (60.0, 2000.0)
NOVELTIES = {2: 1.0, 4: 2.0}
"""how many beats before and after a bar line differ in harmony, and how much that counts"""


STILL = 0.03
"""harmony that changes less than this tells nothing"""


@dataclass(frozen=True)
class Grid:
    """A bar begins at `line_s + k · bar_s`, for every whole k."""

    line_s: float
    bar_s: float

    def last_before(self, second: float) -> float | None:
        """The last bar line that is not behind a second; None: there is none behind 0."""
        line = self.line_s + self.bar_s * ((second - self.line_s) // self.bar_s)
        return line if line > 0 else None


def grid(sound: Tensor, sample_rate: int) -> Grid | None:
    """Of the end of it. None where no beat is found: see `rhythm.tempo`."""
    begin = max(0, sound.shape[1] - round(LISTENED_S * sample_rate))
    heard = sound[:, begin:]
    power = rhythm.power_spectrum(heard, sample_rate, rhythm.WINDOW, rhythm.HOP)
    bands = rhythm.band_db(power)
    tempo = rhythm.tempo(bands)
    if tempo is None:
        return None
    first, beat = _beats(rhythm.onsets(bands), 60 * rhythm.FRAME_RATE / tempo.bpm)
    halves = first + beat / 2 * torch.arange(int(2 * (bands.shape[1] - 2 - first) / beat))
    strength = _strength(bands, _harmony(heard, sample_rate), halves.round().long(), beat)
    per_bar = 2 * BEATS
    phases = [strength[phase::per_bar].mean() for phase in range(min(per_bar, len(halves)))]
    line = float(halves[int(torch.stack(phases).argmax())])
    line_s = begin / sample_rate + line / rhythm.FRAME_RATE + LATE_S
    return Grid(line_s, BEATS * beat / rhythm.FRAME_RATE)


def _beats(onsets: Tensor, beat: float) -> tuple[float, float]:
    """In frames: the first beat, within one of the beginning, and how far beats are apart."""
    smooth = F.avg_pool1d(onsets[None], 3, stride=1, padding=1)[0]
    best = (-1.0, 0.0, beat)
    for length in torch.linspace(1 - STRETCH, 1 + STRETCH, 21).mul(beat).tolist():
        phases = torch.arange(PHASES) / PHASES * length
        count = int((len(smooth) - 2 - length) / length)
        places = phases[:, None] + length * torch.arange(max(1, count))
        strength = _between(smooth, places).mean(dim=1)
        phase = int(strength.argmax())
        best = max(best, (float(strength[phase]), float(phases[phase]), length))
    return best[1], best[2]


def _between(values: Tensor, places: Tensor) -> Tensor:
    low = places.long().clamp(0, len(values) - 2)
    return torch.lerp(values[low], values[low + 1], places - low)


def _strength(bands: Tensor, harmony: Tensor, places: Tensor, beat: float) -> Tensor:
    """How much at each place, in frames, seems to begin: `[places]`."""
    total = _scaled(_peaks(rhythm.onsets(bands), places))
    total += _scaled(_peaks(rhythm.onsets(bands[:BASS_BANDS]), places))
    for beats, weight in NOVELTIES.items():
        novelty = _novelty(harmony, places, round(beats * beat))
        total += weight * _scaled(novelty, STILL)
    return total


def _peaks(onsets: Tensor, places: Tensor) -> Tensor:
    """The highest within 30 ms of each place."""
    near = F.max_pool1d(onsets[None], 7, stride=1, padding=3)[0]
    return near[places.clamp_max(len(near) - 1)]


def _harmony(sound: Tensor, sample_rate: int) -> Tensor:
    """How strong the pitch classes are, `[12, frames]`."""
    power = rhythm.power_spectrum(sound, sample_rate, HARMONY_WINDOW, rhythm.HOP)
    hz = torch.arange(len(power)) * rhythm.RATE / HARMONY_WINDOW
    low, high = HARMONY_HZ
    inside = (hz > low) & (hz < high)
    classes = (12 * torch.log2(hz[inside] / 440)).round().long() % 12
    return torch.zeros(12, power.shape[1]).index_add_(0, classes, power[inside].sqrt())


def _novelty(harmony: Tensor, places: Tensor, width: int) -> Tensor:
    """1 less the cosine between so many frames before and after each place; 0 near the ends."""
    sums, last = F.pad(harmony.cumsum(dim=1), (1, 0)), harmony.shape[1]
    after = sums[:, (places + width).clamp_max(last)] - sums[:, places]
    before = sums[:, places] - sums[:, (places - width).clamp_min(0)]
    inside = (places > width / 2) & (places + width / 2 < last)
    return torch.where(inside, 1 - F.cosine_similarity(after, before, dim=0), 0)


def _scaled(values: Tensor, least: float = 1e-6) -> Tensor:
    return (values - values.mean()) / values.std().clamp_min(least)
