"""Which frames are trained on and which are held out, and the pieces that are cut from them.

Tokens of a sound are `[K, T]`. With `WHOLE_FILES` sounds or more, every tenth is held out whole;
with fewer, the last tenth of each. A step's pieces depend on the seed and the step alone, so that a
training that was stopped goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WHOLE_FILES = 8
HELD_SHARE = 10
"""one part in so many"""
MAX_HELD_PIECES = 16


@dataclass(frozen=True)
class Piece:
    """Frames `start … stop` of a sound."""

    sound: int
    start: int
    stop: int


@dataclass(frozen=True)
class Division:
    trained: tuple[Piece, ...]
    """stretches of any length"""
    held: tuple[Piece, ...]
    """pieces, as they are compared"""


def divided(lengths: Sequence[int], frames: int, seed: int) -> Division:
    """`lengths` of the sounds and of a piece, in frames."""
    if len(lengths) >= WHOLE_FILES:
        draw = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(lengths), generator=draw).tolist()
        chosen = set(order[: len(lengths) // HELD_SHARE or 1])
        ends = [0 if sound in chosen else length for sound, length in enumerate(lengths)]
    else:
        ends = [length - (length // HELD_SHARE or 1) for length in lengths]
    trained = [Piece(sound, 0, end) for sound, end in enumerate(ends) if end]
    held = [
        Piece(sound, start, min(start + frames, length))
        for sound, (end, length) in enumerate(zip(ends, lengths, strict=True))
        for start in range(end, length, frames)
    ]
    apart = max(1, len(held) / MAX_HELD_PIECES)
    few = [held[int(i * apart)] for i in range(min(len(held), MAX_HELD_PIECES))]
    return Division(tuple(trained), tuple(few))


def drawn(trained: Sequence[Piece], frames: int, count: int, draw: torch.Generator) -> list[Piece]:
    """Pieces for a step, each from anywhere: every place is as likely as any other."""
    lengths = torch.tensor([float(one.stop - one.start) for one in trained])
    which = torch.multinomial(lengths, count, replacement=True, generator=draw).tolist()
    shares = torch.rand(count, generator=draw, dtype=torch.float64).tolist()
    found = []
    for one, share in zip((trained[i] for i in which), shares, strict=True):
        room = max(0, one.stop - one.start - frames)
        start = one.start + int(share * (room + 1))
        found.append(Piece(one.sound, start, min(start + frames, one.stop)))
    return found


def gathered(tokens: Sequence[Tensor], pieces: Sequence[Piece]) -> tuple[Tensor, Tensor]:
    """int64 `[B, K, T]` and where it is music, bool `[B, T]`; shorter pieces are padded with 0."""
    longest = max(one.stop - one.start for one in pieces)
    batch = tokens[0].new_zeros((len(pieces), tokens[0].shape[0], longest), dtype=torch.int64)
    mask = torch.zeros((len(pieces), longest), dtype=torch.bool)
    for row, one in enumerate(pieces):
        length = one.stop - one.start
        batch[row, :, :length] = tokens[one.sound][:, one.start : one.stop]
        mask[row, :length] = True
    return batch, mask


def swapped(tokens: Tensor, mask: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Tokens `[B, K, T]` with a share of them replaced: each by one of its codebook's from anywhere
    in the batch that is music, mask `[B, T]`.

    What a model makes is never quite what it was taught on. One that has read nothing but music
    without mistakes goes further astray after each of its own; guidance makes that worse.
    """
    music = tokens.transpose(0, 1)[:, mask]  # [K, frames of the batch]
    where = torch.randint(music.shape[1], tokens.shape, generator=draw)
    others = music.gather(1, where.transpose(0, 1).flatten(1)).unflatten(1, (len(tokens), -1))
    chosen = torch.rand(tokens.shape, generator=draw) < share
    return torch.where(chosen, others.transpose(0, 1), tokens)


def step_generator(seed: int, step: int) -> torch.Generator:
    """What a step draws with. Seeds of other runs' steps are other ones."""
    return torch.Generator().manual_seed((seed << 24) + step)
