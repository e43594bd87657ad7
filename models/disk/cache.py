"""The folder of what can be made again: compiled code and packed weights.

Bounded, and open to its owner only.

Whatever is wrong with it costs the next start some seconds, no more: callers make anew what they do
not get. What is in there is code, so nothing is read that another user of the machine could have
written, and nothing whose checksum, keyed with what it is for, is another.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import part_files

log = logging.getLogger("musicgraph")

MAX_BYTES = 8 * 10**9
"""int8 weights of every published size at once take 5.5 GB, int4 ones 3"""

NAMES = re.compile(r"(compiled|int8|int4)-[0-9a-f]{24}(\.[a-z]+)?")
DIGEST_BYTES = 32

_chosen: list[Path] = []


class Unusable(OSError):
    """A cache that is there, but not to be trusted."""


@dataclass(frozen=True)
class Entry:
    path: Path
    size_bytes: int
    used: float
    """seconds since 1970"""


def use(folder: Path) -> None:
    """Makes this the folder, if `MUSICGRAPH_CACHE` names no other: for a host with a place of its
    own.
    """
    _chosen[:] = [folder]


def folder() -> Path:
    """`MUSICGRAPH_CACHE`, or the host's, or `musicgraph` in the user's folder for caches.

    Whatever is in there may be deleted at any time.
    """
    named = os.environ.get("MUSICGRAPH_CACHE")
    if named or _chosen:
        return Path(named) if named else _chosen[0]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musicgraph"


def name(kind: str, facts: str, suffix: str = "") -> str:
    """Of the entry of this kind (`compiled`, `int8`, `int4`) for which all these facts hold."""
    return f"{kind}-{hashlib.sha256(facts.encode()).hexdigest()[:24]}{suffix}"


# ---------------------------------------------------------------- reading


def find(name: str) -> Path | None:
    """Where an entry lies, from now on the last to be evicted; None if there is none.

    Raises OSError: `Unusable` if somebody else could have written it.
    """
    path = folder() / name
    with contextlib.suppress(FileNotFoundError):
        for each in (path.parent, path):
            _check_owner(each)
        with contextlib.suppress(OSError):  # a read-only disk
            os.utime(path)
        return path
    return None


def read(name: str) -> bytes | None:
    """What `write` was given, None if there is nothing or something damaged.

    Raises OSError as `find`.
    """
    path = find(name)
    if path is None:
        return None
    content = path.read_bytes()
    digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if digest != _digest(name, content):
        log.warning("%s is damaged: made anew", path)
        return None
    return content


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.blake2b(content, key=name.encode()[:64], digest_size=DIGEST_BYTES).digest()


def _check_owner(path: Path) -> None:
    if sys.platform == "win32":  # a user's folders are closed to others there
        return
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise Unusable(f"{path} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable(f"others may write to {path}; close it with chmod go-w")


# ---------------------------------------------------------------- writing


def write(name: str, content: bytes) -> None:
    """Keeps it. Raises OSError."""
    with written(name) as part:
        part.write_bytes(_digest(name, content) + content)


@contextlib.contextmanager
def written(name: str) -> Iterator[Path]:
    """A path to write an entry to; what was least recently used makes room. Raises OSError."""
    here = folder()
    here.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(here)
    part_files.sweep(here)
    with part_files.written(here / name) as part:
        yield part
    _evict(keep=name)


def _evict(keep: str) -> None:
    rest = sorted(entries(), key=lambda entry: (entry.path.name == keep, entry.used))
    total = sum(entry.size_bytes for entry in rest)
    for entry in rest[:-1]:
        if total > MAX_BYTES:
            with contextlib.suppress(OSError):  # in use (Windows), or another process was first
                entry.path.unlink()
            total -= entry.size_bytes


# ---------------------------------------------------------------- looking and emptying


def entries() -> list[Entry]:
    """What is kept, in no order. Other files in the folder are none of ours."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder().iterdir():
            if NAMES.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    found.append(Entry(path, status.st_size, status.st_mtime))
    return found


def clean() -> int:
    """Empties it; how many bytes. Raises OSError if an entry cannot be removed."""
    freed = part_files.sweep(folder())
    for entry in entries():
        entry.path.unlink(missing_ok=True)
        freed += entry.size_bytes
    return freed
