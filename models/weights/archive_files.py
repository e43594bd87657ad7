"""The tensors of an archive of torch's, by our names, as a layout's table places them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..parameters import Shapes
from ..refused import Refused
from .contract import checked, normed, pieces_of
from .torch_archive import TorchArchive

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "take the files that belong together, as their publisher gives them"

_OTHER_NAMES = (
    (".in_proj_weight", (".mha.in_proj_weight",)),
    (".out_proj.weight", (".mha.out_proj.weight",)),
    (".weight", (".weight_g", ".weight_v")),
    (".weight", tuple(f".parametrizations.weight.original{i}" for i in (0, 1))),
    (".parametrizations.weight.original0", (".weight_g",)),
    (".parametrizations.weight.original1", (".weight_v",)),
)
"""How a name may end → how what holds it ends in other files: one tensor, or two."""


@dataclass(frozen=True)
class Place:
    """Where a tensor of ours lies."""

    names: tuple[str, ...]
    """the tensor of the file that holds it, or its length and its direction"""
    third: int | None = None
    """of that tensor's rows; None: all of them"""


class Files(Protocol):
    """The tensors of a part, by our names; see `contract.Weights`."""

    @property
    def size_bytes(self) -> int: ...

    def tensor(self, name: str) -> Tensor: ...


@dataclass(frozen=True)
class ArchiveFiles:
    """Those that lie in an archive of torch's."""

    archive: TorchArchive
    places: Mapping[str, Place]

    @property
    def size_bytes(self) -> int:
        return self.archive.size_bytes

    def tensor(self, name: str) -> Tensor:
        place = self.places[name]
        found = [self._read(source, place.third) for source in place.names]
        if len(found) == 1:
            return found[0]
        return checked(f"{self.archive.path}: {place.names[1]}", normed(*found))

    def _read(self, source: str, third: int | None) -> Tensor:
        tensor = self.archive.tensor(source)
        rows = tensor if third is None else tensor.chunk(3)[third]
        return checked(f"{self.archive.path}: {source}", rows)


def files_in(
    archive: TorchArchive,
    tensors: Mapping[str, Tensor],
    places: Mapping[str, Place],
    shapes: Shapes,
    settings: str,
) -> ArchiveFiles:
    """`tensors` are what was selected of the archive, `settings` where their shapes come from.

    Raises Refused unless all of these are there, in these shapes and as floats.
    """
    found = {ours: replace(place, names=_found(place.names[0], tensors))
             for ours, place in places.items()}  # fmt: skip
    for ours, place in found.items():
        shape = shapes[ours]
        whole = shape if place.third is None else (3 * shape[0], *shape[1:])
        pieces = pieces_of(whole, len(place.names))
        for name, expected in zip(place.names, pieces, strict=True):
            _check_stored(archive.path, settings, name, tensors.get(name), expected)
    return ArchiveFiles(archive, found)


def _found(name: str, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The tensors of the file that hold `name`: under this name or under others."""
    if name not in tensors:
        for ending, others in _OTHER_NAMES:
            candidates = tuple(name.removesuffix(ending) + other for other in others)
            if name.endswith(ending) and all(one in tensors for one in candidates):
                return candidates
    return (name,)


def _check_stored(
    path: Path, settings: str, name: str, tensor: Tensor | None, shape: tuple[int, ...]
) -> None:
    import torch

    floats = (torch.float32, torch.float16, torch.bfloat16)
    if tensor is None:
        raise Refused(
            str(path),
            got=f"no {name}",
            expected=f"all tensors of the model that its {settings} describes",
            remedy=REMEDY,
        )
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if tuple(tensor.shape) != shape or tensor.dtype not in floats or not plain:
        raise Refused(
            f"{path}: {name} does not fit {settings}",
            got=f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}",
            expected=f"float32, float16 or bfloat16 {list(shape)}",
            remedy=REMEDY,
        )
