"""Live music over HTTP: a performance is an answer of server-sent events, and lasts as long as it.

    POST   /v1/live               begins one; events until it is over or the client leaves
    GET    /v1/live/{id}/sound    its sound from now on, as it is made
    POST   /v1/live/{id}          says something to it; the answer says from where on it holds
    POST   /v1/live/{id}/undo     takes back what was said last
    POST   /v1/live/{id}/end      ends it
    GET    /v1/live/{id}/graph    the graph that plays it again

Events go one way, and what is said is a request with an answer of its own; so every client has all
of it (curl, fetch, EventSource, <audio>), refusals have statuses, and no library is needed, where a
websocket would need one and could not be played.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from ...models.config import MAX_DURATION_S
from ...models.refused import Refused
from ...workflows.inputs import InputSpec
from ...workflows.media.formats import FORMATS
from ..studio.encoding import SoundStream
from ..studio.fields import live_fields, read_fields, request_of
from ..studio.follow import JobStream
from ..studio.models import check_loras, permitted
from ..studio.said import MAX_END_S, read_said
from ..studio.settings import AppSettings
from ..studio.stage import LivePlace, Stage
from .answers import ApiError, explained, not_found
from .keys import KeyStore, Reservation
from .reading import read_body

if TYPE_CHECKING:
    from torch import Tensor

    from ...workflows.request import Request as MusicRequest

log = logging.getLogger("musicgraph")

Who = Callable[[Request], Awaitable[tuple[str, str | None]]]
"""the owner of what is asked for, and their key"""
EVENTS_TYPE = "text/event-stream"
TICK_S = 1.0
PATIENCE_S = 60.0
"""after which a performance that nobody listens to gives its place to others"""
MAX_BACKLOG = 300
"""pieces that a listener has not taken: some 30 s; who is further behind is let go"""
LAST = ("over", "closed", "failed")


class LiveRoutes:
    """The handlers, and what they share."""

    def __init__(self, stage: Stage, settings: AppSettings, keys: KeyStore | None, who: Who):
        self.stage, self.settings, self._keys, self._who = stage, settings, keys, who
        self.fields = live_fields(settings)

    async def begin(self, http: Request) -> Response:
        owner, key = await self._who(http)
        values = read_fields(self.fields, await read_body(http))
        news: JobStream[dict[str, Any]] = JobStream()
        paid = None
        if self._keys is not None and key is not None:
            paid = await run_in_threadpool(self._keys.reserve, key)
        try:
            place, request = await run_in_threadpool(self._open, owner, values, news)
        except BaseException:
            self._settle(paid, is_paid=False)
            raise
        headers = {} if paid is None else {"x-remaining-credits": str(paid.remaining)}
        events = self._events(place, request, news)
        return LiveAnswer(
            events, place, lambda: self._settle(paid, place.heard_s > 0), headers=headers
        )

    async def sound(self, http: Request) -> Response:
        place = await self._place(http)
        name = http.query_params.get("format", "wav")
        if name not in FORMATS:
            expected = f"one of {', '.join(FORMATS)}"
            raise ApiError(422, "invalid_field", f"format: got another one, expected {expected}")
        listener = SoundListener(FORMATS[name].suffix, place.performance.sample_rate)

        async def pieces() -> AsyncIterator[bytes]:
            place.listen(listener)  # here: who has left by now never comes to `finally`
            try:
                async for piece in listener.stream.each():
                    yield piece
            finally:
                place.leave(listener)

        headers = {"cache-control": "no-store"}
        return StreamingResponse(pieces(), headers=headers, media_type=FORMATS[name].media_type)

    async def say(self, http: Request) -> Response:
        place = await self._place(http)
        said = read_said(await read_body(http))
        return JSONResponse(vars(await run_in_threadpool(place.say, said)))

    async def undo(self, http: Request) -> Response:
        place = await self._place(http)
        return JSONResponse(vars(await run_in_threadpool(place.undo)))

    async def end(self, http: Request) -> Response:
        place = await self._place(http)
        read = read_fields(ENDING, await read_body(http))
        return JSONResponse({"second": await run_in_threadpool(place.end, **read)})

    async def graph(self, http: Request) -> Response:
        place = await self._place(http)
        return JSONResponse(await run_in_threadpool(place.workflow))

    # ------------------------------------------------------------ steps

    async def _place(self, http: Request) -> LivePlace:
        """Whoever steers has the key that began it."""
        owner, _ = await self._who(http)
        place = self.stage.find(http.path_params["id"])
        if place is None or place.owner != owner:
            raise not_found("got no performance of that id, expected one that plays; begin one")
        return place

    def _open(
        self, owner: str, values: dict[str, Any], news: JobStream[dict[str, Any]]
    ) -> tuple[LivePlace, MusicRequest]:
        offer = permitted(self.settings, values["model"])
        check_loras(values["loras"])
        longest = values["duration_s"]
        request = request_of(
            {**values, "model": offer.name, "duration_s": min(longest or math.inf, MAX_DURATION_S)}
        )
        place = self.stage.open(
            owner, request, news.put,
            named_models={offer.name: offer.source}, parts=values["parts"], frames_s=longest,
        )  # fmt: skip
        return place, request

    async def _events(
        self, place: LivePlace, request: MusicRequest, news: JobStream[dict[str, Any]]
    ) -> AsyncIterator[bytes]:
        """From its id to its graph; a word each second between, so that who has left is missed."""
        here = f"/v1/live/{place.id}"
        rate = place.performance.sample_rate
        yield _event(
            "open", id=place.id, steer=here, sound=f"{here}/sound", sample_rate=rate,
            frame_rate=place.performance.frame_rate, seed=request.seed,
            model=quote(request.model, safe="/-_."),
        )  # fmt: skip
        async for told in _ticking(news.each()):
            if told is None:
                yield _event("position", second=round(place.heard_s, 3))
                if place.unheard_s > PATIENCE_S:
                    await run_in_threadpool(place.close)
            elif told["event"] in LAST:
                yield await run_in_threadpool(self._last, place, told)
                return
            else:
                yield _event(**told)

    def _last(self, place: LivePlace, told: dict[str, Any]) -> bytes:
        if told["event"] == "failed":
            error = explained(told["error"], 402)
            return _event("failed", type=error.type, message=error.message)
        try:
            return _event(told["event"], second=place.heard_s, workflow=place.workflow())
        except Refused as error:  # there is no music to play again, or too much for one graph
            return _event(told["event"], second=place.heard_s, no_workflow=str(error))

    def _settle(self, paid: Reservation | None, is_paid: bool) -> None:
        if self._keys is not None and paid is not None:
            (self._keys.spend if is_paid else self._keys.give_back)(paid)


async def _ticking(items: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any] | None]:
    """Each of them; None whenever there was none for `TICK_S`."""
    waiting = asyncio.ensure_future(anext(items))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=TICK_S)
            yield waiting.result() if done else None
            if done:
                waiting = asyncio.ensure_future(anext(items))
    finally:
        waiting.cancel()


ENDING = {
    name: InputSpec(
        name.removesuffix("_s"), "FLOAT", required=False, default=0.0, has_default=True,
        minimum=0.0, maximum=MAX_END_S, tooltip=words,
    )
    for name, words in (
        ("after_s", "Seconds from now until it ends."),
        ("fade_s", "Seconds in which it falls silent before; it goes on for as long at least."),
    )
}  # fmt: skip


class SoundListener:
    """One client's sound as bytes, made in the thread that plays."""

    def __init__(self, suffix: str, sample_rate: int):
        self.stream: JobStream[bytes] = JobStream()
        self._sound, self._rate, self._is_over = SoundStream(suffix), sample_rate, False

    def __call__(self, sound: Tensor | None) -> None:
        if self._is_over:
            return
        if sound is None or self.stream.waiting > MAX_BACKLOG:
            if self._sound.samples:
                self._put(self._sound.close())
            self._is_over = True
            self.stream.end()
        else:
            self._put(self._sound.push(sound, self._rate))

    def _put(self, ready: bytes) -> None:
        if ready:
            self.stream.put(ready)


class LiveAnswer(StreamingResponse):
    """The performance leaves the stage when the answer ends, however it does."""

    def __init__(
        self,
        events: AsyncIterator[bytes],
        place: LivePlace,
        settle: Callable[[], None],
        headers: dict[str, str],
    ):
        headers = {"cache-control": "no-store", **headers}
        super().__init__(events, headers=headers, media_type=EVENTS_TYPE)
        self._place, self._settle = place, settle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            loop = asyncio.get_running_loop()  # in a thread: others may be writing into the file
            loop.run_in_executor(None, self._leave)

    def _leave(self) -> None:
        self._place.close()
        self._settle()


def _event(event: str, **data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
