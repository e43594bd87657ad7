"""Compiled code on disk: what is kept, where, and what makes it stale."""

from __future__ import annotations

import logging
from hashlib import sha256
from pathlib import Path

from numba import njit

log = logging.getLogger("musicgraph")

COMPILED_TOGETHER = ("llvm", "vectors", "parts", "step")


def kept(function):
    """Compiled at its first call; on disk if there is a folder for that, here or in the cache."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError as error:  # Numba's word for finding none
        log.warning(
            "compiled anew with each start (%s); set NUMBA_CACHE_DIR to a folder that can be written",
            error,
        )
        return njit(function, **options)


def digest() -> int:
    """A number that changes with every source that is compiled into a step."""
    here = Path(__file__).parent
    sources = b"".join((here / f"numba_{name}.py").read_bytes() for name in COMPILED_TOGETHER)
    return int.from_bytes(sha256(sources).digest()[:7], "big")
