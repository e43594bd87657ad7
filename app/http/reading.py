"""What can be told from a request before its fields: where it comes from, its JSON, the kind of
file it wants.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...models.quoting import shown
from ...workflows.media.formats import FORMATS, ZIP_TYPE
from ..studio.sounds import SOUNDS
from .answers import ApiError
from .door import host_name, is_loopback_name
from .joins import RECORDING

MAX_BODY_BYTES = 64 * 1024
"""of fields"""
MAX_SOUND_BYTES = 32 * 2**20
PARTS = frozenset({*SOUNDS, RECORDING})
FORM_TYPE, FIELDS_PART = "multipart/form-data", "request"
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


@dataclass(frozen=True)
class Sent:
    """What a client asks for: fields, and sounds by their names."""

    fields: dict[str, Any]
    sounds: Mapping[str, UploadFile] = field(default_factory=dict)


async def read_sent(http: Request) -> Sent:
    """Fields as JSON or, with a sound, a form: a part `request` with the fields, and a file.

    Raises ApiError for anything else.
    """
    if _kind(http) == FORM_TYPE:
        return await _read_form(http)
    return Sent(await read_body(http))


async def read_body(http: Request, most_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The body, an object. Raises ApiError for anything else.

    Other content types are refused because any page in a browser may send those to this machine
    without being asked; of a form with a sound the door sees whose page has sent it.
    """
    kind = _kind(http)
    if kind != "application/json":
        remedy = "send that header, and JSON"
        message = f"content-type: got {shown(kind)}, expected application/json; {remedy}"
        raise ApiError(415, "not_json", message)
    try:
        return _object(await _bounded(http, most_bytes))
    except ClientDisconnect:
        raise _incomplete() from None


def _kind(http: Request) -> str:
    return http.headers.get("content-type", "").partition(";")[0].strip().lower()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode(), parse_constant=_refuse, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise ApiError(
            400, "not_json", f"body: got what is not JSON ({reason}), expected an object of fields"
        ) from None
    if not isinstance(found, dict):
        message = f"body: got {shown(found)}, expected an object; send the fields in braces"
        raise ApiError(400, "not_an_object", message)
    return found


async def _read_form(http: Request) -> Sent:
    limited = Request(http.scope, _limited(http.receive, MAX_BODY_BYTES + MAX_SOUND_BYTES))
    try:
        form = await limited.form(max_files=len(PARTS), max_fields=1, max_part_size=MAX_BODY_BYTES)
    except ClientDisconnect:
        raise _incomplete() from None
    except HTTPException as error:
        message = f"body: got a form that cannot be read ({error.detail}), expected a part "
        message += f"{FIELDS_PART} with the fields as JSON, and files as melody, style or audio"
        raise ApiError(400, "not_a_form", message) from None
    parts = form.multi_items()
    told = [value for name, value in parts if name == FIELDS_PART and isinstance(value, str)]
    sounds = {name: value for name, value in parts if isinstance(value, UploadFile)}
    if len(told) != 1 or len(told) + len(sounds) != len(parts) or not sounds.keys() <= PARTS:
        got = ", ".join(shown(name) for name, _ in parts) or "none"
        message = f"body: got the parts {got}, expected {FIELDS_PART}, the fields as JSON, once, "
        message += "and files as melody, style or audio"
        raise ApiError(400, "not_a_form", message)
    return Sent(_object(told[0].encode()), sounds)


def _limited(receive: Receive, most: int) -> Receive:
    """Raises ApiError when more than so many bytes have come."""
    come = 0

    async def counting() -> Message:
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        if come > most:
            got = f"got more than {most} bytes"
            raise ApiError(413, "too_large", f"body: {got}, expected fewer; send a shorter sound")
        return message

    return counting


async def _bounded(http: Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > most_bytes:
            got = f"got more than {most_bytes} bytes"
            message = f"body: {got}, expected fewer; shorten what is in it"
            raise ApiError(413, "too_large", message)
    return bytes(body)


def _incomplete() -> ApiError:
    message = "body: got only a part of it, expected all; send it again"
    return ApiError(400, "incomplete", message)


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
