"""What models without cross-attention read before their first step: a sound, then text.

Of the sound a melody model hears chroma, a style model the vectors of a style. In audiocraft's
order. The branches of an item stand at one position, so their prefixes are equally long: a shorter
text is followed by zeros, and nothing is as many zeros as the text beside it, as upstream has it;
so is no style. No melody is the first pitch class in every frame, as upstream has that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .conditioning import Conditioning
from .config import ChromaConfig, LMConfig


@dataclass(frozen=True)
class Prefix:
    """Of the branches of one item, before it is projected."""

    sound: Tensor  # float [R, frames, bins] of chroma, or [R, S, style_size]
    sound_mask: Tensor  # bool [R, frames or S]: where there is some; else zeros are heard
    states: Tensor  # float [R, L, text_size], L at least 1
    mask: Tensor  # bool [R, L]: where there is text


def prefix_of(heard: Sequence[Conditioning | None], config: LMConfig) -> Prefix | None:
    """Of what each branch listens to, a conditioning of one item or nothing; None for models that
    hear their text in layers of their own.
    """
    if config.cross_attention:
        return None
    lengths = [0 if one is None else one.mask.shape[1] for one in heard]
    length = max(1, *lengths)
    states, mask = [], []
    for one in heard:
        text = torch.zeros(1, 0, config.text_size) if one is None else one.states
        seen = torch.zeros(1, 0, dtype=torch.bool) if one is None else one.mask
        room = length - text.shape[1]
        states.append(F.pad(text, (0, 0, 0, room)))
        mask.append(F.pad(seen, (0, room)))
    return Prefix(*_sound(heard, config), torch.cat(states), torch.cat(mask))


def _sound(heard: Sequence[Conditioning | None], config: LMConfig) -> tuple[Tensor, Tensor]:
    if config.chroma is not None:
        chroma = torch.cat([_chroma(one, config.chroma) for one in heard])
        return chroma, torch.ones(chroma.shape[:2], dtype=torch.bool)
    assert config.style_size is not None
    none = torch.zeros(1, 0, config.style_size)
    styles = [none if one is None or one.style is None else one.style.states for one in heard]
    lengths = torch.tensor([style.shape[1] for style in styles])
    longest = max(1, int(lengths.max()))
    padded = [F.pad(style, (0, 0, 0, longest - style.shape[1])) for style in styles]
    return torch.cat(padded), torch.arange(longest) < lengths.unsqueeze(1)


def _chroma(one: Conditioning | None, config: ChromaConfig) -> Tensor:
    """`[1, frames, bins]`: a melody's beginning; a short one is repeated."""
    if one is None or one.melody is None:
        nothing = torch.zeros(1, config.frames, config.bins)
        nothing[:, :, 0] = 1
        return nothing
    chroma = one.melody.chroma
    times = -(-config.frames // chroma.shape[1])
    return chroma.repeat(1, times, 1)[:, : config.frames]
