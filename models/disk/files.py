"""Files by name: opened only if they are files, written whole or not at all, under names that can
be used.

Names and files come from strangers. A name is checked as it will really be opened, before any work
is done for it; a pipe or a device is refused before it is opened, since opening one may wait for
ever.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..quoting import shown
from ..refused import Refused
from . import part_files

RESERVED_NAMES = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{kind}{i}" for kind in ("COM", "LPT") for i in range(1, 10))]
)
"""devices on Windows, whatever the suffix; refused everywhere, so that results can be moved"""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def name_of(path: str | Path) -> str:
    return shown(str(path))


# ---------------------------------------------------------------- opening


def open_file(path: str | Path) -> BinaryIO:
    """An ordinary file for reading.

    Raises Refused for what is none, without waiting for anybody's other end.
    """
    try:
        _check_kind(path, os.stat(path).st_mode)
        flags = os.O_RDONLY | sum(
            getattr(os, f"O_{n}", 0) for n in ("NONBLOCK", "BINARY", "CLOEXEC")
        )
        file = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise Refused(
            f"cannot open {name_of(path)}", got=reason, remedy="name a file that can be read"
        ) from error
    try:
        _check_kind(path, os.fstat(file.fileno()).st_mode)  # it may have been replaced meanwhile
    except Refused:
        file.close()
        raise
    return file


def _check_kind(path: str | Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        got = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise Refused(
            f"cannot open {name_of(path)}", got=got, expected="a file", remedy="name a file"
        )


# ---------------------------------------------------------------- names


def check_new_name(name: str, folder: str | Path) -> None:
    """Raises Refused for a file or folder name (no path) that could not be made in `folder`."""
    what = "this name cannot be used for a file"
    if any(ord(c) < 32 or ord(c) == 127 or "\ud800" <= c <= "\udfff" for c in name):
        expected = "letters, digits and signs: no line break, no control character, whole Unicode"
        raise Refused(what, got=shown(name), expected=expected, remedy="choose another name")
    if name.partition(".")[0].rstrip(" ").upper() in RESERVED_NAMES:
        expected = "a name that is no device of Windows"
        raise Refused(what, got=shown(name), expected=expected, remedy="choose another name")
    longest = _configured(folder, "PC_NAME_MAX", 255)
    if len(os.fsencode(name)) > longest:
        got = f"{len(os.fsencode(name))} bytes ({shown(name)})"
        raise Refused(what, got=got, expected=f"at most {longest} bytes", remedy="shorten it")


def check_new_path(path: str | Path) -> None:
    """Raises Refused for a file or folder that could not be made for the sake of its name or one
    above it.
    """
    path = Path(os.path.abspath(path)) if "\0" not in str(path) else Path(path)
    check_new_name(path.name, path.anchor)
    for parent in reversed(path.parents):
        try:
            if parent.exists():
                continue
        except (OSError, ValueError):
            pass  # its name is too long or odd to ask for: the check below says so
        check_new_name(parent.name, path.anchor)
    longest = _configured(path.anchor, "PC_PATH_MAX", 4096 if os.name == "posix" else 259)
    if len(os.fsencode(path)) >= longest:
        got = f"{len(os.fsencode(path))} bytes ({name_of(path)})"
        raise Refused("this path is too long", got=got, expected=f"less than {longest} bytes")


def _configured(folder: str | Path, name: str, default: int) -> int:
    """A limit of the file system that `folder` lies in, or of the root's if the folder is not there
    yet.
    """
    if name not in getattr(os, "pathconf_names", {}):
        return default
    try:
        return os.pathconf(folder if os.path.isdir(folder) else os.sep, name)
    except (OSError, ValueError):  # a file system that does not say, or an odd name
        return default


def check_folder_writable(folder: str | Path) -> None:
    """Refuses a folder that does not exist and could not be made, or that is read-only."""
    check_new_path(folder)
    nearest = Path(folder).absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        got = f"{name_of(nearest)}, which is not a folder that you may write to"
        raise Refused(
            f"cannot write into {name_of(folder)}", got=got, remedy="choose another folder"
        )


def check_file_writable(path: str | Path) -> None:
    """Refuses, before any work is done for it, a file that could not be written."""
    check_new_path(path)
    if Path(path).is_dir():
        raise Refused(f"cannot write {name_of(path)}: it is a folder", remedy="name a file in it")
    check_folder_writable(Path(path).parent)


# ---------------------------------------------------------------- writing


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside the target to write to; it takes the target's name at the end, so nobody sees
    half a file.

    Its name is short and has nothing of the target's, which may be as long as names can be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part_files.written(path) as part:
            yield part
    except OSError as error:
        raise Refused(
            f"cannot write {name_of(path)}",
            got=error.strerror or error,
            remedy="choose another place or free some room",
        ) from error


def replace_file(path: Path, content: bytes) -> None:
    """Writes `content` whole or not at all."""
    with written_whole(path) as part:
        part.write_bytes(content)
