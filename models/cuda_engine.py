"""The GPU engine: a step of the LM recorded once as a CUDA graph, then replayed.

A step has hundreds of small kernels. Launched one by one they leave the GPU waiting for the CPU; a graph launches them
all at once. What is recorded are addresses, so a step may depend on the host for nothing: tokens and position are
read from buffers on the device, logits are left in one, and attention looks at a fixed part of the caches, in which a
mask made from the position hides what is still to come.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .conditioning import Memory
from .config import LMConfig
from .engine import NAMES
from .lm import MusicGenLM, seen_from
from .refused import Refused

SPAN = 256
"""Places of the caches by which the graphs of a session differ.

Looking at the whole window from the start would read twice what is needed. With graphs of 256, 512, 768 … places a step
reads 128 too many on average, and a window of 1500 frames takes six recordings, each some plain steps long. Short music
needs only the first. Powers of two would save one recording and read more.
"""
ALIGNED = 16
"""Masks whose rows are a multiple of this long are used as they are; others every layer would copy into such."""
WARM_UPS = 2
"""Runs before a recording, in which libraries choose kernels and allocate what they need; that cannot be recorded."""

_recording = threading.Lock()  # torch allows one recording at a time in a process


class CudaGraphEngine:
    """For a model on an NVIDIA (or, with ROCm, AMD) GPU, in any float type."""

    name = "cuda graph"

    def __init__(self, lm: MusicGenLM):
        self.lm = lm
        self.config: LMConfig = lm.config

    @property
    def device(self) -> torch.device:
        return self.lm.norm.weight.device

    @property
    def precision(self) -> str:
        return NAMES[self.lm.norm.weight.dtype]

    def prepare(self, memory: Memory, max_steps: int) -> CudaGraphSession:
        if self.device.type != "cuda":
            raise Refused(
                f"cuda graph: got a model on {self.device}, expected a GPU; use TorchEngine there"
            )
        return CudaGraphSession(self.lm, memory, max_steps)


class CudaGraphSession:
    """Owns its buffers and its graph, so sessions can be interleaved on one stream; their memory goes with the session.

    The graph also holds the addresses of the weights. A session is therefore good only until the module moves (ComfyUI
    does that between runs, not in them) and says so if it is used after that. Each run makes its own.
    """

    def __init__(self, lm: MusicGenLM, memory: Memory, max_steps: int):
        self._step = StaticStep(lm, memory, max_steps)
        self._max_steps, self._length = max_steps, 0
        self._recorder = Recorder(self._step.position.device)
        self._replay: Callable[[], None] | None = None
        self._span = 0  # of the graph; none yet

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        begin, end = self._length, self._length + tokens.shape[-1]
        assert end <= self._max_steps, (end, self._max_steps)
        self._step.check_unmoved()
        self._length = end
        if tokens.shape[-1] > 1:
            return self._step.prefill(tokens, begin)
        self._step.tokens.copy_(tokens)
        self._step.position.fill_(begin)
        self._replay_for(rounded_up(end, SPAN))()
        return self._step.logits.clone()  # the buffer is overwritten by the next step

    def _replay_for(self, span: int) -> Callable[[], None]:
        """Positions only grow, so a graph that has become too short is never needed again."""
        if self._replay is None or self._span != span:
            self._replay, self._span = self._recorder.record(lambda: self._step.read(span)), span
        return self._replay


class StaticStep:
    """One step of the LM over buffers that stay where they are. Needs nothing from the host but the span."""

    @torch.inference_mode()
    def __init__(self, lm: MusicGenLM, memory: Memory, max_steps: int):
        config, weight = lm.config, lm.norm.weight
        memory = _aligned(memory)
        caches = lm.allocate(memory.states, memory.mask, memory.rows, rounded_up(max_steps, SPAN))
        if caches.text_mask is not None:
            caches = dataclasses.replace(caches, text_mask=_added(caches.text_mask, weight.dtype))
        self._lm, self._caches, self._weights_at = lm, caches, weight.data_ptr()
        self.tokens = torch.zeros(
            memory.rows, config.num_codebooks, 1, dtype=torch.int64, device=weight.device
        )
        self.position = torch.zeros(1, dtype=torch.int64, device=weight.device)
        shape = (memory.rows, config.num_codebooks, config.codebook_size)
        self.logits = torch.zeros(shape, device=weight.device)

    def read(self, span: int) -> None:
        """Reads `tokens` `[R, K, 1]` at `position` `[1]` < `span`, and leaves the next step's float32 `[R, K, V]` in `logits`.

        Doing it again changes nothing: the same keys and values are put into the same places.
        """
        mask = _added(seen_from(self.position, span), self._lm.norm.weight.dtype)
        self.logits.copy_(
            self._lm(self.tokens, self._caches, self.position, span, mask=mask)[:, :, 0]
        )

    def prefill(self, tokens: Tensor, begin: int) -> Tensor:
        """Reads several steps `[R, K, S]` from `begin` on, without a graph. Returns logits as `read` leaves them."""
        end = begin + tokens.shape[-1]
        positions = torch.arange(begin, end, device=self.position.device)
        return self._lm(tokens, self._caches, positions, span=end)[:, :, 0].float()

    def check_unmoved(self) -> None:
        weight = self._lm.norm.weight
        if weight.data_ptr() != self._weights_at:
            raise RuntimeError(
                f"cuda graph: got a model that has moved (to {weight.device}) since the session was made, expected it "
                "to stay in place until the session ends; prepare a new session"
            )


class Recorder:
    """Records the graphs of one session, one after the other, into the same memory."""

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = _side_stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """`run` must be repeatable: it is run for warming up first. Returns what replays it on the current stream."""
        with _recording, torch.cuda.device(self._device):
            self._warm_up(run)
            graph = torch.cuda.CUDAGraph()
            pool = None if self._graph is None else self._graph.pool()
            # "thread_local": what other threads do with the GPU meanwhile is no business of this recording
            with torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"):
                run()
        self._graph = graph  # the one before is let go only now, since a pool without a graph cannot be used again
        return graph.replay

    def _warm_up(self, run: Callable[[], None]) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(self._stream)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Recording needs another stream than the work; always the same, since cuBLAS keeps a workspace for each for ever."""
    return torch.cuda.Stream(device)


def rounded_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _aligned(memory: Memory) -> Memory:
    """The same with text of a length that is a multiple of `ALIGNED`; what is added is masked."""
    more = rounded_up(memory.mask.shape[1], ALIGNED) - memory.mask.shape[1]
    return dataclasses.replace(
        memory, states=F.pad(memory.states, (0, 0, 0, more)), mask=F.pad(memory.mask, (0, more))
    )


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool mask as what is added to scores, 0 or −∞: made once a step, where a bool one is converted in each layer."""
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, float("-inf"))
