"""Guidance: what an item listens to at once, in branches, and how their logits become one.

Plain classifier-free guidance is two branches of weights (cfg, 1 − cfg): the conditioning, and
nothing or the negative. A style's double guidance has the style without its text between them: cfg
· β, cfg · (1 − β), 1 − cfg (Rouard et al. 2024, section 4.3). A mix of prompts is some more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..conditioning import Conditioning
from ..refused import Refused


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

    Guidance is left out where it has no effect: with cfg 1, and where neither side hears anything;
    double guidance with β 1, and where text or style is missing.
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
    if positive is negative is None:
        return (Branch(None, 1.0),)
    away = () if cfg == 1 else (Branch(negative, 1 - cfg),)
    beta = _beta(positive)
    if positive is None or beta == 1:
        return Branch(positive, cfg), *away
    return Branch(positive, cfg * beta), Branch(positive.without_text(), cfg * (1 - beta)), *away


def _beta(positive: Conditioning | None) -> float:
    """1 where the text alone, or the style alone, is heard."""
    if positive is None or positive.style is None or not positive.has_text:
        return 1.0
    return positive.style.guidance


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
