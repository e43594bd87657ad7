"""The answer to an HTTP request, read by a thread that owns nothing but its connection.

Whoever waits for it waits in ticks, and can leave between two of them however slow the server is.
The standard library's client does it: huggingface_hub has another one in each major version.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import queue
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

TICK_S = 0.1
PIECE_BYTES = 1 << 18


class Unreachable(Exception):
    """No connection, or one that broke."""


class Body:
    """`begin`, then `pieces`; `leave` at the end, whatever happened.

    `tick` is called every TICK_S of waiting, and may raise. Both raise urllib.error.HTTPError for a
    status that is an error, and Unreachable.
    """

    def __init__(self, url: str, headers: dict[str, str], token: str | None, silence_s: float):
        self.status = 0
        self._request = urllib.request.Request(url, headers=headers)
        if token:  # never to the host that the hub sends us on to
            self._request.add_unredirected_header("Authorization", f"Bearer {token}")
        self._silence_s = silence_s
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=16)
        self._left = threading.Event()
        threading.Thread(target=self._read, name="musicgraph-download", daemon=True).start()

    def begin(self, tick: Callable[[], None]) -> None:
        self.status = self._next(tick)

    def pieces(self, tick: Callable[[], None]) -> Iterator[bytes]:
        while piece := self._next(tick):
            yield piece

    def leave(self) -> None:
        self._left.set()

    def _next(self, tick: Callable[[], None]) -> Any:
        while True:
            try:
                said = self._queue.get(timeout=TICK_S)
            except queue.Empty:
                tick()
                continue
            if isinstance(said, BaseException):
                raise said
            return said

    def _read(self) -> None:
        try:
            with _opener().open(self._request, timeout=self._silence_s) as answer:
                self._say(answer.status)
                while not self._left.is_set() and (piece := answer.read1(PIECE_BYTES)):
                    self._say(piece)
            self._say(b"")
        except urllib.error.HTTPError as error:
            self._say(error)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            self._say(Unreachable(f"{type(reason).__name__}: {reason}"))
        except BaseException as error:  # a bug: it is raised in the thread that waits
            self._say(error)

    def _say(self, what: Any) -> None:
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                return self._queue.put(what, timeout=TICK_S)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """Trusts what the system trusts, and certifi's list for systems that have none."""
    trust = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi

        trust.load_verify_locations(certifi.where())
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust))
