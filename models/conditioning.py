"""What the LM listens to: encoded text (and, for models that have one, a prefix), by item, in
branches.

Plain classifier-free guidance is two branches of weights (cfg, 1 − cfg): the conditioning, and
nothing or the negative. A third (style's double guidance) or a mix of prompts is one branch more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .refused import Refused


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


@dataclass(frozen=True)
class Branch:
    """One of the things that an item listens to at once. Each takes a row of the batch."""

    conditioning: Conditioning | None
    """of one item; None: nothing"""
    weight: float
    """of its logits; an item's weights sum to 1"""


Branches = tuple[Branch, ...]


def branches_for(
    positive: Conditioning, negative: Conditioning | None, cfg: float
) -> tuple[Branches, ...]:
    """The branches of each item: its conditioning and, with guidance, the negative or nothing.

    Guidance is left out where it has no effect: with cfg 1, and where neither side hears anything.
    Raises Refused if the negative conditioning has neither one item nor as many as the positive
    one.
    """
    B = len(positive)
    if negative is not None and len(negative) not in (1, B):
        raise Refused(
            "negative conditioning",
            got=f"{len(negative)} texts for {B} items",
            expected=f"1 or {B}",
            remedy="give one negative text for all, or one for each",
        )
    away = [None if negative is None else negative.item(i % len(negative)) for i in range(B)]
    return tuple(_guided(positive.item(i), away[i], cfg) for i in range(B))


def _guided(positive: Conditioning | None, negative: Conditioning | None, cfg: float) -> Branches:
    if cfg == 1 or positive is negative is None:
        return (Branch(positive, 1.0),)
    return Branch(positive, cfg), Branch(negative, 1 - cfg)


def mixed(logits: Tensor, items: Sequence[Branches]) -> Tensor:
    """Logits of every row `[R, K, V]`, an item's branches in a row → logits of the items `[B, K,
    V]`.

    Σ weight · branch, computed as the last branch + Σ weight · (branch − last): for two branches
    that is guidance as upstream writes it, null + cfg · (conditional − null).
    """
    weights = [tuple(branch.weight for branch in branches) for branches in items]
    if len(set(weights)) == 1:  # the usual case, in few operations
        return _weighted(logits.unflatten(0, (len(items), -1)).unbind(1), weights[0])
    each = logits.split([len(branches) for branches in items])
    return torch.cat(
        [_weighted(rows.split(1), own) for rows, own in zip(each, weights, strict=True)]
    )


def _weighted(branches: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    *others, last = branches
    result = last
    for branch, weight in zip(others, weights, strict=False):
        result = result + weight * (branch - last)
    return result
