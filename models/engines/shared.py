"""One engine for everybody: what several compositions ask for is one step, which reads the weights
once for all.

Each has a session of its own, as of any engine. Whoever takes the first of the answers computes
them all; `lockstep` brings everybody to where they have asked before. A slot joins with its first
step and is gone with its last.

A composition that nobody has any more is ended wherever the garbage collector finds it: in any
thread, in the midst of anything, whatever locks are held. So who leaves waits for nobody, and takes
nothing twice: what cannot be cleared up at once is left to whoever is at work.

Only for an engine whose rows are the same alone and in company (`Engine.reads_exactly`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..config import Sampling
from .drawing import BranchWeights, NoiseSource, States
from .lockstep import Frames, Lockstep, Seat
from .session import Admitting, Answer, Engine, Heard, Session, drained


@dataclass
class _Wish:
    """A step that somebody asked for."""

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
        self._wishes: deque[_Wish] = deque()
        self.lockstep = Lockstep()

    def open(self, rows: int = 0, max_steps: int = 0) -> SharedSession:
        return SharedSession(self)

    def noise(self, states: States) -> NoiseSource:
        return self._engine.noise(states)

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

    def ask(self, wish: _Wish) -> Answer:
        self._wishes.append(wish)
        self.lockstep.asked += 1
        return partial(self._answer, wish)

    def _answer(self, wish: _Wish) -> Tensor:
        """With those of all who have asked by now."""
        if not wish.is_done:
            with self.at_work():
                if not wish.is_done:
                    self._compute_all()
        return wish.outcome()

    def _compute_all(self) -> None:
        wishes = []
        while self._wishes:  # others may ask meanwhile
            wishes.append(self._wishes.popleft())
        for alike in _of_one_length([one for one in wishes if one.session.has(one.slots)]):
            try:
                self._step_together(alike)
            except BaseException as error:  # not handled: handed to all who are in this step
                for wish in alike:
                    wish.error = error

    def _step_together(self, wishes: Sequence[_Wish]) -> None:
        rows = [wish.session.rows_of(wish.slots) for wish in wishes]
        slots = [slot for wish in wishes for slot in wish.slots]
        logits = self._own.step(slots, torch.cat([wish.tokens for wish in wishes]))
        for wish, own in zip(wishes, logits.split(rows), strict=True):
            wish.logits = own


class SharedSession(Session):
    """What one composition has of the engine; used by one thread at a time."""

    in_company = True

    def __init__(self, engine: SharedEngine):
        self._engine, self._own, self._at_work = engine, engine._own, engine.at_work
        self._rows: dict[int, int] = {}  # by slot

    def has(self, slots: Sequence[int]) -> bool:
        return all(slot in self._rows for slot in slots)

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
        """What was asked for and not computed yet is not."""
        del self._rows[slot]
        self._engine.leave_to_do(partial(self._own.leave, slot))

    def ask(self, slots: Sequence[int], tokens: Tensor) -> Answer:
        return self._engine.ask(_Wish(self, slots, tokens))

    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        return self.ask(slots, tokens)()


def seat_at(engine: Engine, frames: Frames) -> Seat:
    """From where a composition of this engine is heard: in company where it is shared."""
    return engine.lockstep.seat(frames) if isinstance(engine, SharedEngine) else Seat(frames)


def _of_one_length(wishes: Sequence[_Wish]) -> list[list[_Wish]]:
    """A prompt is read by many steps at once: so many are not joined with one."""
    by_length: dict[int, list[_Wish]] = {}
    for wish in wishes:
        by_length.setdefault(wish.tokens.shape[-1], []).append(wish)
    return list(by_length.values())
