"""A run of the decoder's convolutions in one call of machine code, for a stream that is under way.

In the midst of a stream each convolution keeps as many inputs as it did before, and for each new
one gives as many outputs. So where everything lies can be said once for a number of frames: each
convolution writes what it says behind the inputs that the next one has kept. The same numbers as
layer by layer (`codec_stream`), without Python in between, which several streams would take from
each other at every operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..codec_instead import Stateful, Steady
from .machine_code import Function
from .numba_job import CHAIN_JOB, CHAIN_PHASES
from .numba_sizes import LANES
from .numba_threads import Threads, addresses, job_of


@dataclass(frozen=True)
class ChainLink:
    """A convolution, and what is added to what it says."""

    steady: Steady
    beside: int | None
    """the link whose inputs are, so many of them late"""
    late: int = 0


def links_of(layers: Sequence[Stateful]) -> list[ChainLink]:
    """None at all, if there is one that a chain cannot have."""
    links: list[ChainLink] = []
    for layer in layers:
        first, each = len(links), layer.steady()
        if not each:
            return []
        links += [ChainLink(one, None) for one in each]
        if layer.is_added:
            late = sum(one.late for one in each)
            assert late <= each[0].kept, "what is added lies within what is kept"
            links[-1] = ChainLink(each[-1], first, late)
    return links


class Chain:
    """Links whose weights are ready; for any number of threads and streams."""

    def __init__(self, links: Sequence[ChainLink], function: Function, threads: Threads):
        self._links, self._function, self._threads = links, function, threads
        sizes = [link.steady.kept * link.steady.inputs for link in links]
        self._offsets = np.cumsum([0, *sizes]).tolist()
        self._rooms: list[_Room] = []
        """that nobody is using"""

    def state_of(self, held: Sequence[Tensor]) -> np.ndarray:
        """`[N, floats]`, from what each convolution has kept, `[N, kept, inputs]`."""
        return np.concatenate([one.flatten(1).numpy() for one in held], axis=1)

    def held_in(self, state: np.ndarray) -> list[Tensor]:
        """The same from there."""
        parts = zip(self._links, self._offsets[:-1], self._offsets[1:], strict=True)
        return [
            torch.from_numpy(state[:, begin:end]).unflatten(1, (-1, link.steady.inputs))
            for link, begin, end in parts
        ]

    def push(self, x: Tensor, state: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """`[N, T, inputs]` → `[N, T · times, outputs]`, and the state for the next call."""
        room, after = self._room(x.shape[1]), np.empty_like(state)
        pushed = [
            self._pushed(room, own, before, behind)
            for own, before, behind in zip(x, state, after, strict=True)
        ]
        self._rooms.append(room)  # not where it was broken off: a thread may still be at work in it
        return torch.stack(pushed) if len(pushed) > 1 else pushed[0].unsqueeze(0), after

    def _room(self, count: int) -> _Room:
        while self._rooms:
            room = self._rooms.pop()
            if room.most >= count:
                return room
        return _Room(self._links, self._offsets, count)

    def _pushed(self, room: _Room, x: Tensor, state: np.ndarray, after: np.ndarray) -> Tensor:
        """One item. Whoever has a room has it alone."""
        laid_out = room.laid_out(len(x))
        room.first(len(x))[:] = x.numpy()
        out = np.empty(laid_out.room, np.float32)
        laid_out.convolutions["out"][-1] = out.ctypes.data
        job = job_of(
            CHAIN_JOB,
            count=len(self._links),
            **dict(addresses(state=state, next_state=after, **laid_out.tables)),
        )
        phases, held = 2 + CHAIN_PHASES * len(self._links), [x, state, after, out, room]
        self._threads.run(self._function, job, phases, 4 * LANES, laid_out.products, held)
        last = self._links[-1].steady
        return torch.from_numpy(out[: laid_out.count]).unflatten(0, (-1, last.outputs))


@dataclass(frozen=True)
class _LaidOut:
    """Where everything lies for a number of inputs."""

    convolutions: np.ndarray
    tables: dict[str, np.ndarray]
    """by the names of numba_job.CHAIN_JOB"""
    products: int
    room: int
    """floats that the last convolution writes"""
    count: int
    """of which so many are what it says"""


class _Room:
    """Memory for the inputs of each convolution, for up to `most` of the first one."""

    def __init__(self, links: Sequence[ChainLink], offsets: Sequence[int], most: int):
        self.most, self._links, self._offsets = most, links, offsets
        sizes, heard, scales, said = [], 0, 0, 0
        for link, count in zip(links, _counts(links, most), strict=True):
            one = link.steady
            sizes.append(one.kept * one.inputs + max(said, count * one.inputs))
            shape = one.convolved.shape(one.kept - one.read + count)
            said = shape.rows * one.convolved.packed.outputs
            heard, scales = max(heard, shape.heard_bytes), max(scales, shape.scales)
        self._inputs = [np.zeros(size, np.float32) for size in sizes]
        self._heard, self._scales = np.empty(heard, np.uint8), np.empty(scales, np.float32)
        self._known: dict[int, _LaidOut] = {}

    def first(self, count: int) -> np.ndarray:
        """Where so many inputs of the first one go, `[count, inputs]`."""
        one = self._links[0].steady
        begin = one.kept * one.inputs
        return self._inputs[0][begin : begin + count * one.inputs].reshape(count, one.inputs)

    def laid_out(self, count: int) -> _LaidOut:
        if count not in self._known:
            self._known[count] = self._lay_out(count)
        return self._known[count]

    def _lay_out(self, first: int) -> _LaidOut:
        at = [one.ctypes.data for one in self._inputs]
        ends = [*at[1:], 0]
        convolutions, beside, held, products, room = [], [], [], 0, 0
        counts = _counts(self._links, first)
        for i, (link, count) in enumerate(zip(self._links, counts, strict=True)):
            one, line = link.steady, 4 * link.steady.inputs
            after = self._links[i + 1].steady if i + 1 < len(at) else None
            out = ends[i] + (4 * after.kept * after.inputs if after else 0)
            x = torch.from_numpy(self._inputs[i])[one.read * one.inputs :]
            positions = one.kept - one.read + count
            job, made = one.convolved.job(
                x, 1, positions, heard=self._heard, heard_scales=self._scales
            )
            job["out"], room = out, job["rows"][0] * job["outputs"][0]
            convolutions.append(job)
            products += made
            held.append((self._offsets[i], at[i], one.kept * one.inputs, at[i] + line * count))
            beside.append((0, 0, 0))
            if link.beside is not None:
                other = self._links[link.beside].steady
                source = at[link.beside] + 4 * (other.kept - link.late) * other.inputs
                beside[-1] = source, out, count * one.times * one.outputs
        jobs = np.concatenate(convolutions)
        tables = {"convolutions": jobs, "beside": np.array(beside), "held": np.array(held)}
        last = self._links[-1].steady
        return _LaidOut(jobs, tables, products, int(room), counts[-1] * last.times * last.outputs)


def _counts(links: Sequence[ChainLink], first: int) -> list[int]:
    """How many new inputs each has."""
    counts = [first]
    for link in links[:-1]:
        counts.append(counts[-1] * link.steady.times)
    return counts
