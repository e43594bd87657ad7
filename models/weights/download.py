"""Downloading a model from the hub into one folder: never half, resumable, stopped at once.

Files gather in a hidden folder beside the target. Each is checked (size and digest) before it gets
its name, and the folder gets its own when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import re
import shutil
import time
import urllib.error
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk.file_lock import locked
from ..refused import Refused
from .folder_kinds import ARCHIVES, MODEL_TYPES, STATE_DICT
from .http_body import PIECE_BYTES, TICK_S, Body, Unreachable

log = logging.getLogger("musicgraph")

OnProgress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) every TICK_S, even when nothing arrives; what it raises
ends the download."""

MAX_LISTING_BYTES = 16 << 20
PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
SETTINGS = frozenset(
    {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "spiece.model",
    }
)
PICKLE = "pytorch_model.bin"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")


@dataclass(frozen=True)
class Patience:
    """How long to put up with a server. The attempts are those in a row that bring nothing."""

    attempts: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    silence_s: float = 30.0


@dataclass(frozen=True)
class HubFile:
    """A file as the hub lists it.

    Large ones have a sha256, the others the number that git gives their content.
    """

    name: str
    size_bytes: int
    sha256: str = ""
    git_blob: str = ""

    def digest(self) -> Any:
        """A fresh hash, to be fed the content."""
        if self.sha256:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)


class _Passing(Exception):
    """A fault that another attempt may cure."""

    def __init__(self, said: str, wait_s: float = 0.0):
        super().__init__(said)
        self.wait_s = wait_s


def download(
    repository: str,
    target: Path,
    on_progress: OnProgress,
    patience: Patience = Patience(),
    kinds: Collection[str] = MODEL_TYPES,
    archives: Sequence[str] = ARCHIVES,
) -> Path:
    """The needed files of the newest revision of `repository`, as the folder `target`; `kinds` are
    what its model may be. `archives` are taken where its weights are no safetensors: audiocraft's
    layout, which has no other settings, or `PICKLE`.

    Continues what an earlier download left. Two processes that want the same wait for each other.

    Raises Refused: no such repository, no access, no MusicGen model, no safetensors, a server that
    does not answer or sends something else, a full disk, a target that is in the way.
    """
    work = target.parent / ".download"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with locked(work / f"{target.name}.lock", lambda: _wait(on_progress)):
            return _Download(repository, target, on_progress, patience, kinds, archives).run(work)
    except OSError as error:  # files of ours only: the connection's are sorted out where they occur
        raise _disk_trouble(target, error) from error


def _wait(on_progress: OnProgress) -> None:
    on_progress(0, 1)
    time.sleep(TICK_S)


def _disk_trouble(target: Path, error: OSError) -> Refused:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Refused(
        f"the download cannot be written to {target.parent}",
        got=error.strerror or type(error).__name__,
        expected="a folder that can be written, with room for the model",
        remedy="make room and run it again: it goes on where it stopped"
        if full
        else "put another folder first (MUSICGRAPH_MODELS; in ComfyUI extra_model_paths.yaml)",
    )


class _Download:
    """One download, alone with its folder."""

    def __init__(
        self,
        repository: str,
        target: Path,
        on_progress: OnProgress,
        patience: Patience,
        kinds: Collection[str],
        archives: Sequence[str],
    ):
        self.repository, self.target, self.patience = repository, target, patience
        self.kinds, self.archives = kinds, archives
        self._report = on_progress
        self._done, self._total, self._reported_s = 0, 1, 0.0
        self._reached = False
        """whether the hub has answered at all"""

    def run(self, work: Path) -> Path:
        if self._is_whole(self.target):  # by another process, while this one waited
            return self.target
        self._check_free_target()
        revision, files = self._listing()
        folder = work / f"{self.target.name}@{revision[:12]}"
        _forget_other_revisions(work, self.target.name, folder)
        folder.mkdir(exist_ok=True)
        self._total = sum(file.size_bytes for file in files)
        self._check_room(folder, files)
        for file in files:
            self._file(file, folder, revision)
            if file.name == "config.json":
                self._check_kind(folder / file.name)
        return self._finish(folder)

    def _finish(self, folder: Path) -> Path:
        if not self._is_whole(folder):
            raise self._refused("shards that its index names are missing", "all of them")
        if self.target.is_dir():
            self.target.rmdir()  # an empty one; Windows renames onto nothing
        folder.replace(self.target)
        return self.target

    def _is_whole(self, folder: Path) -> bool:
        there = bool(self.archives) and (folder / self.archives[0]).is_file()
        return there or is_whole_hugging_face(folder)

    # ------------------------------------------------------------ before the first byte

    def _check_free_target(self) -> None:
        if self.target.exists() and not (self.target.is_dir() and not any(self.target.iterdir())):
            raise Refused(
                f"model {self.repository!r} cannot be downloaded to {self.target}",
                got="something else under that name",
                expected="a whole checkpoint or nothing",
                remedy="complete it by hand, or move it away",
            )

    def _check_room(self, folder: Path, files: list[HubFile]) -> None:
        there = sum(path.stat().st_size for path in folder.iterdir())
        needed, free = self._total - there, shutil.disk_usage(folder).free
        if needed > free:
            raise Refused(
                f"model {self.repository!r} does not fit on the disk of {self.target.parent}",
                got=f"{free / 1e9:.2f} GB of room",
                expected=f"{needed / 1e9:.2f} GB",
                remedy="make room, or put another folder first",
            )

    def _check_kind(self, path: Path) -> None:
        """Before gigabytes of something else are fetched."""
        try:
            config = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError):
            config = None
        kind = config.get("model_type") if isinstance(config, dict) else None
        if kind not in self.kinds:
            expected = " or ".join(map(repr, self.kinds))
            raise self._refused(f"a model of type {str(kind)[:40]!r}", expected)

    def _listing(self) -> tuple[str, list[HubFile]]:
        """The newest revision and its needed files, the smallest first."""
        from huggingface_hub import constants

        url = f"{constants.ENDPOINT}/api/models/{self.repository}?blobs=true"
        body = self._patiently(lambda: self._read_all(url))
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        said = said if isinstance(said, dict) else {}
        revision = said.get("sha")
        if not isinstance(revision, str) or not re.fullmatch(r"[0-9a-f]{12,64}", revision):
            raise self._refused("a list of files that cannot be read", "the hub's own")
        files = [file for entry in _entries(said) if (file := _hub_file(entry)) is not None]
        return revision, self._needed(files)

    def _needed(self, files: list[HubFile]) -> list[HubFile]:
        names = {file.name for file in files}
        if names.intersection(self.archives[:1]) and not names & {WEIGHTS, INDEX}:
            own = {*self.archives} if STATE_DICT in self.archives else {*self.archives, *SETTINGS}
            return _smallest_first(file for file in files if file.name in own)
        wanted = {INDEX} if INDEX in names else {WEIGHTS}
        wanted |= SETTINGS
        needed = [
            f for f in files if f.name in wanted or (INDEX in names and SHARD.fullmatch(f.name))
        ]
        for name, cure in (("config.json", ""), (WEIGHTS, " (pickled weights are not read)")):
            if name not in names and not (name == WEIGHTS and INDEX in names):
                raise self._refused(
                    f"a repository without {name}", f"a checkpoint with {name}{cure}"
                )
        return _smallest_first(needed)

    # ------------------------------------------------------------ one file

    def _file(self, file: HubFile, folder: Path, revision: str) -> None:
        whole = folder / file.name
        if whole.is_file() and whole.stat().st_size == file.size_bytes:  # checked when it was named
            return self._advance(file.size_bytes)
        url, path = self._url(file, revision), folder / f"{file.name}.part"
        for _ in range(2):  # what is damaged is fetched once more from its beginning
            with path.open("a+b") as out:
                part = _Part(file, out, self._advance)
                part.read_again()
                self._patiently(lambda part=part: self._append(part, url))
                if part.is_as_listed():
                    break
                part.begin_anew()
        else:
            raise self._refused(f"another {file.name} than the hub lists", "the listed content")
        path.replace(whole)
        return None

    def _append(self, part: _Part, url: str) -> None:
        if part.have == part.file.size_bytes:
            return
        headers = {"Range": f"bytes={part.have}-"} if part.have else {}
        with self._opened(url, headers) as body:
            if body.status != 206:  # a server that knows no ranges begins with the first byte
                part.begin_anew()
            for piece in body.pieces(self._tick):
                part.add(piece)
        if part.have < part.file.size_bytes:
            raise _Passing("the connection was cut")

    def _url(self, file: HubFile, revision: str) -> str:
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.repository}/resolve/{revision}/{file.name}"

    # ------------------------------------------------------------ the connection

    def _read_all(self, url: str) -> bytes:
        whole = bytearray()
        with self._opened(url, {}) as body:
            for piece in body.pieces(self._tick):
                whole += piece
                if len(whole) > MAX_LISTING_BYTES:
                    raise self._refused("a list of files without end", "the hub's own")
        return bytes(whole)

    @contextlib.contextmanager
    def _opened(self, url: str, headers: dict[str, str]) -> Iterator[Body]:
        from huggingface_hub import get_token

        headers = {"User-Agent": "musicgraph", **headers}
        body = Body(url, headers, get_token(), self.patience.silence_s)
        try:
            body.begin(self._tick)
            self._reached = True
            yield body
        except urllib.error.HTTPError as error:
            self._reached = True
            with error:
                raise self._judged(error) from error
        except Unreachable as error:
            raise _Passing(str(error)) from error
        finally:
            body.leave()

    def _judged(self, error: urllib.error.HTTPError) -> Exception:
        if error.code in PASSING_STATUS:
            return _Passing(f"HTTP {error.code}", _seconds(error.headers.get("Retry-After")))
        if error.code == 404 or error.headers.get("X-Error-Code") == "RepoNotFound":
            return Refused(
                f"model {self.repository!r}: the hub has no such repository or file, or hides it",
                remedy="check the spelling; for a private one log in (hf auth login)",
            )
        if error.code in (401, 403):
            return Refused(
                f"model {self.repository!r}: the hub does not let everybody have it",
                got=f"HTTP {error.code}",
                remedy="accept its terms on the hub's page and log in (hf auth login) first",
            )
        return self._refused(f"HTTP {error.code}", "the file")

    def _patiently(self, attempt: Callable[[], Any]) -> Any:
        """Tries again after passing faults; attempts that brought bytes do not count.

        Once is enough when the hub has not answered at all: there is no network.
        """
        failed = 0
        while True:
            before = self._done
            try:
                return attempt()
            except _Passing as fault:
                failed = 1 if self._done > before else failed + 1
                if failed >= self.patience.attempts or not self._reached:
                    raise self._gave_up(fault) from fault
                wait_s = max(fault.wait_s, self.patience.first_wait_s * 2 ** (failed - 1))
                log.info("download of %s: %s; trying again", self.repository, fault)
                self._sleep(min(wait_s, self.patience.longest_wait_s))

    def _gave_up(self, fault: _Passing) -> Refused:
        return Refused(
            f"model {self.repository!r} is not on this machine and could not be downloaded",
            got=str(fault),
            expected="an answer of the hub",
            remedy="run it again (it goes on where it stopped), or put config.json, tokenizer and "
            f"safetensors files into {self.target} by hand",
        )

    def _refused(self, got: str, expected: str) -> Refused:
        return Refused(
            f"model {self.repository!r} cannot be downloaded",
            got=got,
            expected=expected,
            remedy="take another model",
        )

    # ------------------------------------------------------------ progress

    def _advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._reported_s >= TICK_S or self._done == self._total:
            self._tick()

    def _tick(self) -> None:
        self._reported_s = time.monotonic()
        self._report(self._done, self._total)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._tick()
            time.sleep(min(TICK_S, left))


# ---------------------------------------------------------------- files


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint's files are all there, in either layout."""
    return (folder / STATE_DICT).is_file() or is_whole_hugging_face(folder)


def is_whole_hugging_face(folder: Path) -> bool:
    """Whether configuration and weights are there and no shard is missing."""
    if not (folder / "config.json").is_file():
        return False
    if not (folder / INDEX).is_file():
        return (folder / WEIGHTS).is_file()
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8-sig"))
        shards = set(index["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return False
    return all((folder / str(shard)).is_file() for shard in shards)


def _smallest_first(files: Iterable[HubFile]) -> list[HubFile]:
    """The one that tells what it is before all others."""
    return sorted(files, key=lambda file: (file.name != "config.json", file.size_bytes))


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _entries(said: dict) -> list:
    entries = said.get("siblings")
    return entries if isinstance(entries, list) else []


def _hub_file(entry: object) -> HubFile | None:
    """A file that may be needed; none in a subfolder, of another name or without a size is."""
    if not isinstance(entry, dict):
        return None
    name, size, large = entry.get("rfilename"), entry.get("size"), entry.get("lfs")
    if not isinstance(name, str) or not isinstance(size, int) or size < 0:
        return None
    if name not in SETTINGS | {WEIGHTS, INDEX, PICKLE, *ARCHIVES} and not SHARD.fullmatch(name):
        return None
    sha256 = large.get("sha256") if isinstance(large, dict) else ""
    return HubFile(name, size, str(sha256 or ""), str(entry.get("blobId") or ""))


def _forget_other_revisions(work: Path, name: str, keep: Path) -> None:
    for folder in work.glob("*@*"):
        if folder.name.rpartition("@")[0] == name and folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Part:
    """A file on its way: what is there of it, and the digest of that."""

    def __init__(self, file: HubFile, out: Any, advance: Callable[[int], None]):
        self.file, self.have = file, 0
        self._out, self._digest, self._advance = out, file.digest(), advance

    def read_again(self) -> None:
        """Takes up what an earlier download left."""
        self._out.seek(0)
        while piece := self._out.read(PIECE_BYTES):
            self._count(piece)
        if self.have > self.file.size_bytes:
            self.begin_anew()

    def begin_anew(self) -> None:
        self._out.truncate(0)
        self._advance(-self.have)
        self.have, self._digest = 0, self.file.digest()

    def add(self, piece: bytes) -> None:
        if self.have + len(piece) > self.file.size_bytes:
            self.begin_anew()
            raise _Passing("more bytes than listed")
        self._out.write(piece)
        self._count(piece)

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.have += len(piece)
        self._advance(len(piece))

    def is_as_listed(self) -> bool:
        expected = self.file.sha256 or self.file.git_blob
        return not expected or self._digest.hexdigest() == expected
