"""Frames as they come, in blocks as they are used."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor


def in_blocks(frames: Iterable[Tensor], size: int, first: Sequence[int] = ()) -> Iterator[Tensor]:
    """Regroups `[B, K, t]` pieces into blocks of exactly `size` frames, or of the sizes in `first`
    to begin with; the last one may be shorter.
    """
    sizes = itertools.chain(first, itertools.repeat(size))
    held: list[Tensor] = []
    count, wanted = 0, next(sizes)
    for piece in frames:
        held.append(piece)
        count += piece.shape[2]
        while count >= wanted:
            joined = torch.cat(held, dim=2)
            yield joined[:, :, :wanted]
            held, count, wanted = [joined[:, :, wanted:]], count - wanted, next(sizes)
    if count:
        yield torch.cat(held, dim=2)
