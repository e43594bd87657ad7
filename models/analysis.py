"""What can be measured of music: tempo, key, drums, levels, and what is wrong with it.

How often tempo, key and drums are right is measured on pieces whose facts are known
(`benchmarks/analysis_truth.py`), and written down in docs/analysis.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import dsp, rhythm, tonality
from .refused import Refused

LISTENED_S = 120.0
"""of longer sound the middle, for what asks for spectra: tempo, key, drums, stuckness"""

SILENT_DB = -60.0
SILENCE_WINDOW_S = 0.02

FULL_SCALE = 0.999
CLIPPED_RUN = 3
CLIPPED_SHARE = 1e-4

OVERSAMPLING = 4  # ITU-R BS.1770-4, annex 2
PEAK_BLOCK, PEAK_MARGIN = 1 << 20, 1 << 10

SAME_DB = 1.0
STUCK_SHARE = 0.5
STUCK_WINDOW_S = 1.0
SHORTEST_LAG_S = 0.2


@dataclass(frozen=True)
class Analysis:
    """What one sound measures. None is what it has not: no beat, no key."""

    duration_s: float
    sample_rate: int
    channels: int
    tempo: rhythm.Tempo | None
    key: tonality.Key | None
    percussion_db: float
    """of strokes beside all sound; above `rhythm.DRUMS_DB` they are taken for drums"""
    loudness_lufs: float
    true_peak_db: float
    clipped_share: float
    """of samples: beyond full scale, or three at it in a row"""
    silence_start_s: float
    silence_end_s: float
    silence_share: float
    """of 20 ms windows below -60 dB of full scale"""
    stuckness: float
    """0 … 1: the share of time that repeats the same second, or holds one sound"""

    @property
    def drums(self) -> bool:
        return self.percussion_db > rhythm.DRUMS_DB

    @property
    def clipped(self) -> bool:
        return self.clipped_share > CLIPPED_SHARE

    @property
    def silent(self) -> bool:
        return self.silence_share == 1.0

    @property
    def stuck(self) -> bool:
        return self.stuckness > STUCK_SHARE

    def facts(self) -> dict[str, Any]:
        """Plain values, rounded to what they are worth; the names are those of JSON results."""
        beat, key = self.tempo, self.key
        return {
            "duration_s": round(self.duration_s, 3),
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "tempo_bpm": beat and round(beat.bpm, 1),
            "tempo_confidence": round(beat.confidence, 2) if beat else 0.0,
            "tempo_also_bpm": [round(other, 1) for other in beat.also_bpm] if beat else [],
            "beat_strength": round(beat.strength, 2) if beat else 0.0,
            "key": key and key.name,
            "mode": key and key.mode,
            "key_confidence": round(key.confidence, 2) if key else 0.0,
            "mode_confidence": round(key.mode_confidence, 2) if key else 0.0,
            "drums": self.drums,
            "percussion_db": round(self.percussion_db, 1),
            "loudness_lufs": round(self.loudness_lufs, 1),
            "true_peak_db": round(self.true_peak_db, 1),
            "clipped": self.clipped,
            "clipped_share": round(self.clipped_share, 6),
            "silence_start_s": round(self.silence_start_s, 2),
            "silence_end_s": round(self.silence_end_s, 2),
            "silence_share": round(self.silence_share, 3),
            "stuck": self.stuck,
            "stuckness": round(self.stuckness, 2),
        }

    def words(self) -> str:
        """One line for people: `119.9 bpm, D minor, drums, −16.2 LUFS …`."""
        beat = f"{self.tempo.bpm:.1f} bpm" if self.tempo else "no beat"
        key = self.key.words if self.key else "no key"
        drums = "drums" if self.drums else "no drums"
        levels = f"{self.loudness_lufs:.1f} LUFS", f"true peak {self.true_peak_db:.1f} dB"
        if self.silent:
            return f"{self.duration_s:g} s of silence"
        return ", ".join((beat, key, drums, *levels, *self._faults()))

    def _faults(self) -> list[str]:
        wrong = {
            "clipped": self.clipped,
            f"{self.silence_share:.0%} silent": self.silence_share > 0.05,
            "stuck": self.stuck,
        }
        return [word for word, found in wrong.items() if found]


def analyse(sound: Tensor, sample_rate: int) -> Analysis:
    """Of one item `[C, samples]`, of at most five channels.

    Raises Refused for what is no sound: nothing, NaN, infinities, more channels.
    """
    _check(sound)
    sound = sound.detach().float().cpu()
    heard = _middle(sound, sample_rate)
    power = rhythm.power_spectrum(heard, sample_rate, rhythm.WINDOW, rhythm.HOP)
    bands = rhythm.band_db(power)
    levels = _window_db(sound, sample_rate)
    silent = bool((levels <= SILENT_DB).all())
    begin_s, end_s, share = _silence(levels, sound.shape[-1] / sample_rate)
    return Analysis(
        duration_s=sound.shape[-1] / sample_rate,
        sample_rate=sample_rate,
        channels=sound.shape[0],
        tempo=None if silent else rhythm.tempo(bands),
        key=None if silent else tonality.key(heard, sample_rate),
        percussion_db=dsp.SILENCE_DB if silent else rhythm.percussion_db(bands),
        loudness_lufs=dsp.loudness_lufs(sound, sample_rate),
        true_peak_db=true_peak_db(sound, sample_rate),
        clipped_share=clipped_share(sound),
        silence_start_s=begin_s,
        silence_end_s=end_s,
        silence_share=share,
        stuckness=0.0 if silent else stuckness(bands),
    )


def _check(sound: Tensor) -> None:
    if sound.dim() != 2 or not sound.numel():
        raise Refused("sound", got=f"shape {list(sound.shape)}", expected="[channels, samples]")
    if not torch.isfinite(sound).all():
        raise Refused("sound", got="samples that are NaN or infinite", expected="numbers")


def _middle(sound: Tensor, sample_rate: int) -> Tensor:
    wanted = round(LISTENED_S * sample_rate)
    begin = max(0, (sound.shape[-1] - wanted) // 2)
    return sound[:, begin : begin + wanted]


# ---------------------------------------------------------------- levels


def true_peak_db(sound: Tensor, sample_rate: int) -> float:
    """Of `[C, samples]` between the samples too: the peak at four times the rate."""
    highest = dsp.peak_db(sound)
    length = sound.shape[-1]
    for begin in range(0, length, PEAK_BLOCK):
        piece = sound[:, max(0, begin - PEAK_MARGIN) : begin + PEAK_BLOCK + PEAK_MARGIN]
        finer = dsp.resample(piece, sample_rate, OVERSAMPLING * sample_rate)
        before = OVERSAMPLING * min(begin, PEAK_MARGIN)  # a cut rings: the margin does not count
        highest = max(highest, dsp.peak_db(finer[:, before : before + OVERSAMPLING * PEAK_BLOCK]))
    return highest


def clipped_share(sound: Tensor) -> float:
    """The share of the samples of `[C, samples]` that are beyond full scale, or in a run of three
    or more at it, on one side.
    """
    over = sound.abs() > 1
    for side in (sound, -sound):
        flat = (side >= FULL_SCALE).float()
        if flat.shape[-1] >= CLIPPED_RUN:
            runs = -F.max_pool1d(-flat, CLIPPED_RUN, stride=1)  # 1 where a run begins
            reach = F.pad(runs, (CLIPPED_RUN - 1, CLIPPED_RUN - 1))
            over = over | F.max_pool1d(reach, CLIPPED_RUN, stride=1).bool()
    return float(over.float().mean())


def _window_db(sound: Tensor, sample_rate: int) -> Tensor:
    """`[windows]`: the peak in each 20 ms over all channels, in dB; the last may be shorter."""
    size = max(1, round(SILENCE_WINDOW_S * sample_rate))
    peaks = sound.abs().amax(dim=0)
    peaks = F.pad(peaks, (0, -len(peaks) % size)).reshape(-1, size).amax(dim=1)
    return 20 * torch.log10(peaks.clamp_min(1e-6))


def _silence(levels: Tensor, duration_s: float) -> tuple[float, float, float]:
    """Seconds at the start, seconds at the end, share of all windows."""
    sounding = torch.nonzero(levels > SILENT_DB)[:, 0]
    if not len(sounding):
        return duration_s, duration_s, 1.0
    begin_s = int(sounding[0]) * SILENCE_WINDOW_S
    end_s = max(0.0, duration_s - (int(sounding[-1]) + 1) * SILENCE_WINDOW_S)
    return begin_s, end_s, 1 - len(sounding) / len(levels)


# ---------------------------------------------------------------- stuckness


def stuckness(bands: Tensor) -> float:
    """How much of `[BANDS, frames]` in dB says the same second over and over, or holds one sound.

    A second is the same as the one some lag earlier (0.2 to 1 s) if the shapes of their spectra
    differ by less than 1 dB on average; a sound that dies away keeps its shape.
    """
    shapes = bands - bands.mean(dim=0)
    window = round(STUCK_WINDOW_S * rhythm.FRAME_RATE)
    shortest = round(SHORTEST_LAG_S * rhythm.FRAME_RATE)
    if shapes.shape[1] < 2 * window:
        return 0.0
    count = shapes.shape[1] - 2 * window + 1
    closest = torch.full((count,), torch.inf)
    for lag in range(shortest, window + 1):
        apart = (shapes[:, window:] - shapes[:, window - lag : -lag]).abs().mean(dim=0)
        apart = F.avg_pool1d(apart[None], window, stride=1)[0]
        closest = torch.minimum(closest, apart)
    return float((closest < SAME_DB).float().mean())
