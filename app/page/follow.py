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
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...nodes.host import Interrupted
from ...workflows.events import Event, NodeStarted, Progress, TokensFinished
from ..studio.failures import told
from ..studio.queue import PageWork, Studio, Ticket

log = logging.getLogger("musicgraph")

TICK_S = 0.2
MAX_LEFT = 1000
STOPPED = object()


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


def explain(error: Exception) -> str:
    failure = told(error)
    return note(failure.title, failure.text, kind="error" if failure.is_error else "")
