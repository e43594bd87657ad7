"""The LM's matrices in few bits: how they are rounded, how they lie, and the file that keeps them.

Both kinds are symmetric, w ≈ scale · q, and lie in the tiles that numba_products reads. int8 has
one scale an output, |q| ≤ 127, kept as q + 128. int4 has one for each group of 32 inputs, itself
in 8 bits beside one of the output, and -8 ≤ q ≤ 7, kept as q + 8; its heads are in int8. Knows no
addresses.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..disk import cache
from ..parameters import LM, lm_shapes
from ..weights.contract import Weights
from .numba_sizes import INT4_GROUP, LANES
from .rounding import rounded4

log = logging.getLogger("musicgraph")

ZERO = 128  # what a weight of 0 is in an unsigned byte
CHECKSUM = "checksum"
PAGE_BYTES = 4096

OnProgress = Callable[[int, int], None]
"""called with (tensors done, tensors in all); what it raises ends the work"""
Moments = dict[str, Tensor]
"""Σ x xᵀ of what matrices are multiplied with, `[I, I]`, by the matrices' names"""
Form = tuple[tuple[int, ...], torch.dtype]


@dataclass(frozen=True)
class Packing:
    format: int
    """of the file; raised when what is in there changes"""
    pack: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
    """float `[O, I]`, perhaps its inputs' moments → a matrix as it lies, float32 scales `[O]`"""
    form: Callable[[int, int], Form]
    """of such a matrix, by outputs and inputs"""


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


def _packed8(matrix: Tensor, moments: Tensor | None) -> tuple[Tensor, Tensor]:
    whole, scale = quantised(matrix)
    return in_tiles(whole), scale


def _form8(outputs: int, inputs: int) -> Form:
    return (outputs // LANES, inputs // 4, LANES, 4), torch.uint8


# ---------------------------------------------------------------- int4


def in_half_tiles(whole: Tensor, codes: Tensor) -> Tensor:
    """int8 `[O, I]` from -8 to 7, int8 `[O, I / 32]` → unsigned `[O / 16, I / 32 · 272]`.

    A tile has its groups, each 4 lines `[16, 4]` of bytes, whose low halves are 4 inputs and whose
    high ones are the next 4; then the codes of the groups' scales, `[I / 32, 16]`.
    """
    outputs, inputs = whole.shape
    tiles, groups = outputs // LANES, inputs // INT4_GROUP
    halves = (whole + 8).to(torch.uint8).view(tiles, LANES, groups, INT4_GROUP // 8, 2, 4)
    bytes_ = halves[..., 0, :] | halves[..., 1, :] << 4
    lines = bytes_.permute(0, 2, 3, 1, 4).reshape(tiles, -1)
    scales = codes.view(torch.uint8).view(tiles, LANES, groups).transpose(1, 2)
    return torch.cat([lines, scales.reshape(tiles, -1)], dim=1)


def _packed4(matrix: Tensor, moments: Tensor | None) -> tuple[Tensor, Tensor]:
    whole, codes, scale = rounded4(matrix, moments)
    return in_half_tiles(whole, codes), scale / 16  # the kernel multiplies with 16 · q


def _form4(outputs: int, inputs: int) -> Form:
    groups = inputs // INT4_GROUP
    return (outputs // LANES, groups * LANES * (INT4_GROUP // 2 + 1)), torch.uint8


# ---------------------------------------------------------------- files

INT8, INT4 = Packing(4, _packed8, _form8), Packing(1, _packed4, _form4)


def packing(precision: str, name: str) -> Packing:
    """Of a matrix."""
    return INT4 if precision == "int4" and not name.startswith("heads.") else INT8


def packed_tensors(
    weights: Weights,
    precision: str,
    on_progress: OnProgress = lambda *_: None,
    by_layer: Callable[[], Iterator[Moments]] | None = None,
) -> dict[str, Tensor]:
    """Every matrix in tiles, its scales under `NAME.scale`: from the cache, or made and kept.

    `by_layer` tells, layer by layer, the moments of inputs that rounding is to make up for; it is
    asked only if matrices have to be made.
    """
    shapes = {
        name: shape
        for name, shape in lm_shapes(weights.config.lm).items()
        if name.startswith(("layers.", "heads.")) and "norm" not in name
    }
    key = _key(weights, precision)
    kept = _from_cache(key, _expected(shapes, precision))
    if kept is not None:
        return kept
    folder, made = weights.folder.name, {}
    log.info("preparing %s weights of %s (once; kept in %s)", precision, folder, cache.folder())
    layers, known, layer = by_layer() if by_layer else iter(()), {}, ""
    for done, name in enumerate(shapes):
        on_progress(done, len(shapes))
        if name.startswith("layers.") and name.split(".")[1] != layer:
            known, layer = next(layers, {}), name.split(".")[1]
        matrix = weights.tensor(f"{LM}.{name}").float()
        packed = packing(precision, name).pack(matrix, known.get(name))
        made[name], made[f"{name}.scale"] = packed
    return _kept(made, key)


def _kept(tensors: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    """The same tensors, mapped from the cache if they can be kept there."""
    try:
        with cache.written(key) as part:
            save_file(tensors, part, metadata={CHECKSUM: _checksum(tensors)})
    except (OSError, SafetensorError) as error:  # a full disk is the second
        log.warning(
            "packed weights cannot be kept in %s (%s): made anew with each start; "
            "set MUSICGRAPH_CACHE to a folder for them",
            cache.folder(),
            error,
        )
        return tensors
    mapped = _from_cache(key, {name: _form(tensor) for name, tensor in tensors.items()})
    return tensors if mapped is None else mapped


def _key(weights: Weights, precision: str) -> str:
    """Changes with the weights, their shape, and how they are packed."""
    formats = [INT8.format] if precision == "int8" else [INT4.format, INT8.format]
    text = json.dumps([*formats, weights.fingerprint, asdict(weights.config.lm)])
    return cache.name(precision, text, ".safetensors")


def _expected(shapes: dict[str, tuple[int, ...]], precision: str) -> dict[str, Form]:
    """What has to lie in the cache: its addresses go to compiled code, which believes them."""
    forms: dict[str, Form] = {}
    for name, (outputs, inputs) in shapes.items():
        forms[name] = packing(precision, name).form(outputs, inputs)
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
        log.warning("packed weights that are kept cannot be used (%s): made anew", error)
        return None
    forms = {name: _form(tensor) for name, tensor in tensors.items()}
    if forms != expected or checksum != _checksum(tensors):
        log.warning("packed weights that are kept in %s are damaged: made anew", path)
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
