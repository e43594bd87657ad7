"""The first press finds all of it warm: a short piece is made as soon as the server runs, which
opens the model, compiles its engine where that was never done on this machine, and tries what
follows it.

It goes through the queue like anybody's, so nothing runs twice, and whoever comes meanwhile is told
what they wait for.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.host import Interrupted, default_device
from ...workflows.events import AudioChunk, Event, NodeStarted
from ...workflows.problems import WorkflowError
from ...workflows.registry import node_classes
from ...workflows.request import SAMPLER, Request
from ..studio.job import Job, JobResult
from ..studio.models import Offer, permitted
from ..studio.music import Music, music_job, music_of
from ..studio.queue import JobHandle, JobQueue, QueueFull
from .live import LiveSound
from .status import JobStatus, note

if TYPE_CHECKING:
    from ..studio.settings import AppSettings

log = logging.getLogger("musicgraph")

OWNER = "the server"
LENGTH_S = 0.5
LOUDNESS_LUFS = -16.0


class WarmUp:
    """One short piece through the queue. The queue's thread writes, the server's threads look."""

    def __init__(self, queue: JobQueue, settings: AppSettings):
        self._queue, self._settings = queue, settings
        self._lock = threading.Lock()
        self._status: JobStatus | None = None
        self._live = LiveSound(LOUDNESS_LUFS)
        self._handle: JobHandle[Music] | None = None
        self._began_at = time.monotonic()
        self._must_compile = False

    @property
    def is_going(self) -> bool:
        return self._handle is not None and not self._handle.done()

    def start(self) -> None:
        """Nothing for a model that would have to be downloaded first: nobody has asked for it."""
        offer = permitted(self._settings, "")
        if not offer.on_disk:
            return
        try:
            job = _job(offer)
        except (Refused, WorkflowError) as error:  # the first press meets it again, and says it
            log.warning("the model cannot be tried: %s", error)
            return
        self._status, self._began_at = JobStatus.of(job), time.monotonic()

        def written(result: JobResult) -> Music:
            return _written(music_of(job, result))

        self._handle = self._queue.submit(OWNER, job, listener=self._hear, then=written)
        self._handle.when_done(self._ended)
        with contextlib.suppress(QueueFull):  # those that are left warm up with who comes
            for number in range(1, self._settings.workers):
                self._queue.submit(f"{OWNER} {number}", job)

    def html(self) -> str:
        """A line of status; nothing once it has ended."""
        if not self.is_going or self._status is None:
            return ""
        with self._lock:
            share = self._status.node_share or None
        passed = f" · {time.monotonic() - self._began_at:.0f} s"
        words = "the model is being loaded; you can write meanwhile"
        if self._must_compile:  # of which nobody knows how far it is
            share = None
            words = "its engine is compiled for this processor, once: about 13 s of one core"
        return note("The server has just started", words + passed, share=share, busy=True)

    def look(self) -> dict[str, Any]:
        """What a page shows of it, as plain data."""
        return {"is_going": self.is_going, "status": self.html()}

    # ------------------------------------------------------------ in the queue's thread

    def _hear(self, event: Event) -> None:
        with self._lock:
            assert self._status is not None
            self._status.see([event], 0)
        if isinstance(event, NodeStarted) and self._status.classes.get(event.node) == SAMPLER:
            self._must_compile = _must_compile()
        if isinstance(event, AudioChunk):
            self._live.push(event)

    def _ended(self) -> None:
        assert self._handle is not None
        self._live.close()
        error = self._handle.error()
        if error is None:
            log.info("ready after %.1f s", time.monotonic() - self._began_at)
        elif not isinstance(error, Interrupted):  # the first press meets it again, and says it
            log.warning("the model could not be tried: %s", error)


def _job(offer: Offer) -> Job:
    request = Request(
        prompt="music", model=offer.name, duration_s=LENGTH_S, loudness_lufs=LOUDNESS_LUFS
    )
    return music_job(request, node_classes(), named_models={offer.name: offer.source}, stream=True)


def _written(music: Music) -> Music:
    """What a take goes through behind the music; the modules for it are imported with it."""
    from ...models.dsp import loudness_lufs
    from ...workflows.media.audio import audio_bytes

    audio_bytes(".flac", music.waveform[0], music.sample_rate, dict(music.tags[0]))
    loudness_lufs(music.waveform[0], music.sample_rate)
    return music


def _must_compile() -> bool:
    """Whether the fast CPU engine will run, and was never compiled for this processor."""
    if find_spec("numba") is None or default_device().type != "cpu":
        return False
    from ...models.engines.machine_code import is_kept

    return not is_kept()
