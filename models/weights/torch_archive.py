"""What `torch.save` wrote, read without running anything: tensors, numbers, texts, and no objects.

The file is a zip whose parts lie in it as they are, so its tensors are mapped and not copied. What
is in it is unpickled by torch's own reader for weights alone, which builds nothing else.
"""

from __future__ import annotations

import contextlib
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # the name of what torch's reader raises; nothing is read by it
from typing import TYPE_CHECKING, Any

from ..disk.json_file import AGAIN, check_no_pointer
from ..quoting import shown
from ..refused import Refused
from .contract import changed, state_of

if TYPE_CHECKING:
    from torch import Tensor

ZIP_BEGINNING = b"PK\x03\x04"
MAX_PARTS = 100_000
MAX_PICKLE_BYTES = 64 * 2**20
MAPPED_BYTES = 256 * 2**20
"""How much may be read of a mapping before it is closed, so that loading a model does not keep the
whole file in memory beside it."""
EXPECTED = "a checkpoint as torch.save writes it, of tensors and texts only"

_NOT_READABLE = (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
                 AssertionError, OverflowError, struct.error)  # fmt: skip
"""What torch's reader raises of a file that is damaged or made to hurt: it checks no kinds."""


class TorchArchive:
    """An opened file: what it holds, and its tensors by the names of `tensors`."""

    def __init__(self, path: Path):
        """Raises Refused if it is not there, cut short, of another format, or holds objects."""
        self.path = path
        check_archive(path)
        self._state = state_of(path)
        self._mapped: dict[str, Any] | None = None
        self._read_bytes = 0
        self._where: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return self._state[0]

    def content(self) -> dict[str, Any]:
        """The whole of it. Its tensors are mapped, and not read yet."""
        if self._mapped is None:
            self._mapped = _loaded(self.path)
        return self._mapped

    def select(self, *where: str) -> Mapping[str, Tensor]:
        """Says where the tensors lie, one key for each level; they are what is returned.

        Raises Refused if there is none of them, or something else is there.
        """
        self._where = where
        return self._tensors()

    def tensor(self, name: str) -> Tensor:
        """One of them, mapped; its values are not looked at.

        Raises Refused if the file is another one than was opened.
        """
        where = f"{self.path}: {name}"
        if not self.path.is_file() or state_of(self.path) != self._state:
            raise changed(where)
        tensor = self._tensors()[name].contiguous()
        self._read_bytes += tensor.nbytes
        if self._read_bytes > MAPPED_BYTES:
            self.close()
        return tensor

    def close(self) -> None:
        """The mapping goes with the last tensor that was taken from it."""
        self._mapped, self._read_bytes = None, 0

    def _tensors(self) -> Mapping[str, Tensor]:
        import torch

        found: Any = self.content()
        for key in self._where:
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict) or not found:
            raise _unreadable(self.path, f"nothing under {'.'.join(self._where)}")
        for name, one in found.items():
            if not isinstance(name, str) or not isinstance(one, torch.Tensor):
                raise _unreadable(self.path, f"{shown(name)}, which is no tensor")
        return found


def check_archive(path: Path) -> None:
    """Raises Refused unless the file is a whole zip, as torch writes it: nothing packed in it, so
    that it cannot be larger than it is, and no more parts than a model has.

    torch's older formats are not read: some releases ran what stands in them.
    """
    if not path.is_file():
        raise Refused(
            str(path.parent), got=f"no {path.name}", expected=EXPECTED, remedy="download it again"
        )
    check_no_pointer(path)
    with path.open("rb") as file:
        beginning = file.read(len(ZIP_BEGINNING))
    if beginning != ZIP_BEGINNING:
        raise _unreadable(path, "another format")
    pickle = [one for one in _parts(path) if one.filename.endswith("/data.pkl")]
    if len(pickle) != 1 or pickle[0].file_size > MAX_PICKLE_BYTES:
        raise _unreadable(path, "no list of tensors, or one that is too long")


def _parts(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise Refused(
            str(path),
            got=f"{path.stat().st_size} bytes that are no whole archive ({error})",
            expected=EXPECTED,
            remedy="it is probably cut short: download it again",
        ) from error
    size = path.stat().st_size
    packed = any(one.compress_type != zipfile.ZIP_STORED for one in parts)
    if packed or len(parts) > MAX_PARTS or sum(one.file_size for one in parts) > size:
        raise _unreadable(path, "parts that are packed, or larger than the file")
    return parts


def _loaded(path: Path) -> dict[str, Any]:
    import torch

    try:
        content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise Refused(
            str(path),
            got=f"objects besides tensors, which could run code ({_first_line(error)})",
            expected=EXPECTED,
            remedy="do not open it elsewhere unless you trust it; one of audiocraft's training "
            "checkpoints becomes readable with its utils.export",
        ) from error
    except _NOT_READABLE as error:
        raise _unreadable(path, f"what torch cannot read ({_first_line(error)})") from error
    if not isinstance(content, dict):
        raise _unreadable(path, type(content).__name__)
    return content


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if "Unsupported" in line] or [str(error)]
    return shown(lines[0].strip())


def _unreadable(path: Path, got: str) -> Refused:
    return Refused(str(path), got=got, expected=EXPECTED, remedy=AGAIN)


def texts(path: Path) -> list[str]:
    """The texts that a file holds, without reading it as torch does: for lists, which must be
    quick. Nothing is built from what stands there. Empty if it is no such file.
    """
    with contextlib.suppress(Refused, OSError, ValueError, KeyError):
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            name = next(one for one in archive.namelist() if one.endswith("/data.pkl"))
            words = pickletools.genops(archive.read(name))
            return [word for _, word, _ in words if isinstance(word, str)]
    return []
