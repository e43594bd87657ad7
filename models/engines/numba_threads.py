"""Threads that share one call of compiled code, and the record that tells them what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import torch

from .machine_code import Function
from .numba_job import LINE_BYTES
from .processors import own_processors
from .reused import Reused
from .turns import CORES

log = logging.getLogger("musicgraph")

WORTH_SHARING = 40_000_000
"""products of 8 bits, which a thread has nearly done before it has woken another"""


class Threads:
    """Runs a compiled function in several threads at once."""

    def __init__(self, count: int):
        self._count = count
        self._pool = ThreadPoolExecutor(max(1, count - 1), "musicgraph")  # starts none before work
        self._memory = Reused()

    def run(
        self,
        function: Function,
        job: np.ndarray,
        phases: int,
        own_bytes: int,
        products: int,
        arrays: Iterable[object],
    ) -> None:
        """`function` in each, with the job's address and the number of the thread; in this one
        alone where there is little to do: so many `products` of two numbers.

        Adds what they need: counters for `phases`, and `own_bytes` of memory for each.

        `arrays` are those whose addresses the job has: kept until the last thread has left, even if
        Ctrl-C ends the waiting.
        """
        with CORES.some(1 if products < WORTH_SHARING else self._count) as count:
            self._run(function, job, phases, own_bytes, count, arrays)

    def _run(
        self,
        function: Function,
        job: np.ndarray,
        phases: int,
        own_bytes: int,
        count: int,
        arrays: Iterable[object],
    ) -> None:
        counters = np.zeros(phases * (count + 1) * LINE_BYTES, np.uint8)
        scratch = self._memory.empty((count * own_bytes,), np.uint8)
        for name, value in (
            ("threads", count),
            ("scratch_bytes", own_bytes),
            *addresses(counters=counters, scratch=scratch),
        ):
            job[name] = value
        held = job, counters, scratch, *arrays
        address = job.ctypes.data
        others = [self._pool.submit(_run, function, address, me, held) for me in range(1, count)]
        function(address, 0)
        # all is done: who has not woken up by now need not
        woken = [other for other in others if not other.cancel()]
        wait(woken)
        for other in woken:
            other.result()  # raises what it raised


def thread_count(most: int) -> int:
    """More threads than there is to share would find nothing to do; more than processors, no
    time.
    """
    wanted, usable = torch.get_num_threads(), own_processors()
    if usable < wanted:
        log.info(
            "%d threads: this process may use %d processors, not %d",
            min(most, usable),
            usable,
            wanted,
        )
    return min(wanted, usable, most)


def _run(function: Function, job: int, me: int, held: tuple[object, ...]) -> None:
    function(job, me)


def addresses(**arrays: np.ndarray) -> list[tuple[str, int]]:
    return [(name, array.ctypes.data) for name, array in arrays.items()]


def job_of(kind: np.dtype, **values: int) -> np.ndarray:
    """One record; what is not named is 0."""
    job = np.zeros(1, kind)
    for name, value in values.items():
        job[name] = value
    return job
