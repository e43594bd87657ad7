"""The beat of sound: where it starts anew, how fast that repeats, and whether drums do it.

Onsets are half-wave rectified spectral flux of a logarithmic spectrum (Bello et al. 2005), tempo is
the strongest periodicity of their autocorrelation under a log-normal prior (Ellis 2007), and drums
are what the median filters of Fitzgerald (2010) leave of the spectrum beside its steady tones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from . import dsp

RATE = 24_000
HOP, WINDOW = 240, 1024
FRAME_RATE = RATE // HOP
RANGE_DB = 80.0
BANDS = 64


def power_spectrum(waveform: Tensor, sample_rate: int, window: int, hop: int) -> Tensor:
    """`[C, samples]` → `[window / 2 + 1, frames]` at `RATE`: the mean of the channels' powers, so
    that channels out of phase do not cancel.
    """
    sound = dsp.resample(waveform, sample_rate, RATE)
    sound = F.pad(sound, (0, max(0, window - sound.shape[-1])))
    shape = torch.hann_window(window)
    pieces = (
        torch.stft(one, window, hop, window=shape, return_complex=True).abs().square()
        for one in sound
    )
    return torch.stack(list(pieces)).mean(dim=0)


def band_db(power: Tensor) -> Tensor:
    """`[WINDOW / 2 + 1, frames]` → `[BANDS, frames]` on the mel scale, in dB below the loudest."""
    filters = dsp.mel_filters(RATE, BANDS, WINDOW)
    decibels = 10 * torch.log10((filters @ power).clamp_min(1e-20))
    return (decibels - decibels.max()).clamp_min(-RANGE_DB)


# ---------------------------------------------------------------- tempo

SLOWEST_BPM, FASTEST_BPM, BPM_RATIO = 45.0, 220.0, 1.005
BEATS = (1, 2, 3, 4)
"""after how many beats music that has a tempo is like itself"""
USUAL_BPM, USUAL_OCTAVES = 120.0, 0.9
"""the prior: its centre, and its standard deviation in octaves"""
SHORTEST_TEMPO_S = 3.0
WEAKEST_BEAT = 0.1
ALIKE = 0.8
"""how strong, beside the best, half or double of a tempo must be to be another reading of it"""


@dataclass(frozen=True)
class Tempo:
    """How fast the beat is, and how sure that is."""

    bpm: float
    strength: float
    """of the beat: 1 where all onsets come again beat by beat, near 0 where none do"""
    confidence: float
    """0 … 1: by how much no other tempo, halves and doubles aside, would do"""
    also_bpm: tuple[float, ...]
    """half and double, where those repeat as strongly: where a listener taps is theirs to say"""


def onsets(bands: Tensor) -> Tensor:
    """`[BANDS, frames]` in dB → `[frames - 1]`: how much starts anew, 10 ms by 10 ms."""
    return (bands[:, 1:] - bands[:, :-1]).clamp_min(0).mean(dim=0)


def tempo(bands: Tensor) -> Tempo | None:
    """None where nothing repeats: silence, a held chord, sound shorter than 3 s.

    Octave errors: an autocorrelation cannot tell a tempo from its half. The prior says which is
    likelier to be tapped; the other one is named beside it where it fits as well.
    """
    if bands.shape[1] < SHORTEST_TEMPO_S * FRAME_RATE:
        return None
    likeness = _autocorrelation(onsets(bands))
    steps = math.log(FASTEST_BPM / SLOWEST_BPM) / math.log(BPM_RATIO)
    grid = SLOWEST_BPM * BPM_RATIO ** torch.arange(int(steps) + 1)
    pulses = _pulses(likeness, grid)
    scores = pulses * torch.exp(-0.5 * (torch.log2(grid / USUAL_BPM) / USUAL_OCTAVES) ** 2)
    best = int(scores.argmax())
    strength = float(pulses[best])
    if strength < WEAKEST_BEAT:
        return None
    bpm = _refined(likeness, float(grid[best]))
    also = tuple(
        round(other, 2)
        for other in (bpm / 2, bpm * 2)
        if SLOWEST_BPM <= other <= FASTEST_BPM
        and float(_pulses(likeness, torch.tensor([other]))) >= ALIKE * strength
    )
    confidence = 1 - _rival(grid, scores, best) / float(scores[best])
    return Tempo(bpm, min(1.0, strength), min(1.0, max(0.0, confidence)), also)


def _autocorrelation(envelope: Tensor) -> Tensor:
    """Of the envelope's deviations, over the overlap at each lag; 1 at lag 0, or all 0."""
    level, count = envelope - envelope.mean(), len(envelope)
    power = torch.fft.rfft(level.double(), 2 * count).abs().square()
    products = torch.fft.irfft(power)[:count]
    overlap = torch.arange(count, 0, -1) / count
    return (products / products[0].clamp_min(1e-9) / overlap).float()


def _pulses(likeness: Tensor, bpm: Tensor) -> Tensor:
    """How alike the onsets are after one to four beats of each tempo, within 10 ms: `[tempi]`.

    Numbers of beats that the sound is too short for do not count.
    """
    near = F.max_pool1d(likeness[None], 3, stride=1, padding=1)[0]
    total, counted = torch.zeros_like(bpm), torch.zeros_like(bpm)
    for beats in BEATS:
        lag = beats * 60 * FRAME_RATE / bpm
        inside = lag < 0.8 * len(near)
        total += torch.where(inside, _between(near, lag.clamp_max(len(near) - 2)), 0)
        counted += inside
    return total / counted.clamp_min(1)


def _between(values: Tensor, places: Tensor) -> Tensor:
    low = places.long()
    return torch.lerp(values[low], values[low + 1], places - low)


def _refined(likeness: Tensor, bpm: float) -> float:
    """From the peak after as many beats as fit, up to 16: the later, the finer."""
    for beats in (2, 4, 8, 16):
        lag = beats * 60 * FRAME_RATE / bpm
        reach = round(0.015 * lag) + 1
        middle = round(lag)
        if middle + reach + 2 > 0.7 * len(likeness):
            break
        first = middle - reach
        peak = first + int(likeness[first : middle + reach + 1].argmax())
        if first < peak < middle + reach and likeness[peak] > 0:
            bpm = beats * 60 * FRAME_RATE / (peak + _vertex(likeness, peak))
    return bpm


def _vertex(values: Tensor, peak: int) -> float:
    """Where between its neighbours a parabola through three values is highest."""
    before, at, after = values[peak - 1 : peak + 2].tolist()
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _rival(grid: Tensor, scores: Tensor, best: int) -> float:
    """The best score that belongs neither to the best tempo nor to its halves and doubles."""
    octaves = torch.log2(grid / grid[best])
    other = (octaves - octaves.round()).abs() > 0.06  # 4 %
    return max(0.0, float(scores[other].max()))


# ---------------------------------------------------------------- drums

STEADY_FRAMES, BROAD_BANDS = 21, 9
"""the median filters: 210 ms along time, nine bands along frequency"""
STRIKES = 0.95
DRUMS_DB = -4.2


def percussion_db(bands: Tensor) -> float:
    """How strong sound without pitch is at its strokes (frames of the loudest twentieth), beside
    the mean of all sound.

    Strokes are broad and short, tones narrow and long: where the median along frequency is above
    that along time, energy counts as percussive.
    """
    amplitude = 10 ** (bands / 20)
    steady = _median(amplitude, STEADY_FRAMES, dim=1).square()
    broad = _median(amplitude, BROAD_BANDS, dim=0).square()
    energy = (amplitude * broad / (broad + steady + 1e-12)).square().sum(dim=0)
    mean = amplitude.square().sum(dim=0).mean()
    return 10 * math.log10(float(energy.quantile(STRIKES) / mean) + 1e-9)


def _median(values: Tensor, length: int, dim: int) -> Tensor:
    rows = values.movedim(dim, -1)
    padded = F.pad(rows[None], (length // 2, length // 2), mode="replicate")[0]
    return padded.unfold(-1, length, 1).median(dim=-1).values.movedim(-1, dim)
