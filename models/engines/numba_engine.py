"""The fast CPU engine: the LM compiled by Numba for the processor at hand, exact in float32 or with
weights in 8 or 4 bits.

Optional (`pip install musicgraph[cpu]`), and so imported only where it was chosen: see choose.py.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..conditioning import Conditioning
from ..config import LMConfig, Sampling
from ..lm import sinusoids
from ..weights.contract import Weights
from . import machine_code
from .calibration import moments, own_music
from .drawing import BranchWeights, NoiseSource, States
from .numba_job import (
    CACHE,
    DRAW_JOB,
    JOB,
    LEFT,
    NOISE_JOB,
    PHASES,
    ROOM,
    TEXT_ROOM,
    operand_room,
    scratch_room,
)
from .numba_packed import Moments, OnProgress, packed_tensors
from .numba_sizes import TEXT_TILE, TILE
from .numba_threads import Threads, addresses, job_of, thread_count
from .numba_weights import Float32Matrices, Matrices, PackedMatrices, Parameters
from .reused import Reused
from .session import PREFIX_STEPS, Admitting, Heard, Session, drained
from .slots import Slots

log = logging.getLogger("musicgraph")

NOTEWORTHY_S = 2
BITS = {
    "fp32": {"bits": 32, "head_bits": 32, "past_bits": 32},
    "int8": {"bits": 8, "head_bits": 8, "past_bits": 8},
    "int4": {"bits": 4, "head_bits": 8, "past_bits": 8},
}
MOST_PLANS = 64
"""that a session keeps: in company who takes part changes"""


def _job(**values: int) -> np.ndarray:
    return job_of(JOB, **values)


def _own_bytes(job: np.ndarray) -> int:
    """Memory that each thread needs for itself."""
    names = ("positions", "width", "head_size", "room", "text_room")
    positions, width, head_size, *rooms = (int(job[name][0]) for name in names)
    return scratch_room(positions, width, head_size, max(rooms)) // 128 * 128


def _matrices(weights: Weights, precision: str, on_progress: OnProgress) -> Matrices:
    if precision == "fp32":
        return Float32Matrices(weights)

    def by_layer() -> Iterator[Moments]:
        engine, music = NumbaEngine(weights, "int8", on_progress), []
        for step in own_music(engine):
            on_progress(0, 1)  # a stop is heard
            music.append(step)
        return moments(weights, engine.parameters, torch.cat(music, dim=2))

    wanted = by_layer if precision == "int4" else None
    return PackedMatrices(packed_tensors(weights, precision, on_progress, wanted))


class NumbaEngine:
    """Any number of sessions share the weights, which stay where their files are mapped."""

    name = "numba"
    reads_exactly = True
    device = torch.device("cpu")

    def __init__(self, weights: Weights, precision: str, on_progress: OnProgress = lambda *_: None):
        """`precision`: "fp32", or "int8" or "int4", for which `on_progress(done, total)` counts
        tensors.
        """
        self.config, self.precision = weights.config.lm, precision
        self.parameters = Parameters(weights, _matrices(weights, precision, on_progress))
        # in half of the phases heads are shared
        self.threads = Threads(thread_count(self.config.num_heads))
        started = time.perf_counter()
        self.code = machine_code.obtain()
        if (took := time.perf_counter() - started) > NOTEWORTHY_S:
            log.info(
                "compiled for this processor and read in %.0f s; what is compiled is kept", took
            )

    def open(self, rows: int = 0, max_steps: int = 0) -> NumbaSession:
        return NumbaSession(self)

    def noise(self, states: States) -> NoiseSource:
        return CompiledNoise(self.code.noise, states)

    def draw(
        self, logits: Tensor, weights: BranchWeights, noise: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        assert logits.is_contiguous() and logits.dtype == torch.float32
        codebooks, size = self.config.num_codebooks, self.config.codebook_size
        tokens = np.empty((len(weights), codebooks), np.int64)
        sums, scratch = np.empty(len(weights), np.float32), np.empty(size + 1, np.float32)
        mix, settings = _mix(weights), _settings(sampling.temperature, sampling.top_p)
        job = job_of(
            DRAW_JOB,
            items=len(weights),
            codebooks=codebooks,
            codebook_size=size,
            top_k=sampling.top_k,
            logits=logits.data_ptr(),
            rows=mix.rows.ctypes.data,
            weights=mix.weights.ctypes.data,
            ends=mix.ends.ctypes.data,
            settings=settings.ctypes.data,
            noise=0 if noise is None else noise.data_ptr(),
            **dict(addresses(tokens=tokens, sums=sums, scratch=scratch)),
        )
        self.code.draw(job.ctypes.data, 0)
        return torch.from_numpy(tokens), torch.from_numpy(sums)

    def facts(self) -> dict[str, int]:
        """The part of a job that is the same for all."""
        config = self.config
        return {
            **BITS[self.precision],
            "layers": config.num_layers,
            "width": config.hidden_size,
            "heads": config.num_heads,
            "head_size": config.head_size,
            "ffn_size": config.ffn_size,
            "codebooks": config.num_codebooks,
            "codebook_size": config.codebook_size,
            **dict(addresses(**self.parameters.tables)),
        }

    def read_text(self, conditioning: Conditioning | None) -> TextKV | None:
        """Cross-attention's keys and values of one item's text; None of nothing."""
        if conditioning is None or not self.config.cross_attention:
            return None
        mask = conditioning.mask.cpu()
        length = mask.shape[1]
        keys, values = _lines(self.config, length, np.float32, TEXT_TILE)
        text = TextKV(keys, values, mask[0].numpy())
        states = self.parameters.projected(conditioning.states.float().cpu()) * mask.unsqueeze(-1)
        x = states[0].contiguous().numpy()
        arrays = {"text": x, "text_keys": keys, "text_values": values}
        job = _job(
            **self.facts(),
            positions=length,
            text_length=length,
            text_room=text.room,
            **dict(addresses(**arrays)),
        )
        products = 2 * self.config.num_layers * length * x.shape[1] * self.config.hidden_size
        self.threads.run(self.code.read_text, job, 1, _own_bytes(job), products, arrays.values())
        return text

    def products(self, positions: int) -> int:
        """Of a step of so many, as products of 8 bits: floats take four times as long."""
        config, width = self.config, self.config.hidden_size
        layer = (6 if config.cross_attention else 4) * width**2 + 2 * width * config.ffn_size
        heads = config.num_codebooks * config.codebook_size * width
        each = config.num_layers * layer + heads
        return positions * each * (4 if self.precision == "fp32" else 1)


class CompiledNoise(NoiseSource):
    """As torch's, to the last bit."""

    def __init__(self, function: machine_code.Function, states: States):
        self._function, self._states = function, states.numpy().copy()
        left = self._states[:, LEFT : LEFT + 4].copy().view(np.int32)
        assert ((left - 1) % 16 == 0).all(), "it is read in vectors of 16 words"
        self._job = job_of(
            NOISE_JOB,
            items=len(states),
            states=self._states.ctypes.data,
            stride=self._states.strides[0],
        )

    def states(self) -> States:
        return torch.from_numpy(self._states.copy())

    def fill(self, noise: Tensor) -> None:
        assert noise.is_contiguous() and noise.dtype == torch.float32
        self._job["count"] = noise.numel() // len(self._states)
        self._job["noise"] = noise.data_ptr()
        self._function(self._job.ctypes.data, 0)


@dataclass(frozen=True)
class _Mix:
    """The branches that count, item by item."""

    rows: np.ndarray  # int64
    weights: np.ndarray  # float32
    ends: np.ndarray
    """of each item: how many are its own and of those before it"""


@functools.lru_cache
def _mix(weights: BranchWeights) -> _Mix:
    used: list[tuple[int, float]] = []
    ends, first = [], 0
    for own in weights:
        used += [(first + i, weight) for i, weight in enumerate(own) if weight != 0]
        ends.append(len(used))
        first += len(own)
    rows, weighing = zip(*used, strict=True)
    return _Mix(np.array(rows, np.int64), np.array(weighing, np.float32), np.array(ends, np.int64))


@functools.lru_cache
def _settings(temperature: float, top_p: float) -> np.ndarray:
    return np.array([temperature, top_p], np.float32)


@dataclass(frozen=True)
class TextKV:
    """Cross-attention's keys `[layers, H, tiles, head_size, TEXT_TILE]` and values `[layers, H,
    room, head_size]`.
    """

    keys: np.ndarray
    values: np.ndarray
    heard: np.ndarray  # bool [L]

    @property
    def room(self) -> int:
        return self.values.shape[2]


class RowKV:
    """Self-attention's keys and values of one row.

    Memory that no step has reached costs nothing.
    """

    def __init__(self, config: LMConfig, max_steps: int, kind: type):
        self.keys, self.values = _lines(config, max_steps, kind, TILE)
        scales = (np.zeros(self.values.shape[:-1], np.float32) for _ in range(2))
        self.key_scales, self.value_scales = scales

    @property
    def room(self) -> int:
        return self.values.shape[2]


@dataclass(frozen=True)
class Plan:
    """What a step of the same slots, listening to the same, has in common with the last one."""

    rows: tuple[int, ...]
    order: list[int]
    """in which they are computed: those that hear text come first"""
    items: Tensor
    """of each row, in that order: which slot it belongs to"""
    back: np.ndarray
    """where each row is then"""
    numbers: np.ndarray
    """0 … R − 1, `[R, 1]`"""
    table: np.ndarray
    """what CACHE lists, in that order"""
    job: np.ndarray
    listening: int


class NumbaSession(Session):
    """Each row has memory of its own, so slots come and go without a copy."""

    def __init__(self, engine: NumbaEngine):
        self._engine, self._slots = engine, Slots()
        self._pasts: dict[int, RowKV] = {}  # by row
        self._texts: dict[int, TextKV | None] = {}
        self._plans: dict[tuple[int, ...], Plan] = {}  # by slots
        self._sinusoids = torch.empty(0, engine.config.hidden_size)
        self._memory = Reused()

    def admit(self, heard: Heard, max_steps: int) -> int:
        return drained(self.admitting(heard, max_steps))

    def admitting(self, heard: Heard, max_steps: int) -> Admitting:
        prefix = self._engine.parameters.read_prefix(heard)
        steps = max_steps + (0 if prefix is None else prefix.shape[1])
        if steps > len(self._sinusoids):
            self._sinusoids = sinusoids(steps, self._engine.config.hidden_size)
        kind = np.float32 if self._engine.precision == "fp32" else np.int8
        slot = self._slots.admit(len(heard))
        try:
            for row in self._slots.rows(slot):
                self._pasts[row] = RowKV(self._engine.config, steps, kind)
            self.listen(slot, heard)
            for piece in () if prefix is None else prefix.split(PREFIX_STEPS, dim=1):
                plan = self._plan((slot,))
                self._read(plan, self._slots.advance([slot], piece.shape[1]), piece[plan.order])
                yield
        except BaseException:  # whoever stopped it does not know its number
            self.leave(slot)
            raise
        return slot

    def listen(self, slot: int, heard: Heard) -> None:
        self._slots.check_same_number(slot, heard)
        self._plans.clear()
        for row, one in zip(self._slots.rows(slot), heard, strict=True):
            self._texts[row] = self._engine.read_text(one)

    def keep(self, slot: int, count: int) -> None:
        self._forget(self._slots.keep(slot, count))

    def leave(self, slot: int) -> None:
        self._forget(self._slots.leave(slot))

    def _forget(self, rows: Sequence[int]) -> None:
        self._plans.clear()
        for row in rows:
            self._pasts.pop(row, None)
            self._texts.pop(row, None)

    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        plan = self._plan(tuple(slots))
        begins = self._slots.advance(slots, tokens.shape[-1])
        return self._read(plan, begins, self._embedded(plan, tokens))

    def _embedded(self, plan: Plan, tokens: Tensor) -> Tensor:
        # brackets would do the same by threads, which take longer to wake up than to work
        return self._engine.parameters.embedded(tokens).index_select(0, plan.items)

    def _plan(self, slots: tuple[int, ...]) -> Plan:
        if slots not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[slots] = self._made_plan(slots)
        return self._plans[slots]

    def _made_plan(self, slots: tuple[int, ...]) -> Plan:
        rows = tuple(row for slot in slots for row in self._slots.rows(slot))
        items = [item for item, slot in enumerate(slots) for _ in self._slots.rows(slot)]
        order = sorted(range(len(rows)), key=lambda i: self._texts[rows[i]] is None)
        table = np.array([self._cache_of(rows[i]) for i in order])
        back = np.argsort(order)
        job = _job(
            **self._engine.facts(),
            rows=len(rows),
            room=int(table[:, ROOM].max()),
            text_room=int(table[:, TEXT_ROOM].max()),
            caches=table.ctypes.data,
        )
        listening = sum(self._texts[row] is not None for row in rows)
        items_in_order = torch.tensor([items[i] for i in order])
        numbers = np.arange(len(rows))[:, None]
        return Plan(rows, order, items_in_order, back, numbers, table, job, listening)

    def _cache_of(self, row: int) -> list[int]:
        """What CACHE lists."""
        past, text = self._pasts[row], self._texts[row]
        values = (past.keys, past.key_scales, past.values, past.value_scales)
        line = [past.room, *(array.ctypes.data for array in values)]
        if text is None:
            return line + [0] * (len(CACHE) - len(line))
        addresses = (array.ctypes.data for array in (text.keys, text.values, text.heard))
        return [*line, len(text.heard), text.room, *addresses]

    def _read(self, plan: Plan, begins: Sequence[int], x: Tensor) -> Tensor:
        """Embedded steps or a prefix `[R, S, d]` in the plan's order, from `begins` on.

        Returns logits `[R, K, V]`.
        """
        config, count, steps = self._engine.config, len(plan.rows), x.shape[1]
        places = np.empty((count, steps, 2), np.int64)
        places[:, :, 0] = plan.numbers
        if len(set(begins)) == 1:
            places[:, :, 1] = range(begins[0], begins[0] + steps)
            x = x + self._sinusoids[begins[0] : begins[0] + steps]
        else:
            first = np.array([begins[i] for i in plan.order])
            places[:, :, 1] = first[:, None] + np.arange(steps)
            read = torch.from_numpy(places[:, :, 1].ravel())
            x = x + self._sinusoids.index_select(0, read).view_as(x)
        x = x.flatten(0, 1).contiguous()
        logits_shape = (count, config.num_codebooks, config.codebook_size)
        arrays = {
            "x": x.numpy(),
            "places": places,
            "last": plan.back * steps + (steps - 1),
            "heard": self._memory.empty(tuple(x.shape), np.float32),
            "hidden": self._memory.empty((operand_room(len(x), config.ffn_size),), np.uint8),
            "logits": self._memory.empty(logits_shape, np.float32),
        }
        job = plan.job.copy()
        job["positions"], job["listening"] = len(x), plan.listening * steps
        for name, value in addresses(**arrays):
            job[name] = value
        held = [*arrays.values(), plan, *self._pasts.values(), *self._texts.values()]
        phases = PHASES * config.num_layers + 1
        engine, own_bytes, products = self._engine, _own_bytes(job), self._engine.products(len(x))
        engine.threads.run(engine.code.step, job, phases, own_bytes, products, held)
        return torch.from_numpy(arrays["logits"])


def _lines(
    config: LMConfig, positions: int, kind: type, tile: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keys `[layers, H, tiles, head_size, tile]`, values `[layers, H, tiles · tile, head_size]`."""
    tiles = -(-positions // tile)
    lines = (config.num_layers, config.num_heads)
    keys = np.zeros((*lines, tiles, config.head_size, tile), kind)
    return keys, np.zeros((*lines, tiles * tile, config.head_size), kind)
