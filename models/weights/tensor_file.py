"""A safetensors file: its headers, read without torch, and its tensors, mapped where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from ..disk.json_file import check_no_pointer
from ..refused import Refused
from .contract import changed, checked, state_of

if TYPE_CHECKING:
    from torch import Tensor

FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Stored:
    """A tensor of the checkpoint: where it lies, and what its header says of it."""

    file: Path
    shape: tuple[int, ...]
    type: str
    """safetensors' word: F32, F16, BF16 …"""
    state: tuple[int, int, int]
    """of the file, when its header was read"""

    def read(self, name: str, where: str) -> Tensor:
        """The tensor that is called `name` in the file; `where` is what messages call it.

        Raises Refused if a value is NaN or infinite, or the file is another one by now.
        """
        if not self.file.is_file() or state_of(self.file) != self.state:
            raise changed(where)
        try:
            with safe_open(self.file, framework="pt") as file:
                tensor = file.get_tensor(name)
        except (OSError, SafetensorError) as error:  # replaced in this moment
            raise changed(where) from error
        if tuple(tensor.shape) != self.shape:
            raise changed(where)
        return checked(where, tensor)


def headers(path: Path) -> dict[str, Stored]:
    """Every tensor of a file, by its name there.

    Raises Refused if it is not there, a Git LFS pointer, or not readable as safetensors.
    """
    if not path.is_file():
        raise Refused(
            str(path.parent),
            got=f"no {path.name}",
            expected="the weights as safetensors",
            remedy="download the file again or choose another folder",
        )
    check_no_pointer(path)
    state = state_of(path)
    try:
        with safe_open(path, framework="np") as file:  # headers alone need no torch
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return {
                name: Stored(path, tuple(piece.get_shape()), piece.get_dtype(), state)
                for name, piece in slices.items()
            }
    except SafetensorError as error:
        raise Refused(
            str(path),
            got=f"{path.stat().st_size} bytes that are not readable as safetensors ({error})",
            expected="the weights",
            remedy="it is probably cut short: download it again",
        ) from error
