"""Following a run from a page: its place in line, how far it is, what it says when it goes wrong.

A page's handler is a generator. It submits its work to the studio, yields something to show every fraction of a
second, and cancels its ticket when it is closed, which Gradio does when the visitor goes away.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..models.refused import Refused
from ..nodes.host import Interrupted
from ..workflows.events import Event, Listener, NodeStarted, Progress, TokensFinished
from ..workflows.executor import Runner
from ..workflows.problems import NodeError, Problem, WorkflowError
from .paths import without_paths
from .studio import QueueFull, Studio, Ticket

log = logging.getLogger("musicgraph")

TICK_S = 0.2
MAX_PROBLEMS_SHOWN = 4
MAX_LEFT = 1000
STOPPED = object()
PageWork = Callable[[Runner, Callable[[], bool], Listener], Any]


@dataclass(frozen=True)
class Told:
    """What went wrong, in words for the person who asked."""

    title: str
    text: str
    is_error: bool = True

    def html(self) -> str:
        return note(self.title, self.text, kind="error" if self.is_error else "")


class TellTale(Exception):
    """A failure in another process, which comes with its words ready."""

    def __init__(self, told: Told):
        self.told = told
        super().__init__(f"{told.title}: {told.text}")


def visitor_of(session: str | None) -> str:
    """Who asks: a session's own name; one for each call where there is no session."""
    return session or secrets.token_hex(16)


class Desk:
    """Hands visitors' work to the studio, and stops a visitor's own work on request."""

    def __init__(self, studio: Studio):
        self.studio = studio
        self._lock = threading.Lock()
        self._followed: dict[tuple[str, str], set[Following]] = {}
        self._left: deque[str] = deque(maxlen=MAX_LEFT)

    @contextlib.contextmanager
    def submitted(self, visitor: str, place: str, work: PageWork) -> Iterator[Following]:
        """The work in line; it is cancelled, or done, when this ends.

        Raises Interrupted for a visitor who has left, and what Studio.submit raises.
        """
        events: queue.SimpleQueue = queue.SimpleQueue()
        context = (
            contextvars.copy_context()
        )  # a Space's GPU is lent to the visitor whom Gradio's context names
        ticket = self.studio.submit(
            visitor, lambda runner, stopped: context.run(work, runner, stopped, events.put)
        )
        ticket.when_done(lambda: events.put(None))
        following = Following(ticket, events)
        with self._lock:
            has_left = visitor in self._left
            self._followed.setdefault((visitor, place), set()).add(following)
        try:
            if has_left:
                raise Interrupted("stopped by the user")
            yield following
        finally:
            ticket.cancel()
            with self._lock:
                self._followed[visitor, place].discard(following)
                if not self._followed[visitor, place]:
                    del self._followed[visitor, place]

    def leave(self, visitor: str) -> None:
        """For a visitor who never comes again: stops their work, also what is yet on its way here."""
        with self._lock:
            self._left.append(visitor)
        self.stop(visitor)

    def stop(self, visitor: str, place: str | None = None) -> None:
        """Stops what a visitor runs on one tab, or everywhere."""
        with self._lock:
            mine = [
                following
                for (who, where), followed in self._followed.items()
                if who == visitor and place in (None, where)
                for following in followed
            ]
        for following in mine:
            following.stop()


@dataclass(frozen=True)
class Following:
    """A ticket, and the events of its run."""

    ticket: Ticket
    events: queue.SimpleQueue

    def stop(self) -> None:
        """Whoever follows hears of it at once, even while the work is where it cannot be stopped, as in a download."""
        self.ticket.cancel()
        self.events.put(STOPPED)

    def batches(self) -> Iterator[list[Event]]:
        """What has happened since the last time, every TICK_S; the last one when the run is over.

        Raises Interrupted when it was stopped.
        """
        over = False
        while not over:
            batch: list[Event] = []
            deadline = time.monotonic() + TICK_S
            while not over and (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    event = self.events.get(timeout=left)
                    if event is STOPPED:
                        raise Interrupted("stopped by the user")
                    over = event is None
                    batch += [] if over else [event]
            yield batch


# ---------------------------------------------------------------- how far it is


@dataclass
class Watch:
    """What is known of a run from its events."""

    duration_s: float
    position: int = 0
    node: str | None = None
    done_nodes: set[str] = field(default_factory=set)
    share: float = 0.0
    """how much of the music is composed, 0 … 1"""
    node_share: float = 0.0
    node_since: float = 0.0
    composing_since: float | None = None
    composer: str | None = None
    composed: bool = False

    def see(self, batch: list[Event], position: int) -> None:
        self.position = position
        for event in batch:
            if isinstance(event, NodeStarted):
                if self.node is not None and self.node != event.node:
                    self.done_nodes.add(self.node)
                self.composed |= self.composer is not None
                self.node, self.node_share, self.node_since = event.node, 0.0, time.monotonic()
            elif isinstance(event, TokensFinished):
                self._compose(event)
            elif isinstance(event, Progress) and event.node == self.node:
                self.node_share = event.done / max(1, event.total)

    def _compose(self, event: TokensFinished) -> None:
        if self.composing_since is None:
            self.composing_since = self.node_since
        self.composer = event.node
        frames = event.block.start_frame + event.block.tokens.shape[-1]
        self.share = frames / max(1, event.block.total_frames)

    def html(self) -> str:
        if self.position > 0:
            ahead = "you are next" if self.position == 1 else f"number {self.position} in line"
            return note("Waiting for its turn", ahead, busy=True)
        if self.composer is None:
            return note(
                "Getting ready",
                "reading the model, or downloading it; only the first time takes long",
                busy=True,
            )
        if self.composed or self.share >= 1:
            return note("Finishing", "the last samples and the files", share=1.0, busy=True)
        return note("Composing", " · ".join(self._figures()), share=self.share, busy=True)

    def _figures(self) -> Iterator[str]:
        done_s = self.share * self.duration_s
        yield f"{done_s:.1f} of {self.duration_s:g} s"
        passed = time.monotonic() - (self.composing_since or 0.0)
        if passed > 0.5 and done_s > 0:
            yield f"{done_s / passed:.1f} × real time"
            yield f"{max(0.0, passed / self.share - passed):.0f} s left"


def note(
    title: str, text: str = "", *, share: float | None = None, busy: bool = False, kind: str = ""
) -> str:
    """A line of status. Everything in it is escaped; a screen reader hears it, errors at once."""
    role = "alert" if kind == "error" else "status"
    bar = ""
    if share is not None:
        percent = round(100 * share)
        bar = (
            f'<div class="mg-bar" role="progressbar" aria-label="composed" aria-valuenow="{percent}" '
            f'aria-valuemin="0" aria-valuemax="100"><span style="width:{percent}%"></span></div>'
        )
    classes = " ".join(filter(None, ("mg-note", kind, "busy" if busy else "")))
    words = f"<b>{html.escape(title)}</b>" + (f"<span>{html.escape(text)}</span>" if text else "")
    return f'<div class="{classes}" role="{role}">{words}{bar}</div>'


# ---------------------------------------------------------------- what went wrong


def told(error: Exception) -> Told:
    """What broke inside has a number here, and its details in the log only."""
    if isinstance(error, TellTale):
        return error.told
    if isinstance(error, Interrupted):
        return Told(
            "Stopped",
            "Nothing was kept. Change something, or press the button again.",
            is_error=False,
        )
    if isinstance(error, QueueFull):
        return Told(
            "Everybody is busy",
            f"{error.waiting} are waiting already; try again in a little while.",
        )
    if isinstance(error, NodeError) and error.is_refusal:
        return Told(f"“{error.title}” refuses", without_paths(str(error.__cause__)))
    if isinstance(error, WorkflowError):
        more = len(error.problems) - MAX_PROBLEMS_SHOWN
        words = [
            *map(_problem_words, error.problems[:MAX_PROBLEMS_SHOWN]),
            *([f"And {more} more."] if more > 0 else []),
        ]
        return Told("This cannot run yet", without_paths(" ".join(words)))
    if isinstance(error, Refused):
        return Told("That cannot be done", without_paths(str(error)))
    return _our_fault(error)


def _our_fault(error: Exception) -> Told:
    number = secrets.token_hex(4)
    log.error("failure number %s", number, exc_info=error)
    where = f"The node “{error.title}” broke. " if isinstance(error, NodeError) else ""
    return Told("This is our fault", f"{where}Please report the number {number}.")


def explain(error: Exception) -> str:
    return told(error).html()


def _problem_words(problem: Problem) -> str:
    where = f"“{problem.title}”" if problem.title else ""
    where += f", {problem.input}" if problem.input else ""
    text = f"{problem.message}: {problem.details}" if problem.details else problem.message
    return f"{where + ': ' if where else ''}{text}."
