"""The GPU engine: a step of the LM recorded once as a CUDA graph, then replayed.

A step has hundreds of small kernels. Launched one by one they leave the GPU waiting for the CPU; a
graph launches them all at once. What is recorded are addresses, so a step may depend on the host
for nothing: tokens and position are read from buffers on the device, logits are left in one, and
attention looks at a fixed part of the caches, in which a mask made from the position hides what is
still to come.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import LMConfig, Sampling
from ..lm import KVCache, MusicGenLM, Reading, TextKV, seen_from
from ..precision import NAMES
from ..refused import Refused
from .drawing import BranchWeights, NoiseSource, States, TorchNoise, tokens_from
from .session import PREFIX_STEPS, Admitting, Heard, Session, drained, indexed
from .slots import Slots

SPAN = 256
"""Places of the caches by which the graphs of a session differ.

Looking at the whole window from the start would read twice what is needed. With graphs of 256, 512,
768 … places a step reads 128 too many on average, and a window of 1500 frames takes six recordings,
each some plain steps long. Short music needs only the first. Powers of two would save one recording
and read more.
"""
ALIGNED = 16
"""Masks whose rows are a multiple of this long are used as they are; others every layer would copy
into such.
"""
WARM_UPS = 2
"""Runs before a recording, in which libraries choose kernels and allocate what they need; that
cannot be recorded.
"""

_recording = threading.Lock()  # torch allows one recording at a time in a process


class CudaGraphEngine:
    """For a model on an NVIDIA (or, with ROCm, AMD) GPU, in any float type."""

    name = "cuda graph"
    reads_exactly = False

    def __init__(self, lm: MusicGenLM):
        self.lm = lm
        self.config: LMConfig = lm.config

    @property
    def device(self) -> torch.device:
        return self.lm.norm.weight.device

    @property
    def precision(self) -> str:
        return NAMES[self.lm.norm.weight.dtype]

    def noise(self, states: States) -> NoiseSource:
        return TorchNoise(states)

    def draw(
        self, logits: Tensor, weights: BranchWeights, noise: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        return tokens_from(logits, weights, noise, sampling)

    def open(self, rows: int = 0, max_steps: int = 0) -> CudaGraphSession:
        if self.device.type != "cuda":
            raise Refused(
                "cuda graph",
                got=f"a model on {self.device}",
                expected="a GPU",
                remedy="use TorchEngine there",
            )
        return CudaGraphSession(self.lm, rows, max_steps)


class CudaGraphSession(Session):
    """Owns its buffers and its graphs, so sessions can be interleaved on one stream; their memory
    goes with the session.

    A step computes every row that the session has room for. Rows that are not asked for are parked:
    they write to a place behind all others, where nobody looks.

    The graphs also hold the addresses of the weights. A session is therefore good only until the
    module moves (ComfyUI does that between runs, not in them) and says so if it is used after that.
    Each run makes its own.
    """

    def __init__(self, lm: MusicGenLM, rows: int, max_steps: int):
        self._lm, self._slots = lm, Slots()
        self._step = StaticStep(lm, rows, max_steps)
        self._recorder = Recorder(self._step.positions.device)
        self._replays: dict[int, Callable[[], None]] = {}  # by span
        self._active: tuple[int, ...] = ()

    def admit(self, heard: Heard, max_steps: int) -> int:
        return drained(self.admitting(heard, max_steps))

    @torch.inference_mode()
    def admitting(self, heard: Heard, max_steps: int) -> Admitting:
        prefix = self._lm.read_prefix(heard)
        length = 0 if prefix is None else prefix.shape[1]
        slot = self._slots.admit(len(heard))
        rows = self._slots.rows(slot)
        self._grown(self._step.make_room(max(rows) + 1, length + max_steps))
        self._hear(slot, heard)
        for piece in () if prefix is None else prefix.split(PREFIX_STEPS, dim=1):
            begins = self._slots.advance((slot,), piece.shape[1])
            self._step.prefill(piece, rows, begins[0])
            yield
        return slot

    @torch.inference_mode()
    def listen(self, slot: int, heard: Heard) -> None:
        self._slots.check_same_number(slot, heard)
        self._hear(slot, heard)

    def keep(self, slot: int, count: int) -> None:
        self._slots.keep(slot, count)
        self._active = ()

    def leave(self, slot: int) -> None:
        self._slots.leave(slot)
        self._active = ()

    @torch.inference_mode()
    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        self._step.check_unmoved()
        begins = self._slots.advance(slots, tokens.shape[-1])
        if tokens.shape[-1] > 1:
            return self._prefill(slots, begins, tokens)
        rows = tuple(row for slot in slots for row in self._slots.rows(slot))
        self._place(rows, begins)
        where = indexed(rows, tokens.device)
        self._step.tokens[where] = self._for_each_row(slots, tokens)
        self._replay_for(rounded_up(max(begins) + 1, SPAN))()
        return self._step.logits[where].clone()  # the buffer is overwritten by the next step

    def _prefill(self, slots: Sequence[int], begins: Sequence[int], tokens: Tensor) -> Tensor:
        """Several steps at once, without a graph: slot by slot, since each may be elsewhere."""
        self._active = ()
        logits, at = [], 0
        for slot, piece in zip(slots, tokens, strict=True):
            rows = self._slots.rows(slot)
            x = self._lm.embed(piece.expand(len(rows), -1, -1))
            logits.append(self._step.prefill(x, rows, begins[at]))
            at += len(rows)
        return torch.cat(logits)

    def _for_each_row(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        counts = [len(self._slots.rows(slot)) for slot in slots]
        if len(set(counts)) == 1:
            return tokens.repeat_interleave(counts[0], dim=0)
        items = [item for item, count in enumerate(counts) for _ in range(count)]
        return tokens[torch.tensor(items, device=tokens.device)]

    def _place(self, rows: tuple[int, ...], begins: Sequence[int]) -> None:
        positions = self._step.positions
        if rows != self._active:
            positions.fill_(self._step.parking)
            self._active = rows
        where = indexed(rows, positions.device)
        if len(set(begins)) == 1:
            positions[where] = begins[0]
        else:
            positions[where] = torch.tensor(begins, device=positions.device).unsqueeze(-1)

    def _hear(self, slot: int, heard: Heard) -> None:
        for row, one in zip(self._slots.rows(slot), heard, strict=True):
            self._grown(self._step.hear(row, self._lm.read_text(one)))

    def _grown(self, moved: bool) -> None:
        """What is recorded are addresses: with other buffers it is worth nothing."""
        if moved:
            self._replays.clear()
            self._active = ()

    def _replay_for(self, span: int) -> Callable[[], None]:
        if span not in self._replays:
            self._replays[span] = self._recorder.record(lambda: self._step.read(span))
        return self._replays[span]


class StaticStep:
    """One step of the LM over buffers that stay where they are.

    Needs nothing from the host but the span.
    """

    @torch.inference_mode()
    def __init__(self, lm: MusicGenLM, rows: int, max_steps: int):
        self._lm, self._weights_at = lm, lm.norm.weight.data_ptr()
        self._caches = KVCache(lm.config, lm.norm.weight)
        self._text: TextKV | None = None
        self.parking = 0
        """a position that belongs to no step"""
        self._make_buffers()
        self.make_room(rows, max_steps)

    def _make_buffers(self) -> None:
        config, weight = self._lm.config, self._lm.norm.weight
        rows = self._caches.keys[0].shape[0]
        whole = {"dtype": torch.int64, "device": weight.device}
        self.tokens = torch.zeros(rows, config.num_codebooks, 1, **whole)
        self.positions = torch.full((rows, 1), self.parking, **whole)
        self._row_numbers = torch.arange(rows, **whole).unsqueeze(-1)
        shape = (rows, config.num_codebooks, config.codebook_size)
        self.logits = torch.zeros(shape, device=weight.device)

    def make_room(self, rows: int, max_steps: int) -> bool:
        """Room for so many rows and steps, and for parking. Whether anything had to move for it."""
        before = self._caches.keys[0].shape
        self._caches.make_room(rows, rounded_up(max_steps + 1, SPAN))
        after = self._caches.keys[0].shape
        if before == after:
            return False
        self.parking = after[2] - 1
        self._make_buffers()
        if self._text is not None:
            self._make_text(self._text.mask.shape[-1])
        return True

    def hear(self, row: int, text: TextKV | None) -> bool:
        """What a row listens to from now on. Whether anything had to move for it."""
        room = 0 if self._text is None else self._text.mask.shape[-1]
        length = 0 if text is None else text.mask.shape[-1]
        moved = length > room
        if moved:
            self._make_text(rounded_up(length, ALIGNED))
        if self._text is not None:
            self._put_text(row, text)
        return moved

    def _make_text(self, length: int) -> None:
        """Room for every row's text; what was there stays.

        Zeros that are heard change nothing: that is silence.
        """
        config, old, rows = self._lm.config, self._text, self.tokens.shape[0]
        like = self._lm.norm.weight
        shape = (rows, config.num_heads, length, config.head_size)
        layers = range(config.num_layers)
        keys, values = ([like.new_zeros(shape) for _ in layers] for _ in range(2))
        self._text = TextKV(keys, values, like.new_zeros((rows, 1, 1, length)))
        if old is not None:
            for row in range(len(old.mask)):
                self._put_text(row, _text_of(old, row))

    def _put_text(self, row: int, text: TextKV | None) -> None:
        assert self._text is not None
        for caches in (self._text.keys, self._text.values):
            for cache in caches:
                cache[row].zero_()
        self._text.mask[row].zero_()
        if text is None:
            return
        length = text.mask.shape[-1]
        for ours, theirs in ((self._text.keys, text.keys), (self._text.values, text.values)):
            for cache, new in zip(ours, theirs, strict=True):
                cache[row, :, :length] = new[0]
        mask = (
            _added(text.mask, self._text.mask.dtype) if text.mask.dtype == torch.bool else text.mask
        )
        self._text.mask[row].fill_(float("-inf"))
        self._text.mask[row, :, :, :length] = mask[0]

    def read(self, span: int) -> None:
        """Reads `tokens` `[R, K, 1]` at `positions` `[R, 1]`, of which those < `span` count, and
        leaves float32 `[R, K, V]` of the next step in `logits`.

        Doing it again changes nothing: the same keys and values are put into the same places.
        """
        mask = _added(seen_from(self.positions, span), self._lm.norm.weight.dtype).unsqueeze(1)
        every = slice(0, self.tokens.shape[0])
        listeners = None if self._text is None else every
        reading = Reading(
            every, self.positions, span, mask, self._row_numbers, self._text, listeners
        )
        x = self._lm(self._lm.embed(self.tokens), self._caches, reading)
        self.logits.copy_(self._lm.logits(x)[:, 0])

    def prefill(self, x: Tensor, rows: Sequence[int], begin: int) -> Tensor:
        """Reads embedded steps `[R, S, d]` of a slot from `begin` on, without a graph.

        Logits as `read` leaves them.
        """
        end = begin + x.shape[1]
        positions = torch.arange(begin, end, device=x.device)
        where = indexed(tuple(rows), x.device)
        text = None if self._text is None else _rows_of(self._text, where)
        mask = seen_from(positions, end) if x.shape[1] > 1 else None
        listeners = None if text is None else slice(0, len(rows))
        reading = Reading(where, positions, end, mask, None, text, listeners)
        return self._lm.logits(self._lm(x, self._caches, reading)[:, -1:])[:, 0]

    def check_unmoved(self) -> None:
        weight = self._lm.norm.weight
        if weight.data_ptr() != self._weights_at:
            raise RuntimeError(
                f"cuda graph: got a model that has moved (to {weight.device}) since the session "
                "was made, expected it "
                "to stay in place until the session ends; open a new session"
            )


def _rows_of(text: TextKV, where: slice | Tensor) -> TextKV:
    return TextKV([k[where] for k in text.keys], [v[where] for v in text.values], text.mask[where])


class Recorder:
    """Records the graphs of one session, one after the other, into the same memory."""

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = _side_stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """`run` must be repeatable: it is run for warming up first.

        Returns what replays it on the current stream.
        """
        with _recording, torch.cuda.device(self._device):
            self._warm_up(run)
            graph = torch.cuda.CUDAGraph()
            pool = None if self._graph is None else self._graph.pool()
            # "thread_local": what other threads do with the GPU meanwhile is no business of this
            # recording
            with torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"):
                run()
        # the one before is let go only now: a pool without a graph cannot be used again
        self._graph = graph
        return graph.replay

    def _warm_up(self, run: Callable[[], None]) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(self._stream)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Recording needs another stream than the work; always the same, since cuBLAS keeps a workspace
    for each for ever.
    """
    return torch.cuda.Stream(device)


def rounded_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool mask as what is added to scores, 0 or −∞: made once a step, where a bool one is
    converted in each layer.
    """
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, float("-inf"))


def _text_of(text: TextKV, row: int) -> TextKV:
    """That of one row of several."""
    one = slice(row, row + 1)
    return TextKV(
        [cache[one] for cache in text.keys], [cache[one] for cache in text.values], text.mask[one]
    )
