"""Runs of the Create tab: they go on by themselves, and a page looks how they are.

No connection is held open for one. So a page that lost the network, or was reloaded, finds its run
again, and the take, where it has become one; a run that no page has looked at for a while is ended.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.host import Interrupted
from ...nodes.made_with import MadeWith
from ...workflows.events import AudioChunk, Event, NodeComposes
from ...workflows.request import Request
from ..studio.job import Job, JobResult
from ..studio.music import music_of, tags_of
from ..studio.queue import JobHandle, JobQueue
from ..studio.sounds import HEARD
from .live import KnownSounds, LiveSound
from .status import JobStatus, note
from .take_library import Library, Note, Origin, Take
from .warm_up import WarmUp
from .words import trouble_of

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

LOST_S = 120.0
"""after so long without a look a run is ended: a browser may ask but once a minute for a tab that
nobody sees
"""
LEFT_S = 15.0
"""the same after a page said that it goes; a reload is back by then"""
WATCH_S = 0.5
LEAST_KEPT_S = 1.0
"""of sound; less than that is not kept when somebody presses Stop"""
KEEP_ENDED_S = 600.0
"""so long a page finds the end of its run"""


@dataclass
class PageRun:
    """One press of Generate. The queue's thread writes, the server's threads look."""

    owner: str
    request: Request
    job: Job
    settings: Mapping[str, Any]
    """what stood in the form"""
    kept_in: Library
    origin: Origin | None = None
    """the take that it begins with; None for one of the form"""
    begin_s: float = 0.0
    """where one begins to listen"""
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.live = LiveSound(self.request.loudness_lufs)
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._status = JobStatus.of(self.job)
        self._warm_up: WarmUp | None = None
        self._handle: JobHandle[tuple[Take, ...]] | None = None
        self._pieces: list[Tensor] = []
        self._rate = 0
        self._made_with: dict[str, tuple[MadeWith, ...]] = {}
        self._is_kept = False
        self._takes: tuple[Take, ...] = ()
        self._end: dict[str, Any] = {}
        self._seen_at, self._patience_s = time.monotonic(), LOST_S
        self._ended_at = 0.0

    def start(self, queue: JobQueue, warm_up: WarmUp | None = None) -> None:
        """Raises what JobQueue.submit raises. While it waits for the server's own warm-up, that is
        what its page is told.
        """
        self._warm_up = warm_up
        self._handle = queue.submit(self.owner, self.job, listener=self._hear, then=self._finish)
        self._handle.when_done(self._close)
        threading.Thread(target=self._watch, name="musicgraph-run", daemon=True).start()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def leave(self) -> None:
        """The page goes; it may be back in a moment."""
        self._seen_at, self._patience_s = time.monotonic(), LEFT_S

    def ended_s(self) -> float:
        """How long ago it ended; 0 while it goes on."""
        return time.monotonic() - self._ended_at if self.over.is_set() else 0.0

    def look(self) -> dict[str, Any]:
        """What a page shows of it, as plain data."""
        self._seen_at, self._patience_s = time.monotonic(), LOST_S
        assert self._handle is not None, "it was started"
        with self._lock:
            self._status.position = self._handle.position()
            before = self._warm_up.html() if self._warm_up and self._status.position else ""
            shown = {"state": "running", "status": before or self._status.html(), **self._end}
            x_real_time = self._status.x_real_time()
            takes = [take.as_json() for take in self._takes]
        return {
            "id": self.id,
            "takes": takes,
            "has_sound": self.live.has_begun,
            "peaks": self.live.peaks(),
            "x_real_time": x_real_time,
            "duration_s": self.request.duration_s,
            "begin_s": self.begin_s,
            "variations": self.request.variations,
            "title": self.title,
            **shown,
        }

    @property
    def title(self) -> str:
        return self.request.prompt.strip() if self.origin is None else self.origin.title

    # ------------------------------------------------------------ in the queue's thread

    def _hear(self, event: Event) -> None:
        with self._lock:
            self._status.see([event], self._status.position)
            if isinstance(event, NodeComposes):
                self._made_with[event.node] = event.made_with
            if isinstance(event, AudioChunk) and not self._is_kept:
                self._pieces.append(event.waveform.detach().float().cpu())
                self._rate = event.sample_rate
        if isinstance(event, AudioChunk):
            self.live.push(event)

    def _finish(self, result: JobResult) -> tuple[Take, ...]:
        music = music_of(self.job, result)
        if not self._may_keep():
            raise Interrupted("stopped by the user")
        takes = keep(self, music.waveform, music.sample_rate, music.tags, music.engine)
        many = f"{len(takes)} takes of " if len(takes) > 1 else ""
        figures = f"{many}{music.duration_s:.1f} s of music in {music.generation_s:.1f} s"
        with self._lock:
            self._takes = takes
            self._end = {"state": "done", "status": note("Done", figures, kind="done")}
        return takes

    # ------------------------------------------------------------ the end

    def _close(self) -> None:
        """Whatever goes wrong in it: the run is over then, and its page need not wait."""
        try:
            self._tell_end()
        except Exception as error:
            log.exception("a run's end could not be kept or told")
            trouble = trouble_of(error, set(self.settings))
            with self._lock:
                said = note(trouble.title, trouble.text, kind="error")
                self._end = {"state": "failed", "status": said, "field": trouble.field}
        with self._lock:
            self._pieces = []
            self._end = self._end or {"state": "stopped", "status": note("Stopped")}
        self._ended_at = time.monotonic()
        self.over.set()

    def _tell_end(self) -> None:
        assert self._handle is not None
        self.live.close()
        error = self._handle.error()
        if isinstance(error, Interrupted):
            self._stopped()
        elif error is not None:
            trouble = trouble_of(error, set(self.settings))
            said = note(trouble.title, trouble.text, kind="error" if trouble.is_error else "")
            with self._lock:
                self._end = {"state": "failed", "status": said, "field": trouble.field}

    def _stopped(self) -> None:
        """What was heard is kept, unless it was hardly anything."""
        if not self._may_keep():
            return
        words = "Nothing had been made yet."
        sound = self._so_far()
        try:
            if sound is not None and sound.shape[-1] >= LEAST_KEPT_S * self._rate:
                tags = tags_of(self.job, self._made_with, len(sound))
                takes = keep(self, sound, self._rate, tags, "", was_stopped=True)
                with self._lock:
                    self._takes = takes
                words = f"The {sound.shape[-1] / self._rate:.1f} s that were made are kept."
        except Refused as error:
            words = f"What was made could not be kept: {error}"
        with self._lock:
            self._end = {"state": "stopped", "status": note("Stopped", words)}

    def _may_keep(self) -> bool:
        """Once: a stop and the end of the work may come at the same time."""
        with self._lock:
            was_kept, self._is_kept = self._is_kept, True
        return not was_kept

    def _so_far(self) -> Tensor | None:
        """`[B, C, T]`, at the loudness asked for."""
        import torch

        from ...nodes.audio import AudioLoudness

        with self._lock:
            pieces = list(self._pieces)
        if not pieces:
            return None
        sound = torch.cat(pieces, dim=-1)
        if self.request.loudness_lufs is None:
            return sound
        audio = {"waveform": sound, "sample_rate": self._rate}
        (levelled,) = AudioLoudness().adjust(audio, "loudness", self.request.loudness_lufs, -1.0)
        return levelled["waveform"]

    def _watch(self) -> None:
        while not self.over.wait(WATCH_S):
            if time.monotonic() - self._seen_at > self._patience_s:
                self.stop()


def keep(
    run: PageRun,
    waveform: Tensor,
    sample_rate: int,
    tags: Sequence[Mapping[str, str]],
    engine: str,
    was_stopped: bool = False,
) -> tuple[Take, ...]:
    """Each item of `[B, C, T]` as a take of its own. Item i is what seed + i makes by itself."""
    takes = []
    request = run.request
    uploads = {how: path for how in HEARD if (path := getattr(request, how))}
    sounds = {how: run.kept_in.keep_sound(path) for how, path in uploads.items()}
    for index, (sound, own) in enumerate(zip(waveform, tags, strict=True)):
        settings = {**run.settings, "seed": request.seed + index, "variations": 1}
        said = Note(
            title=run.title,
            duration_s=sound.shape[-1] / sample_rate,
            settings=settings,
            engine=engine,
            sounds=sounds,
            was_stopped=was_stopped,
            run=run.id,
            of=run.origin.of if run.origin else "",
            doing=run.origin.doing if run.origin else {},
        )
        loop = None if was_stopped else request.loop
        takes.append(run.kept_in.add(sound, sample_rate, said, own, loop))
    return tuple(takes)


class Runs:
    """The runs that pages may ask for, by who started them."""

    def __init__(self, queue: JobQueue, warm_up: WarmUp | None = None):
        self._queue, self._warm_up = queue, warm_up
        self._lock = threading.Lock()
        self._runs: dict[str, PageRun] = {}
        self.sounds = KnownSounds()
        """of what runs elsewhere"""

    def start(self, run: PageRun) -> PageRun:
        """Raises QueueFull, or QueueClosed."""
        run.start(self._queue, self._warm_up)
        with self._lock:
            old = [one.id for one in self._runs.values() if one.ended_s() > KEEP_ENDED_S]
            for id in old:
                del self._runs[id]
            self._runs[run.id] = run
        return run

    def of(self, owner: str, id: str) -> PageRun | None:
        """None for one that is not known, or somebody else's."""
        with self._lock:
            run = self._runs.get(id)
        return run if run is not None and run.owner == owner else None

    def going_on(self, owner: str) -> PageRun | None:
        """The newest that has not ended."""
        with self._lock:
            mine = [one for one in self._runs.values() if one.owner == owner]
        return next((one for one in reversed(mine) if not one.over.is_set()), None)
