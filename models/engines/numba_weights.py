"""The LM's weights for the fast CPU engine: float32 where their files are mapped, or int8 from a
file that is made once.

Both stay memory-mapped: loading looks at every number once and copies none. Int8 is symmetric,
one scale an output: w ≈ scale · q, |q| ≤ 127, kept as q + 128 in the tiles that numba_vectors
reads. Knows files and addresses, not layers' work.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ..conditioning import Conditioning
from ..disk import cache
from ..parameters import LM, lm_shapes
from ..prefix import prefix_of
from ..weights.contract import Weights
from .numba_job import MATRIX_NAMES, NORM_NAMES
from .numba_sizes import LANES

log = logging.getLogger("musicgraph")

INT8_FORMAT = 4  # of the cached file; raise it when what is in there changes
ZERO = 128  # what a weight of 0 is in an unsigned byte
CHECKSUM = "checksum"
PAGE_BYTES = 4096

OnProgress = Callable[[int, int], None]
"""called with (tensors done, tensors in all); what it raises ends the work"""
Form = tuple[tuple[int, ...], torch.dtype]


class Matrices(Protocol):
    """Names are those of `parameters.lm_shapes`."""

    def matrix(self, name: str) -> Tensor: ...

    def scale(self, name: str) -> Tensor | None: ...


class Float32Matrices:
    """Each matrix as it lies in its file; half precision is widened, which takes memory."""

    def __init__(self, weights: Weights):
        self._weights = weights

    def matrix(self, name: str) -> Tensor:
        return self._weights.tensor(f"{LM}.{name}").float().contiguous()

    def scale(self, name: str) -> None:
        return None


class Int8Matrices:
    def __init__(self, weights: Weights, on_progress: OnProgress):
        self._tensors = int8_tensors(weights, on_progress)

    def matrix(self, name: str) -> Tensor:
        return self._tensors[name]

    def scale(self, name: str) -> Tensor:
        return self._tensors[f"{name}.scale"]


class Parameters:
    """What a step needs, as numba_step wants it, and before it: embedding and text projection."""

    def __init__(self, weights: Weights, kind: Callable[[Weights], Matrices]):
        self._weights, config = weights, weights.config.lm
        matrices = kind(weights)
        self._held: list[Tensor] = []  # addresses keep nothing alive
        layers, codebooks = range(config.num_layers), range(config.num_codebooks)
        self._there = lm_shapes(config)
        tables = [
            self._addresses(matrices, [f"layers.{i}.{one}.weight" for one in MATRIX_NAMES])
            for i in layers
        ]
        heads = self._addresses(matrices, [f"heads.{k}.weight" for k in codebooks])
        norms = [[self._norm(f"layers.{i}.{one}") for one in NORM_NAMES] for i in layers]
        self.tables = {
            "matrices": np.array([matrix for matrix, _ in tables]),
            "scales": np.array([scale for _, scale in tables]),
            "logit_matrices": heads[0],
            "logit_scales": heads[1],
            "norms": np.array(norms, np.float32),
            "last_norm": self._norm("norm"),
        }
        """By the names of numba_job.JOB; addresses are int64."""
        self._embeddings = [self._read(f"embedding.{k}.weight") for k in codebooks]
        self._text_projection = self._pair("text_projection") if config.projects_text else []
        self._sound_projection = self._pair("sound_projection") if config.sound_size else []

    def _read(self, name: str) -> Tensor:
        return self._weights.tensor(f"{LM}.{name}")

    def _pair(self, name: str) -> list[Tensor]:
        return [self._read(f"{name}.{part}").float() for part in ("weight", "bias")]

    def _norm(self, name: str) -> np.ndarray:
        """`[2, d]`; zeros for one that the model does not have."""
        if f"{name}.weight" not in self._there:
            return np.zeros((2, self._weights.config.lm.hidden_size), np.float32)
        return torch.stack(self._pair(name)).numpy()

    def _addresses(self, matrices: Matrices, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Of the matrices and of their scales, 0 where there are none."""
        found = [
            (matrices.matrix(name), matrices.scale(name)) if name in self._there else (None, None)
            for name in names
        ]
        self._held += [tensor for pair in found for tensor in pair if tensor is not None]
        at = [[0 if one is None else one.data_ptr() for one in pair] for pair in found]
        return np.array([matrix for matrix, _ in at]), np.array([scale for _, scale in at])

    def embedded(self, tokens: Tensor) -> Tensor:
        """`[R, K, S]` → float32 `[R, S, d]`, the sum over the codebooks."""
        first, *rest = self._embeddings
        total = F.embedding(tokens[:, 0], first).float()
        for k, table in enumerate(rest, start=1):
            total = total + F.embedding(tokens[:, k], table).float()
        return total

    def projected(self, states: Tensor) -> Tensor:
        """Text states `[C, L, text_size]` → `[C, L, d]`."""
        return F.linear(states, *self._text_projection) if self._text_projection else states

    def read_prefix(self, heard: Sequence[Conditioning | None]) -> Tensor | None:
        """float32 `[R, P, d]`, what each branch of an item reads before its first step; None for
        models with cross-attention.
        """
        prefix = prefix_of(heard, self._weights.config.lm)
        if prefix is None:
            return None
        text = self.projected(prefix.states) * prefix.mask.unsqueeze(-1)
        sound = F.linear(prefix.sound, *self._sound_projection)
        return torch.cat([sound * prefix.sound_mask.unsqueeze(-1), text], dim=1)


# ---------------------------------------------------------------- int8


def quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """float `[O, I]` → int8 `[O, I]` and float32 scales `[O]`."""
    scale = matrix.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (matrix / scale.unsqueeze(1)).round_().to(torch.int8), scale


def in_tiles(matrix: Tensor) -> Tensor:
    """int8 `[O, I]` → unsigned `[O / 16, I / 4, 16, 4]`: a tile has 4 inputs of 16 outputs."""
    outputs, inputs = matrix.shape
    unsigned = (matrix.to(torch.int16) + ZERO).to(torch.uint8)
    return unsigned.view(outputs // LANES, LANES, inputs // 4, 4).transpose(1, 2).contiguous()


def int8_tensors(weights: Weights, on_progress: OnProgress = lambda *_: None) -> dict[str, Tensor]:
    """Every matrix in tiles, its scales under `NAME.scale`: from the cache, or made and kept."""
    shapes = {
        name: shape
        for name, shape in lm_shapes(weights.config.lm).items()
        if name.startswith(("layers.", "heads.")) and "norm" not in name
    }
    key = _key(weights)
    kept = _from_cache(key, _expected(shapes))
    if kept is not None:
        return kept
    log.info("preparing int8 weights of %s (once; kept in %s)", weights.folder.name, cache.folder())
    floats, made = Float32Matrices(weights), {}
    for done, name in enumerate(shapes):
        on_progress(done, len(shapes))
        whole, made[f"{name}.scale"] = quantised(floats.matrix(name))
        made[name] = in_tiles(whole)
    return _kept(made, key)


def _kept(tensors: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    """The same tensors, mapped from the cache if they can be kept there."""
    try:
        with cache.written(key) as part:
            save_file(tensors, part, metadata={CHECKSUM: _checksum(tensors)})
    except (OSError, SafetensorError) as error:  # a full disk is the second
        log.warning(
            "int8 weights cannot be kept in %s (%s): made anew with each start; "
            "set MUSICGRAPH_CACHE to a folder for them",
            cache.folder(),
            error,
        )
        return tensors
    mapped = _from_cache(key, {name: _form(tensor) for name, tensor in tensors.items()})
    return tensors if mapped is None else mapped


def _key(weights: Weights) -> str:
    """Changes with the weights, their shape, and how int8 is made."""
    text = json.dumps([INT8_FORMAT, weights.fingerprint, asdict(weights.config.lm)])
    return cache.name("int8", text, ".safetensors")


def _expected(shapes: dict[str, tuple[int, ...]]) -> dict[str, Form]:
    """What has to lie in the cache: its addresses go to compiled code, which believes them."""
    forms: dict[str, Form] = {}
    for name, (outputs, inputs) in shapes.items():
        forms[name] = (outputs // LANES, inputs // 4, LANES, 4), torch.uint8
        forms[f"{name}.scale"] = (outputs,), torch.float32
    return forms


def _form(tensor: Tensor) -> Form:
    return tuple(tensor.shape), tensor.dtype


def _from_cache(key: str, expected: dict[str, Form]) -> dict[str, Tensor] | None:
    """Mapped tensors; None if they are not there, or not as they were written."""
    try:
        path = cache.find(key)
        if path is None:
            return None
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            checksum = (file.metadata() or {}).get(CHECKSUM)
    except (OSError, SafetensorError) as error:  # the second if it is cut short
        log.warning("int8 weights that are kept cannot be used (%s): made anew", error)
        return None
    forms = {name: _form(tensor) for name, tensor in tensors.items()}
    if forms != expected or checksum != _checksum(tensors):
        log.warning("int8 weights that are kept in %s are damaged: made anew", path)
        return None
    return tensors


def _checksum(tensors: dict[str, Tensor]) -> str:
    """Of names and contents, at the speed of memory: a step reads it all anyway.

    The numbers of each page are added as 64-bit integers, and the sums are hashed. So any bit, any
    lost page and any two that changed places are noticed; against somebody who wants two errors to
    cancel each other stands the cache's owner, see `cache`.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        content = tensor.flatten().view(torch.uint8)
        whole = len(content) // PAGE_BYTES * PAGE_BYTES
        pages = content[:whole].view(torch.int64).view(-1, PAGE_BYTES // 8)
        for part in (pages.sum(dim=1), content[whole:]):
            digest.update(part.numpy().tobytes())
        digest.update(f"{name} {len(content)};".encode())
    return digest.hexdigest()
