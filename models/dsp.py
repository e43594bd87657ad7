"""Sound as numbers: resampling, channels, loudness, a limiter, pictures.

Waveforms are float32 `[B, C, samples]`.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor
from torch.nn import functional as F

from .refused import Refused

SILENCE_DB = -120.0
SHORTEST_LOUDNESS_S = 0.4  # one block of BS.1770


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """`[..., samples]` at another rate, by soxr; the length grows by the ratio, rounded up."""
    if from_rate == to_rate:
        return waveform
    import soxr

    rows = waveform.reshape(math.prod(waveform.shape[:-1]), waveform.shape[-1]).float().cpu()
    length = -(-waveform.shape[-1] * to_rate // from_rate)
    result = torch.zeros(rows.shape[0], length)
    for row, target in zip(rows, result, strict=True):
        samples = torch.from_numpy(soxr.resample(row.numpy(), from_rate, to_rate))[:length]
        target[: samples.shape[0]] = samples
    return result.reshape(*waveform.shape[:-1], length)


def with_channels(waveform: Tensor, channels: int) -> Tensor:
    """Mono from the mean of all channels; more from one by repetition; otherwise the first
    `channels`.
    """
    have = waveform.shape[-2]
    if channels == 1 and have > 1:
        return waveform.mean(dim=-2, keepdim=True)
    if have == 1:
        return waveform.expand(*waveform.shape[:-2], channels, -1)
    return waveform[..., :channels, :]


# ---------------------------------------------------------------- loudness


def peak_db(sound: Tensor) -> float:
    """Of one item `[C, samples]`, relative to full scale."""
    return _db(float(sound.abs().max())) if sound.numel() else SILENCE_DB


def rms_db(sound: Tensor) -> float:
    return _db(float(sound.square().mean().sqrt())) if sound.numel() else SILENCE_DB


def loudness_lufs(sound: Tensor, sample_rate: int) -> float:
    """Integrated loudness of one item `[C, samples]` (ITU-R BS.1770-4, gated), through pyloudnorm.

    Sound shorter than one block (0.4 s) is measured as if it went on: repeated until it fills a
    block.
    """
    import pyloudnorm

    if sound.shape[0] > 5:
        raise Refused(
            "loudness",
            got=f"{sound.shape[0]} channels",
            expected="at most 5 (BS.1770)",
            remedy="mix it down, or use rms or peak",
        )
    if not sound.numel() or not sound.any():
        return SILENCE_DB
    needed = math.ceil(SHORTEST_LOUDNESS_S * sample_rate) + 1
    if sound.shape[-1] < needed:
        sound = sound.repeat(1, math.ceil(needed / sound.shape[-1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # log of zero for silent blocks; the gate removes them
        measured = pyloudnorm.Meter(sample_rate).integrated_loudness(sound.T.double().numpy())
    return measured if math.isfinite(measured) else SILENCE_DB


def _db(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 1e-6 else SILENCE_DB


def limit(
    sound: Tensor,
    ceiling: float,
    sample_rate: int,
    lookahead_s: float = 0.005,
    true_peaks: bool = False,
) -> Tensor:
    """Turns `[C, samples]` down around peaks, so that none exceeds `ceiling`; elsewhere nothing
    changes. With `true_peaks` those between the samples count too (ITU-R BS.1770, at four times the
    rate).

    The gain that each sample needs is held over a window and then averaged over the same window: a
    smooth curve that is nowhere above the needed gain. All channels get the same gain, so the
    stereo image stays.
    """
    envelope = sound.abs().amax(dim=0, keepdim=True)
    if true_peaks and sound.numel():
        envelope = torch.maximum(envelope, _true_envelope(sound, sample_rate).to(envelope))
    if not sound.numel() or float(envelope.max()) <= ceiling:
        return sound
    reach = max(1, round(lookahead_s * sample_rate))
    needed = (ceiling / envelope.clamp_min(1e-9)).clamp_max(1.0)
    held = -F.max_pool1d(-F.pad(needed, (2 * reach, 2 * reach), value=1.0), 2 * reach + 1, stride=1)
    gain = F.avg_pool1d(held, 2 * reach + 1, stride=1)
    return (sound * gain).clamp(-ceiling, ceiling)


OVERSAMPLING = 4
BLOCK, MARGIN = 1 << 20, 1 << 10
"""samples that are resampled at once; beside them what a cut makes ring"""


def _true_envelope(sound: Tensor, sample_rate: int) -> Tensor:
    """`[1, samples]`: how high the curve through the samples gets around each of them."""
    parts = []
    for begin in range(0, sound.shape[-1], BLOCK):
        piece = sound[:, max(0, begin - MARGIN) : begin + BLOCK + MARGIN]
        finer = resample(piece, sample_rate, OVERSAMPLING * sample_rate).abs().amax(0, keepdim=True)
        around = F.max_pool1d(
            finer, 2 * OVERSAMPLING + 1, stride=OVERSAMPLING, padding=OVERSAMPLING
        )
        before = min(begin, MARGIN)
        parts.append(around[:, before : before + min(BLOCK, sound.shape[-1] - begin)])
    return torch.cat(parts, dim=-1)


class StreamLimiter:
    """`limit` for sound that comes in pieces `[C, N]`: what `push` and `close` give, joined, is
    `limit` of the whole.

    It holds back twice the look-ahead (10 ms), within which a peak may still ask for less.
    """

    def __init__(self, ceiling: float, sample_rate: int, lookahead_s: float = 0.005):
        self._ceiling = ceiling
        self._reach = max(1, round(lookahead_s * sample_rate))
        self._sound: Tensor | None = None  # [C, ≤ 2·reach]: not given out yet
        self._needed = torch.ones(1, 2 * self._reach)  # gains from 2·reach before `_sound` on

    def push(self, sound: Tensor) -> Tensor:
        """The next piece in; out comes what is settled by it, `[C, N]` with N ≥ 0."""
        return self._advanced(sound, keep=2 * self._reach)

    def close(self) -> Tensor | None:
        """The rest, `[C, N]`; None if nothing was ever pushed."""
        if self._sound is None:
            return None
        self._needed = F.pad(self._needed, (0, 2 * self._reach), value=1.0)
        return self._advanced(self._sound[:, :0], keep=0)

    def _advanced(self, new: Tensor, keep: int) -> Tensor:
        if self._sound is None:
            self._sound = new[:, :0]
            self._needed = self._needed.to(new)
        envelope = new.abs().amax(dim=0, keepdim=True)
        needed = (self._ceiling / envelope.clamp_min(1e-9)).clamp_max(1.0)
        sound = torch.cat([self._sound, new], dim=1)
        gains = torch.cat([self._needed, needed], dim=1)
        ready = max(0, sound.shape[1] - keep)
        self._sound, self._needed = sound[:, ready:], gains[:, ready:]
        if not ready:
            return sound[:, :0]
        return self._limited(sound[:, :ready], gains[:, : ready + 4 * self._reach])

    def _limited(self, sound: Tensor, needed: Tensor) -> Tensor:
        """`needed` spans twice the look-ahead on either side of `sound`."""
        if float(needed.min()) >= 1.0:
            return sound
        width = 2 * self._reach + 1
        held = -F.max_pool1d(-needed, width, stride=1)
        gain = F.avg_pool1d(held, width, stride=1)
        return (sound * gain).clamp(-self._ceiling, self._ceiling)


# ---------------------------------------------------------------- pictures

N_FFT = 2048
MEL_RANGE_DB = 80.0
QUIETEST_DB = (
    -20.0
)  # a full-scale tone has about 54: what is quieter than this throughout is drawn dark, as silence
# Anchors of a dark-to-light map with rising lightness: ink, violet, rose, amber, cream.
COLOURS = (
    torch.tensor(
        [[8, 8, 20], [64, 22, 96], [170, 44, 98], [238, 120, 52], [250, 200, 90], [255, 250, 215]]
    )
    / 255
)


def mel_filters(sample_rate: int, n_mels: int, n_fft: int = N_FFT) -> Tensor:
    """`[n_mels, n_fft // 2 + 1]` triangles, evenly spaced on the mel scale (2595 · log10(1 +
    f/700)).
    """
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    frequencies = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0)


def mel_db(mono: Tensor, sample_rate: int, n_mels: int = 128) -> Tensor:
    """`[samples]` → `[n_mels, frames]` in dB below the loudest place, at least −80."""
    decibels = mel_level_db(mono, sample_rate, n_mels)
    return (decibels - decibels.max().clamp_min(QUIETEST_DB)).clamp_min(-MEL_RANGE_DB)


def mel_level_db(mono: Tensor, sample_rate: int, n_mels: int) -> Tensor:
    """`[samples]` → `[n_mels, frames]` in dB, where a tone at full scale has about 54."""
    padded = F.pad(mono, (0, max(0, N_FFT - mono.shape[-1])))
    spectrum = torch.stft(
        padded, N_FFT, N_FFT // 4, window=torch.hann_window(N_FFT), return_complex=True
    )
    power = mel_filters(sample_rate, n_mels) @ spectrum.abs().square()
    return 10 * torch.log10(power.clamp_min(1e-10))


def picture(sound: Tensor, sample_rate: int, width: int, height: int) -> Tensor:
    """One item `[C, samples]` → `[height, width, 3]` in 0 … 1: the waveform above its mel
    spectrogram.
    """
    mono = sound.mean(dim=0)
    top = height // 4
    mel = (mel_db(mono, sample_rate) / MEL_RANGE_DB + 1).flip(0)  # high notes above
    mel = F.interpolate(
        mel[None, None], size=(height - top, width), mode="bilinear", align_corners=False
    )[0, 0]
    return torch.cat([waveform_rows(mono, width, top), coloured(mel)])


def coloured(values: Tensor) -> Tensor:
    """`[…]` from 0 to 1 → `[…, 3]`, from dark to light."""
    place = values.clamp(0, 1) * (len(COLOURS) - 1)
    low = place.floor().long().clamp_max(len(COLOURS) - 2)
    return torch.lerp(COLOURS[low], COLOURS[low + 1], (place - low).unsqueeze(-1))


def waveform_rows(mono: Tensor, width: int, height: int) -> Tensor:
    """`[samples]` → `[height, width, 3]`: each column spans the lowest to the highest sample of its
    share of time.
    """
    edges = torch.linspace(0, mono.shape[-1], width + 1).long()
    columns = [
        mono[a : max(b, a + 1)]
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    low = torch.stack([c.min() if c.numel() else mono.new_zeros(()) for c in columns])
    high = torch.stack([c.max() if c.numel() else mono.new_zeros(()) for c in columns])
    rows = torch.linspace(1, -1, height).unsqueeze(1)  # [height, 1], amplitude of each row
    half = 1 / max(1, height - 1)
    inside = (rows <= high + half) & (rows >= low - half)
    return torch.where(inside.unsqueeze(-1), COLOURS[4], COLOURS[0])


def fade_gains(samples: int) -> Tensor:
    """float32 `[samples]`, half a cosine from 1 down to 0."""
    phase = torch.arange(1, samples + 1, dtype=torch.float64) / samples
    return (0.5 + 0.5 * torch.cos(math.pi * phase)).float()
