"""The files that a page is made of: Gradio's, whose names say what is in them, and our own script.

A page asks for some eighty of them. Each is read and packed once and kept, and a browser need not
ask for it again: by Gradio's own way an answer costs 5 ms of the server, and a page half a second.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .theme import script

FOLDER = "/assets/"
NAMED_BY_CONTENT = re.compile(r"[\w-]+-[\w-]{8,}\.(?:js|css)")
FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
WORTH_PACKING = 300
"""bytes"""
MOST_KEPT = 400


@functools.cache
def script_address() -> str:
    """Of our script, relative to the page; another script has another one."""
    return f"page/script-{hashlib.sha256(script().encode()).hexdigest()[:16]}.js"


class Assets:
    """Middleware around the server: it answers for these files, and asks the server for others."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            found = _content(scope["path"])
            if found is not None:
                packs = "gzip" in Headers(scope=scope).get("accept-encoding", "")
                await _answer(scope["path"], found, packs)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@functools.lru_cache(MOST_KEPT)
def _content(path: str) -> tuple[bytes, bytes] | None:
    """(as it is, packed); None for what is not one of these files."""
    if path == f"/{script_address()}":
        plain = script().encode()
    else:
        name = path.removeprefix(FOLDER)
        file = _gradios_folder() / name
        is_one = path.startswith(FOLDER) and NAMED_BY_CONTENT.fullmatch(name) and file.is_file()
        if not is_one:
            return None
        plain = file.read_bytes()
    return plain, gzip.compress(plain, 9, mtime=0)


def _gradios_folder() -> Path:
    from gradio.route_utils import BUILD_PATH_LIB

    return Path(BUILD_PATH_LIB)


def _answer(path: str, content: tuple[bytes, bytes], packs: bool) -> Response:
    plain, packed = content
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    if not packs or len(plain) < WORTH_PACKING:
        return Response(plain, media_type=kind, headers=FOR_GOOD)
    return Response(packed, media_type=kind, headers={**FOR_GOOD, "content-encoding": "gzip"})
