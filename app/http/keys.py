"""API keys and their credits, in one SQLite file.

A key is `mg_NUMBER_SECRET`. The number finds the row; of the secret only a hash is kept, which is
enough for 256 random bits, and it is compared in constant time. Every method opens the file anew:
threads and processes may share it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ...models.refused import Refused

WAIT_S = 10.0
"""how long to wait for another's transaction"""
MAX_CREDITS = 2**53
MAX_NAME_CHARACTERS = 100
MAX_KEY_CHARACTERS = 100
OLD_LOCK_S = 24 * 3600
"""after so long a lock that nobody holds, and nothing is reserved under, is litter"""

TABLE = """
CREATE TABLE IF NOT EXISTS keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    credits INTEGER NOT NULL CHECK (credits >= 0),
    made_at REAL NOT NULL
)
"""
RESERVATIONS = """
CREATE TABLE IF NOT EXISTS reservations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id INTEGER NOT NULL,
    server TEXT NOT NULL
)
"""
NO_HASH = bytes(32)


class UnknownKey(Exception):
    """No such key, or it was removed."""


class NoCredits(Exception):
    """The key is right, and spent."""


@dataclass(frozen=True)
class KeyRow:
    """What is known of a key. The key itself is not."""

    id: int
    name: str
    credits: int
    made_at: float


@dataclass(frozen=True)
class Reservation:
    """A credit that is taken until it is known whether there is music for it."""

    id: int
    remaining: int
    """credits that the key has left"""


class KeyStore:
    """The file of keys. Raises Refused if it is not there, or is something else.

    Open reservations are in the file. Each store that reserves holds a lock beside it for as long
    as its process lives; reservations of those that do not are given back when another one begins
    (`recover`).
    """

    def __init__(self, path: str | Path, *, create: bool = False):
        self.path = Path(path)
        self._server, self._locking = secrets.token_hex(8), threading.Lock()
        self._lock: FileLock | None = None
        if not create and not self.path.is_file():
            make = f"musicgraph keys add --api-keys {self.path} --credits 100 NAME"
            raise Refused(
                "API keys",
                got=self.path,
                expected="an existing file",
                remedy=f"make one with: {make}",
            )
        try:
            if create:
                self._create()
            with self._changing() as db:
                if create:
                    db.execute(TABLE)
                db.execute("SELECT id, name, hash, credits, made_at FROM keys LIMIT 0")
                db.execute(RESERVATIONS)
        except (sqlite3.DatabaseError, OSError) as error:
            raise Refused(
                "API keys",
                got=f"{self.path}, which cannot be used ({error})",
                expected="a file made by `musicgraph keys add`",
            ) from error

    # ------------------------------------------------------------ for the API

    def find(self, key: str) -> KeyRow:
        """Whose key it is. Raises UnknownKey."""
        with self._reading() as db:
            return _row_of(db, key)

    def reserve(self, key: str) -> Reservation:
        """Takes one credit. Raises UnknownKey or NoCredits."""
        self._hold_lock()
        with self._changing() as db:
            row = _row_of(db, key)
            if not row.credits:
                raise NoCredits(f"{row.name} has no credits left")
            db.execute("UPDATE keys SET credits = credits - 1 WHERE id = ?", (row.id,))
            values = (row.id, self._server)
            cursor = db.execute("INSERT INTO reservations (key_id, server) VALUES (?, ?)", values)
        return Reservation(cursor.lastrowid or 0, row.credits - 1)

    def spend(self, reservation: Reservation) -> None:
        """There was music for it."""
        with self._changing() as db:
            db.execute("DELETE FROM reservations WHERE id = ?", (reservation.id,))

    def give_back(self, reservation: Reservation) -> None:
        """Returns a reserved credit, once. A key that was removed meanwhile needs none."""
        with self._changing() as db:
            _give_back(db, "id = ?", reservation.id)

    def recover(self) -> None:
        """Gives back what servers had reserved that are no more, however they ended."""
        with self._reading() as db:
            servers = {row[0] for row in db.execute("SELECT DISTINCT server FROM reservations")}
        for server in servers | self._servers_of_old_locks():
            with contextlib.suppress(Timeout), FileLock(self._lock_path(server), timeout=0):
                with self._changing() as db:
                    _give_back(db, "server = ?", server)
                self._lock_path(server).unlink(missing_ok=True)

    def close(self) -> None:
        """Lets go of the lock: what is still reserved then goes back at the next start."""
        with self._locking:
            if self._lock is not None:
                self._lock_path(self._server).unlink(missing_ok=True)
                self._lock.release()
                self._lock = None

    def _hold_lock(self) -> None:
        with self._locking:  # requests come from many threads
            if self._lock is None:
                lock = FileLock(self._lock_path(self._server), thread_local=False)
                lock.acquire(timeout=WAIT_S)
                self._lock = lock

    def _lock_path(self, server: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{server}.lock")

    def _servers_of_old_locks(self) -> set[str]:
        found = set()
        for path in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.lock"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > OLD_LOCK_S:
                    found.add(path.name.removeprefix(f"{self.path.name}.").removesuffix(".lock"))
        return found

    # ------------------------------------------------------------ for who keeps the keys

    def add(self, name: str, credits: int) -> str:
        """A new key, which is told this once.

        Raises Refused if the name is taken or the credits are out of range.
        """
        name, secret = _checked_name(name), secrets.token_urlsafe(32)
        values = (name, _hash(secret), _checked_credits(credits), time.time())
        with self._changing() as db:
            if db.execute("SELECT 1 FROM keys WHERE name = ?", (name,)).fetchone():
                raise Refused(
                    "name",
                    got=f"{name!r}, which has a key already",
                    expected="a new one",
                    remedy="choose another, or remove that one",
                )
            cursor = db.execute(
                "INSERT INTO keys (name, hash, credits, made_at) VALUES (?, ?, ?, ?)", values
            )
        return f"mg_{cursor.lastrowid}_{secret}"

    def rows(self) -> list[KeyRow]:
        with self._reading() as db:
            return [
                KeyRow(*row)
                for row in db.execute("SELECT id, name, credits, made_at FROM keys ORDER BY id")
            ]

    def set_credits(self, name: str, credits: int) -> None:
        self._change(
            name,
            "UPDATE keys SET credits = :credits WHERE name = :name",
            credits=_checked_credits(credits),
        )

    def remove(self, name: str) -> None:
        self._change(name, "DELETE FROM keys WHERE name = :name")

    # ------------------------------------------------------------ the file

    def _change(self, name: str, statement: str, **values: int) -> None:
        with self._changing() as db:
            if not db.execute(statement, {"name": name, **values}).rowcount:
                expected = "one that `musicgraph keys list` shows"
                raise Refused(
                    "name", got=repr(name), expected=expected, remedy="choose one of those"
                )

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))

    def _reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Many at once, also while somebody writes."""
        return self._transaction("BEGIN")

    def _changing(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """One at a time, from the first statement on."""
        return self._transaction("BEGIN IMMEDIATE")

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Rolled back if anything is raised."""
        db = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
        try:
            db.execute(begin)
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            db.close()


def _give_back(db: sqlite3.Connection, which: str, value: int | str) -> None:
    for key_id, count in db.execute(
        f"SELECT key_id, COUNT(*) FROM reservations WHERE {which} GROUP BY key_id", (value,)
    ).fetchall():
        db.execute("UPDATE keys SET credits = credits + ? WHERE id = ?", (count, key_id))
    db.execute(f"DELETE FROM reservations WHERE {which}", (value,))


def _row_of(db: sqlite3.Connection, key: str) -> KeyRow:
    """As long for a wrong secret as for a right one."""
    number, secret = _split(key)
    found = db.execute(
        "SELECT id, name, credits, made_at, hash FROM keys WHERE id = ?", (number,)
    ).fetchone()
    key_id, name, credits, made_at, kept = found or (0, "", 0, 0.0, NO_HASH)
    if not hmac.compare_digest(_hash(secret), kept):
        raise UnknownKey("no such key")
    return KeyRow(key_id, name, credits, made_at)


def _split(key: str) -> tuple[int, str]:
    """The number and the secret; 0, which no row has, for what is no key of ours."""
    before, _, rest = key[:MAX_KEY_CHARACTERS].partition("mg_")
    number, _, secret = rest.partition("_")
    fits = not before and number.isascii() and number.isdigit() and len(number) < 19
    return (int(number) if fits else 0), secret


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise Refused(
            "name",
            got=repr(name),
            expected=f"1 to {MAX_NAME_CHARACTERS} printable characters",
            remedy="choose another",
        )
    return name


def _checked_credits(credits: int) -> int:
    if not 0 <= credits <= MAX_CREDITS:
        raise Refused(
            "credits",
            got=credits,
            expected=f"0 to {MAX_CREDITS}",
            remedy="choose a number in between",
        )
    return credits
