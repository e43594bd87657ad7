"""The door of the server: whose requests are answered at all, and which files they may speak of.

Everything that is mounted lies behind it: the page, Gradio's own routes, MCP, the HTTP API.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..studio.calls import Calls
from ..studio.settings import AppSettings
from ..studio.sounds import KnownFiles
from .answers import ApiError

PAGE_CALLS = "/gradio_api/"
UPLOAD = "/gradio_api/upload"
ASSISTANTS = "/gradio_api/mcp"
FETCHING = re.compile(r"/gradio_api/(?:proxy=|file[=/]\s*[a-z][a-z0-9+.-]+:/)", re.I)
"""Gradio would fetch from another server for whoever asks"""
MAX_CALL_BYTES = 4 * 2**20
"""of a call of the page; files are uploaded by themselves"""


@dataclass
class Hosts:
    """The names under which a server answers; None: any."""

    names: set[str] | None
    numbers: bool = False
    """whether an IP address will do as well, which no other site can make a browser send for its
    own name
    """

    @classmethod
    def of(cls, settings: AppSettings) -> Hosts:
        """On loopback loopback's names, else any, unless names are given; a Space its own."""
        own = os.environ.get("SPACE_HOST", "")
        named = {name.lower() for name in (*settings.allowed_hosts, *own.split(",")) if name}
        if is_loopback_name(settings.host) or named:
            return cls(named, numbers=bool(own))
        return cls(None)

    def answer(self, host: str) -> bool:
        name = host_name(host)
        if self.names is None or name in self.names or is_loopback_name(name):
            return True
        return self.numbers and _address(name) is not None

    def are_home_of(self, origin: str, host: str) -> bool:
        """Whether a page from `origin` is the server's own, as far as `host` was asked for.

        A name that was given counts, as behind a proxy that asks for another host; loopback's
        names do not: on another port there lives somebody else.
        """
        try:
            netloc = urlsplit(origin).netloc.lower()
        except ValueError:  # brackets that hold no address
            return False
        named = self.names is not None and host_name(netloc) in self.names
        return bool(netloc) and (netloc == host.lower() or named)


@dataclass
class Door:
    """ASGI middleware.

    Refuses other hosts with 421; other sites' pages, files of no upload, and fetching from other
    servers with 403.
    """

    app: ASGIApp
    hosts: Hosts
    on_leave: Callable[[str], None] = lambda _: None
    """is told the name of an assistant's call whose answer nobody waits for any more"""
    files: KnownFiles = field(default_factory=KnownFiles)
    """what a call of the page may name"""

    def __post_init__(self) -> None:
        self._calls = Calls(self.app, self.on_leave)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if refusal := self._unwelcome(Headers(scope=scope)):
            await _refuse(refusal, scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(PAGE_CALLS):
            await self._page_call(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _unwelcome(self, headers: Headers) -> ApiError | None:
        host = headers.get("host", "")
        for name in (host, *headers.getlist("x-forwarded-host")):  # Gradio makes addresses of those
            if not self.hosts.answer(name):
                message = f"got the host {name[:100]!r}, expected one of this server's names; "
                message += "who runs it can add names: --allowed-host"
                return ApiError(421, "other_host", message)
        origin = headers.get("origin")
        if origin is not None and not self.hosts.are_home_of(origin, host):
            message = "got a request of another site's page, expected one of this server's own"
            return ApiError(403, "other_origin", message)
        return None

    async def _page_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        if FETCHING.match(scope["path"]):
            message = "got the address of another server, expected a file of this one"
            await _refuse(ApiError(403, "not_fetched", message), scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
        elif scope["path"].rstrip("/") == UPLOAD:
            await self.app(_uncompressed(scope), receive, self._noting_uploads(send))
        else:
            body = await _body(receive)
            if body is None:
                message = f"got more, expected at most {MAX_CALL_BYTES >> 20} MB; upload files"
                await _refuse(ApiError(413, "too_large", message), scope, receive, send)
            elif not all(path in self.files for path in named_paths(body)):
                message = "got a file that was not uploaded here, expected one that was; upload it"
                await _refuse(ApiError(403, "no_upload", message), scope, receive, send)
            elif scope["path"].startswith(ASSISTANTS):
                await self._calls.answer(scope, body, _again(body, receive), send)
            else:
                await self.app(scope, _again(body, receive), send)

    def _noting_uploads(self, send: Send) -> Send:
        pieces: list[bytes] = []

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))
                if not message.get("more_body"):
                    self._note(b"".join(pieces))
            await send(message)

        return noting

    def _note(self, answer: bytes) -> None:
        """Gradio answers an upload with the list of the files' paths."""
        try:
            paths = json.loads(answer)
        except ValueError:
            return
        for path in paths if isinstance(paths, list) else ():
            if isinstance(path, str):
                self.files.add(path)


def named_paths(body: bytes) -> Iterator[Any]:
    """Whatever stands under `path` in a JSON body, at any depth: Gradio takes each such object for
    a file.
    """
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get("path") is not None:
                yield value["path"] if isinstance(value["path"], str) else None
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _uncompressed(scope: Scope) -> Scope:
    """The same request from a client that wants its answer as it is."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    return {**scope, "headers": kept}


async def _body(receive: Receive) -> bytes | None:
    """All of it; None if it is too long."""
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        if size > MAX_CALL_BYTES:
            return None
    return b"".join(pieces)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what else comes (the client's leaving)."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _refuse(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
    else:
        await error.response()(scope, receive, send)


# ---------------------------------------------------------------- names of hosts


def host_name(host: str) -> str:
    """The name of a Host header, without its port, lower case."""
    name, separator, _ = host.removeprefix("[").partition("]" if host.startswith("[") else ":")
    return name.lower() if separator or not host.startswith("[") else ""


def is_loopback_name(name: str) -> bool:
    address = _address(name)
    if address is None:
        return name == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
