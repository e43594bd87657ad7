"""What a codec's layers are to each other and to what may compute them instead of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor, nn

LstmState = tuple[Tensor, Tensor]
Convolved = Callable[[Tensor], Tensor]


class Recurrent(Protocol):
    """An LSTM: `nn.LSTM`, or what computes the same in another way."""

    def __call__(self, x: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        """`[T, N, width]` → the same shape, and the state, `[layers, N, width]` twice."""
        ...


class Compiled(Protocol):
    """Who computes convolutions, of whose rows each is the same whatever is computed with it."""

    def windows(
        self,
        module: nn.Module,
        matrix: Callable[[], Tensor],
        bias: Tensor,
        channels: int,
        elu: bool,
    ) -> Convolved:
        """The convolution of which `matrix()` is `[out, kernel · channels]`: `[N, time, channels]`
        → `[N, time - kernel + 1, out]`, of what ELU makes of its input if `elu`. What it prepares
        it keeps as long as the module.
        """
        ...

    def chain(self, layers: Sequence[Stateful]) -> Chained | None:
        """All of these layers at once, where it can."""
        ...


class Chained(Protocol):
    """Layers of a stream in its midst, where each keeps as much as before."""

    def state_of(self, held: Sequence[Tensor]) -> np.ndarray:
        """From what each layer has kept."""
        ...

    def held_in(self, state: np.ndarray) -> list[Tensor]:
        """The same from there."""
        ...

    def push(self, x: Tensor, state: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """`[N, time, channels]` → what the last one says, and the state behind it, which is
        another.
        """
        ...


@dataclass(frozen=True)
class Steady:
    """A compiled convolution in the midst of a stream: for each input so many outputs."""

    convolved: Convolved
    inputs: int
    outputs: int
    times: int
    kept: int
    """inputs, before the new ones"""
    read: int
    """from which of those on"""
    late: int
    """by so many its outputs are behind its inputs"""


class Stateful(Protocol):
    is_added = False
    """whether its input is added to what it says"""

    def push(self, x: Tensor, final: bool) -> Tensor:
        """`[N, time, channels]` → what is certain by now; with `final`, the rest."""
        ...

    def steady(self) -> list[Steady]:
        """What it is made of, where that is compiled; else nothing."""
        return []

    def kept(self) -> list[Tensor]:
        """Of each of these, `[N, kept, inputs]`, in the midst of a stream; else nothing."""
        return []

    def keep(self, held: Sequence[Tensor]) -> None:
        """As if it had kept this."""


@dataclass(frozen=True)
class Instead:
    """What computes a decoder where torch does not."""

    lstm: Recurrent | None = None
    convolutions: Compiled | None = None
    turn: AbstractContextManager[None] = field(default_factory=nullcontext)
    """taken by who decodes: more of them than processors would only wait for each other"""

    @property
    def is_exact(self) -> bool:
        """Whether no bit depends on how many frames are decoded at once."""
        return self.lstm is not None and self.convolutions is not None


TORCH = Instead()
"""computes all of them"""
