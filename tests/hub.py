"""A hub on loopback: serves one repository as the real one does, and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """`statuses` are used up by requests for files, one each, before those are answered rightly."""

    files: dict[str, bytes]
    revision: str = REVISION
    statuses: list[int] = field(default_factory=list)
    listing_status: int = 200
    error_code: str = ""
    cut_after: list[int] = field(default_factory=list)
    """bytes of the next large answers after which the connection is closed"""
    pause_s: float = 0.0
    """between two pieces of a large answer"""
    piece_bytes: int = 4096
    knows_ranges: bool = True
    corrupt: int = 0
    """so many of the next large answers have a wrong first byte"""
    pieces_sent: int = 0
    """of large answers"""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(file, Range header), in order"""
    url: str = ""

    def listing(self) -> dict:
        return {
            "sha": self.revision,
            "siblings": [self._entry(n, c) for n, c in self.files.items()],
        }

    def _entry(self, name: str, content: bytes) -> dict:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"rfilename": name, "size": len(content), "blobId": blob}
        if not name.endswith(".json"):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
        return entry

    @property
    def fetched(self) -> list[str]:
        return [name for name, _ in self.asked]


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/api/models/"):
                self._answer(hub.listing_status, json.dumps(hub.listing()).encode())
            elif "/resolve/" in self.path:  # as the hub does for large files: another place
                self.send_response(302)
                self.send_header("Location", "/store/" + self.path.rpartition("/")[2])
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._file(self.path.rpartition("/")[2])

        def _file(self, name: str) -> None:
            asked = self.headers.get("Range", "")
            hub.asked.append((name, asked))
            if hub.statuses and (status := hub.statuses.pop(0)) != 200:
                return self._answer(status, b"no")
            begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            begin = begin if hub.knows_ranges else 0
            content = hub.files[name]
            if name.endswith(".safetensors") and hub.corrupt:
                hub.corrupt -= 1
                content = bytes([content[0] ^ 1]) + content[1:]
            self._send(name, content[begin:], 206 if begin else 200)

        def _send(self, name: str, content: bytes, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            large = name.endswith(".safetensors")
            end = hub.cut_after.pop(0) if large and hub.cut_after else len(content)
            with contextlib.suppress(OSError):
                for at in range(0, end, hub.piece_bytes):
                    self.wfile.write(content[at : min(at + hub.piece_bytes, end)])
                    self.wfile.flush()
                    hub.pieces_sent += large
                    if large and hub.pause_s:
                        time.sleep(hub.pause_s)
            self.close_connection = True

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if hub.error_code:
                self.send_header("X-Error-Code", hub.error_code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
