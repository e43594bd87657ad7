"""Assistants' calls (MCP), each with a name of its own, so that leaving or cancelling ends the
work.

Gradio's MCP server passes a call on to the page, as one client of it for all assistants, and hears
neither of a connection that is closed nor of a notice that cancels: it keeps no sessions. So the
door gives each call a name, in a header that Gradio passes on, and says when nobody waits for it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CALL_HEADER = "x-musicgraph-call"

Caller = tuple[str | None, ...]


@dataclass
class Calls:
    """ASGI application in front of Gradio's MCP server."""

    app: ASGIApp
    on_leave: Callable[[str], None]
    running: dict[str, tuple[Caller, Any]] = field(default_factory=dict)
    """name: who called, and under which number"""

    async def answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """`body` is what `receive` is going to give, too."""
        message = _message(body)
        if message.get("method") == "notifications/cancelled":
            self._cancel(_caller(scope), message)
        if message.get("method") != "tools/call":
            await self.app(scope, receive, send)
            return
        name = secrets.token_hex(16)
        self.running[name] = (_caller(scope), message.get("id"))
        try:
            await self.app(_named(scope, name), self._noticing(name, receive), send)
        finally:
            del self.running[name]
            self.on_leave(name)

    def _noticing(self, name: str, receive: Receive) -> Receive:
        async def noticing() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.on_leave(name)
            return message

        return noticing

    def _cancel(self, caller: Caller, message: dict[str, Any]) -> None:
        """Without sessions a number alone may be anybody's: two that look alike cancel nothing."""
        parameters = message.get("params")
        number = parameters.get("requestId") if isinstance(parameters, dict) else None
        meant = [name for name, call in self.running.items() if call == (caller, number)]
        if number is not None and len(meant) == 1:
            self.on_leave(meant[0])


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _caller(scope: Scope) -> Caller:
    """What two requests of one client have in common."""
    headers, client = Headers(scope=scope), scope.get("client") or (None,)
    alike = ("x-forwarded-for", "authorization", "user-agent", "mcp-session-id")
    return client[0], *map(headers.get, alike)


def _named(scope: Scope, name: str) -> Scope:
    key = CALL_HEADER.encode()
    kept = [(header, value) for header, value in scope["headers"] if header != key]
    return {**scope, "headers": [*kept, (key, name.encode())]}
