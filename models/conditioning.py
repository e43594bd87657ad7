"""What the LM listens to: encoded text and, for models that have one, a prefix, by item."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Text for a batch of items, encoded. An item whose mask is empty is unconditional."""

    texts: tuple[str, ...]
    states: Tensor  # float [B, L, text_size]; zeros where the mask is False
    mask: Tensor  # bool [B, L]
    prefix: Tensor | None = None
    """float `[B, P, hidden_size]`: read before the first step, by models that listen so; the same
    for a whole window
    """

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_null(self) -> bool:
        """Whether no item hears anything: guidance then has nothing to push away from."""
        return self.prefix is None and not bool(self.mask.any())

    def repeated(self, times: int) -> Conditioning:
        """Each item `times` times in a row: variations."""
        return self._taken(torch.arange(len(self)).repeat_interleave(times))

    def item(self, index: int) -> Conditioning | None:
        """One item by itself, without its neighbours' padding; None if it hears nothing."""
        one = self._taken(torch.tensor([index]))
        if one.is_null:
            return None
        length = int(one.mask[0].nonzero().amax()) + 1 if one.mask.any() else 0
        return Conditioning(one.texts, one.states[:, :length], one.mask[:, :length], one.prefix)

    def _taken(self, items: Tensor) -> Conditioning:
        return Conditioning(
            tuple(self.texts[i] for i in items.tolist()),
            self.states[items],
            self.mask[items],
            None if self.prefix is None else self.prefix[items],
        )
