"""The LM's weights for OpenVINO: float32 straight from the checkpoint, or int8 from a file that is made once.

Both are memory-mapped. OpenVINO copies what it needs when it compiles and then leaves the mapping alone; its pages are given
back meanwhile, so that no weight is in memory twice for long. Int8 is symmetric, one scale a row of a matrix:
w ≈ scale · q, |q| ≤ 127. Knows files, not layers.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .checkpoint import Checkpoint, lm_sources, read_tensors
from .openvino_import import Node, op

log = logging.getLogger("musicgraph")

INT8_FORMAT = 1  # of the cached file; raise it when what is in there changes
MADV_DONTNEED = 4


class Float32Weights:
    """Each matrix of the checkpoint is used as it lies in its file; half precision is widened first."""

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        self._sources = lm_sources(checkpoint.lm)
        self._used: list[Tensor] = []

    def linear(self, x: Node, name: str, parts: int = 1) -> list[Node]:
        matrices = self.matrices(name)
        self._used += matrices
        return [op.matmul(x, _shared(matrix), False, True) for matrix in matrices]

    def array(self, name: str) -> np.ndarray:
        return torch.cat(self.matrices(name)).numpy()

    def matrices(self, name: str) -> list[Tensor]:
        """What the checkpoint has for a parameter: one tensor, or several to be stacked."""
        return [tensor.float() for tensor in read_tensors(self._checkpoint, list(self._sources[name])).values()]

    def mapped(self) -> list[Tensor]:
        return list(self._used)


class Int8Weights:
    """The layers' matrices and the heads as int8, everything else as float32."""

    def __init__(self, checkpoint: Checkpoint):
        self._floats = Float32Weights(checkpoint)
        self._int8 = int8_tensors(checkpoint)

    def linear(self, x: Node, name: str, parts: int = 1) -> list[Node]:
        if name not in self._int8:
            return self._floats.linear(x, name, parts)
        scale = op.constant(self._int8[f"{name}.scale"].numpy())
        matrix = op.multiply(op.convert(_shared(self._int8[name]), np.float32), scale)
        product = op.matmul(x, matrix, False, True)
        return [product] if parts == 1 else list(op.split(product, op.constant(2), parts).outputs())

    def array(self, name: str) -> np.ndarray:
        return self._floats.array(name)

    def mapped(self) -> list[Tensor]:
        return self._floats.mapped() + list(self._int8.values())


def _shared(tensor: Tensor) -> Node:
    return op.constant(tensor.numpy(), shared_memory=True)


# ---------------------------------------------------------------- int8


def quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """float `[O, I]` → int8 `[O, I]` and float32 scales `[O, 1]`."""
    scale = matrix.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (matrix / scale).round_().to(torch.int8), scale


def int8_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Every matrix that a step reads, and its scales under `NAME.scale`: from the cache, or made now and kept there."""
    path = cache_folder() / f"{_key(checkpoint)}.safetensors"
    try:
        return _mapped_tensors(path)
    except (OSError, SafetensorError):  # not there, or cut short
        pass
    log.info("preparing int8 weights of %s (once; kept in %s)", checkpoint.folder.name, path.parent)
    made = {}
    floats = Float32Weights(checkpoint)
    for name in lm_sources(checkpoint.lm):
        if name.startswith(("layers.", "heads.")) and "norm" not in name:
            made[name], made[f"{name}.scale"] = quantised(torch.cat(floats.matrices(name)))
    return _kept(made, path)


def _kept(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside)
        beside.replace(path)
        return _mapped_tensors(path)
    except OSError as error:  # a full disk or a folder that is read-only costs the next start some seconds, no more
        log.warning(
            "int8 weights cannot be kept in %s (%s); set MUSICGRAPH_CACHE to a folder for them", path.parent, error
        )
        return tensors


def cache_folder() -> Path:
    """`MUSICGRAPH_CACHE`, or `musicgraph` in the user's folder for caches. Whatever is in there may be deleted."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MUSICGRAPH_CACHE") or Path(base) / "musicgraph")


def _key(checkpoint: Checkpoint) -> str:
    """Changes with the weights' files, their shape, and how int8 is made."""
    files = sorted({path.resolve() for path in checkpoint.files.values()})
    facts = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    text = json.dumps([INT8_FORMAT, facts, vars(checkpoint.lm)])
    return "int8-" + hashlib.sha256(text.encode()).hexdigest()[:24]


def _mapped_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


# ---------------------------------------------------------------- memory


@contextmanager
def giving_back(tensors: Callable[[], list[Tensor]], every_s: float = 0.05) -> Iterator[None]:
    """Within it and at its end, drops pages of tensors that are mapped from files; touched again, they come from there again."""
    over = threading.Event()

    def keep_dropping() -> None:
        while not over.wait(every_s):
            _drop_pages(tensors())

    thread = threading.Thread(target=keep_dropping, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _drop_pages(tensors())


def _drop_pages(tensors: list[Tensor]) -> None:
    if sys.platform != "linux":
        return
    libc, page, files = ctypes.CDLL(None), os.sysconf("SC_PAGESIZE"), _file_mappings()
    for tensor in tensors:
        begin = -(-tensor.data_ptr() // page) * page
        end = (tensor.data_ptr() + tensor.nbytes) // page * page
        if begin < end and any(low <= begin and end <= high for low, high in files):
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_DONTNEED)


def _file_mappings() -> list[tuple[int, int]]:
    """Address ranges of this process that lie over safetensors files."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(".safetensors") or "/blobs/" in line]
    return [(int(low, 16), int(high, 16)) for low, high in spans]
