"""What the LM listens to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .refused import Refused


@dataclass(frozen=True)
class Conditioning:
    """Text for a batch of items, encoded. An item whose mask is empty is unconditional."""

    texts: tuple[str, ...]
    states: Tensor  # float [B, L, text_size]; zeros where the mask is False
    mask: Tensor  # bool [B, L]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_null(self) -> bool:
        """Whether no item hears anything: guidance then has nothing to push away from."""
        return not bool(self.mask.any())

    def repeated(self, times: int) -> Conditioning:
        """Each item `times` times in a row: variations."""
        return Conditioning(
            tuple(text for text in self.texts for _ in range(times)),
            self.states.repeat_interleave(times, dim=0),
            self.mask.repeat_interleave(times, dim=0),
        )


@dataclass(frozen=True)
class Memory:
    """Conditioning laid out for the LM: R rows, of which the first C hear text."""

    states: Tensor  # [C, L, text_size]
    mask: Tensor  # bool [C, L]
    rows: int
    items: int
    """B: the rows that make music; any further ones are the null half of guidance"""

    @property
    def guided(self) -> bool:
        return self.rows != self.items


def memory_for(positive: Conditioning, negative: Conditioning | None, cfg: float) -> Memory:
    """Rows for a batch. With guidance: the items, then their null half, which hears `negative` or nothing.

    Raises Refused if the negative conditioning has neither one item nor as many as the positive one.
    """
    B = len(positive)
    if negative is not None and len(negative) not in (1, B):
        raise Refused(
            "negative conditioning",
            got=f"{len(negative)} texts for {B} items",
            expected=f"1 or {B}",
            remedy="give one negative text for all, or one for each",
        )
    push_away = negative is not None and not negative.is_null
    if cfg == 1 or (positive.is_null and not push_away):
        return Memory(*_heard(positive), rows=B, items=B)
    if not push_away:
        return Memory(*_heard(positive), rows=2 * B, items=B)
    if len(negative) < B:
        negative = negative.repeated(B)
    L = max(positive.mask.shape[1], negative.mask.shape[1])
    states = torch.cat([_padded(positive.states, L), _padded(negative.states, L)])
    mask = torch.cat([F.pad(c.mask, (0, L - c.mask.shape[1])) for c in (positive, negative)])
    return Memory(states, mask, rows=2 * B, items=B)


def _heard(conditioning: Conditioning) -> tuple[Tensor, Tensor]:
    if conditioning.is_null:
        return conditioning.states[:0], conditioning.mask[:0]
    return conditioning.states, conditioning.mask


def _padded(states: Tensor, length: int) -> Tensor:
    return F.pad(states, (0, 0, 0, length - states.shape[1]))
