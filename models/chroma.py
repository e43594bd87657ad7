"""The pitch classes of sound over time: what a melody model hears of a melody.

As audiocraft computes it, with librosa's chroma filters (after Ellis 2007): the power spectrum of
long windows is folded onto the pitch classes of an octave, and of each frame only the loudest class
is kept. Upstream also scales the spectrum and each frame, which changes none that is loudest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from . import dsp
from .conditioning import Melody
from .config import ChromaConfig, LMConfig

LOWEST_A_HZ = 27.5
CENTRE_OCTAVE, OCTAVES = 5, 2  # above the lowest A: where most is heard, and how far around it
BLOCK_FRAMES = 128  # computed at a time, so that memory does not grow with length
BLACK_KEYS = (1, 3, 6, 8, 10)
ROW_PIXELS, PICTURE_WIDTH = 24, 1024


def melody_of(waveform: Tensor, sample_rate: int, config: LMConfig) -> Melody:
    """What a melody model hears of sound `[B, C, samples]`: all of it, however long."""
    assert config.chroma is not None
    mono = dsp.with_channels(waveform, 1)
    sound = dsp.resample(mono, sample_rate, config.sample_rate)[:, 0]
    chroma = torch.stack([pitch_classes(one, config.sample_rate, config.chroma) for one in sound])
    return Melody(chroma, config.sample_rate / config.chroma.hop)


def pitch_classes(sound: Tensor, sample_rate: int, config: ChromaConfig) -> Tensor:
    """`[samples]` → float `[1 + samples // hop, bins]` with a 1 for each frame's loudest class,
    from C upwards; silence is the first class.

    Frames are centred; sound shorter than one window stands in the middle of zeros.
    """
    window, hop = config.window, config.hop
    missing = max(0, window - len(sound))
    sound = F.pad(sound, (missing // 2, missing - missing // 2))
    count = 1 + len(sound) // hop
    padded = F.pad(sound[None], (window // 2, window // 2), mode="reflect")[0]
    filters, shape = chroma_filters(sample_rate, config), torch.hann_window(window)
    loudest = []
    for begin in range(0, count, BLOCK_FRAMES):
        end = min(count, begin + BLOCK_FRAMES)
        piece = padded[begin * hop : (end - 1) * hop + window]
        spectrum = torch.stft(
            piece, window, hop, window=shape, center=False, return_complex=True
        )  # [window / 2 + 1, frames]
        loudest.append((filters @ spectrum.abs().square()).argmax(dim=0))
    return F.one_hot(torch.cat(loudest), config.bins).float()


def chroma_filters(sample_rate: int, config: ChromaConfig) -> Tensor:
    """`[bins, window / 2 + 1]`: how much each frequency counts for each pitch class.

    A bump around each class, half as wide as the classes are apart or, below some frequency, as the
    spectrum is fine; all classes together weigh a frequency 1, and the more the nearer it is to the
    middle of the keyboard.
    """
    bins = config.bins
    frequencies = torch.arange(1, config.window, dtype=torch.float64) * sample_rate / config.window
    places = bins * torch.log2(frequencies / LOWEST_A_HZ)
    places = torch.cat([places[:1] - 1.5 * bins, places])  # 0 Hz has none of its own
    widths = F.pad(places.diff().clamp_min(1), (0, 1), value=1.0)
    half = round(bins / 2)
    distances = (places - torch.arange(bins).unsqueeze(1) + half).remainder(bins) - half
    bumps = torch.exp(-0.5 * (2 * distances / widths) ** 2)
    bumps /= bumps.norm(dim=0)
    bumps *= torch.exp(-0.5 * ((places / bins - CENTRE_OCTAVE) / OCTAVES) ** 2)
    from_c = bumps.roll(-3 * (bins // 12), dims=0)  # places count from A
    return from_c[:, : config.window // 2 + 1].float().contiguous()


def picture_size(config: LMConfig) -> tuple[int, int]:
    """Width and height of a `piano_roll`."""
    assert config.chroma is not None
    return PICTURE_WIDTH, config.chroma.bins * ROW_PIXELS


def piano_roll(chroma: Tensor) -> Tensor:
    """One item's `[T, bins]` as a picture `[height, width, 3]` in 0 … 1: time from left to right,
    classes from C upwards, with the rows of black keys darker.
    """
    bins = chroma.shape[1]
    rows = chroma.T.flip(0)[None, None]
    size = bins * ROW_PIXELS, PICTURE_WIDTH
    sounding = F.interpolate(rows, size=size, mode="nearest")[0, 0].unsqueeze(-1)
    white = torch.tensor([bin not in BLACK_KEYS for bin in reversed(range(bins))])
    shades = torch.where(white.unsqueeze(-1), dsp.COLOURS[1] / 2, dsp.COLOURS[0])
    paper = shades.repeat_interleave(ROW_PIXELS, dim=0).unsqueeze(1)
    return torch.lerp(paper.expand(-1, PICTURE_WIDTH, -1), dsp.COLOURS[4], sounding)
