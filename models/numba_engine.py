"""The fast CPU engine: the LM compiled by Numba for the processor at hand, exact in float32 or with int8 weights.

Optional (`pip install musicgraph[cpu]`), and so imported only where it was chosen: see nodes/engines.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .conditioning import Memory
from .config import LMConfig
from .lm import sinusoids
from .numba_step import JOB, LINE_BYTES, PHASES, operand_room, read_text, scratch_room, step
from .numba_vectors import TILE
from .numba_weights import Float32Matrices, Int8Matrices, OnProgress, Parameters

log = logging.getLogger("musicgraph")

NOTEWORTHY_S = 2


class Threads:
    """Runs a compiled function in several threads at once, one call of it at a time."""

    def __init__(self, count: int):
        self._count = count
        self._pool = ThreadPoolExecutor(count - 1, "musicgraph") if count > 1 else None
        self._lock = threading.Lock()

    def run(self, function, job: np.ndarray, phases: int, arrays: Iterable[np.ndarray]) -> None:
        """`function(job, number of the thread)` in each. Adds what they need: counters for `phases`, and own memory.

        `arrays` are those whose addresses the job has: kept until the last thread has left, even if Ctrl-C ends the waiting.
        """
        rows, width, head_size, room, text_room = (
            int(job[name][0]) for name in ("rows", "width", "head_size", "room", "text_room")
        )
        own = (
            scratch_room(rows * int(job["steps"][0]), width, head_size, max(room, text_room))
            // 128
            * 128
        )
        counters = np.zeros(phases * (self._count + 1) * LINE_BYTES, np.uint8)
        scratch = np.empty(self._count * own, np.uint8)
        for name, value in (
            ("threads", self._count),
            ("scratch_bytes", own),
            *_addresses(counters=counters, scratch=scratch),
        ):
            job[name] = value
        held = counters, scratch, *arrays
        with self._lock:
            others = [
                self._pool.submit(_run, function, job, me, held) for me in range(1, self._count)
            ]
            function(job, 0)
            wait(others)


def _run(function, job: np.ndarray, me: int, held: tuple[np.ndarray, ...]) -> None:
    function(job, me)


def _addresses(**arrays: np.ndarray) -> list[tuple[str, int]]:
    return [(name, array.ctypes.data) for name, array in arrays.items()]


def _job(**values: int) -> np.ndarray:
    job = np.zeros(1, JOB)
    for name, value in values.items():
        job[name] = value
    return job


class NumbaEngine:
    """Any number of sessions share the weights, which stay where the checkpoint's file is mapped."""

    name = "numba"
    device = torch.device("cpu")

    def __init__(
        self, checkpoint: Checkpoint, precision: str, on_progress: OnProgress = lambda *_: None
    ):
        """`precision`: "fp32" or "int8", for which `on_progress(done, total)` counts tensors."""
        self.config, self.precision = checkpoint.lm, precision
        self.parameters = Parameters(
            checkpoint,
            Float32Matrices
            if precision == "fp32"
            else partial(Int8Matrices, on_progress=on_progress),
        )
        # more threads than heads would find nothing to do in half of the phases
        self.threads = Threads(min(torch.get_num_threads(), self.config.num_heads))
        self._compile()

    def _compile(self) -> None:
        """One step of nothing, so that no music has to wait for Numba, which is quick from its cache on disk."""
        started = time.perf_counter()
        silence = Memory(
            torch.zeros(1, 1, self.config.text_size),
            torch.ones(1, 1, dtype=torch.bool),
            rows=1,
            items=1,
        )
        step = torch.full((1, self.config.num_codebooks, 1), self.config.special_token)
        self.prepare(silence, max_steps=1).step(step)
        if (took := time.perf_counter() - started) > NOTEWORTHY_S:
            log.info(
                "compiled for this processor and read in %.0f s; what is compiled is kept", took
            )

    def prepare(self, memory: Memory, max_steps: int) -> NumbaSession:
        return NumbaSession(self, self._text(memory), memory.rows, max_steps)

    def facts(self) -> dict[str, int]:
        """The part of a job that is the same for all."""
        config = self.config
        return {
            "int8": self.precision == "int8",
            "layers": config.num_layers,
            "width": config.hidden_size,
            "heads": config.num_heads,
            "head_size": config.head_size,
            "ffn_size": config.ffn_size,
            "codebooks": config.num_codebooks,
            "codebook_size": config.codebook_size,
            **dict(_addresses(**self.parameters.tables)),
        }

    def _text(self, memory: Memory) -> dict[str, np.ndarray]:
        """Cross-attention's keys and values `[layers, C, H, L, head_size]` for the C rows that hear text, and where it is."""
        config, (C, L) = self.config, memory.mask.shape
        heard = memory.mask | ~memory.mask.any(dim=1, keepdim=True)
        keys, values = _lines(config, C, L, np.float32)
        text = {"text_keys": keys, "text_values": values, "text_heard": heard.cpu().numpy()}
        if C:
            states = self.parameters.projected(
                memory.states.float().cpu()
            ) * memory.mask.cpu().unsqueeze(-1)
            x = states.flatten(0, 1).contiguous().numpy()
            job = _job(
                **self.facts(),
                rows=C,
                steps=L,
                **_text_facts(text),
                **dict(_addresses(x=x, **text)),
            )
            self.threads.run(read_text, job, 1, [x, *text.values()])
        return text


class NumbaSession:
    def __init__(self, engine: NumbaEngine, text: dict[str, np.ndarray], rows: int, max_steps: int):
        self._engine, self._rows, self._length = engine, rows, 0
        self._places = sinusoids(max_steps, engine.config.hidden_size)
        self._held = text | _past(
            engine.config, rows, max_steps, np.int8 if engine.precision == "int8" else np.float32
        )
        room = self._held["key_scales"].shape[-1]
        addresses = dict(_addresses(**self._held))
        self._job = _job(**engine.facts(), rows=rows, room=room, **_text_facts(text), **addresses)

    def step(self, tokens: Tensor) -> Tensor:
        begin, end = self._length, self._length + tokens.shape[-1]
        assert end <= len(self._places), (end, len(self._places))
        self._length = end
        config, N = self._engine.config, self._rows * (end - begin)
        x = (
            (self._engine.parameters.embedded(tokens) + self._places[begin:end])
            .contiguous()
            .numpy()
        )
        logits = np.empty((self._rows, config.num_codebooks, config.codebook_size), np.float32)
        heard, hidden = (
            np.empty(x.shape, np.float32),
            np.empty(operand_room(N, config.ffn_size), np.uint8),
        )
        for name, value in _addresses(x=x, heard=heard, hidden=hidden, logits=logits):
            self._job[name] = value
        self._job["begin"], self._job["steps"] = begin, end - begin
        arrays = [x, heard, hidden, logits, *self._held.values()]
        self._engine.threads.run(step, self._job, PHASES * config.num_layers + 1, arrays)
        return torch.from_numpy(logits)


def _text_facts(text: dict[str, np.ndarray]) -> dict[str, int]:
    C, L = text["text_heard"].shape
    return {"hearing": C, "text_length": L, "text_room": text["text_values"].shape[3]}


def _past(config: LMConfig, rows: int, max_steps: int, kind: type) -> dict[str, np.ndarray]:
    """Room for what steps look back on; memory that none has reached costs nothing."""
    keys, values = _lines(config, rows, max_steps, kind)
    key_scales, value_scales = (np.zeros(values.shape[:-1], np.float32) for _ in range(2))
    return {"keys": keys, "key_scales": key_scales, "values": values, "value_scales": value_scales}


def _lines(
    config: LMConfig, rows: int, positions: int, kind: type
) -> tuple[np.ndarray, np.ndarray]:
    """Keys `[layers, rows, H, tiles, head_size, TILE]` and values `[layers, rows, H, tiles · TILE, head_size]`."""
    tiles = -(-positions // TILE)
    lines = (config.num_layers, rows, config.num_heads)
    keys = np.zeros((*lines, tiles, config.head_size, TILE), kind)
    return keys, np.zeros((*lines, tiles * TILE, config.head_size), kind)
