"""A discriminator that looks at spectrograms of several resolutions, and its losses. Not run by
itself; see train_codec.py.

After EnCodec's multi-scale STFT discriminator (Défossez et al. 2022, arXiv:2210.13438 §3.3): 2-D
convolutions over complex spectrograms, hinge losses, feature matching, and a balancer that fixes
each loss's share of the gradient. Here magnitudes are compressed first, because the hiss that it
has to hear lies 50 dB below the notes.
"""

from dataclasses import dataclass

import torch
from common import fast_precision
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class DiscriminatorSettings:
    ffts: tuple[int, ...] = (2048, 1024, 512)  # 64, 32 and 16 ms at 32 kHz
    channels: int = 16
    compression: float = 0.3  # the exponent of the magnitude


class SpectrogramDiscriminator(nn.Module):
    """One resolution: audio [B, 1, T] -> verdicts [B, 1, frames, bins] and feature maps."""

    def __init__(self, fft: int, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.fft, self.compression = fft, settings.compression
        self.register_buffer("window", torch.hann_window(fft))
        channels = settings.channels
        shapes = [
            (2, 1),
            (channels, 1),
            (channels, 2),
            (channels, 4),
        ]  # channels in, dilation in time
        self.layers = nn.ModuleList(
            nn.Conv2d(
                into, channels, (3, 9), stride=(1, 2), dilation=(ahead, 1), padding=(ahead, 4)
            )
            for into, ahead in shapes
        )
        self.verdict = nn.Conv2d(channels, 1, (3, 3), padding=(1, 1))

    def compressed(self, audio: Tensor) -> Tensor:
        """[B, 2, frames, bins]: real and imaginary part, the magnitude raised to `compression`."""
        window = self.window
        spectrum = torch.stft(
            audio[:, 0].float(), self.fft, self.fft // 4, window=window, return_complex=True
        )
        parts = torch.view_as_real(spectrum.transpose(1, 2)) / window.sum() * 2
        magnitude = (parts.pow(2).sum(-1, keepdim=True) + 1e-8).sqrt()
        return (parts * magnitude.pow(self.compression - 1)).permute(0, 3, 1, 2)

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen, maps = self.compressed(audio).contiguous(memory_format=torch.channels_last), []
        for layer in self.layers:
            seen = functional.leaky_relu(layer(seen), 0.2)
            maps.append(seen)
        return self.verdict(seen), maps


class Discriminator(nn.Module):
    """All resolutions; a verdict above 1 says rendered, below -1 says made by the decoder."""

    def __init__(self, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            SpectrogramDiscriminator(fft, settings) for fft in settings.ffts
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, audio: Tensor, half: bool = False) -> list[tuple[Tensor, list[Tensor]]]:
        with fast_precision(audio.device.type, half):
            return [scale(audio) for scale in self.scales]


def judging_loss(of_rendered: list, of_made: list) -> Tensor:
    """Hinge loss of the discriminator."""
    sides = [functional.relu(1 - verdict.float()).mean() for verdict, _ in of_rendered]
    sides += [functional.relu(1 + verdict.float()).mean() for verdict, _ in of_made]
    return sum(sides) / len(of_made)


def deceiving_loss(of_rendered: list, of_made: list, matching: float = 2.0) -> Tensor:
    """Hinge loss of the decoder, and `matching` times the difference of the feature maps over the
    rendered audio's size.
    """
    hinge = [functional.relu(1 - verdict.float()).mean() for verdict, _ in of_made]
    differences = [
        (made.float() - real.float().detach()).abs().mean()
        / (real.float().detach().abs().mean() + 1e-4)
        for (_, reals), (_, mades) in zip(of_rendered, of_made, strict=True)
        for real, made in zip(reals, mades, strict=True)
    ]
    return sum(hinge) / len(hinge) + matching * sum(differences) / len(differences)


def balanced_gradient(losses: dict[str, Tensor], shares: dict[str, float], made: Tensor) -> Tensor:
    """Gradient at the decoder's output [B, 1, T], in which each loss weighs its share, however
    large it is.
    """
    total = torch.zeros_like(made)
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, made)
        total += shares[name] * gradient / (gradient.norm() + 1e-9)
    return total / sum(shares.values())
