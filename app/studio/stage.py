"""Where music plays live: each performance's sound is made a little before it is due.

A performance is begun by a job's graph, as any other music, and takes no place in the queue: it
lasts for minutes, and mostly waits. It plays while somebody listens. Those that are due at the same
time, and jobs, share the model's steps.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .music import music_job
from .performance import Announced, Mark, Performance, loaded_model
from .queue import JobQueue, QueueClosed, QueueFull
from .said import Said
from .worker import LocalWorker

if TYPE_CHECKING:
    from torch import Tensor

    from ...workflows.executor import Runner
    from ...workflows.request import Request

log = logging.getLogger("musicgraph")

LEAST_AHEAD_S, MOST_AHEAD_S = 0.05, 0.3
"""of sound that is there before it is heard: what is said cannot change it any more"""
SPARE = 1.5
"""times as long as a piece took to come, from when it was due, the next ones are begun early"""
CALMER = 0.98
"""by how much less early with each piece that came in time"""
LATE_S = 0.5
"""so much later than it was due, sound leaves a gap that is heard, and said"""
FULL_RETRY_S = 60
CLOSING_S = 2.0

OnSound = Callable[["Tensor | None"], None]
"""is given the next samples, `[C, n]`, and None when there are no more; it may not wait"""
OnNews = Callable[[dict[str, Any]], None]
"""is given what happens, by its `event`: said, ends, late, and last of all over, closed (it was
taken off the stage) or failed (with its `error`)
"""


class StageFull(QueueFull):
    """As many play as may play."""

    def __init__(self, playing: int):
        super().__init__(playing, FULL_RETRY_S)
        told = f"{playing} play live already, as many as may; try again in {FULL_RETRY_S} s"
        self.args = (told,)


class LivePlace:
    """A performance on a stage, for whoever may steer it."""

    def __init__(
        self,
        stage: Stage,
        owner: str,
        performance: Performance,
        on_news: OnNews,
        named_models: Mapping[str, str],
    ):
        self.id, self.owner, self.performance = secrets.token_hex(8), owner, performance
        self._stage, self.on_news, self.named_models = stage, on_news, named_models
        self.listeners: list[OnSound] = []
        self._began: float | None = None
        self.ahead_s = LEAST_AHEAD_S
        """how long before it is heard its sound is made: longer where that takes longer"""
        self._played_at = 0.0
        self._paused_at: float | None = time.monotonic()

    def say(self, said: Said) -> Announced:
        """Raises Refused for what cannot be, and for what comes too late."""
        return self._told(self.performance.say(said))

    def undo(self) -> Announced:
        return self._told(self.performance.undo())

    def end(self, after_s: float = 0.0, fade_s: float = 0.0) -> float:
        """Ends it so many seconds on; returns when, in seconds of the music."""
        second = self.performance.end(after_s, fade_s)
        self.on_news({"event": "ends", "second": second})
        return second

    def mark(self) -> Mark:
        """A moment to come back to. Raises Refused before the first sound."""
        return self.performance.mark()

    def go_back(self, mark: Mark) -> None:
        """It goes on where it stood then. Raises Refused once it was told to end."""
        self.performance.go_back(mark)

    def workflow(self) -> Any:
        """What plays it again, as ComfyUI's page opens it. Raises Refused as `score` does."""
        request, classes = self.performance.score(), self._stage.runner.classes
        job = music_job(request, classes, named_models=self.named_models)
        return (job.extra_pnginfo or {})["workflow"]

    def listen(self, listener: OnSound) -> None:
        self._stage._listen(self, listener)

    def leave(self, listener: OnSound) -> None:
        self._stage._unlisten(self, listener)

    def close(self) -> None:
        """Takes it off the stage, whether it is over or not."""
        self._stage._remove(self)

    @property
    def heard_s(self) -> float:
        """How much sound was made, which is what listeners have heard or are about to."""
        return self.performance.samples / self.performance.sample_rate

    @property
    def _played_s(self) -> float:
        """The same with what was taken back since."""
        made = self.performance.samples + self.performance.taken_back
        return made / self.performance.sample_rate

    @property
    def unheard_s(self) -> float:
        """For how long nobody has listened."""
        since = self._paused_at
        return 0.0 if since is None else time.monotonic() - since

    def _told(self, announced: Announced) -> Announced:
        self.on_news({"event": "said", **vars(announced)})
        return announced

    # -------------------------------------------------------- its clock, with the stage's lock held

    def due_at(self) -> float:
        """When its next sound has to be made."""
        if self._began is None:
            return 0.0
        return self._began + self._played_s - self.ahead_s

    def go_on(self, now: float) -> None:
        if self._began is not None and self._paused_at is not None:
            self._began += now - self._paused_at
        self._paused_at = None

    def pause(self, now: float) -> None:
        self._paused_at = now

    def note_played(self, now: float, was_due_at: float) -> float:
        """Its clock begins with its first sound. How late that was which has just been made."""
        took_s = now - max(was_due_at, self._played_at)
        self._played_at = now
        if self._began is None:
            self._began = now if self._played_s else None
            return 0.0
        ahead_s = max(SPARE * took_s, CALMER * self.ahead_s, LEAST_AHEAD_S)
        self.ahead_s = min(MOST_AHEAD_S, ahead_s)
        late = now - (self._began + self._played_s)
        if late > LATE_S:
            self._began += late
            return late
        return 0.0


class Stage:
    """Performances, and the threads that play them, as many as performances: each takes the one
    that is due first.
    """

    def __init__(self, worker: LocalWorker | None = None, *, places: int = 4):
        """`worker`: of a queue, with which it shares models; None: one of its own."""
        self.places = places
        self._worker = worker or LocalWorker()
        self._changed = threading.Condition()  # guards all that follows
        self._on: list[LivePlace] = []
        self._in_hand: list[LivePlace] = []
        """that some thread is playing just now"""
        self._opening = 0
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def runner(self) -> Runner:
        """With it comes torch."""
        return self._worker.runner

    def open(
        self,
        owner: str,
        request: Request,
        on_news: OnNews,
        *,
        named_models: Mapping[str, str],
        parts: int = 2,
        frames_s: float | None = None,
    ) -> LivePlace:
        """Loads the model, and sets a performance on the stage; it plays once somebody listens.

        Takes as long as loading does. Raises QueueFull, QueueClosed, Interrupted, and what is wrong
        with the request.
        """
        with self._changed:
            if self._closed:
                raise QueueClosed("the stage is closed")
            if len(self._on) + self._opening >= self.places:
                raise StageFull(len(self._on))
            self._opening += 1
        runner, is_on = self._worker.borrow(), False
        try:
            performance = self._begun(runner, request, named_models, parts, frames_s)
            place = LivePlace(self, owner, performance, on_news, named_models)
            with self._changed:
                if self._closed:
                    raise QueueClosed("the stage is closed")
                self._on.append(place)
                is_on = True
        finally:
            with self._changed:
                self._opening -= 1
            if not is_on:
                self._worker.give_back()
        return place

    def _begun(
        self,
        runner: Runner,
        request: Request,
        named_models: Mapping[str, str],
        parts: int,
        frames_s: float | None,
    ) -> Performance:
        job = music_job(request, runner.classes, named_models=named_models)
        loaded = loaded_model(runner, job, lambda: self._closed)
        frames = None
        if frames_s is not None:
            frames = max(1, round(frames_s * loaded.engine.config.frame_rate))
        return Performance(loaded, request, parts=parts, frames=frames)

    def find(self, id: str) -> LivePlace | None:
        with self._changed:
            return next((one for one in self._on if one.id == id), None)

    def latest(self) -> LivePlace | None:
        """The one that was begun last, for doors that name none."""
        with self._changed:
            return self._on[-1] if self._on else None

    def close(self) -> None:
        """Ends all performances, and the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            left, threads = list(self._on), self._threads
        for place in left:
            self._remove(place)
        until = time.monotonic() + CLOSING_S
        for thread in threads:
            if thread is not threading.current_thread():
                # the process may end next, and compiled code must not be cut off
                thread.join(max(0.0, until - time.monotonic()))

    def _listen(self, place: LivePlace, listener: OnSound) -> None:
        with self._changed:
            is_on = place in self._on
            if is_on:
                self._add(place, listener)
        if not is_on:  # who comes too late hears so, and does not wait
            listener(None)

    def _add(self, place: LivePlace, listener: OnSound) -> None:
        """With the lock held."""
        if not place.listeners:
            place.go_on(time.monotonic())
        place.listeners.append(listener)
        heard = sum(bool(one.listeners) for one in self._on)
        if len(self._threads) < heard and not self._closed:
            thread = threading.Thread(target=self._play, name="musicgraph-live", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._changed.notify_all()

    def _unlisten(self, place: LivePlace, listener: OnSound) -> None:
        with self._changed:
            if listener in place.listeners:
                place.listeners.remove(listener)
                if not place.listeners:
                    place.pause(time.monotonic())

    def _remove(self, place: LivePlace, news: dict[str, Any] | None = None) -> None:
        with self._changed:
            if place not in self._on:
                return
            self._on.remove(place)
            is_in_hand = place in self._in_hand
            listeners, place.listeners = place.listeners, []
            self._changed.notify_all()
        for listener in listeners:
            _tell(listener, None)
        _tell(place.on_news, news or {"event": "closed"})
        if not is_in_hand:  # else who has it does so
            place.performance.close()
        self._worker.give_back()

    # ------------------------------------------------------------ the threads

    def _play(self) -> None:
        while self._play_next():  # who waits for the next has nothing of the last one
            pass

    def _play_next(self) -> bool:
        """Whether there was one."""
        place = self._next()
        if place is None:
            return False
        try:
            self._play_some(place)
        except Exception as error:  # also what nobody foresaw: the others play on
            self._remove(place, {"event": "failed", "error": error})
        finally:
            with self._changed:
                self._in_hand.remove(place)
                is_gone = place not in self._on
                self._changed.notify_all()
            if is_gone:
                place.performance.close()
        return True

    def _next(self) -> LivePlace | None:
        """Waits for the one whose sound is due first and takes it in hand; None when the stage is
        closed.
        """
        with self._changed:
            while not self._closed:
                heard = [one for one in self._on if one.listeners and one not in self._in_hand]
                first = min(heard, key=LivePlace.due_at, default=None)
                wait_s = None if first is None else first.due_at() - time.monotonic()
                if first is not None and wait_s is not None and wait_s <= 0:
                    self._in_hand.append(first)
                    return first
                self._changed.wait(wait_s)
        return None

    def _play_some(self, place: LivePlace) -> None:
        due_at = place.due_at()
        sound = place.performance.play()
        if sound is None or self._closed:
            return
        with self._changed:
            listeners, late_s = list(place.listeners), place.note_played(time.monotonic(), due_at)
        for listener in listeners if sound.shape[1] else ():
            try:
                listener(sound)
            except Exception:
                if len(listeners) == 1:
                    raise
                log.exception("who listened to live music is let go: the others hear it on")
                self._unlisten(place, listener)
                _tell(listener, None)
        if late_s:
            place.on_news({"event": "late", "by_s": round(late_s, 2)})
        if place.performance.is_over:
            self._remove(place, {"event": "over"})


def _tell(listener: Callable[[Any], None], told: Any) -> None:
    """Whatever it raises: the others are told as well."""
    try:
        listener(told)
    except Exception:
        log.exception("who followed live music could not be told of its end")


def stage_beside(queue: JobQueue, places: int) -> Stage:
    """One that shares the models of a queue whose jobs run here."""
    worker = queue.worker if isinstance(queue.worker, LocalWorker) else None
    return Stage(worker, places=places)
