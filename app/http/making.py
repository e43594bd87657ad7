"""One client's music over HTTP: a job, its sound as bytes, and an answer that ends the job when it
ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ...models.bars import Bars
from ...nodes.host import Interrupted
from ...nodes.made_with import MadeWith
from ...workflows.events import AudioChunk, Event, NodeComposes
from ...workflows.media.audio import audio_bytes
from ...workflows.media.formats import ZIP_TYPE, Format
from ..studio.encoding import SoundStream, zipped
from ..studio.follow import JobStream
from ..studio.job import Job, JobResult
from ..studio.music import Music, music_of, tags_of
from ..studio.queue import JobHandle

log = logging.getLogger("musicgraph")

LOOK_S = 0.25
"""how often to see whether the client is still there"""


@dataclass(frozen=True)
class ApiJob:
    """What to make, and how to send it."""

    job: Job
    format: Format
    takes: int
    seed: int
    model_name: str
    """as the client calls it"""
    loop: Bars | None = None
    """what is made is one, so long"""

    @property
    def media_type(self) -> str:
        return ZIP_TYPE if self.takes > 1 else self.format.media_type


class SoundSender:
    """Makes bytes of what a job reports and of what came of it, in the queue's thread, and hands
    them on.
    """

    def __init__(self, wanted: ApiJob, stream: JobStream[bytes]):
        self._wanted, self._stream = wanted, stream
        self._made_with: dict[str, tuple[MadeWith, ...]] = {}
        self._sound: SoundStream | None = None

    def listen(self, event: Event) -> None:
        if isinstance(event, NodeComposes):
            self._made_with[event.node] = event.made_with
        if self._wanted.job.stream and isinstance(event, AudioChunk):
            if self._sound is None:
                self._sound = self._begun(*tags_of(self._wanted.job, self._made_with))
            self._send(self._sound.push(event.waveform[0], event.sample_rate))

    def _begun(self, tags: Mapping[str, str]) -> SoundStream:
        return SoundStream(self._wanted.format.suffix, tags)

    def finish(self, result: JobResult) -> Music:
        music = music_of(self._wanted.job, result)
        self._send(self._rest(music) if self._wanted.job.stream else self._whole(music))
        return music

    def _rest(self, music: Music) -> bytes:
        """All of it, if it was kept from the last run."""
        sound = self._sound or self._begun(*music.tags)
        rest = music.waveform[0, :, sound.samples :]
        return sound.push(rest, music.sample_rate) + sound.close()

    def _whole(self, music: Music) -> bytes:
        format, waveform, rate = self._wanted.format, music.waveform, music.sample_rate
        if self._wanted.takes > 1:
            return zipped(format, waveform, rate, music.tags, self._wanted.loop)
        (tags,) = music.tags
        return audio_bytes(format.suffix, waveform[0], rate, tags, self._wanted.loop)

    def _send(self, ready: bytes) -> None:
        if ready:
            self._stream.put(ready)


async def first_piece(
    http: HttpRequest, handle: JobHandle[Music], pieces: AsyncIterator[bytes]
) -> bytes:
    """Waits for sound. Raises what the job raised; a client that leaves cancels it."""
    waiting = asyncio.ensure_future(anext(pieces, None))
    try:
        while not (await asyncio.wait({waiting}, timeout=LOOK_S))[0]:
            if await http.is_disconnected():
                cancel_soon(handle)
        piece = waiting.result()
    except asyncio.CancelledError:
        cancel_soon(handle)
        raise
    finally:
        waiting.cancel()
    if piece is None:
        handle.result()
    assert piece is not None, "a job that ends well has sent sound"
    return piece


async def pieces_from(
    first: bytes, handle: JobHandle[Music], pieces: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The first piece and all that follow.

    Raises what the job raised, which breaks the answer off.
    """
    yield first
    async for piece in pieces:
        yield piece
    handle.result()


def cancel_soon(handle: JobHandle[Music]) -> None:
    """In a thread, since whoever hears of it may write into a file; also where nothing may be
    awaited.
    """
    if not handle.done():
        asyncio.get_running_loop().run_in_executor(None, handle.cancel)


class CancellingResponse(StreamingResponse):
    """Ends the job when the answer ends, however it does: a client that leaves stops its own
    run.
    """

    def __init__(
        self,
        handle: JobHandle[Music],
        content: AsyncIterator[bytes],
        headers: Mapping[str, str],
        media_type: str,
    ):
        super().__init__(content, headers=headers, media_type=media_type)
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except Interrupted:
            log.info("a stream was broken off: its job was stopped")
        finally:
            cancel_soon(self._handle)
