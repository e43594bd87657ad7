"""The noise that tokens are drawn with (`engines/drawing.py`), which belongs to one item.

It comes from a CPU generator per item, so that the same seed gives the same tokens on every device,
whatever the batch around the item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..engines.drawing import NoiseSources, States, TorchNoise

Seeds = int | tuple[int, ...]
"""of a batch: item i has seed + i; or each has its own"""


@dataclass(frozen=True)
class NoiseMark:
    """A place in the noise: its generators as they were before a block of steps, and how many of it
    were drawn.
    """

    states: States
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
        source: NoiseSources = TorchNoise,
    ):
        """
        Args:
            steps_at_once: made together, to go to the device in one copy; the numbers are the same
                whatever it is.
            mark: of another one, with the same seed, that this one goes on from.
            source: whoever makes the numbers, which are the same.
        """
        self.seed = seed
        seeds = tuple(seed + i for i in range(batch)) if isinstance(seed, int) else seed
        assert len(seeds) == batch, (seeds, batch)
        generators = [torch.Generator().manual_seed(one % 2**64) for one in seeds]
        states = torch.stack([generator.get_state() for generator in generators])
        self._source = source(states if mark is None else mark.states)
        self._shape = (steps_at_once, batch, num_codebooks, codebook_size)
        self._device = device
        self._ready: Iterator[Tensor] = iter(())
        self._before, self._drawn = self._source.states(), 0
        for _ in range(mark.drawn if mark is not None else 0):
            self.draw()

    def mark(self) -> NoiseMark:
        """Where it stands now."""
        return NoiseMark(self._before, self._drawn, self.seed)

    def draw(self) -> Tensor:
        """`[B, K, V]`, strictly positive."""
        noise = next(self._ready, None)
        if noise is None:
            self._before, self._drawn = self._source.states(), 0
            self._ready = iter(self._block())
            noise = next(self._ready)
        self._drawn += 1
        return noise

    def _block(self) -> Iterable[Tensor]:
        """`steps_at_once` times `[B, K, V]` on the device.

        Each step of each item is one call of its generator: where torch draws with MKL, a longer
        call gives other numbers.
        """
        if self._device.type == "cpu":
            return [self._step() for _ in range(self._shape[0])]
        on_gpu = self._device.type == "cuda"
        # pinned: the copy then needs no waiting
        block = torch.empty(self._shape, pin_memory=on_gpu)
        for step in block:
            self._source.fill(step)
        return block.to(self._device, non_blocking=on_gpu)

    def _step(self) -> Tensor:
        """By NumPy, which keeps Python meanwhile: others would take it at each operation."""
        step = torch.from_numpy(np.empty(self._shape[1:], np.float32))
        self._source.fill(step)
        return step
