"""One client's music: made in the studio's thread, handed over piece by piece to the event loop that answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ...nodes.host import Interrupted
from ...workflows.default_graph import Music, Request, make_music, prepare
from ...workflows.events import AudioChunk, Event
from ...workflows.executor import Runner
from ..studio.encoding import ZIP_TYPE, Format, SoundStream, whole_file, zipped
from ..studio.queue import Ticket

log = logging.getLogger("musicgraph")

LOOK_S = 0.25
"""how often to see whether the client is still there"""


@dataclass(frozen=True)
class Order:
    """What to make, and how to send it."""

    request: Request
    format: Format
    stream: bool
    model_name: str
    """as the client calls it"""

    @property
    def media_type(self) -> str:
        return ZIP_TYPE if self.request.variations > 1 else self.format.media_type


class Handover:
    """Bytes from the studio's thread to the event loop. They are kept as long as the client is slower than the music."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.answered = False
        """whether the client has been sent anything"""

    def send(self, piece: bytes | None) -> None:
        with contextlib.suppress(
            RuntimeError
        ):  # the loop is closed: the server is gone, and nobody waits
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def end(self) -> None:
        self.send(None)

    async def next(self) -> bytes | None:
        """The next piece; None after the last."""
        return await self._pieces.get()


def work_for(
    order: Order, send: Callable[[bytes], None]
) -> Callable[[Runner, Callable[[], bool]], Music]:
    """What the studio is to do: make the music and `send` its bytes."""
    return lambda runner, stopped: (_streamed if order.stream else _at_once)(
        order, send, runner, stopped
    )


def _at_once(
    order: Order, send: Callable[[bytes], None], runner: Runner, stopped: Callable[[], bool]
) -> Music:
    music = make_music(runner, order.request, stopped=stopped)
    if order.request.variations > 1:
        send(zipped(order.format, music.waveform, music.sample_rate, music.tags))
    else:
        send(whole_file(order.format, music.waveform[0], music.sample_rate, music.tags))
    return music


def _streamed(
    order: Order, send: Callable[[bytes], None], runner: Runner, stopped: Callable[[], bool]
) -> Music:
    ready = prepare(order.request, runner.classes)
    sound = SoundStream(order.format, ready.tags, send)

    def listen(event: Event) -> None:
        if isinstance(event, AudioChunk):
            sound.push(event.waveform[0], event.sample_rate)

    music = make_music(runner, ready, listener=listen, stopped=stopped, stream=True)
    sound.push(
        music.waveform[0, :, sound.samples :], music.sample_rate
    )  # all of it, if it was kept from the last run
    sound.close()
    return music


async def first_piece(http: HttpRequest, ticket: Ticket[Music], handover: Handover) -> bytes:
    """Waits for sound. Raises what the work raised; a client that leaves cancels it."""
    try:
        piece = await _while_connected(http, ticket, handover)
    except asyncio.CancelledError:
        ticket.cancel()
        raise
    if piece is None:
        ticket.result()
    assert piece is not None, "work that ends well has sent sound"
    return piece


async def _while_connected(
    http: HttpRequest, ticket: Ticket[Music], handover: Handover
) -> bytes | None:
    waiting = asyncio.ensure_future(handover.next())
    try:
        while not (await asyncio.wait({waiting}, timeout=LOOK_S))[0]:
            if await http.is_disconnected():
                ticket.cancel()
        return waiting.result()
    finally:
        waiting.cancel()


async def pieces_from(
    first: bytes, ticket: Ticket[Music], handover: Handover
) -> AsyncIterator[bytes]:
    """The first piece and all that follow. Raises what the work raised, which breaks the answer off."""
    piece: bytes | None = first
    while piece is not None:
        yield piece
        piece = await handover.next()
    ticket.result()


class CancellingResponse(StreamingResponse):
    """Ends the work when the answer ends, however it does: a client that leaves stops its own run."""

    def __init__(
        self,
        ticket: Ticket[Music],
        content: AsyncIterator[bytes],
        headers: Mapping[str, str],
        media_type: str,
    ):
        super().__init__(content, headers=headers, media_type=media_type)
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except Interrupted:
            log.info("a stream was broken off: its work was stopped")
        finally:
            self._ticket.cancel()
