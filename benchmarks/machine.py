"""What the machine is and what it can do at most: one line of facts, memory bandwidth, peak memory.

Not run by itself.
"""

from __future__ import annotations

import mmap
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

READ_BYTES = 2**29  # far more than any cache holds


def facts() -> str:
    packages = [f"{name} {_version(name)}" for name in ("torch", "transformers", "numba")]
    python = f"Python {platform.python_version()}"
    return ", ".join(
        [_processor(), f"{torch.get_num_threads()} of {os.cpu_count()} cores", *packages, python]
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


class ReadTest:
    """How fast this process reads memory: the sum of a large array, over all threads.

    In ordinary pages, as weights lie, unless `huge_pages` (Linux): without saying which, either may
    come out.
    """

    def __init__(self, huge_pages: bool = False) -> None:
        memory = mmap.mmap(-1, READ_BYTES)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE if huge_pages else mmap.MADV_NOHUGEPAGE)
        self._array = torch.frombuffer(memory, dtype=torch.float32).normal_()

    def gb_per_s(self) -> float:
        started = time.perf_counter()
        self._array.sum()
        return READ_BYTES / (time.perf_counter() - started) / 1e9


def peak_bytes() -> int:
    """The most memory that this process ever had, mapped files included (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
