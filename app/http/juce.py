"""The routes that gary4juce's plug-in speaks, so that a DAW continues music on this machine.

    POST /api/juce/process_audio    goes on from the first `prompt_duration` seconds of a sound
    POST /api/juce/continue_music   goes on from the last ones; the answer begins with all before
    POST /api/juce/retry_music      the same sound again, with other values
    GET  /api/juce/poll_status/ID   how far it is, and then the sound
    GET  /api/models, /health

Source: the public description of these routes, docs/SERVICES.md of betweentwomidnights'
audiocraft.cpp. Sound travels as WAV in base64. A request is answered at once with a session, which
the plug-in asks for until the sound is there. Unlike there, what was sent comes back as it was:
what is listened to is a recording that is continued (`workflows/request.py`), and all before it is
put in front again.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from ...workflows.events import Event, NodeProgress
from ...workflows.inputs import BadInput
from ...workflows.media.audio import audio_bytes, read_audio, write_audio
from ...workflows.registry import NodeClasses
from ..studio.fields import plugin_fields, read_fields, request_of
from ..studio.job import JobResult
from ..studio.models import Offer, offers, permitted
from ..studio.music import music_job, music_of
from ..studio.queue import JobHandle, JobQueue
from ..studio.recordings import continued
from ..studio.settings import AppSettings
from .answers import ApiError, explained
from .reading import is_local, read_body

if TYPE_CHECKING:
    from torch import Tensor

MAX_REQUEST_BYTES = 128 * 2**20
"""of a request: about four minutes of stereo in 24 bits, in base64"""
MAX_SESSIONS = 16
LARGEST_SEED = 99_999
"""of those that are drawn: as many as the plug-in's display holds"""
SIZES = ("small", "medium", "large")
PROMPT = "prompt.wav"

HEALTH = {
    "status": "live",
    "service": "gary4juce-localhost",
    "session_store": "live",
    "backend": "musicgraph",
}
"""what the plug-in looks for in the answer of /health"""

Handler = Callable[[Request], Awaitable[dict[str, Any]]]


@dataclass
class PluginSession:
    """A sound that was sent, and the music that goes on from it."""

    id: str
    folder: Path
    values: Mapping[str, Any]
    """what was asked for, by the plug-in's names"""
    at_start: bool
    seed: int = 0
    handle: JobHandle[str] | None = None
    progress: int = 0
    """percent of what is at work: loading, then composing"""

    @property
    def sound(self) -> Path:
        return self.folder / "sound.wav"

    def listen(self, event: Event) -> None:
        if isinstance(event, NodeProgress) and event.total:
            self.progress = min(99, 100 * event.done // event.total)


class Plugin:
    """The handlers, and the sessions that they share."""

    def __init__(self, queue: JobQueue, settings: AppSettings, classes: NodeClasses):
        self._queue, self._settings, self._classes = queue, settings, classes
        self._fields = plugin_fields(settings)
        self._sessions: dict[str, PluginSession] = {}
        self._root: Path | None = None

    def add_to(self, app: FastAPI) -> None:
        for method, path, handler in (
            ("POST", "/api/juce/process_audio", self.process_audio),
            ("POST", "/api/juce/continue_music", self.continue_music),
            ("POST", "/api/juce/retry_music", self.retry_music),
            ("GET", "/api/juce/poll_status/{session_id}", self.poll_status),
            ("GET", "/api/models", self.models),
        ):
            app.add_api_route(path, _answering(handler), methods=[method], include_in_schema=False)

    def close(self) -> None:
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    # ------------------------------------------------------------ the routes

    async def process_audio(self, http: Request) -> dict[str, Any]:
        return await self._begin(await read_body(http, MAX_REQUEST_BYTES), at_start=True)

    async def continue_music(self, http: Request) -> dict[str, Any]:
        return await self._begin(await read_body(http, MAX_REQUEST_BYTES), at_start=False)

    async def retry_music(self, http: Request) -> dict[str, Any]:
        """The sound that was sent, not what came of it. What is not said anew stays, but for the
        seed.
        """
        body = await read_body(http)
        before = self._sessions.get(str(body.get("session_id")))
        if before is None:
            expected = "one that was begun here a while ago"
            raise BadInput("unknown_session", "no such session", "session_id",
                           got=str(body.get("session_id"))[:80], expected=expected)  # fmt: skip
        asked = {name: value for name, value in body.items() if value is not None}
        values = {**{k: v for k, v in before.values.items() if k != "seed"}, **asked}
        return await run_in_threadpool(
            self._submit, values, before.at_start, before.sound.read_bytes()
        )

    async def poll_status(self, http: Request) -> dict[str, Any]:
        session = self._sessions.get(http.path_params["session_id"])
        return {"success": True, "status": "unknown"} if session is None else _status(session)

    async def models(self, http: Request) -> dict[str, Any]:
        groups: dict[str, list[str]] = {size: [] for size in SIZES}
        for one in await run_in_threadpool(offers, self._settings):
            size = next((size for size in SIZES if size in one.name), "small")
            groups[size].append(one.name)
        return {"models": groups, "source": "musicgraph"}

    # ------------------------------------------------------------ a session

    async def _begin(self, body: dict[str, Any], at_start: bool) -> dict[str, Any]:
        sent = body.pop("audio_data", None)
        if sent is None and (known := self._sessions.get(str(body.get("session_id")))):
            sound = known.sound.read_bytes()
        else:
            sound = _decoded(sent)
        return await run_in_threadpool(self._submit, body, at_start, sound)

    def _submit(self, body: Mapping[str, Any], at_start: bool, sound: bytes) -> dict[str, Any]:
        """Raises Refused, ApiError, QueueFull."""
        session = self._new_session(body, at_start)
        try:
            session.sound.write_bytes(sound)
            self._queue_up(session)
        except BaseException:
            self._forget(session)
            raise
        self._sessions[session.id] = session
        self._sweep()
        message = "Audio processing started" if at_start else "Continue processing started"
        return {
            "success": True, "session_id": session.id, "seed": session.seed, "message": message,
        }  # fmt: skip

    def _queue_up(self, session: PluginSession) -> None:
        values = self._read(session.values)
        offer = self._offer(values["model"])
        sound, rate = read_audio(session.sound)
        begin, end = _listened(sound.shape[1], round(values["prompt_s"] * rate), session.at_start)
        heard = session.folder / PROMPT
        louder = write_audio(heard, sound[:, begin:end], rate)
        values |= {"model": offer.name, **continued(heard, None, values["duration_s"])}
        request = request_of(values)
        session.seed = request.seed
        job = music_job(
            request,
            self._classes,
            named_models={offer.name: offer.source},
            input_dir=str(session.folder),
        )

        def finish(result: JobResult) -> str:
            import torch

            music = music_of(job, result)
            whole = torch.cat([sound[:, :begin], music.waveform[0] / louder], dim=1)
            return _encoded(whole, music.sample_rate, music.tags[0])

        session.handle = self._queue.submit("juce", job, listener=session.listen, then=finish)

    def _read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that are not known, and those that are null or empty, count as not sent."""
        known = {spec.name for spec in self._fields.values()}
        given = {
            name: value
            for name, value in body.items()
            if name in known and value is not None and value != ""
        }
        values = read_fields(self._fields, given)
        if values["seed"] == -1:
            values["seed"] = secrets.randbelow(LARGEST_SEED + 1)
        return values

    def _offer(self, name: str) -> Offer:
        """The plug-in knows published models by their hub ids, whose folders here may bear the
        last part of it.
        """
        names = {one.name for one in offers(self._settings)}
        return permitted(self._settings, name if name in names else name.rpartition("/")[2])

    def _new_session(self, values: Mapping[str, Any], at_start: bool) -> PluginSession:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="musicgraph-"))
        name = secrets.token_hex(8)
        folder = self._root / name
        folder.mkdir()
        return PluginSession(name, folder, values, at_start)

    def _sweep(self) -> None:
        """The oldest that are done go, with their sounds."""
        for session in list(self._sessions.values()):
            if len(self._sessions) > MAX_SESSIONS and session.handle and session.handle.done():
                del self._sessions[session.id]
                self._forget(session)

    def _forget(self, session: PluginSession) -> None:
        shutil.rmtree(session.folder, ignore_errors=True)


def _listened(samples: int, wanted: int, at_start: bool) -> tuple[int, int]:
    """The first or the last so many samples of a sound, or all of a shorter one."""
    length = min(wanted, samples)
    return (0, length) if at_start else (samples - length, samples)


def _status(session: PluginSession) -> dict[str, Any]:
    handle = session.handle
    assert handle is not None, "a session is known once its job is in the queue"
    said = {
        "success": True,
        "session_id": session.id,
        "generation_seed": session.seed,
        "transform_in_progress": False,
        "generation_in_progress": not handle.done(),
        "progress": session.progress,
        "audio_data": None,
    }
    if not handle.done():
        place = handle.position()
        state = "queued" if place else "processing"
        return said | {"status": state, "queue_status": {"status": state, "position": place}}
    error = handle.error()
    if error is not None:
        assert isinstance(error, Exception), "a job fails with an Exception"
        reason = explained(error, 402).message
        return said | {"success": False, "status": "failed", "error": reason, "queue_status": {}}
    done = {"status": "completed", "progress": 100, "audio_data": handle.result()}
    return said | done | {"queue_status": {"status": "ready", "position": 0}}


def _decoded(sent: object) -> bytes:
    """Raises BadInput."""
    sound, got = b"", "nothing" if sent is None else "what is no base64"
    if isinstance(sent, str):
        with contextlib.suppress(ValueError):  # letters that base64 does not have
            sound = base64.b64decode(sent, validate=True)
    if not sound:
        what, expected = "audio_data", "a WAV file in base64"
        raise BadInput("invalid_input_type", "no sound", what, got=got, expected=expected)
    return sound


def _encoded(sound: Tensor, rate: int, tags: Mapping[str, str]) -> str:
    return base64.b64encode(audio_bytes(".wav", sound, rate, tags)).decode("ascii")


def _answering(handler: Handler) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        try:
            if not is_local(request):
                message = "got a request from elsewhere, expected one of this machine"
                raise ApiError(401, "unauthorized", message)
            return JSONResponse(await handler(request))
        except Exception as error:  # as at the other routes: what nobody foresaw becomes a 500
            said = explained(error, 402)
            status = 400 if said.status in (404, 415, 422) else said.status
            return JSONResponse({"success": False, "error": said.message}, status)

    endpoint.__name__ = handler.__name__
    return endpoint
