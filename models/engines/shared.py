"""One engine for everybody: compositions of several threads share its steps.

Each has a session of its own, as of any engine, and asks it for steps from its own thread. What is
asked for at the same time is one step, which reads the weights once for all; whoever came last
computes it. A slot joins with its first step and is gone with its last: nobody is waited for who
has something else to do, such as decoding.

Only for an engine whose rows are the same alone and in company (`Engine.reads_exactly`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
        # both may be taken twice: a composition that nobody has any more leaves where it is found
        self._at_work = threading.RLock()  # held by who uses the session
        self._meeting = threading.RLock()  # guards all that follows
        self._waiting: list[_Wish] = []
        self._expected: set[SharedSession] = set()
        """who was in the last step and has not come again"""
        self._is_stepping = False
        self._latest_s = self._came_s = self._step_s = 0.0
        """when somebody came, or decoded, last; when somebody came; how long a step takes"""

    def open(self, rows: int = 0, max_steps: int = 0) -> SharedSession:
        return SharedSession(self)

    # ------------------------------------------------------------ for its sessions

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
        with self._meeting:
            while not wish.is_done:
                patience_s = self._patience_s()
                if not self._is_stepping and patience_s <= 0:
                    wishes, self._waiting, self._is_stepping = self._waiting, [], True
                    return wishes
                is_first = not self._is_stepping and self._waiting[0] is wish
                wish.session.called.wait(patience_s if is_first else None)
        return None

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
            for wish in (*wishes, *self._waiting[:1]):
                wish.session.called.notify()

    def _step_together(self, wishes: Sequence[_Wish]) -> None:
        slots = [slot for wish in wishes for slot in wish.slots]
        with self._at_work:
            logits = self._own.step(slots, torch.cat([wish.tokens for wish in wishes]))
        rows = [wish.session.rows_of(wish.slots) for wish in wishes]
        for wish, own in zip(wishes, logits.split(rows), strict=True):
            wish.logits = own

    def _forget(self, session: SharedSession) -> None:
        """Nobody waits for it any longer."""
        with self._meeting:
            self._expected.discard(session)
            for wish in self._waiting[:1]:
                wish.session.called.notify()


class SharedSession:
    """What one composition has of the engine; used by one thread at a time."""

    def __init__(self, engine: SharedEngine):
        self._engine, self._own, self._at_work = engine, engine._own, engine._at_work
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
        """The others go on between two pieces of a prefix."""
        admitting = self._own.admitting(heard, max_steps)
        try:
            while True:
                with self._at_work:
                    next(admitting)
                yield
        except StopIteration as end:
            self._rows[end.value] = len(heard)
            return end.value
        finally:
            with self._at_work:
                admitting.close()

    def listen(self, slot: int, heard: Heard) -> None:
        with self._at_work:
            self._own.listen(slot, heard)

    def keep(self, slot: int, count: int) -> None:
        self._rows[slot] = count
        with self._at_work:
            self._own.keep(slot, count)

    def leave(self, slot: int) -> None:
        del self._rows[slot]
        with self._at_work:
            self._own.leave(slot)
        if not self._rows:
            PYTHON.pass_on()
            self._engine._forget(self)

    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        return self._engine.step(_Wish(self, slots, tokens))


def _of_one_length(wishes: Sequence[_Wish]) -> list[list[_Wish]]:
    """A prompt is read by many steps at once: so many are not joined with one."""
    by_length: dict[int, list[_Wish]] = {}
    for wish in wishes:
        by_length.setdefault(wish.tokens.shape[-1], []).append(wish)
    return list(by_length.values())
