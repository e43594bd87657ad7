"""The LM's weights for the fast CPU engine: float32 where the checkpoint's file is mapped, or int8 from a file that is made once.

Both stay memory-mapped: loading reads nothing, and no weight is in memory twice. Int8 is symmetric, one scale an output:
w ≈ scale · q, |q| ≤ 127, kept as q + 128 in the tiles that numba_vectors reads. Knows files and addresses, not layers' work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from .checkpoint import Checkpoint, lm_sources, read_tensors
from .numba_vectors import LANES

log = logging.getLogger("musicgraph")

INT8_FORMAT = 2  # of the cached file; raise it when what is in there changes
IN_STEP_ORDER = (
    "qkv",
    "out",
    "text_q",
    "text_out",
    "fc1",
    "fc2",
    "text_kv",
)  # see numba_step: Q, K, V, OUT, …
ZERO = 128  # what a weight of 0 is in an unsigned byte


OnProgress = Callable[[int, int], None]
"""called with (tensors done, tensors in all); what it raises ends the work"""


class Matrices(Protocol):
    """Names are the checkpoint's."""

    def matrix(self, name: str) -> Tensor: ...

    def scale(self, name: str) -> Tensor | None: ...


class Float32Matrices:
    """Each matrix as it lies in its file; half precision is widened, which takes memory."""

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint

    def matrix(self, name: str) -> Tensor:
        return read_tensors(self._checkpoint, [name])[name].float().contiguous()

    def scale(self, name: str) -> None:
        return None


class Int8Matrices:
    def __init__(self, checkpoint: Checkpoint, on_progress: OnProgress):
        self._tensors = int8_tensors(checkpoint, on_progress)

    def matrix(self, name: str) -> Tensor:
        return self._tensors[name]

    def scale(self, name: str) -> Tensor:
        return self._tensors[f"{name}.scale"]


class Parameters:
    """What a step needs of a checkpoint, as numba_step wants it, and what comes before: embedding and text projection."""

    def __init__(self, checkpoint: Checkpoint, kind: Callable[[Checkpoint], Matrices]):
        self._checkpoint, self._sources = checkpoint, lm_sources(checkpoint.lm)
        matrices = kind(checkpoint)
        self._held: list[Tensor] = []  # addresses keep nothing alive
        layers = range(checkpoint.lm.num_layers)
        names = [
            [name for kind in IN_STEP_ORDER for name in self._sources[f"layers.{i}.{kind}.weight"]]
            for i in layers
        ]
        tables = [self._addresses(matrices, layer) for layer in names]
        heads = self._addresses(matrices, list(self._sources["heads.weight"]))
        norms = [
            [self._norm(f"layers.{i}.{kind}norm") for kind in ("", "text_", "ffn_")] for i in layers
        ]
        self.tables = {
            "matrices": np.array([matrix for matrix, _ in tables]),
            "scales": np.array([scale for _, scale in tables]),
            "logit_matrices": heads[0],
            "logit_scales": heads[1],
            "norms": np.array(norms, np.float32),
            "last_norm": self._norm("norm"),
        }
        """By the names of numba_step.JOB; addresses are int64."""
        self._embeddings = [self._read(name) for name in self._sources["embedding.weight"]]
        names = [self._sources.get(f"text_projection.{part}") for part in ("weight", "bias")]
        self._text_projection = [self._read(name[0]).float() for name in names if name]

    def _read(self, name: str) -> Tensor:
        return read_tensors(self._checkpoint, [name])[name]

    def _norm(self, name: str) -> np.ndarray:
        parts = [
            self._read(self._sources[f"{name}.{part}"][0]).float() for part in ("weight", "bias")
        ]
        return torch.stack(parts).numpy()

    def _addresses(self, matrices: Matrices, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Of the matrices and of their scales, 0 where there are none."""
        found = [(matrices.matrix(name), matrices.scale(name)) for name in names]
        self._held += [tensor for pair in found for tensor in pair if tensor is not None]
        scales = [0 if scale is None else scale.data_ptr() for _, scale in found]
        return np.array([matrix.data_ptr() for matrix, _ in found]), np.array(scales)

    def embedded(self, tokens: Tensor) -> Tensor:
        """`[R, K, S]` → float32 `[R, S, d]`, the sum over the codebooks."""
        return sum(
            F.embedding(tokens[:, k], table).float() for k, table in enumerate(self._embeddings)
        )

    def projected(self, states: Tensor) -> Tensor:
        """Text states `[C, L, text_size]` → `[C, L, d]`."""
        return F.linear(states, *self._text_projection) if self._text_projection else states


# ---------------------------------------------------------------- int8


def quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """float `[O, I]` → int8 `[O, I]` and float32 scales `[O]`."""
    scale = matrix.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (matrix / scale.unsqueeze(1)).round_().to(torch.int8), scale


def in_tiles(matrix: Tensor) -> Tensor:
    """int8 `[O, I]` → unsigned `[O / 16, I / 4, 16, 4]`: 16 outputs side by side, 4 inputs of each together."""
    outputs, inputs = matrix.shape
    unsigned = (matrix.to(torch.int16) + ZERO).to(torch.uint8)
    return unsigned.view(outputs // LANES, LANES, inputs // 4, 4).transpose(1, 2).contiguous()


def int8_tensors(
    checkpoint: Checkpoint, on_progress: OnProgress = lambda *_: None
) -> dict[str, Tensor]:
    """Every matrix in tiles, and its scales under `NAME.scale`: from the cache, or made now and kept there."""
    path = cache_folder() / f"{_key(checkpoint)}.safetensors"
    try:
        return _mapped_tensors(path)
    except (OSError, SafetensorError):  # not there, or cut short
        pass
    log.info("preparing int8 weights of %s (once; kept in %s)", checkpoint.folder.name, path.parent)
    floats, made = Float32Matrices(checkpoint), {}
    names = [
        name
        for ours, sources in lm_sources(checkpoint.lm).items()
        if ours.startswith(("layers.", "heads.")) and "norm" not in ours
        for name in sources
    ]
    for done, name in enumerate(names):
        on_progress(done, len(names))
        whole, made[f"{name}.scale"] = quantised(floats.matrix(name))
        made[name] = in_tiles(whole)
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
            "int8 weights cannot be kept in %s (%s); set MUSICGRAPH_CACHE to a folder for them",
            path.parent,
            error,
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
