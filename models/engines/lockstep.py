"""Compositions that are played side by side: one thread brings all of them to where each has asked
for its next step, so that the engine computes one step for everybody.

Threads that draw side by side would take the interpreter from each other at every operation, and
wake each other up some fifty times a frame. Here whoever listens sleeps until as many frames have
come as it has use for.

Source of what is shared: iteration-level scheduling (Orca, Yu et al., OSDI 2022): who joins or
leaves does so between two steps. Guidance is a matter of a slot's rows, so that listeners with and
without it share a step as well.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from .turns import CORES

HEARS_S = 0.25
"""so often whoever waits is asked whether it still wants to, and told how far it is"""
LINGERS_S = 0.05
"""for who will ask for more soon; then the thread ends, and another is begun when it is needed"""

Frames = Generator[Tensor, None, None]
"""pieces `[B, K, t]`, as `Composition.frames` yields them"""


class Seat:
    """A composition that is played alone: by whoever asks for more of it."""

    def __init__(self, frames: Frames):
        self._frames = frames
        self.made = 0
        """how many frames have been handed out"""
        self.is_over = False

    def more(self, count: int, ahead: int = 0) -> Iterator[Tensor | None]:
        """Yields pieces `[B, K, t]` until `count` frames have come or it is over, and None now and
        then, when it may be left. More may come than was asked for: a prompt comes whole, and what
        is there comes, too.

        In company, `ahead` frames more are made while nobody asks: who does something else with
        what has come would leave the others' steps meanwhile, and a step costs little less without.

        Raises what the composition raises.
        """
        until = self.made + count
        while self.made < until:
            piece = next(self._frames, None)
            if piece is None:
                self.is_over = True
                return
            self.made += piece.shape[2]
            yield piece if piece.shape[2] else None

    def close(self) -> None:
        """Ends the composition within a step."""
        self._frames.close()


class SharedSeat(Seat):
    """A composition in company."""

    def __init__(self, frames: Frames, company: Lockstep):
        super().__init__(frames)
        self._company = company
        self.pieces: deque[Tensor] = deque()
        """that were made, and not handed out"""
        self.held = 0
        """how many frames `pieces` hold"""
        self.due = self.goal = 0
        """how many frames in all are waited for; up to how many it is to be brought"""
        self.has_ended = self.is_left = False
        self.error: BaseException | None = None
        self.called = threading.Condition(company.lock)
        """notified when all that is waited for is there"""

    @property
    def is_playing(self) -> bool:
        """Whether it is to be brought on."""
        return self.made + self.held < self.goal and not (self.has_ended or self.is_left)

    @property
    def is_due(self) -> bool:
        return self.is_playing and self.made + self.held < self.due

    def more(self, count: int, ahead: int = 0) -> Iterator[Tensor | None]:
        until = self.made + count
        self._company.play(self, until, until + ahead)
        while self.made < until and not self.is_over:
            yield self._next()

    def close(self) -> None:
        self._company.leave(self)

    def _next(self) -> Tensor | None:
        """All that there is, as soon as all that is due is there or a moment has passed."""
        with self.called:
            if self.is_due:
                self._company.call(self)
                self.called.wait(HEARS_S)
            pieces, error = list(self.pieces), self.error
            self.pieces.clear()
            self.made, self.held = self.made + self.held, 0
            if not pieces:
                self.is_over = self.has_ended or self.is_left
        if pieces:
            return torch.cat(pieces, dim=2)
        if error is not None:
            raise error
        return None

    def bring_on(self) -> None:
        """By one yield of the composition."""
        piece, error = None, None
        try:
            piece = next(self._frames, None)
        except BaseException as raised:  # not handled: whoever listens gets it
            error = raised
        with self.called:
            if piece is None:
                self.error, self.has_ended = error, True
            elif piece.shape[2]:
                self.pieces.append(piece)
                self.held += piece.shape[2]
            if not self.is_due:
                self.called.notify()

    def end(self) -> None:
        """By who knows that it is not at work."""
        super().close()


class Lockstep:
    """Plays all that is wanted of a shared engine's compositions, in a thread that lives as long as
    there is some.
    """

    def __init__(self) -> None:
        self.asked = 0
        """how many steps the engine was asked for"""
        # may be taken twice: a seat that nobody has any more is left where the collector finds it
        self.lock = threading.RLock()
        self._seats: list[SharedSeat] = []
        self._brought: SharedSeat | None = None
        """whose composition is at work just now"""
        self._wanted = threading.Condition(self.lock)
        self._thread: threading.Thread | None = None

    def seat(self, frames: Frames) -> SharedSeat:
        return SharedSeat(frames, self)

    def play(self, seat: SharedSeat, due: int, goal: int) -> None:
        """So many frames of it are waited for, and up to so many are wanted."""
        with self._wanted:
            seat.due, seat.goal = due, max(goal, seat.goal)
            if seat.is_playing:
                self.call(seat)

    def call(self, seat: SharedSeat) -> None:
        """With the lock held: sees to it that somebody plays what is wanted of it."""
        if seat not in self._seats:
            self._seats.append(seat)
        if self._thread is None:
            thread = threading.Thread(target=self._play_all, name="musicgraph-lockstep")
            thread.start()
            self._thread = thread
        self._wanted.notify()

    def leave(self, seat: SharedSeat) -> None:
        """Waits for nobody: one that is at work is ended by who has it at work."""
        with self.lock:
            if seat in self._seats:
                self._seats.remove(seat)
            seat.is_left = True
            is_at_work = seat is self._brought
        if not is_at_work:
            seat.end()

    def _play_all(self) -> None:
        try:
            with torch.inference_mode():
                while self._is_wanted():
                    with CORES.one():  # between two steps, too: decoders would take it there
                        while seats := self._playing():
                            for seat in seats:
                                self._bring_on(seat)
        except BaseException:  # of nobody's composition: who waits calls another
            self._thread = None
            raise

    def _is_wanted(self) -> bool:
        """Waits a moment for somebody who wants more; if there is nobody, the thread is to end."""
        with self._wanted:
            if not self._playing():
                self._wanted.wait(LINGERS_S)
            is_wanted = bool(self._playing())
            if not is_wanted:
                self._thread = None
        return is_wanted

    def _playing(self) -> list[SharedSeat]:
        """Who wants more."""
        with self.lock:
            self._seats = [seat for seat in self._seats if seat.is_playing]
            return list(self._seats)

    def _bring_on(self, seat: SharedSeat) -> None:
        """To where it has asked for a step, or has all that is wanted."""
        with self.lock:
            if not seat.is_playing:
                return
            self._brought = seat
        asked = self.asked
        while seat.is_playing and self.asked == asked:
            seat.bring_on()
        with self.lock:
            self._brought = None
            is_left = seat.is_left
        if is_left:
            seat.end()
