"""The LM's weights for the fast CPU engine: float32 where their files are mapped, or in fewer bits
from a file that is made once (numba_packed.py).

Both stay memory-mapped: loading looks at every number once and copies none. Knows addresses, not
layers' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..conditioning import Conditioning
from ..parameters import LM, lm_shapes
from ..prefix import prefix_of
from ..weights.contract import Weights
from .numba_job import MATRIX_NAMES, NORM_NAMES


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


class PackedMatrices:
    """Those of `numba_packed.packed_tensors`."""

    def __init__(self, tensors: dict[str, Tensor]):
        self._tensors = tensors

    def matrix(self, name: str) -> Tensor:
        return self._tensors[name]

    def scale(self, name: str) -> Tensor:
        return self._tensors[f"{name}.scale"]


class Parameters:
    """What a step needs, as numba_step wants it, and before it: embedding and text projection."""

    def __init__(self, weights: Weights, matrices: Matrices):
        self._weights, config = weights, weights.config.lm
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
