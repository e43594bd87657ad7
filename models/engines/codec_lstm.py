"""The codec's LSTM for everybody: what streams of several threads ask for at the same time is read
together.

It is read frame by frame, each time with all its weights, so one frame of four streams costs little
more than one of one stream. A row's result is the same alone and in company, to the last bit. With
int8 weights (a scale for each output) memory gives a quarter; what they are multiplied with becomes
two rows of 8 bits, of which the second has what the first leaves over. Needs Numba, and so is
imported only where the fast CPU engine was chosen.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import machine_code
from .numba_job import LSTM_JOB, operand_room
from .numba_packed import in_tiles, quantised
from .numba_sizes import LANES, TILE
from .numba_threads import Threads, addresses, job_of, thread_count

State = tuple[Tensor, Tensor]


class SharedLstm:
    """As an `nn.LSTM` of one direction as wide as its input, whose weights it copies when it is
    first called; for any number of threads.
    """

    def __init__(self, lstm: nn.LSTM, precision: str):
        self._module, self._is_int8 = lstm, precision != "fp32"
        self._at_work = threading.Lock()  # held by who computes
        self._meeting = threading.Lock()  # guards what follows
        self._waiting: list[_Wish] = []

    def __call__(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """`[T, N, width]` → the same shape, and the state, `[layers, N, width]` twice."""
        if state is None:
            zeros = x.new_zeros(self._module.num_layers, *x.shape[1:])
            state = zeros, zeros
        wish = _Wish(x, state)
        with self._meeting:
            self._waiting.append(wish)
        with self._at_work:
            if not wish.is_done:
                self._compute()
        return wish.outcome()

    def _compute(self) -> None:
        """For all who wait by now."""
        with self._meeting:
            wishes, self._waiting = self._waiting, []
        for alike in _of_one_length(wishes):
            try:
                self._read(alike)
            except BaseException as error:  # not handled: handed to all who were read together
                for wish in alike:
                    wish.error = error

    def _read(self, wishes: Sequence[_Wish]) -> None:
        x = torch.cat([wish.x for wish in wishes], dim=1).contiguous()
        h, c = (torch.cat(parts, dim=1) for parts in zip(*(w.state for w in wishes), strict=True))
        said, c = self._step(x, h, c.contiguous())
        rows = [wish.x.shape[1] for wish in wishes]
        parts = zip(said.split(rows, dim=2), c.split(rows, dim=1), strict=True)
        for wish, (own, own_c) in zip(wishes, parts, strict=True):
            wish.said = own[-1, 1:], (own[:, -1], own_c)

    @functools.cached_property
    def _weights(self) -> _Weights:
        return _Weights.of(self._module, self._is_int8)

    @functools.cached_property
    def threads(self) -> Threads:
        return Threads(thread_count(self._module.hidden_size // LANES))

    @functools.cached_property
    def _function(self) -> machine_code.Function:
        return machine_code.obtain().lstm

    def _own_bytes(self, rows: int) -> int:
        """Of a thread: two rows in 8 bits for each, and a tile's outputs for three."""
        bits = operand_room(2 * rows, self._module.hidden_size) if self._is_int8 else 0
        return bits + 12 * TILE * rows

    def _step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """All that layers say, `[layers, T + 1, N, width]` with `h` in front, and their states."""
        steps, rows, width = x.shape
        said = torch.empty(len(h), steps + 1, rows, width)
        said[:, 0] = h
        c = c.clone()
        gates = np.empty(steps * rows * 4 * width, np.float32)
        tensors = {"x": x, "h": said, "c": c}
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        arrays |= {"gates": gates, **self._weights.tables}
        job = job_of(
            LSTM_JOB, int8=self._is_int8, layers=len(h), steps=steps, rows=rows,
            width=width, **dict(addresses(**arrays)),
        )  # fmt: skip
        phases, held = len(h) * (steps + 1), [*arrays.values(), self._weights]
        products, own_bytes = len(h) * steps * rows * 8 * width**2, self._own_bytes(steps * rows)
        self.threads.run(self._function, job, phases, own_bytes, products, held)
        return said, c


@dataclass
class _Wish:
    """Frames that somebody waits for."""

    x: Tensor
    state: State
    said: tuple[Tensor, State] | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.said is not None or self.error is not None

    def outcome(self) -> tuple[Tensor, State]:
        if self.error is not None:
            raise self.error
        assert self.said is not None, "it is done"
        return self.said


def _of_one_length(wishes: Sequence[_Wish]) -> Iterator[list[_Wish]]:
    by_length: dict[int, list[_Wish]] = {}
    for wish in wishes:
        by_length.setdefault(len(wish.x), []).append(wish)
    yield from by_length.values()


@dataclass(frozen=True)
class _Weights:
    tables: dict[str, np.ndarray]
    """by the names of numba_job.LSTM_JOB; addresses are int64"""
    held: list[Tensor]
    """addresses keep nothing alive"""

    @classmethod
    def of(cls, lstm: nn.LSTM, is_int8: bool) -> _Weights:
        held, weights, scales, biases = [], [], [], []
        for by_input, by_past, *layer_biases in lstm.all_weights:
            for matrix in (by_input.detach().float(), by_past.detach().float()):
                scale = matrix.new_ones(len(matrix))
                if is_int8:
                    matrix, scale = quantised(matrix)
                    tiles = in_tiles(_by_units(matrix).flatten(0, 2))
                else:
                    tiles = _by_units(matrix).permute(0, 3, 1, 2).contiguous()
                held += [tiles, _by_units(scale[:, None]).contiguous()]
                weights.append(held[-2].data_ptr())
                scales.append(held[-1].data_ptr())
            bias = torch.stack([one.detach().float() for one in layer_biases]).sum(0)
            biases.append(_by_units(bias[:, None]).contiguous())
        tables = {
            "weights": np.array(weights),
            "scales": np.array(scales),
            "biases": torch.stack(biases).numpy(),
        }
        return cls(tables, held)


def _by_units(matrix: Tensor) -> Tensor:
    """`[4 · width, I]`, gate after gate → `[width / 16, 4, 16, I]`."""
    return matrix.unflatten(0, (4, -1, LANES)).transpose(0, 1)
