"""What the codec is asked for beside the discriminator's verdict: waveform, log-mel spectra.

Knows audio as [B, 1, T] and nothing of models. Not run by itself; see train_codec.py.
"""

import math

import torch
from torch import Tensor, nn


class MelLoss(nn.Module):
    """Mean absolute difference of log-mel spectra at several resolutions."""

    FLOOR = 2e-4  # -74 dB: what is quieter is not asked for
    BANDS = ((0.016, 48), (0.032, 64), (0.064, 80), (0.128, 112))  # window in seconds, mel bands

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.ffts = []
        for window_s, bands in self.BANDS:
            fft = 2 ** round(math.log2(window_s * sample_rate))
            self.ffts.append(fft)
            self.register_buffer(f"bank{fft}", mel_bank(sample_rate, fft, bands))
            self.register_buffer(f"window{fft}", torch.hann_window(fft))

    def log_mel(self, audio: Tensor, fft: int) -> Tensor:
        """[B, bands, frames]"""
        window = getattr(self, f"window{fft}")
        spectrum = torch.stft(audio[:, 0], fft, fft // 4, window=window, return_complex=True)
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9) * (2 / window.sum())
        return torch.log(getattr(self, f"bank{fft}") @ magnitude + self.FLOOR)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        total = sum(
            (self.log_mel(made, f) - self.log_mel(wanted, f)).abs().mean() for f in self.ffts
        )
        return total / len(self.ffts)


def mel_bank(sample_rate: int, fft: int, bands: int) -> Tensor:
    """Triangular filters [bands, fft // 2 + 1] with unit peaks."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges_hz = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    bins_hz = torch.linspace(0, sample_rate / 2, fft // 2 + 1)
    width_hz = sample_rate / fft  # no filter narrower than one bin
    rising, falling = (
        edges_hz.diff().clamp(min=width_hz)[side, None] for side in (slice(-1), slice(1, None))
    )
    rise = (bins_hz - edges_hz[:-2, None]) / rising
    fall = (edges_hz[2:, None] - bins_hz) / falling
    return torch.minimum(rise, fall).clamp(min=0)


def wave_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Squared error over the clip's own power, so that quiet clips count as much as loud ones."""
    power = wanted.pow(2).mean((1, 2)) + 1e-4
    return ((made - wanted).pow(2).mean((1, 2)) / power).mean()
