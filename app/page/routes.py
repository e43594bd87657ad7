"""What the page's own script asks: how a run is, its sound, and the takes of the library.

    GET  page/runs                the run that goes on
    GET  page/runs/ID             how it is        GET page/runs/ID/sound     as it grows
    POST page/runs/ID/stop, …/leave
    GET  page/sounds/ID           how a graph's sound is    GET page/sounds/ID/sound
    GET  page/takes               all of them      GET page/takes.zip
    GET  page/takes/ID/sound, …/picture, …/tempo, …/video, …/as/FORMAT
    POST page/takes?name=…        a sound of one's own, which becomes a take
    POST page/takes/ID/rename, …/favour, …/remove, …/restore
    POST page/takes/ID/make       what is done with it: answers with the run that begins

Who asks is told by the browser's number. All of it lies behind the door of the server, which lets
no other site's page in.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from ...models.refused import Refused
from ...workflows.media.audio import audio_bytes, read_audio
from ...workflows.media.cover import with_cover
from ...workflows.media.formats import BY_SUFFIX, FORMATS, ZIP_TYPE
from ...workflows.media.retag import all_tags
from ..studio.failures import failure_of
from ..studio.settings import AppSettings
from . import browser
from .cards import cover_of, write_video_of
from .create import page_job
from .from_take import loop_of, tempo_of, wanted_of
from .live import MEDIA_TYPE, LiveSound
from .runs import PageRun, Runs
from .shelf import Shelf
from .take_library import Library, Take
from .words import trouble_of

FORMATS_GIVEN = ("flac", "wav", "mp3")
WITH_COVER = (".mp3",)
NOT_KEPT = {"cache-control": "no-store"}
MAX_BODY_BYTES = 16 * 1024
MAX_SOUND_BYTES = 100 * 2**20


def build_routes(runs: Runs, shelf: Shelf, settings: AppSettings) -> APIRouter:
    """To be included in the server in front of the page."""
    pages = _Pages(runs, shelf, settings)
    router = APIRouter(prefix="/page", include_in_schema=False)
    for path, answer in (
        ("/runs", pages.going_on),
        ("/runs/{id}", pages.run),
        ("/runs/{id}/sound", pages.run_sound),
        ("/sounds/{id}", pages.growing),
        ("/sounds/{id}/sound", pages.growing_sound),
        ("/takes", pages.takes),
        ("/takes.zip", pages.all_takes),
        ("/takes/{id}/sound", pages.sound),
        ("/takes/{id}/picture", pages.picture),
        ("/takes/{id}/tempo", pages.tempo),
        ("/takes/{id}/video", pages.video),
        ("/takes/{id}/as/{format}", pages.as_format),
    ):
        router.add_api_route(path, in_words(answer), methods=["GET"])
    for path, answer in (
        ("/runs/{id}/stop", pages.stop),
        ("/runs/{id}/leave", pages.leave),
        ("/takes", pages.add),
        ("/takes/{id}/make", pages.make),
        ("/takes/{id}/{change}", pages.change),
    ):
        router.add_api_route(path, in_words(answer), methods=["POST"])
    return router


def in_words(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def asked(http: Request) -> Response:
        try:
            return await answer(http)
        except Exception as error:  # also what nobody foresaw: see failure_of
            status = 500 if failure_of(error).kind == "fault" else 409
            trouble = trouble_of(error, frozenset())
            words = f"{trouble.title}: {trouble.text}"
            return JSONResponse({"trouble": words}, status, headers=NOT_KEPT)

    return asked


class _Pages:
    """The answers, each for whoever asks."""

    def __init__(self, runs: Runs, shelf: Shelf, settings: AppSettings):
        self._runs, self._shelf, self._settings = runs, shelf, settings

    # ------------------------------------------------------------ runs

    async def going_on(self, http: Request) -> Response:
        run = self._runs.going_on(browser.of(http))
        return JSONResponse({"run": run.id if run else None}, headers=NOT_KEPT)

    async def run(self, http: Request) -> Response:
        run = self._run(http)
        if run is None:
            gone = {"id": http.path_params["id"], "state": "gone"}
            return JSONResponse(gone, headers=NOT_KEPT)
        return JSONResponse(run.look(), headers=NOT_KEPT)

    async def run_sound(self, http: Request) -> Response:
        """From the byte that `from` names on; the answer ends with the music."""
        run = self._run(http)
        return _streamed(run.live if run is not None else None, http)

    async def growing(self, http: Request) -> Response:
        live = self._runs.sounds.of(http.path_params["id"])
        if live is None:
            return JSONResponse({"is_whole": True, "peaks": []}, headers=NOT_KEPT)
        now = {"is_whole": live.is_whole, "peaks": live.peaks()}
        return JSONResponse(now, headers=NOT_KEPT)

    async def growing_sound(self, http: Request) -> Response:
        return _streamed(self._runs.sounds.of(http.path_params["id"]), http)

    async def stop(self, http: Request) -> Response:
        if (run := self._run(http)) is not None:
            await run_in_threadpool(run.stop)
        return JSONResponse({})

    async def leave(self, http: Request) -> Response:
        if (run := self._run(http)) is not None:
            run.leave()
        return JSONResponse({})

    def _run(self, http: Request) -> PageRun | None:
        return self._runs.of(browser.of(http), http.path_params["id"])

    # ------------------------------------------------------------ takes

    async def takes(self, http: Request) -> Response:
        library = self._library(http)
        found = await run_in_threadpool(library.takes)
        hours = library.keep_s / 3600 if library.keep_s is not None else None
        answer = {
            "takes": [take.as_json() for take in found],
            "hours": hours,
            "folder": str(library.folder) if hours is None else "",
        }
        return JSONResponse(answer, headers=NOT_KEPT)

    async def sound(self, http: Request) -> Response:
        take = await run_in_threadpool(self._library(http).take, http.path_params["id"])
        media_type = BY_SUFFIX[take.path.suffix.lower()].media_type
        return FileResponse(take.path, media_type=media_type, headers={"cache-control": "private"})

    async def picture(self, http: Request) -> Response:
        path = await run_in_threadpool(self._library(http).picture, http.path_params["id"])
        return FileResponse(path, headers={"cache-control": "private"})

    async def tempo(self, http: Request) -> Response:
        """In beats a minute, as it is heard; null where none is."""
        take = await run_in_threadpool(self._library(http).take, http.path_params["id"])
        return JSONResponse({"bpm": await run_in_threadpool(tempo_of, take)}, headers=NOT_KEPT)

    async def as_format(self, http: Request) -> Response:
        """The file itself where it is of this format, else one made of it, with the same tags; an
        MP3 with a picture.
        """
        format = FORMATS.get(http.path_params["format"])
        if format is None or format.name not in FORMATS_GIVEN:
            raise Refused("format", got="another one", expected=" ".join(FORMATS_GIVEN))
        library = self._library(http)
        take = await run_in_threadpool(library.take, http.path_params["id"])
        if take.path.suffix == format.suffix and format.suffix not in WITH_COVER:
            return FileResponse(take.path, media_type=format.media_type, filename=take.path.name)
        content = await run_in_threadpool(_as_format, library, take, format.suffix)
        headers = _named(take.path.with_suffix(format.suffix).name)
        return Response(content, 200, headers, format.media_type)

    async def video(self, http: Request) -> Response:
        """Its wave, playing."""
        library = self._library(http)
        take = await run_in_threadpool(library.take, http.path_params["id"])
        path = _own_file("musicgraph-", ".mp4")

        def draw() -> None:
            try:
                write_video_of(take, library.picture(take.id), path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

        await run_in_threadpool(draw)
        return FileResponse(
            path, media_type="video/mp4", filename=take.path.with_suffix(".mp4").name,
            background=BackgroundTask(path.unlink, missing_ok=True),
        )  # fmt: skip

    async def all_takes(self, http: Request) -> Response:
        path = await run_in_threadpool(_zipped, self._library(http))
        return FileResponse(
            path, media_type=ZIP_TYPE, filename="musicgraph-takes.zip",
            background=BackgroundTask(path.unlink, missing_ok=True),
        )  # fmt: skip

    async def change(self, http: Request) -> Response:
        library, id = self._library(http), http.path_params["id"]
        given = await json_body(http)
        changes: dict[str, Callable[[], Any]] = {
            "rename": lambda: library.rename(id, str(given.get("title", ""))).as_json(),
            "favour": lambda: library.favour(id, given.get("favourite") is True).as_json(),
            "remove": lambda: library.remove(id),
            "restore": lambda: library.restore(id).as_json(),
        }
        name = http.path_params["change"]
        if name not in changes:
            return JSONResponse({"trouble": "no such change"}, 404)
        return JSONResponse({"take": await run_in_threadpool(changes[name])}, headers=NOT_KEPT)

    async def add(self, http: Request) -> Response:
        name = Path(http.query_params.get("name", ""))
        library, path = self._library(http), _own_file("musicgraph-", _plain_suffix(name))
        try:
            await _write_body(http, path)
            take = await run_in_threadpool(library.welcome, path, name.stem)
        except Refused as error:  # which knows the file by the name that it has here
            got = str(error.got or error.what).replace(path.name, name.name)
            raise Refused("this file", got=got, expected=error.expected) from error
        finally:
            path.unlink(missing_ok=True)
        return JSONResponse({"take": take.as_json()}, headers=NOT_KEPT)

    async def make(self, http: Request) -> Response:
        given = await json_body(http)
        run = await run_in_threadpool(self._made, browser.of(http), http.path_params["id"], given)
        return JSONResponse({"run": run.id}, headers=NOT_KEPT)

    def _made(self, owner: str, id: str, given: dict[str, Any]) -> PageRun:
        library = self._shelf.takes_of(owner)
        wanted = wanted_of(library, library.take(id), given, self._settings)
        request, job = page_job(self._shelf, self._settings, owner, wanted.request)
        settings = {**wanted.settings, "model": request.model} if wanted.settings else {}
        run = PageRun(owner, request, job, settings, library, wanted.origin, wanted.begin_s)
        return self._runs.start(run)

    def _library(self, http: Request) -> Library:
        return self._shelf.takes_of(browser.of(http))


def _streamed(live: LiveSound | None, http: Request) -> Response:
    if live is None:
        return Response(status_code=404)
    start = http.query_params.get("from", "0")
    sound = live.read(int(start) if start.isdecimal() and len(start) < 12 else 0)
    headers = {**NOT_KEPT, "x-accel-buffering": "no"}
    return StreamingResponse(sound, headers=headers, media_type=MEDIA_TYPE)


def _plain_suffix(name: Path) -> str:
    return name.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", name.suffix) else ""


async def _write_body(http: Request, path: Path) -> None:
    """As it comes. Raises Refused for more than an upload may have."""
    size = 0
    with path.open("wb") as file:
        async for piece in http.stream():
            size += len(piece)
            if size > MAX_SOUND_BYTES:
                most = f"at most {MAX_SOUND_BYTES >> 20} MB"
                raise Refused("this file", got="a larger one", expected=most)
            file.write(piece)


async def json_body(http: Request) -> dict[str, Any]:
    body = b""
    async for piece in http.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Refused("request", got="too long a body")
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise Refused("request", got="what is not JSON") from error
    return given if isinstance(given, dict) else {}


def _as_format(library: Library, take: Take, suffix: str) -> bytes:
    tags, cover = all_tags(take.path), suffix in WITH_COVER
    if take.path.suffix == suffix:
        content = take.path.read_bytes()
    else:
        content = audio_bytes(suffix, *read_audio(take.path), tags, loop=loop_of(take))
    if not cover:
        return content
    return with_cover(content, suffix, cover_of(take, library.picture(take.id)), tags)


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=utf-8''{quote(name)}"}


def _own_file(prefix: str, suffix: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix)
    os.close(handle)
    return Path(name)


def _zipped(library: Library) -> Path:
    """Sound does not shrink, so it is stored as it is. Whoever sends the file deletes it."""
    path = _own_file("musicgraph-", ".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for take in library.takes():
            archive.write(take.path, take.path.name)
    return path
