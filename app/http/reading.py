"""What can be told from a request before its fields: where it comes from, its JSON, the kind of
file it wants.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...models.quoting import shown
from ...workflows.media.formats import FORMATS, ZIP_TYPE
from .answers import ApiError
from .door import host_name, is_loopback_name

MAX_BODY_BYTES = 64 * 1024
FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
FORMAT_OF_TYPE = {
    media_type: one.name
    for one in FORMATS.values()
    for media_type in (one.media_type, *one.also_called)
} | dict.fromkeys(("*/*", "audio/*", ZIP_TYPE), "wav")


def is_local(http: Request) -> bool:
    """Whether it was sent on this machine, to this machine by name.

    A page elsewhere that gets its own name to lead here does not pass, nor does what a proxy or a
    tunnel brings in.
    """
    if http.client is None or not FORWARDED.isdisjoint(http.headers.keys()):
        return False
    name = host_name(http.headers.get("host", ""))
    return is_loopback_name(http.client.host) and is_loopback_name(name)


class PageOnlyHere:
    """Keeps everything but the HTTP API to this machine."""

    OPEN = ("/v1/", "/docs", "/openapi.json", "/health")

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and not scope["path"].startswith(self.OPEN)
        if page and not is_local(Request(scope)):
            message = (
                "got a request for the page from another machine, expected one for the API: "
                "see /docs"
            )
            await ApiError(403, "page_is_local", message).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def read_body(http: Request) -> dict[str, Any]:
    """The body, an object. Raises ApiError for anything else.

    Other content types are refused because any page in a browser may send those to this machine
    without being asked.
    """
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        remedy = "send that header, and JSON"
        message = f"content-type: got {shown(kind)}, expected application/json; {remedy}"
        raise ApiError(415, "not_json", message)
    try:
        body = json.loads(
            (await _bounded(http)).decode(), parse_constant=_refuse, object_pairs_hook=_unrepeated
        )
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise ApiError(
            400, "not_json", f"body: got what is not JSON ({reason}), expected an object of fields"
        ) from None
    if not isinstance(body, dict):
        message = f"body: got {shown(body)}, expected an object; send the fields in braces"
        raise ApiError(400, "not_an_object", message)
    return body


async def _bounded(http: Request) -> bytes:
    body = bytearray()
    try:
        async for piece in http.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                got = f"got more than {MAX_BODY_BYTES} bytes"
                message = f"body: {got}, expected fewer; shorten the prompt"
                raise ApiError(413, "too_large", message)
    except ClientDisconnect:
        raise ApiError(
            400, "incomplete", "body: got only a part of it, expected all; send it again"
        ) from None
    return bytes(body)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field stands there twice")
    return found


def wanted_format(accept: str) -> str:
    """The kind of file that an Accept header likes best; wav if it leaves that open.

    Raises ApiError if it wants none.
    """
    if not accept.strip():
        return "wav"
    for _, media_type in sorted(_accepted(accept), key=lambda one: -one[0]):
        if media_type in FORMAT_OF_TYPE:
            return FORMAT_OF_TYPE[media_type]
    expected = ", ".join(one.media_type for one in FORMATS.values())
    message = (
        f"Accept: got {shown(accept)}, expected one of {expected}; or name a format in the body"
    )
    raise ApiError(406, "not_acceptable", message)


def _accepted(accept: str) -> Iterator[tuple[float, str]]:
    """(weight, media type) of each that is not ruled out."""
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            value = float(weight)
        except ValueError:
            value = 1.0
        if value > 0:
            yield value, media_type
