"""The HTTP API: POST a sentence, get music.

A front door like the command line: it runs the default graph.

    POST /v1/meta-musicgen-medium    what clients of the hosted API of that name send
    POST /v1/generate                all settings, four formats, and sound while it is being made
    POST /v1/live                    music that is steered while it plays (`live.py`)
    GET  /v1/models   GET /health    GET /docs, /openapi.json

`build_api` gives an app that the page can be mounted in. With a file of keys a request needs one
and pays one credit; without, only this machine is answered.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Security
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import APIKeyHeader
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from ... import __version__
from ...models.weights.adapter_places import found_adapters
from ...nodes.fade import CUT
from ...nodes.host import Interrupted, model_folders
from ...workflows.media.formats import FORMATS, ZIP_TYPE
from ...workflows.registry import node_classes
from ..studio.fields import all_fields, compatible_fields, read_fields, request_of
from ..studio.follow import JobStream
from ..studio.models import check_loras, offers, permitted
from ..studio.music import Music, music_job
from ..studio.queue import JobHandle, JobQueue, QueueClosed
from ..studio.said import said_fields
from ..studio.settings import AppSettings
from ..studio.sounds import SOUNDS, followed, taken_in
from ..studio.stage import Stage, stage_beside
from .answers import ApiError, explained, not_found, unauthorized
from .docs import JSON_TYPE, MEANINGS, answers, body_of, page, with_sounds
from .joins import RECORDING, joins_of
from .juce import HEALTH, Plugin
from .keys import KeyStore, Reservation
from .live import ENDING, EVENTS_TYPE, LiveRoutes
from .making import ApiJob, CancellingResponse, SoundSender, first_piece, pieces_from
from .reading import is_local, read_body, read_sent, wanted_format

COMPATIBLE_PATH = "/v1/meta-musicgen-medium"
DESCRIPTION = (
    "Text to music with MusicGen. The weights of the official models are CC-BY-NC 4.0: "
    "no commercial use."
)
REFUSALS = (400, 401, 406, 413, 415, 422, 429, 500, 503)
LIVE_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
KEY_HEADER = APIKeyHeader(name="x-api-key", auto_error=False)

Handler = Callable[[Request], Awaitable[Response]]


def build_api(queue: JobQueue, settings: AppSettings, stage: Stage | None = None) -> FastAPI:
    """Raises Refused if the file of keys cannot be used. Loads no model."""
    api = _Api(queue, settings)
    live = LiveRoutes(stage or stage_beside(queue, settings.live), settings, api.keys, api._who)
    queue.when_closed(live.stage.close)
    app = FastAPI(
        title="MusicGraph", version=__version__, description=DESCRIPTION,
        docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=api.while_it_runs,
    )  # fmt: skip
    key = [Security(KEY_HEADER)] if api.keys else []  # the document says so; `_who` is the judge
    sounds = [one.media_type for one in FORMATS.values()]
    _add(
        app, "POST", COMPATIBLE_PATH, api.make_compatible, dependencies=key,
        summary="A sentence in, a WAV file out",
        responses=answers(["audio/wav"], *REFUSALS, _406=MEANINGS[402]), **body_of(api.compatible),
    )  # fmt: skip
    _add(
        app, "POST", "/v1/generate", api.make_any, dependencies=key,
        summary="Music, with all settings", no_credits_status=402,
        **with_sounds(body_of(api.all)),
        responses=answers([*sounds, ZIP_TYPE], 402, 404, *REFUSALS),
    )  # fmt: skip
    _add_live(app, live, key)
    _add(
        app, "GET", "/v1/models", api.models, dependencies=key,
        summary="The models and LoRAs that may be asked for", has_head=True,
        responses=answers([JSON_TYPE], 401, 500),
    )  # fmt: skip
    _add(
        app,
        "GET",
        "/health",
        api.health,
        summary="Whether the server is there",
        has_head=True,
        responses=answers([JSON_TYPE]),
    )
    if api.plugin is not None:
        api.plugin.add_to(app)
    app.add_api_route(
        "/docs", lambda: HTMLResponse(page(app.openapi())), methods=["GET", "HEAD"],
        include_in_schema=False,
    )  # fmt: skip
    app.mount("/v1", _Elsewhere(app))
    return app


def _add(
    app: FastAPI,
    method: str,
    path: str,
    handler: Handler,
    *,
    no_credits_status: int = 406,
    has_head: bool = False,
    **route: Any,
) -> None:
    """`has_head`: HEAD is answered too, which is what monitors and balancers ask with."""

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
    if has_head:
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)


def _add_live(app: FastAPI, live: LiveRoutes, key: list[Any]) -> None:
    usual, told = (400, 401, 413, 415, 422, 500), answers([JSON_TYPE], 401, 404, 422, 500)
    sounds = [one.media_type for one in FORMATS.values()]
    _add(
        app, "POST", "/v1/live", live.begin, dependencies=key, no_credits_status=402,
        summary="Begin music that is steered while it plays", **body_of(live.fields),
        responses=answers([EVENTS_TYPE], *usual, 402, 404, 429, 503),
    )  # fmt: skip
    routes = (
        ("GET", "/sound", live.sound, "Its sound as it is made", answers(sounds, 401, 404, 422)),
        ("GET", "/graph", live.graph, "The graph that plays it again", told),
        ("POST", "/undo", live.undo, "Take back what was said last", told),
        ("POST", "/end", live.end, "End it", answers([JSON_TYPE], *usual, 404)),
        ("POST", "", live.say, "Say what is to be otherwise", answers([JSON_TYPE], *usual, 404)),
    )
    bodies = {"/end": ENDING, "": said_fields()}
    for method, path, handler, summary, responses in routes:
        body = body_of(bodies[path])["openapi_extra"] if path in bodies else {}
        _add(
            app, method, "/v1/live/{id}" + path, handler, dependencies=key, summary=summary,
            responses=responses, openapi_extra={**body, "parameters": [LIVE_ID]},
        )  # fmt: skip


class _Elsewhere:
    """What is asked for under /v1 and is not there, or not with that method; the page behind never
    sees it.
    """

    def __init__(self, app: FastAPI):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope.get("method", "GET"), scope["path"]
        known = self._app.openapi()["paths"]
        here = next((one for one in known if _leads_to(one, path)), path)
        allowed = ", ".join(sorted(name.upper() for name in known.get(here, ())))
        error = not_found(f"got {path}, expected one of {', '.join(known)}; see /docs")
        if allowed:
            message = f"got {method} {path}, expected {allowed}; see /docs"
            error = ApiError(405, "method_not_allowed", message, headers={"Allow": allowed})
        await error.response()(scope, receive, send)


def _leads_to(template: str, path: str) -> bool:
    parts, asked = template.split("/"), path.split("/")
    same = (one == other or one[:1] == "{" for one, other in zip(parts, asked, strict=False))
    return len(parts) == len(asked) and all(same)


class _Api:
    """The handlers, and what they share."""

    def __init__(self, queue: JobQueue, settings: AppSettings):
        self.queue, self.settings, self.classes = queue, settings, node_classes()
        self.keys = KeyStore(settings.api_keys) if settings.api_keys else None
        if self.keys is not None:
            self.keys.recover()
        self.compatible, self.all = compatible_fields(settings), all_fields(settings)
        self.plugin = Plugin(queue, settings, self.classes) if settings.juce else None

    @contextlib.asynccontextmanager
    async def while_it_runs(self, _: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self.keys is not None:
                self.keys.close()
            if self.plugin is not None:
                self.plugin.close()

    # ------------------------------------------------------------ the routes

    async def make_compatible(self, http: Request) -> Response:
        owner, key = await self._who(http)
        values = read_fields(self.compatible, await read_body(http))
        if values["seed"] == -1:  # one that this route takes again
            values["seed"] = secrets.randbelow(int(self.compatible["seed"].maximum or 0) + 1)
        return await self._make(http, owner, key, await run_in_threadpool(self._job, values, "wav"))

    async def make_any(self, http: Request) -> Response:
        owner, key = await self._who(http)
        sent = await read_sent(http)
        values = read_fields(self.all, sent.fields)
        format = values["format"] or wanted_format(http.headers.get("accept", ""))
        melody, style = (sent.sounds.get(how) for how in SOUNDS)
        how, sound = followed(melody, style, values["style_guidance"])
        parts = {how: sound, "recording": sent.sounds.get(RECORDING)}
        files = {name: file for name, file in parts.items() if file is not None}
        if not files:
            wanted = await run_in_threadpool(self._job, values, format)
            return await self._make(http, owner, key, wanted)
        # it has been read when the answer begins: sound comes after all that it follows
        with tempfile.TemporaryDirectory(prefix="musicgraph-", ignore_cleanup_errors=True) as own:
            for name, file in files.items():
                values[name] = await run_in_threadpool(
                    taken_in, file.file, file.filename or "", Path(own)
                )
            wanted = await run_in_threadpool(self._job, values, format, own)
            return await self._make(http, owner, key, wanted)

    async def models(self, http: Request) -> Response:
        await self._who(http)
        found = await run_in_threadpool(offers, self.settings)
        rows = [
            {
                "name": one.name,
                "default": one.is_default,
                "size_bytes": one.size_bytes,
                "licence": one.licence,
                "follows": [how for how in SOUNDS if one.follows(how)],
            }
            for one in found
        ]
        loras = await run_in_threadpool(lambda: found_adapters(model_folders()))
        named = [
            {"name": one.name, "base": one.base, "size_bytes": one.size_bytes} for one in loras
        ]
        return JSONResponse({"models": rows, "loras": named})

    async def health(self, http: Request) -> Response:
        state = {
            "status": "ok",
            "version": __version__,
            "busy": self.queue.busy(),
            "running": self.queue.running(),
            "waiting": self.queue.waiting(),
        }
        return JSONResponse(state if self.plugin is None else state | HEALTH)

    # ------------------------------------------------------------ steps

    async def _who(self, http: Request) -> tuple[str, str | None]:
        """The owner of what is asked for, and their key. Raises ApiError or UnknownKey."""
        if self.keys is None:
            if self.settings.share or not is_local(
                http
            ):  # a share link brings strangers in as if they were local
                message = (
                    "got a request that may come from another machine, expected one from this; "
                    "start with --api-keys"
                )
                raise unauthorized(message)
            return "api", None
        key = http.headers.get("x-api-key")
        if not key:
            raise unauthorized(
                "x-api-key: got no such header, expected a key; send the one you were given"
            )
        row = await run_in_threadpool(self.keys.find, key)
        return f"key {row.id}", key

    def _job(self, values: Mapping[str, Any], format_name: str, input_dir: str = "input") -> ApiJob:
        """Raises ApiError for settings that do not go together, ModelNotOffered, and BadInput for a
        model that cannot follow the sound in `input_dir`.
        """
        stream, variations = values.get("stream", False), values.get("variations", 1)
        if stream:
            _check_streams(values)
        follows = next((how for how in SOUNDS if values.get(how)), "")
        offer = permitted(self.settings, values.get("model", ""), follows=follows)
        check_loras(values.get("loras", ()))
        format, recording = FORMATS[format_name], values.get("recording")
        joins = joins_of(
            values, Path(input_dir) / recording if recording else None, self.all["duration_s"]
        )
        request = request_of({**values, **joins, "model": offer.name}, save_as=format.save_as)
        named = {offer.name: offer.source}
        job = music_job(
            request, self.classes, named_models=named, input_dir=input_dir, stream=stream
        )
        return ApiJob(job, format, variations, request.seed, offer.name, request.loop)

    async def _make(self, http: Request, owner: str, key: str | None, wanted: ApiJob) -> Response:
        stream, charge = JobStream[bytes](), Charge()
        handle, remaining = await run_in_threadpool(self._begin, owner, key, wanted, stream, charge)
        place, pieces = handle.position(), stream.each()
        first = await first_piece(http, handle, pieces)
        headers = {"x-seed": str(wanted.seed), "x-model": quote(wanted.model_name, safe="/-_.")}
        headers["x-queue-place"] = str(place)
        if remaining is not None:
            headers["x-remaining-credits"] = str(remaining)
        if wanted.job.stream:
            charge.has_heard = True
            rest = pieces_from(first, handle, pieces)
            return CancellingResponse(handle, rest, headers=headers, media_type=wanted.media_type)
        async for _ in pieces:  # to the end: the job has its result by then
            raise AssertionError("a file comes in one piece")
        headers["x-generation-seconds"] = f"{handle.result().generation_s:.3f}"
        return Response(first, headers=headers, media_type=wanted.media_type)

    def _begin(
        self,
        owner: str,
        key: str | None,
        wanted: ApiJob,
        stream: JobStream[bytes],
        charge: Charge,
    ) -> tuple[JobHandle[Music], int | None]:
        """Pays and queues the job. The credit comes back if there is no music for it."""
        sender = SoundSender(wanted, stream)
        keys, reserved = self.keys, None
        if keys is not None and key is not None:
            reserved = keys.reserve(key)
        try:
            handle = self.queue.submit(
                owner, wanted.job, listener=sender.listen, then=sender.finish
            )
        except BaseException:
            if keys is not None and reserved is not None:
                keys.give_back(reserved)
            raise
        if keys is not None and reserved is not None:
            handle.when_done(lambda: charge.settle(keys, reserved, handle))
        handle.when_done(stream.end)
        return handle, reserved.remaining if reserved is not None else None


def _check_streams(values: Mapping[str, Any]) -> None:
    """Raises ApiError for what is there only when all of the sound is."""
    late = {
        "several variations": values.get("variations", 1) > 1,
        "a loudness": values.get("loudness_lufs") is not None,
        "audio": bool(values.get("recording")),
        "a loop": bool(values.get("bars")),
        "a fade": bool(values.get("fade_s")),
        "an ending": values.get("ending", CUT) != CUT,
    }
    for got, is_there in late.items():
        if is_there:
            message = (
                f"stream: got {got} too, which needs all of the sound first, expected it alone"
            )
            raise ApiError(422, "invalid_field", f"{message}; leave one of them out")


@dataclass
class Charge:
    """What an answer costs.

    Music does, and what a client has heard before it left; a failure, or our own end, does not.
    """

    has_heard: bool = False
    """whether the client has been sent any sound"""

    def settle(self, keys: KeyStore, reserved: Reservation, handle: JobHandle[Music]) -> None:
        error = handle.error()
        left = isinstance(error, Interrupted) and not isinstance(error, QueueClosed)
        is_paid = error is None or (left and self.has_heard)
        (keys.spend if is_paid else keys.give_back)(reserved)
