"""The codec's convolutions in machine code, those that its decoder has.

What lies under an output is one piece of memory, so a convolution is a product of matrices of which
nothing is copied first. A convolution of few outputs becomes one of several positions' outputs at
once, with zeros for what lies under the others. A row's result does not depend on how many there
are, to the last bit. What is less than fp32 is multiplied in 16 bits, with whole sums: inputs are
rounded in groups of a position's channels, and weights have as many steps, a scale for each output,
as keep the largest sum of a group within 32 bits. Needs Numba, as codec_lstm.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ..codec_instead import Instead, Stateful
from ..config import CodecConfig
from ..encodec import Codec
from . import machine_code
from .codec_chain import Chain, links_of
from .codec_lstm import SharedLstm
from .numba_job import CONV_JOB
from .numba_sizes import GROUP, LANES, TILE
from .numba_threads import Threads, addresses, job_of, thread_count
from .turns import CORES

STEPS = 8191
"""on either side of 0, of inputs in 16 bits; as numba_windows has it"""
MOST_WEIGHT = 32767
MOST_THREADS = 16
MOST_SUM = (2**31 - 1) // STEPS
"""of a group's weights, in steps"""


def compile_decoder(codec: Codec, precision: str) -> None:
    """Has all streams that decode with this codec share an LSTM and convolutions in machine code:
    exact for fp32; for what is less in 8 and 16 bits. What does not fit stays torch's.
    """
    lstm = codec.decoder_lstm
    shared = lstm is not None and lstm.hidden_size % LANES == 0
    codec.decodes_with = Instead(
        SharedLstm(lstm, precision) if lstm is not None and shared else None,
        Convolutions(precision) if fits(codec.config) else None,
        CORES,
    )


def fits(config: CodecConfig) -> bool:
    """Whether what lies under each output of the decoder is one piece of memory."""
    return config.dilation_growth == 1 or config.num_residual_layers == 1


class Convolutions:
    """Of one codec, for any number of threads."""

    def __init__(self, precision: str):
        self._is_int16 = precision != "fp32"
        self._known: WeakKeyDictionary[nn.Module, _Packed] = WeakKeyDictionary()
        self._chain: Chain | None = None

    @functools.cached_property
    def threads(self) -> Threads:
        return Threads(thread_count(MOST_THREADS))

    @functools.cached_property
    def function(self) -> machine_code.Function:
        return machine_code.obtain().convolve

    @functools.cached_property
    def _all(self) -> machine_code.Function:
        return machine_code.obtain().convolve_all

    def windows(
        self,
        module: nn.Module,
        matrix: Callable[[], Tensor],
        bias: Tensor,
        channels: int,
        elu: bool,
    ) -> Windows:
        """See codec_instead.Compiled."""
        packed = self._known.get(module)
        if packed is None:
            weights, bias = (one.detach().float() for one in (matrix(), bias))
            packed = _Packed.of(weights, bias, channels, self._group_of(channels))
            self._known[module] = packed
        return Windows(self, packed, channels, elu)

    def chain(self, layers: Sequence[Stateful]) -> Chain | None:
        """See codec_instead.Compiled; the same for all streams of the codec."""
        if self._chain is None:
            found = links_of(layers)
            self._chain = Chain(found, self._all, self.threads) if found else None
        return self._chain

    def _group_of(self, channels: int) -> int:
        """Inputs that are rounded together; 0 where none are."""
        sizes = (GROUP, GROUP // 2) if self._is_int16 else ()
        return next((size for size in sizes if channels % size == 0), 0)


class Shape(NamedTuple):
    """Of what is computed for a number of positions."""

    count: int
    """of outputs"""
    rows: int
    room: int
    """positions that are heard, silence behind them included"""
    heard_bytes: int
    scales: int


@dataclass(frozen=True)
class Windows:
    """A convolution, with ELU before it or without."""

    convolutions: Convolutions
    packed: _Packed
    channels: int
    elu: bool

    def __call__(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        pieces, positions, _ = x.shape
        shape, packed = self.shape(positions), self.packed
        out = torch.empty(pieces, shape.rows * packed.folded, packed.outputs // packed.folded)
        heard = np.empty(pieces * shape.heard_bytes, np.uint8)
        scales = np.empty(pieces * shape.scales, np.float32)
        arrays = {"heard": heard, "heard_scales": scales, "out": out.numpy()}
        job, products = self.job(x, pieces, positions, **arrays)
        held = [*arrays.values(), x, packed]
        of_all = self.convolutions
        of_all.threads.run(of_all.function, job, 2, 4 * LANES, products, held)
        return out[:, : shape.count]

    def shape(self, positions: int) -> Shape:
        packed, channels = self.packed, self.channels
        count = positions - packed.kernel + 1
        rows = -(-count // packed.folded)
        room = (rows - 1) * packed.folded + packed.window
        width = 2 if packed.group else 4
        scales = room * channels // (packed.group or channels)
        return Shape(count, rows, room, room * channels * width, scales)

    def job(
        self, x: Tensor, pieces: int, positions: int, **arrays: np.ndarray
    ) -> tuple[np.ndarray, int]:
        """A CONV_JOB for so many positions that begin at `x`, and its products; `arrays` by its
        names.
        """
        packed, channels, shape = self.packed, self.channels, self.shape(positions)
        job = job_of(
            CONV_JOB, int16=bool(packed.group), elu=self.elu, pieces=pieces, positions=positions,
            room=shape.room, channels=channels, group=packed.group, rows=shape.rows,
            step=packed.folded, window=packed.window, outputs=packed.outputs,
            **dict(addresses(x=x.numpy(), **arrays, **packed.tables)),
        )  # fmt: skip
        return job, pieces * shape.rows * packed.window * channels * packed.outputs


@dataclass(frozen=True)
class _Packed:
    """A convolution's weights as numba_windows reads them."""

    kernel: int
    folded: int
    """positions whose outputs a row has"""
    outputs: int
    """of a row"""
    group: int
    """inputs that are rounded together; 0 for float32"""
    tables: dict[str, np.ndarray]
    """by the names of numba_job.CONV_JOB"""

    @property
    def window(self) -> int:
        """Positions under a row."""
        return self.kernel + self.folded - 1

    @classmethod
    def of(cls, matrix: Tensor, bias: Tensor, channels: int, group: int) -> _Packed:
        kernel, folded = matrix.shape[1] // channels, TILE // math.gcd(TILE, len(matrix))
        matrix, scale = rounded(matrix, group) if group else (matrix, bias.new_ones(len(bias)))
        rows = _folded(matrix, folded, channels)
        weights = rows.unflatten(0, (-1, TILE)).transpose(1, 2)  # [tiles, inputs, TILE]
        if group:
            weights = weights.unflatten(1, (-1, 2)).transpose(2, 3).to(torch.int16)
        tables = {
            "weights": weights.contiguous().numpy(),
            "scales": scale.repeat(folded).numpy(),
            "bias": bias.repeat(folded).numpy(),
        }
        return cls(kernel, folded, len(rows), group, tables)


def rounded(matrix: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """`[out, in]` → whole numbers, still as float32, and scales `[out]`."""
    size = matrix.abs()
    most = size.amax(dim=1) / MOST_WEIGHT
    sums = size.unflatten(1, (-1, group)).sum(2).amax(dim=1) / (MOST_SUM - group)
    scale = torch.maximum(most, sums).clamp_min(torch.finfo(torch.float32).tiny)
    return (matrix / scale.unsqueeze(1)).round_(), scale


def _folded(matrix: Tensor, count: int, channels: int) -> Tensor:
    """`[out, kernel · channels]` → `[count · out, (kernel + count - 1) · channels]`: the same at
    one position after the other.
    """
    outputs, inputs = matrix.shape
    rows = matrix.new_zeros(count, outputs, inputs + (count - 1) * channels)
    for position in range(count):
        rows[position, :, position * channels :][:, :inputs] = matrix
    return rows.flatten(0, 1)
