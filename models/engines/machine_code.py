"""A step's machine code, and the codec's: made once for a processor, kept as an object file,
called at its address.

Numba compiles the files that have FUNCTIONS, and gives what LLVM needs to make an object file of
them. From then on neither is asked: an object file that is kept is loaded by llvmlite alone, which
takes a fraction of a second where importing Numba takes one. Everything that decides what is in it
stands in its name, and its checksum is compared before it is loaded.
"""

from __future__ import annotations

import ctypes
import functools
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llvmlite import binding

from ..disk import cache

log = logging.getLogger("musicgraph")

FORMAT = 3  # of an entry; raise it when what is in there changes
COMPILED_TOGETHER = (
    *("sizes", "job", "llvm", "vectors", "products", "parts", "step"),
    *("draw", "noise", "recurrent", "lstm", "windows", "conv"),
)
FUNCTIONS = {
    "step": "step",
    "read_text": "step",
    "draw": "draw",
    "noise": "noise",
    "lstm": "lstm",
    "convolve": "conv",
    "convolve_all": "conv",
}
"""and which of these files each is in"""
AT_ONCE = "draw", "noise"
"""take less time than letting others have Python meanwhile"""

Function = Callable[[int, int], None]
"""Called with the address of a job and the number of the thread.

Nothing of Python is needed meanwhile.
"""

_CALL = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
"""How Numba's functions are called: where a result goes, where an exception goes, the arguments."""
_CALL_AT_ONCE = ctypes.PYFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
"""The same, for those of AT_ONCE."""


@dataclass(frozen=True)
class MachineCode:
    """Each function keeps the memory that it lies in."""

    step: Function
    read_text: Function
    draw: Function
    noise: Function
    lstm: Function
    convolve: Function
    convolve_all: Function


def obtain() -> MachineCode:
    """From the cache; compiled, and kept there, where it is not in it."""
    return _of(entry_name())


def is_kept() -> bool:
    """Whether `obtain` finds it, and need not compile."""
    try:
        return cache.find(entry_name()) is not None
    except OSError:
        return False


@functools.cache
def _of(name: str) -> MachineCode:
    content = _read(name)
    if content is None:
        content = compiled()
        _keep(name, content)
    return loaded(content)


def loaded(content: bytes) -> MachineCode:
    """The functions of an entry, `compiled` or read."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    header, _, code = content.partition(b"\n")
    symbols = json.loads(header)
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    called = {one: _CALL for one in FUNCTIONS} | dict.fromkeys(AT_ONCE, _CALL_AT_ONCE)
    made = (_callable(engine, symbols[one], called[one]) for one in FUNCTIONS)
    return MachineCode(*made)


def _callable(engine: binding.ExecutionEngine, symbol: str, how: Any) -> Function:
    call = how(engine.get_function_address(symbol))

    def function(job: int, me: int) -> None:
        result, error = ctypes.c_void_p(), ctypes.c_void_p()
        if call(ctypes.byref(result), ctypes.byref(error), job, me):
            raise RuntimeError(f"{symbol} in {engine}: compiled code raised, with no reason to")

    return function


# ---------------------------------------------------------------- what is kept


def entry_name() -> str:
    """Of the entry for these sources, this compiler and this processor."""
    facts = {
        "format": FORMAT,
        "sources": digest(),
        "versions": [version("numba"), version("llvmlite"), sys.platform],
        "processor": [
            binding.get_process_triple(),
            binding.get_host_cpu_name(),
            binding.get_host_cpu_features().flatten(),
        ],
        "settings": sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_")),
    }
    return cache.name("compiled", json.dumps(facts))


def digest() -> str:
    """Changes with every source that is compiled into a step."""
    here = Path(__file__).parent
    sources = b"".join((here / f"numba_{name}.py").read_bytes() for name in COMPILED_TOGETHER)
    return sha256(sources).hexdigest()


def _read(name: str) -> bytes | None:
    try:
        return cache.read(name)
    except OSError as error:
        log.warning("compiled code that is kept cannot be used (%s): compiled anew", error)
        return None


def _keep(name: str, content: bytes) -> None:
    try:
        cache.write(name, content)
    except OSError as error:
        log.warning(
            "compiled code cannot be kept in %s (%s): compiled anew with each start; "
            "set MUSICGRAPH_CACHE to a folder for it",
            cache.folder(),
            error,
        )


# ---------------------------------------------------------------- compiling


def compiled() -> bytes:
    """An entry: a line of JSON with the functions' symbols; an object file for this processor."""
    from numba import types
    from numba.core.registry import cpu_target

    from . import numba_conv, numba_draw, numba_lstm, numba_noise, numba_step

    files = {
        "step": numba_step,
        "draw": numba_draw,
        "noise": numba_noise,
        "lstm": numba_lstm,
        "conv": numba_conv,
    }
    signature = (types.int64, types.int64)
    symbols, module = {}, binding.parse_assembly("")
    for name, file in FUNCTIONS.items():
        function = getattr(files[file], name)
        function.compile(signature)
        symbols[name] = function.overloads[signature].fndesc.llvm_func_name
        module.link_in(binding.parse_assembly(function.inspect_llvm(signature)))
    made_for: Any = cpu_target.target_context  # a cached property, which its types do not say
    _, processor, features, *_ = made_for.codegen().magic_tuple()
    code = _machine(processor, features).emit_object(module)
    return json.dumps(symbols).encode() + b"\n" + code


def _machine(processor: str, features: str) -> binding.TargetMachine:
    """As Numba has it for code that runs where it is made."""
    target = binding.Target.from_default_triple()
    return target.create_target_machine(
        cpu=processor,
        features=features,
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )
