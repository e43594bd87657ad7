"""Files that appear whole or not at all: written beside their place, and renamed when they are
done.

Whoever ends the process by force (a signal) calls `give_up` first, so that nothing half is left.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

GIVE_UP_S = 2
OLD_S = 24 * 3600

_changing = threading.Lock()
_unfinished: set[Path] = set()


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` if the block ends well and goes away if it does not.

    Its name is `.mg-….part` with this machine and this process's number: short, whatever the
    length of the target's. Raises OSError.
    """
    part = path.with_name(part_name(secrets.token_hex(4), os.getpid()))
    with _changing:
        part.touch(mode=0o600 if path.parent.stat().st_mode & 0o077 == 0 else 0o666)
        _unfinished.add(part)
    try:
        yield part
        with _changing:
            part.replace(path)
    finally:
        with _changing:
            part.unlink(missing_ok=True)
            _unfinished.discard(part)


def part_name(draw: str, process: int) -> str:
    return f".mg-{draw}.{_machine()}.{process}.part"


@functools.cache
def _machine() -> str:
    """A folder may be shared with other machines, or containers: their processes are not seen."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def give_up() -> None:
    """Removes what is unfinished, and lets no file of this process begin or be renamed any more."""
    _changing.acquire(timeout=GIVE_UP_S)
    for part in _unfinished:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Removes what processes that are gone have left unfinished in a folder; how many bytes."""
    freed = 0
    for part in folder.glob(".mg-*.part"):
        with contextlib.suppress(OSError):
            size, changed = part.stat().st_size, part.stat().st_mtime
            if not _may_be_alive(part) or time.time() - changed > OLD_S:
                part.unlink()
                freed += size
    return freed


def _may_be_alive(part: Path) -> bool:
    """Whether the process that writes it may. (On Windows, asking one is the same as ending it.)"""
    *_, machine, process, _ = part.name.rsplit(".", 3)
    if machine != _machine() or not process.isdecimal() or sys.platform == "win32":
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
