"""What the Play tab asks: a performance of one's own, steered as the API steers it.

    GET  page/play               what there is to play with
    POST page/play               begins; ends the one that this browser played before
    GET  page/play/ID/stream     sound and news, as `play_place.py` packs them
    POST page/play/ID/say, …/undo, …/wait
    POST page/play/ID/mark, …/back        remembers a moment, goes on from it
    POST page/play/ID/record, …/keep      begins a recording, makes a take of it

Each browser has one at a time. It waits while nobody listens, and ends when that lasts; what was
being recorded then becomes a take.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from ...models.refused import Refused
from ..studio.fields import live_fields, read_fields, request_of
from ..studio.models import offers, permitted
from ..studio.said import read_said
from ..studio.settings import AppSettings
from ..studio.stage import Stage, StageFull
from . import browser
from .play_place import PlayPlace
from .play_take import Recording
from .routes import NOT_KEPT, in_words, json_body
from .shelf import Shelf
from .take_library import MAX_TITLE_CHARACTERS, Library

log = logging.getLogger("musicgraph")

STREAM_TYPE = "application/octet-stream"
PROMPTS = 6
"""at most, on the plane"""
SAID_FIRST = ("drums", "energy")
"""what is said behind the texts, from the first frame on"""


def build_play_routes(stage: Stage, settings: AppSettings, shelf: Shelf) -> APIRouter:
    """To be included in the server in front of the page."""
    plays = _Plays(stage, settings, shelf)
    router = APIRouter(prefix="/page/play", include_in_schema=False)
    for method, path, answer in (
        ("GET", "", plays.offer),
        ("POST", "", plays.begin),
        ("GET", "/{id}/stream", plays.stream),
        ("POST", "/{id}/{change}", plays.change),
    ):
        router.add_api_route(path, in_words(answer), methods=[method])
    return router


class _Plays:
    """The answers, each for whoever asks."""

    def __init__(self, stage: Stage, settings: AppSettings, shelf: Shelf):
        self._stage, self._settings, self._shelf = stage, settings, shelf
        self._fields = live_fields(settings)
        self._lock = threading.Lock()  # guards all that follows
        self._playing: dict[str, PlayPlace] = {}
        """by browser"""

    async def offer(self, http: Request) -> Response:
        found = await run_in_threadpool(offers, self._settings)
        answer = {
            "places": self._stage.places,
            "models": [one.name for one in found if one.is_default or one.on_disk],
            "osc": self._settings.osc,
        }
        return JSONResponse(answer, headers=NOT_KEPT)

    async def begin(self, http: Request) -> Response:
        given, owner = await json_body(http), browser.of(http)
        playing = await run_in_threadpool(self._begun, owner, given)
        return JSONResponse({"id": playing.place.id}, headers=NOT_KEPT)

    async def stream(self, http: Request) -> Response:
        playing = self._of(http)

        async def pieces() -> AsyncIterator[bytes]:
            stream = playing.listen()  # here: who has left by now never comes to `finally`
            try:
                async for piece in stream.each():
                    yield piece
            finally:  # without waiting: who has left has this task cancelled
                playing.leave(stream)

        headers = {**NOT_KEPT, "x-accel-buffering": "no"}
        return StreamingResponse(pieces(), headers=headers, media_type=STREAM_TYPE)

    async def change(self, http: Request) -> Response:
        playing, given = self._of(http), await json_body(http)
        changes: dict[str, Callable[[], Any]] = {
            "say": lambda: vars(playing.place.performance.say(read_said(given))),
            "undo": lambda: vars(playing.place.performance.undo()),
            "wait": lambda: playing.wait() or {},
            "mark": lambda: playing.mark(_number(given)),
            "back": lambda: playing.go_back(_number(given)),
            "record": lambda: playing.record() or {},
            "keep": lambda: {"take": self._kept(browser.of(http), playing, given)},
        }
        name = http.path_params["change"]
        if name not in changes:
            return JSONResponse({"trouble": "no such change"}, 404)
        return JSONResponse(await run_in_threadpool(changes[name]), headers=NOT_KEPT)

    # ------------------------------------------------------------ steps

    def _begun(self, owner: str, given: dict[str, Any]) -> PlayPlace:
        with self._lock:
            before = self._playing.pop(owner, None)
        if before is not None:
            before.place.close()
        first = {name: given.pop(name) for name in SAID_FIRST if name in given}
        said = read_said(first) if first else None
        values = read_fields(self._fields, {**given, "parts": PROMPTS, "blend": 0})
        offer = permitted(self._settings, values["model"])
        request = request_of({**values, "model": offer.name, "duration_s": 1.0})
        playing = PlayPlace(lambda recording: self._ended(owner, playing, recording))
        try:
            playing.place = self._stage.open(
                owner, request, playing.hear_news,
                named_models={offer.name: offer.source}, parts=PROMPTS,
            )  # fmt: skip
        except StageFull as full:
            got = f"{full.waiting} who play live already"
            remedy = "try again in a minute"
            raise Refused("Play", got=got, expected="fewer", remedy=remedy) from None
        try:
            if said is not None:
                playing.place.say(said)
        except BaseException:  # nobody knows of it: it would keep its place for ever
            playing.place.close()
            raise
        with self._lock:
            if not playing.has_ended:
                self._playing[owner] = playing
        playing.watch()
        return playing

    def _of(self, http: Request) -> PlayPlace:
        with self._lock:
            playing = self._playing.get(browser.of(http))
        id = http.path_params["id"]
        if playing is None or playing.place.id != id or self._stage.find(id) is None:
            raise Refused("this music", got="some that is over", remedy="press Play")
        return playing

    def _kept(self, owner: str, playing: PlayPlace, given: dict[str, Any]) -> dict[str, Any]:
        title = " ".join(str(given.get("title", "")).split())[:MAX_TITLE_CHARACTERS]
        library, place = self._shelf.takes_of(owner), playing.place
        return playing.recorded().keep(library, title, place.named_models).as_json()

    def _ended(self, owner: str, playing: PlayPlace, recording: Recording | None) -> None:
        """Whoever tells of the end need not wait until the file is written."""
        with self._lock:
            if self._playing.get(owner) is playing:
                del self._playing[owner]
        if recording is not None:
            library, models = self._shelf.takes_of(owner), playing.place.named_models
            rest = library, models, recording
            threading.Thread(target=_keep_rest, args=rest, name="musicgraph-keep").start()


def _keep_rest(library: Library, models: Mapping[str, str], recording: Recording) -> None:
    try:
        recording.keep(library, "", models)
    except Refused as error:
        log.info("what was being recorded is not kept: %s", error)


def _number(given: dict[str, Any]) -> int:
    number = given.get("number", 0)
    return number if isinstance(number, int) else -1
