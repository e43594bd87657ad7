"""The HTTP API: POST a sentence, get music. A front door like the command line: it runs the default graph.

    POST /v1/meta-musicgen-medium    what clients of the hosted API of that name send
    POST /v1/generate                all settings, four formats, and sound while it is being made
    GET  /v1/models   GET /health    GET /docs, /openapi.json

`build_api` gives an app that the page can be mounted in. With a file of keys a request needs one and pays one credit;
without, only this machine is answered.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Security
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import APIKeyHeader
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from . import __version__
from .app.http.answers import ApiError, explained, not_found, unauthorized
from .app.http.docs import JSON_TYPE, MEANINGS, answers, body_of, page
from .app.http.keys import KeyStore, Reservation
from .app.http.making import CancellingResponse, Handover, Order, first_piece, pieces_from, work_for
from .app.http.reading import is_local, read_json, wanted_format
from .app.studio.encoding import FORMATS, ZIP_TYPE
from .app.studio.fields import Number, all_fields, compatible_fields, read_fields
from .app.studio.offered import offered_model, offered_models
from .app.studio.queue import Studio, StudioClosed, Ticket
from .app.studio.settings import AppSettings
from .nodes.host import Interrupted
from .workflows.default_graph import Music, seed_for
from .workflows.default_graph import Request as MusicRequest

COMPATIBLE_PATH = "/v1/meta-musicgen-medium"
DESCRIPTION = "Text to music with MusicGen. The weights of the official models are CC-BY-NC 4.0: no commercial use."
REFUSALS = (400, 401, 406, 413, 415, 422, 429, 500, 503)
KEY_HEADER = APIKeyHeader(name="x-api-key", auto_error=False)

Handler = Callable[[Request], Awaitable[Response]]


def build_api(studio: Studio, settings: AppSettings) -> FastAPI:
    """Raises Refused if the file of keys cannot be used. Loads no model."""
    api = _Api(studio, settings)
    app = FastAPI(
        title="MusicGraph", version=__version__, description=DESCRIPTION,
        docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=api.while_it_runs,
    )  # fmt: skip
    key = [Security(KEY_HEADER)] if api.keys else []  # the document says so; `_who` is the judge
    sounds = [one.media_type for one in FORMATS.values()]
    _add(
        app, "POST", COMPATIBLE_PATH, api.make_compatible, summary="A sentence in, a WAV file out", dependencies=key,
        responses=answers(["audio/wav"], *REFUSALS, _406=MEANINGS[402]), **body_of(api.compatible),
    )  # fmt: skip
    _add(
        app, "POST", "/v1/generate", api.make_any, summary="Music, with all settings", dependencies=key,
        responses=answers([*sounds, ZIP_TYPE], 402, 404, *REFUSALS), no_credits_status=402, **body_of(api.all),
    )  # fmt: skip
    _add(
        app, "GET", "/v1/models", api.models, summary="The models that may be asked for", dependencies=key,
        responses=answers([JSON_TYPE], 401, 500),
    )  # fmt: skip
    _add(
        app,
        "GET",
        "/health",
        api.health,
        summary="Whether the server is there",
        responses=answers([JSON_TYPE]),
    )
    app.add_api_route("/docs", lambda: HTMLResponse(page(app.openapi())), include_in_schema=False)
    app.mount("/v1", _Elsewhere(app))
    return app


def _add(
    app: FastAPI,
    method: str,
    path: str,
    handler: Handler,
    *,
    no_credits_status: int = 406,
    **route: Any,
) -> None:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # the one place where an unforeseen failure becomes a 500
            return explained(error, no_credits_status).response()

    app.add_api_route(
        path,
        endpoint,
        methods=[method],
        name=handler.__name__,
        response_class=Response,
        response_model=None,
        **route,
    )


class _Elsewhere:
    """What is asked for under /v1 and is not there, or not with that method; the page behind never sees it."""

    def __init__(self, app: FastAPI):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope.get("method", "GET"), scope["path"]
        known = self._app.openapi()["paths"]
        allowed = ", ".join(sorted(name.upper() for name in known.get(path, ())))
        error = not_found(f"got {path}, expected one of {', '.join(known)}; see /docs")
        if allowed:
            message = f"got {method} {path}, expected {allowed}; see /docs"
            error = ApiError(405, "method_not_allowed", message, headers={"Allow": allowed})
        await error.response()(scope, receive, send)


class _Api:
    """The handlers, and what they share."""

    def __init__(self, studio: Studio, settings: AppSettings):
        self.studio, self.settings = studio, settings
        self.keys = KeyStore(settings.api_keys) if settings.api_keys else None
        if self.keys is not None:
            self.keys.recover()
        self.compatible, self.all = compatible_fields(settings), all_fields(settings)

    @contextlib.asynccontextmanager
    async def while_it_runs(self, _: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self.keys is not None:
                self.keys.close()

    # ------------------------------------------------------------ the routes

    async def make_compatible(self, http: Request) -> Response:
        owner, key = await self._who(http)
        values = read_fields(self.compatible, await read_json(http))
        if values["seed"] == -1:  # one that this route takes again
            seed = self.compatible["seed"]
            assert isinstance(seed, Number)
            values["seed"] = secrets.randbelow(int(seed.high) + 1)
        return await self._make(
            http, owner, key, await run_in_threadpool(self._order, values, "wav")
        )

    async def make_any(self, http: Request) -> Response:
        owner, key = await self._who(http)
        values = read_fields(self.all, await read_json(http))
        format = values["format"] or wanted_format(http.headers.get("accept", ""))
        return await self._make(
            http, owner, key, await run_in_threadpool(self._order, values, format)
        )

    async def models(self, http: Request) -> Response:
        await self._who(http)
        found = await run_in_threadpool(offered_models, self.settings)
        rows = [
            {
                "name": one.name,
                "default": one.is_default,
                "size_bytes": one.size_bytes,
                "licence": one.licence,
            }
            for one in found
        ]
        return JSONResponse({"models": rows})

    async def health(self, http: Request) -> Response:
        state = {
            "status": "ok",
            "version": __version__,
            "busy": self.studio.busy(),
            "waiting": self.studio.waiting(),
        }
        return JSONResponse(state)

    # ------------------------------------------------------------ steps

    async def _who(self, http: Request) -> tuple[str, str | None]:
        """The owner of what is asked for, and their key. Raises ApiError or UnknownKey."""
        if self.keys is None:
            if self.settings.share or not is_local(
                http
            ):  # a share link brings strangers in as if they were local
                message = "got a request that may come from another machine, expected one from this; start with --api-keys"
                raise unauthorized(message)
            return "api", None
        key = http.headers.get("x-api-key")
        if not key:
            raise unauthorized(
                "x-api-key: got no such header, expected a key; send the one you were given"
            )
        row = await run_in_threadpool(self.keys.find, key)
        return f"key {row.id}", key

    def _order(self, values: Mapping[str, Any], format_name: str) -> Order:
        """Raises ApiError for settings that do not go together, and for a model that is not here."""
        stream, variations = values.get("stream", False), values.get("variations", 1)
        if stream and (variations > 1 or values.get("loudness_lufs") is not None):
            got = (
                "several variations"
                if variations > 1
                else "a loudness, which needs all of the sound first"
            )
            raise ApiError(
                422, "invalid_field", f"stream: got {got}, expected neither; leave it or stream out"
            )
        model = offered_model(self.settings, values.get("model", ""))
        if model is None:
            names = ", ".join(one.name for one in offered_models(self.settings))
            raise not_found(
                f"model: got {values['model']!r}, expected one of {names}; ask for one of those"
            )
        format = FORMATS[format_name]
        given = {name: values[name] for name in MusicRequest.__dataclass_fields__ if name in values}
        given |= {
            "model": model.source,
            "duration_s": values["duration"],
            "seed": seed_for(values["seed"]),
        }
        return Order(MusicRequest(**given, save_as=format.save_as), format, stream, model.name)

    async def _make(self, http: Request, owner: str, key: str | None, order: Order) -> Response:
        handover = Handover()
        ticket, remaining = await run_in_threadpool(self._begin, owner, key, order, handover)
        first = await first_piece(http, ticket, handover)
        headers = {
            "x-seed": str(order.request.seed),
            "x-model": quote(order.model_name, safe="/-_."),
        }
        if remaining is not None:
            headers["x-remaining-credits"] = str(remaining)
        if order.stream:
            handover.answered = True
            pieces = pieces_from(first, ticket, handover)
            return CancellingResponse(ticket, pieces, headers=headers, media_type=order.media_type)
        await handover.next()  # the end: the work has its result by then
        headers["x-generation-seconds"] = f"{ticket.result().generation_s:.3f}"
        return Response(first, headers=headers, media_type=order.media_type)

    def _begin(
        self, owner: str, key: str | None, order: Order, handover: Handover
    ) -> tuple[Ticket[Music], int | None]:
        """Pays and lines up. The credit comes back if there is no music for it."""
        if self.keys is None or key is None:
            ticket = self.studio.submit(owner, work_for(order, handover.send))
            ticket.when_done(handover.end)
            return ticket, None
        keys, reserved = self.keys, self.keys.reserve(key)
        try:
            ticket = self.studio.submit(owner, work_for(order, handover.send))
        except BaseException:
            keys.give_back(reserved)
            raise
        ticket.when_done(lambda: _settle(keys, reserved, ticket, handover))
        ticket.when_done(handover.end)
        return ticket, reserved.remaining


def _settle(
    keys: KeyStore, reserved: Reservation, ticket: Ticket[Music], handover: Handover
) -> None:
    """Music costs, and what a client has heard before it left. A failure, or our own end, does not."""
    error = ticket.error()
    left = isinstance(error, Interrupted) and not isinstance(error, StudioClosed)
    is_paid = error is None or (left and handover.answered)
    (keys.spend if is_paid else keys.give_back)(reserved)
