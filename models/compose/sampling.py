"""From logits to tokens: temperature, top-k, top-p, and noise that belongs to one item.

Drawing is an exponential race: argmax(p / e), e ~ Exp(1), has distribution p and needs no host
synchronisation. The noise comes from a CPU generator per item, so that the same seed gives the same
tokens on every device, whatever the batch around the item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import Sampling

Seeds = int | tuple[int, ...]
"""of a batch: item i has seed + i; or each has its own"""


@dataclass(frozen=True)
class NoiseMark:
    """A place in the noise: the generators as they were before a block of steps, and how many of it
    were drawn.
    """

    generators: tuple[Tensor, ...]
    drawn: int
    seed: Seeds


class Noise:
    """Exponential noise, one stream per item, the same number of draws at every step."""

    def __init__(
        self,
        seed: Seeds,
        batch: int,
        num_codebooks: int,
        codebook_size: int,
        device: torch.device,
        steps_at_once: int = 1,
        mark: NoiseMark | None = None,
    ):
        """
        Args:
            steps_at_once: made together, to go to the device in one copy; the numbers are the same
                whatever it is.
            mark: of another one, with the same seed, that this one goes on from.
        """
        self.seed = seed
        seeds = tuple(seed + i for i in range(batch)) if isinstance(seed, int) else seed
        assert len(seeds) == batch, (seeds, batch)
        self._generators = [torch.Generator().manual_seed(one % 2**64) for one in seeds]
        self._shape = (steps_at_once, batch, num_codebooks, codebook_size)
        self._device = device
        self._ready: Iterator[Tensor] = iter(())
        if mark is not None:
            for generator, state in zip(self._generators, mark.generators, strict=True):
                generator.set_state(state)
        self._before, self._drawn = self._states(), 0
        for _ in range(mark.drawn if mark is not None else 0):
            self.draw()

    def _states(self) -> tuple[Tensor, ...]:
        return tuple(generator.get_state() for generator in self._generators)

    def mark(self) -> NoiseMark:
        """Where it stands now."""
        return NoiseMark(self._before, self._drawn, self.seed)

    def draw(self) -> Tensor:
        """`[B, K, V]`, strictly positive."""
        noise = next(self._ready, None)
        if noise is None:
            self._before, self._drawn = self._states(), 0
            self._ready = iter(self._block())
            noise = next(self._ready)
        self._drawn += 1
        return noise

    def _block(self) -> Tensor:
        """`[steps_at_once, B, K, V]` on the device.

        Each step of each item is one call of its generator: where torch draws with MKL, a longer
        call gives other numbers.
        """
        on_gpu = self._device.type == "cuda"
        block = torch.empty(
            self._shape, pin_memory=on_gpu
        )  # pinned: the copy then needs no waiting
        for step in block:
            for row, generator in zip(step, self._generators, strict=True):
                row.exponential_(generator=generator)
        return block.clamp_min_(torch.finfo(torch.float32).tiny).to(
            self._device, non_blocking=on_gpu
        )


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
