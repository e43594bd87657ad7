"""From the logits of a step's rows to tokens: branches mixed, temperature, top-k or top-p, a race.

Drawing is an exponential race: argmax(p / e), e ~ Exp(1), has distribution p and needs no host
synchronisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..config import Sampling

BranchWeights = tuple[tuple[float, ...], ...]
"""of each item: how much each of its branches counts"""

States = Tensor
"""`[B, bytes]`, of each item's generator as `torch.Generator.get_state` gives it"""
LEAST_NOISE = torch.finfo(torch.float32).tiny
"""probabilities are divided by it"""


class NoiseSource(Protocol):
    """Exponential noise, of each item a stream of its own that begins with a state."""

    def states(self) -> States:
        """Where it stands now."""
        ...

    def fill(self, noise: Tensor) -> None:
        """`[B, K, V]` float32 on the CPU: the next numbers of each, at least `LEAST_NOISE`."""
        ...


NoiseSources = Callable[[States], NoiseSource]


class TorchNoise(NoiseSource):
    """The reference."""

    def __init__(self, states: States):
        # copied: torch reads the first row, whichever it is given
        self._generators = [torch.Generator().set_state(state.clone()) for state in states]

    def states(self) -> States:
        return torch.stack([generator.get_state() for generator in self._generators])

    def fill(self, noise: Tensor) -> None:
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        noise.clamp_min_(LEAST_NOISE)


def tokens_from(
    logits: Tensor, weights: BranchWeights, noise: Tensor | None, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Logits of every row `[R, K, V]`, an item's branches in a row, and noise `[B, K, V]` → tokens
    `[B, K]`, and `[B]`, which are numbers if all that was drawn from were numbers.

    Without noise (temperature 0): the likeliest.
    """
    of_items = mixed(logits, weights)
    return draw(of_items, noise, sampling), logit_sums(of_items)


def mixed(logits: Tensor, weights: BranchWeights) -> Tensor:
    """Logits of every row `[R, K, V]`, an item's branches in a row → logits of the items `[B, K,
    V]`.

    Σ weight · branch, computed as the last branch + Σ weight · (branch − last): for two branches
    that is guidance as upstream writes it, null + cfg · (conditional − null). A branch whose weight
    is 0 is left out, so that a row that is kept for later changes no bit.
    """
    if len(set(weights)) == 1:  # the usual case, in few operations
        return _weighted(logits.unflatten(0, (len(weights), -1)).unbind(1), weights[0])
    each = logits.split([len(own) for own in weights])
    return torch.cat(
        [_weighted(rows.split(1), own) for rows, own in zip(each, weights, strict=True)]
    )


def _weighted(branches: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    used = [pair for pair in zip(branches, weights, strict=True) if pair[1] != 0]
    *others, (last, _) = used
    result = last
    for branch, weight in others:
        result = result + weight * (branch - last)
    return result


def logit_sums(logits: Tensor) -> Tensor:
    """`[B, K, V]` → `[B]`: a sum is NaN or infinite if one of its terms is.

    One operation on the device, and nothing waits for it; looked at when the step's tokens arrive.
    """
    return logits.sum(dim=(1, 2))


def keep_top_k(probabilities: Tensor, k: int) -> Tensor:
    """Zeroes all but exactly the k largest of the last dimension; among equals, `topk` decides."""
    values, places = probabilities.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(probabilities).scatter_(-1, places, values)


def keep_top_p(probabilities: Tensor, p: float) -> Tensor:
    """Zeroes all but the fewest likeliest tokens whose probabilities sum to more than p."""
    values, places = probabilities.sort(dim=-1, descending=True)
    before = values.cumsum(dim=-1) - values
    return torch.zeros_like(probabilities).scatter_(-1, places, values.masked_fill(before > p, 0.0))


def draw(logits: Tensor, noise: Tensor | None, sampling: Sampling) -> Tensor:
    """`[B, K, V]` logits and noise → `[B, K]` tokens.

    Without noise (temperature 0): the likeliest.
    """
    if noise is None:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    if sampling.top_p > 0:
        probabilities = keep_top_p(probabilities, sampling.top_p)
    else:
        probabilities = keep_top_k(probabilities, sampling.top_k)
    return (probabilities / noise).argmax(dim=-1)
