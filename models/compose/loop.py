"""Loops: rounds of so many bars, to the sample, whose end leads into their beginning."""

from __future__ import annotations

import torch
from torch import Tensor

from ..encodec import Codec
from .filling import Gap
from .splice import FADE_S, NEAR_S, REACH_S, best_fade, faded

LEAD_FRAMES = 50
"""of the next round, which the decoder hears behind the end"""


def rounds(loop: Tensor, bridge_frames: int) -> tuple[Tensor, Gap]:
    """A loop `[B, K, T]` with its beginning behind it once more, and the gap that leads there."""
    frames = loop.shape[2]
    return torch.cat([loop, loop], dim=2), Gap(frames - bridge_frames, frames)


def sound_of(loop: Tensor, codec: Codec, channels: int, samples: int) -> Tensor:
    """Tokens `[B, K, T]` of one round → `[B, C, samples]`, which may be played over and over.

    The decoder plays two rounds and a bit, and the second is kept: it begins as after an end, and
    ends as before a beginning. Where a round is not a whole number of frames, its end is shifted
    (by half a frame at most) so that it meets the beginning: in a crossfade with itself, near the
    end, where that is heard least.
    """
    before = (loop.shape[2] + 1) * codec.hop  # a frame more than a round: room for the shift
    tokens = torch.cat([loop[:, :, -1:], loop, loop, loop[:, :, :LEAD_FRAMES]], dim=2)
    played = codec.decode(tokens, channels)
    sound, into_beginning = (
        played[..., begin : begin + samples] for begin in (before, before - samples)
    )
    if samples == loop.shape[2] * codec.hop:
        return sound
    return torch.stack(
        [_shifted(*pair, codec.sample_rate) for pair in zip(sound, into_beginning, strict=True)]
    )


def _shifted(sound: Tensor, into_beginning: Tensor, rate: int) -> Tensor:
    """`[C, samples]`: as the first, and at its end as the second."""
    samples = sound.shape[1]
    reach, width = min(samples, round(REACH_S * rate)), round(FADE_S * rate)
    near = round(NEAR_S * rate)
    fade = best_fade(sound, into_beginning, samples - reach, samples, width, near)
    part = slice(fade.begin, fade.end)
    middle = faded(sound[:, part], into_beginning[:, part])
    return torch.cat([sound[:, : fade.begin], middle, into_beginning[:, fade.end :]], dim=1)
