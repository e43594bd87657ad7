"""A checkpoint with low-rank adapters on top: other numbers, everything else the base's.

    tensor = base + Σ strength · delta,   delta = scale · B A       (LoRA, Hu et al. 2021)

Engines load it as they load any checkpoint, so an adapter works in all of them and costs nothing
while music is made. Nothing on disk changes: without the adapter the base is what it was, bit for
bit. Needs no torch until a tensor is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..config import ModelConfig
from ..parameters import LM, TEXT
from ..refused import Refused
from .contract import Weights, checked
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

MAX_STRENGTH = 4.0


class Adapter(Protocol):
    """An opened one: it fits the checkpoint that it was opened for."""

    @property
    def folder(self) -> Path: ...

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints: equal deltas."""
        ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def targets(self) -> Collection[str]:
        """Our names of the tensors that it changes."""
        ...

    def delta(self, name: str) -> Tensor:
        """What a target changes by at strength 1: float32, in the target's shape.

        Raises Refused if a value is no number, or the file is another one than was opened.
        """
        ...


@dataclass(frozen=True)
class Adapted:
    """See `contract.Weights`. A tensor that an adapter changes is float32, whatever the base has,
    so that nothing is rounded before its engine rounds it.
    """

    base: Weights
    adapters: tuple[tuple[Adapter, float], ...]
    """each with its strength, which is not 0"""

    @property
    def config(self) -> ModelConfig:
        return self.base.config

    @property
    def folder(self) -> Path:
        return self.base.folder

    @property
    def fingerprint(self) -> str:
        mixture = [(adapter.fingerprint, strength) for adapter, strength in self.adapters]
        return hashlib.sha256(json.dumps([self.base.fingerprint, mixture]).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return self.base.size_bytes + sum(adapter.size_bytes for adapter, _ in self.adapters)

    @property
    def tokenizer_folder(self) -> Path:
        return self.base.tokenizer_folder

    def tensor(self, name: str) -> Tensor:
        import torch

        heard = [(one, strength) for one, strength in self.adapters if name in one.targets]
        tensor = self.base.tensor(name)
        if not heard:
            return tensor
        tensor = tensor.to(torch.float32, copy=True)  # the base's is mapped and read-only
        for adapter, strength in heard:
            tensor.add_(adapter.delta(name), alpha=strength)
        where = " + ".join(str(adapter.folder) for adapter, _ in heard)
        return checked(f"{where}: {name}", tensor)

    def tokenizer(self) -> Tokenizer:
        return self.base.tokenizer()


def adapted(weights: Weights, adapter: Adapter, strength: float) -> Weights:
    """With one more adapter on top; at strength 0 the weights themselves.

    Raises Refused for a strength that is no number from −4 to 4.
    """
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:  # NaN fails every comparison
        raise Refused(
            "strength",
            got=strength,
            expected=f"a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}",
            remedy="1 is as it was trained",
        )
    if strength == 0:
        return weights
    if isinstance(weights, Adapted):
        return Adapted(weights.base, (*weights.adapters, (adapter, strength)))
    return Adapted(weights, ((adapter, strength),))


def touches(adapter: Adapter, part: str) -> bool:
    """Whether it changes a part of the checkpoint: `parameters.LM` or `parameters.TEXT`."""
    assert part in (LM, TEXT), part
    return any(name.startswith(f"{part}.") for name in adapter.targets)
