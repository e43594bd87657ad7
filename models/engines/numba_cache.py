"""Compiled code on disk, in entries of our own.

Numba's own cache keeps the name of the module that compiled and finds an entry by its path alone: a
folder that is renamed, or that two programs import under two names, then fails for ever. Here an
entry's name says everything that matters, its checksum is compared before it is unpickled, and
whatever else is wrong with it means that it is compiled again.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import pickle
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit

from ..disk import cache

log = logging.getLogger("musicgraph")

FORMAT = 1  # of an entry; raise it when what is in there changes
COMPILED_TOGETHER = ("sizes", "llvm", "vectors", "parts", "step")


def kept(function):
    """Compiled at its first call, and kept in the cache."""
    compiled = njit(nogil=True, error_model="numpy")(function)
    if hasattr(compiled, "_cache"):  # Numba's dispatcher asks it before it compiles
        compiled._cache = _Kept(function)  # pyright: ignore[reportAttributeAccessIssue]: a private part, which Numba's types leave out
    else:
        log.warning("compiled anew with each start: this release of Numba keeps nothing for us")
    return compiled


def digest() -> int:
    """A number that changes with every source that is compiled into a step."""
    here = Path(__file__).parent
    sources = b"".join((here / f"numba_{name}.py").read_bytes() for name in COMPILED_TOGETHER)
    return int.from_bytes(sha256(sources).digest()[:7], "big")


class _Kept:
    """What Numba's dispatcher asks of a cache, for one function."""

    def __init__(self, function):
        self._function = function

    @property
    def cache_path(self) -> str:
        return str(cache.folder())

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function, or None if it has to be compiled."""
        target.refresh()
        try:
            content = cache.read(self._name(signature, target.codegen()))
        except OSError as error:
            log.warning("compiled code that is kept cannot be used (%s): compiled anew", error)
            return None
        return None if content is None else self._rebuilt(target, content)

    def _rebuilt(self, target: Any, content: bytes) -> Any:
        from numba.core.compiler import CompileResult

        try:
            return CompileResult._rebuild(target, *pickle.loads(content))
        except Exception as error:  # of any kind: these are Numba's private parts
            log.warning("compiled code that was kept does not load (%r): compiled anew", error)
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        from numba.core.serialize import dumps

        if compiled.library.has_dynamic_globals:
            return
        try:
            content = dumps(compiled._reduce())
        except Exception as error:  # as above
            log.warning("compiled code cannot be kept (%r): compiled anew with each start", error)
            return
        try:
            cache.write(self._name(signature, compiled.codegen), content)
        except OSError as error:
            log.warning(
                "compiled code cannot be kept in %s (%s): compiled anew with each start; "
                "set MUSICGRAPH_CACHE to a folder for it",
                cache.folder(),
                error,
            )

    def _name(self, signature: Any, codegen: Any) -> str:
        module = sys.modules[self._function.__module__]
        facts = {
            "format": FORMAT,
            "function": self._function.__qualname__,
            "signature": str(signature),
            "sources": digest(),
            "module": [module.__name__, os.path.abspath(inspect.getfile(module))],
            "versions": [numba.__version__, llvmlite.__version__, sys.version, sys.platform],
            "processor": [str(fact) for fact in codegen.magic_tuple()],
            "settings": sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_")),
        }
        return cache.name("compiled", json.dumps(facts))
