"""What a checkpoint is to everybody who reads one: settings, a fingerprint, tensors by our names.

A layout (Hugging Face's, or another) or something put on top of one implements `Weights`; engines
and networks know nothing else. Names and shapes are those of `models/parameters.py`. Needs no torch
until a tensor is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..config import ModelConfig
from ..refused import Refused
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor


class Weights(Protocol):
    """An opened one: names, shapes and types are known to be right, the numbers not yet."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints: equal tensors."""
        ...

    @property
    def folder(self) -> Path:
        """Where it lies, for messages."""
        ...

    @property
    def size_bytes(self) -> int: ...

    def tensor(self, name: str) -> Tensor:
        """One of our names → its tensor, read-only, in the float type that the file has; float32
        where an adapter changes it.

        It is mapped from the file where it lies there in one piece.

        The mapping lives as long as the tensor does. Every value is looked at once.

        Raises Refused if a value is NaN or infinite, or the file is another one than was opened.
        """
        ...

    @property
    def tokenizer_folder(self) -> Path: ...

    def tokenizer(self) -> Tokenizer:
        """Raises Refused if it is missing or broken."""
        ...


def fingerprint(folder: Path) -> str:
    """Changes with every file that is added, removed, replaced or written to; reads none."""
    facts = []
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):  # a link to nowhere, or removed in this moment
            facts.append([path.name, *state_of(path)])
    return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogateescape")).hexdigest()


def state_of(file: Path) -> tuple[int, int, int]:
    """Changes when a file is replaced or written to; does not read it."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def changed(where: str) -> Refused:
    """Of a file that is not the one that was opened."""
    return Refused(
        where,
        got="another file than a moment ago",
        expected="files that stay as they are while they are read",
        remedy="run it again",
    )


def checked(where: str, tensor: Tensor) -> Tensor:
    """The tensor, if every value is a number. Raises Refused if not."""
    if largest(tensor) == math.inf:
        raise Refused(
            where,
            got="weights that are NaN or infinite",
            expected="numbers",
            remedy="the file is damaged: download it again",
        )
    return tensor


def pieces_of(shape: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    """Of a tensor that lies in one piece, or as two that `normed` puts together."""
    return [shape] if count == 1 else [(shape[0], *(1,) * (len(shape) - 1)), shape]


def normed(length: Tensor, direction: Tensor) -> Tensor:
    """Weight norm (Salimans and Kingma 2016): each row in its direction, as long as told.

    By the operator behind torch's own `weight_norm`, since any formula would round otherwise.
    """
    import torch

    return torch._weight_norm(direction.float(), length.float(), 0)  # pyright: ignore[reportPrivateImportUsage]


def largest(tensor: Tensor) -> float:
    """The largest magnitude; infinite also if there is a NaN. One pass, no copy of the tensor."""
    if not tensor.numel() or not tensor.is_floating_point():
        return 0.0
    low, high = (float(end) for end in tensor.aminmax())
    return max(-low, high) if math.isfinite(low) and math.isfinite(high) else math.inf
