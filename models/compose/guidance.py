"""Guidance: what an item listens to at once, in branches, and how their logits become one.

Plain classifier-free guidance is two branches of weights (cfg, 1 − cfg): the conditioning, and
nothing or the negative. A style's double guidance has the style without its text between them: cfg
· β, cfg · (1 − β), 1 − cfg (Rouard et al. 2024, section 4.3). A mix of prompts is some more.

A mix of prompts Pᵢ with shares pᵢ, away from negatives Nⱼ with shares nⱼ (Σ pᵢ = Σ nⱼ = 1), is

    logits = cfg · Σ pᵢ · Pᵢ + (1 − cfg) · Σ nⱼ · Nⱼ
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..conditioning import Conditioning
from ..engines.drawing import BranchWeights
from ..mix import NOTHING, Items, Shares
from ..refused import Refused


@dataclass(frozen=True)
class Branch:
    """One of the things that an item listens to at once. Each takes a row of the batch."""

    conditioning: Conditioning | None
    """of one item; None: nothing"""
    weight: float
    """of its logits; an item's weights sum to 1"""


Branches = tuple[Branch, ...]


@dataclass(frozen=True)
class Sides:
    """What an item is led to, and away from."""

    positive: Shares
    negative: Shares
    """nothing, where there is no negative"""

    @property
    def hears_nothing(self) -> bool:
        """On either side: guidance then has nothing to push away from."""
        return all(one is None for one, _ in (*self.positive, *self.negative))


def sides_of(positive: Items, negative: Items | None) -> tuple[Sides, ...]:
    """Of each item.

    Raises Refused if the negative conditioning has neither one item nor as many as the positive
    one.
    """
    B = len(positive)
    if negative is None:
        return tuple(Sides(positive.shares(i), NOTHING) for i in range(B))
    if len(negative) not in (1, B):
        raise Refused(
            "negative conditioning",
            got=f"{len(negative)} texts for {B} items",
            expected=f"1 or {B}",
            remedy="give one negative text for all, or one for each",
        )
    away = [negative.shares(i) for i in range(len(negative))]
    return tuple(Sides(positive.shares(i), away[i % len(away)]) for i in range(B))


def branches_for(positive: Items, negative: Items | None, cfg: float) -> tuple[Branches, ...]:
    """The branches of each item: its prompts and, with guidance, the negatives or nothing.

    Guidance is left out where it has no effect: with cfg 1, and where neither side hears anything.
    Raises Refused as `sides_of` does.
    """
    return tuple(_guided(sides, cfg) for sides in sides_of(positive, negative))


def _guided(sides: Sides, cfg: float) -> Branches:
    guided = cfg != 1 and not sides.hears_nothing
    strength = cfg if guided else 1.0
    away = [Branch(one, (1 - cfg) * share) for one, share in sides.negative] if guided else []
    return (*(b for one, share in sides.positive for b in heard_as(one, strength * share)), *away)


def heard_as(one: Conditioning | None, weight: float) -> Branches:
    """A prompt's branches: itself or, for a text beside a style, also the style without it."""
    beta = _beta(one)
    if one is None or beta == 1:
        return (Branch(one, weight),)
    return Branch(one, weight * beta), Branch(one.without_text(), weight * (1 - beta))


def _beta(one: Conditioning | None) -> float:
    """1 where the text alone, or the style alone, is heard."""
    if one is None or one.style is None or not one.has_text:
        return 1.0
    return one.style.guidance


def weights_of(items: Iterable[Branches]) -> BranchWeights:
    return tuple(tuple(branch.weight for branch in branches) for branches in items)
