"""One engine for everybody: compositions of several threads share its steps.

Each has a session of its own, as of any engine, and asks it for steps from its own thread. What is
asked for at the same time is one step, which reads the weights once for all; whoever came last
computes it. A slot joins with its first step and is gone with its last: nobody is waited for who
has something else to do, such as decoding.

A composition that nobody has any more is ended wherever the garbage collector finds it: in any
thread, in the midst of anything, whatever locks are held. So who leaves waits for nobody, and takes
nothing twice: what cannot be cleared up at once is left to whoever is at work.

Only for an engine whose rows are the same alone and in company (`Engine.reads_exactly`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..config import Sampling
from .drawing import BranchWeights
from .session import Admitting, Engine, Heard, Session, drained
from .turns import CORES, PYTHON

PATIENCE = 0.25
"""of a step's own time: so long is waited for those who were in the last one, since the latest of
them came
"""
LEAST_PATIENCE_S, MOST_PATIENCE_S = 0.0005, 0.005
MOST_DECODING_S = 0.1
"""so long, too, for who has the processors to decode; whole files take longer"""


@dataclass
class _Wish:
    """A step that somebody waits for."""

    session: SharedSession
    slots: Sequence[int]
    tokens: Tensor
    logits: Tensor | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.logits is not None or self.error is not None

    def outcome(self) -> Tensor:
        if self.error is not None:
            raise self.error
        assert self.logits is not None, "it is done"
        return self.logits


class SharedEngine:
    """As the engine within, from as many threads as there are."""

    def __init__(self, engine: Engine):
        assert engine.reads_exactly, f"{engine.name}: a row must not depend on its neighbours"
        self._engine = engine
        self.name, self.config = engine.name, engine.config
        self.device, self.precision = engine.device, engine.precision
        self.reads_exactly = engine.reads_exactly
        self._own: Session = engine.open()
        self._lock = threading.Lock()  # held by who uses the session
        self._left: deque[Callable[[], None]] = deque()
        """what is to be done with the session as soon as nobody uses it"""
        self._coming: set[Admitting] = set()
        """known here, lest the collector end them by itself"""
        self._meeting = threading.Lock()  # guards all that follows
        self._waiting: list[_Wish] = []
        self._expected: set[SharedSession] = set()
        """who was in the last step and has not come again"""
        self._is_stepping = False
        self._latest_s = self._came_s = self._step_s = 0.0
        """when somebody came, or decoded, last; when somebody came; how long a step takes"""

    def open(self, rows: int = 0, max_steps: int = 0) -> SharedSession:
        return SharedSession(self)

    def draw(
        self, logits: Tensor, weights: BranchWeights, noise: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        return self._engine.draw(logits, weights, noise, sampling)

    # ------------------------------------------------------------ for its sessions

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Held by who uses the session."""
        try:
            with self._lock:
                yield
        finally:
            self._clear_up()

    def admitting(self, heard: Heard, max_steps: int) -> Admitting:
        """The others go on between two pieces of a prefix."""
        coming = self._own.admitting(heard, max_steps)
        self._coming.add(coming)
        try:
            while True:
                with self.at_work():
                    next(coming)
                yield
        except StopIteration as end:
            return end.value
        finally:
            self.leave_to_do(coming.close)
            self._coming.discard(coming)

    def leave_to_do(self, what: Callable[[], None]) -> None:
        """At once or, while somebody is at work, by them."""
        self._left.append(what)
        self._clear_up()

    def _clear_up(self) -> None:
        """Whoever finds the lock taken needs not wait: it is looked here again when it is free."""
        while self._left and self._lock.acquire(blocking=False):
            try:
                while self._left:
                    self._left.popleft()()
            finally:
                self._lock.release()

    def step(self, wish: _Wish) -> Tensor:
        """Its logits, computed by this thread for all who wait, or by another."""
        PYTHON.pass_on()
        with self._meeting:
            self._waiting.append(wish)
            wish.session.thread = threading.get_ident()
            # who is played by this thread, too, cannot come while it is here
            here = {one for one in self._expected if one.thread == wish.session.thread}
            self._expected -= {wish.session, *here}
            self._latest_s = self._came_s = time.monotonic()
        while (wishes := self._turn_of(wish)) is not None:
            self._compute(wishes)
        PYTHON.take()
        return wish.outcome()

    def _turn_of(self, wish: _Wish) -> list[_Wish] | None:
        """Waits; then what this thread is to compute, or None when its own wish is done."""
        with self._meeting, self._withdrawn_if_stopped(wish):
            while not wish.is_done:
                patience_s = self._patience_s()
                if not self._is_stepping and patience_s <= 0:
                    wishes, self._waiting, self._is_stepping = self._waiting, [], True
                    return wishes
                is_first = not self._is_stepping and self._waiting[0] is wish
                wish.session.called.wait(patience_s if is_first else None)
        return None

    @contextlib.contextmanager
    def _withdrawn_if_stopped(self, wish: _Wish) -> Iterator[None]:
        """Ctrl-C ends any waiting: the others must not be left waiting for who was first."""
        try:
            yield
        except BaseException:
            self._waiting = [one for one in self._waiting if one is not wish]
            self._call_first()
            raise

    def _patience_s(self) -> float:
        """For how long the others are still waited for, who may be decoding."""
        now = time.monotonic()
        if CORES.are_busy and now - self._came_s < MOST_DECODING_S:
            self._latest_s = now
        if not self._expected:
            return 0.0
        most_s = min(max(PATIENCE * self._step_s, LEAST_PATIENCE_S), MOST_PATIENCE_S)
        return self._latest_s + most_s - now

    def _compute(self, wishes: list[_Wish]) -> None:
        began = time.monotonic()
        for alike in _of_one_length(wishes):
            try:
                self._step_together(alike)
            except BaseException as error:  # not handled: handed to all who are in this step
                for wish in alike:
                    wish.error = error
        with self._meeting:
            self._is_stepping = False
            self._latest_s = self._came_s = time.monotonic()
            self._step_s = self._latest_s - began
            self._expected = {wish.session for wish in wishes if wish.session.has_slots}
            self._expected -= {wish.session for wish in self._waiting}
            for wish in wishes:
                wish.session.called.notify()
            self._call_first()

    def _step_together(self, wishes: Sequence[_Wish]) -> None:
        slots = [slot for wish in wishes for slot in wish.slots]
        with self.at_work():
            logits = self._own.step(slots, torch.cat([wish.tokens for wish in wishes]))
        rows = [wish.session.rows_of(wish.slots) for wish in wishes]
        for wish, own in zip(wishes, logits.split(rows), strict=True):
            wish.logits = own

    def forget(self, session: SharedSession) -> None:
        """Nobody waits for it any longer; where others meet just now, they find out a moment
        later.
        """
        if self._meeting.acquire(blocking=False):
            try:
                self._expected.discard(session)
                self._call_first()
            finally:
                self._meeting.release()

    def _call_first(self) -> None:
        for wish in self._waiting[:1]:
            wish.session.called.notify()


class SharedSession:
    """What one composition has of the engine; used by one thread at a time."""

    def __init__(self, engine: SharedEngine):
        self._engine, self._own, self._at_work = engine, engine._own, engine.at_work
        self._rows: dict[int, int] = {}  # by slot
        self.thread = 0
        """that asked for its last step"""
        self.called = threading.Condition(engine._meeting)
        """notified when its step is done, or may be computed"""

    @property
    def has_slots(self) -> bool:
        return bool(self._rows)

    def rows_of(self, slots: Sequence[int]) -> int:
        return sum(self._rows[slot] for slot in slots)

    def admit(self, heard: Heard, max_steps: int) -> int:
        return drained(self.admitting(heard, max_steps))

    def admitting(self, heard: Heard, max_steps: int) -> Admitting:
        slot = yield from self._engine.admitting(heard, max_steps)
        self._rows[slot] = len(heard)
        return slot

    def listen(self, slot: int, heard: Heard) -> None:
        with self._at_work():
            self._own.listen(slot, heard)

    def keep(self, slot: int, count: int) -> None:
        self._rows[slot] = count
        with self._at_work():
            self._own.keep(slot, count)

    def leave(self, slot: int) -> None:
        del self._rows[slot]
        self._engine.leave_to_do(partial(self._own.leave, slot))
        if not self._rows:
            PYTHON.pass_on()
            self._engine.forget(self)

    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        return self._engine.step(_Wish(self, slots, tokens))


def _of_one_length(wishes: Sequence[_Wish]) -> list[list[_Wish]]:
    """A prompt is read by many steps at once: so many are not joined with one."""
    by_length: dict[int, list[_Wish]] = {}
    for wish in wishes:
        by_length.setdefault(wish.tokens.shape[-1], []).append(wish)
    return list(by_length.values())
