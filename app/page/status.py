"""How far a job is, and what is said when it goes wrong: the lines of status on the page."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...workflows.events import Event, NodeProgress, NodeStarted, TokensFinished
from ...workflows.request import LOADER, SAMPLER
from ..studio.failures import failure_of
from ..studio.job import Job

SHOWN_AFTER_S = 2.0
"""how long it has to take before seconds are counted"""


@dataclass
class JobStatus:
    """What is known of a run from its events."""

    duration_s: float
    classes: Mapping[str, str] = field(default_factory=dict)
    """node → its class: what is done before music is made is said by it"""
    position: int = 0
    node: str | None = None
    share: float = 0.0
    """how much of the music is composed, 0 … 1"""
    node_share: float = 0.0
    node_since: float = 0.0
    composing_since: float | None = None
    composer: str | None = None
    composed: bool = False

    @classmethod
    def of(cls, job: Job) -> JobStatus:
        return cls(job.music_s, {id: node["class_type"] for id, node in job.graph.items()})

    def see(self, batch: list[Event], position: int) -> None:
        self.position = position
        for event in batch:
            if isinstance(event, NodeStarted):
                self.composed |= self.composer is not None
                self.node, self.node_share, self.node_since = event.node, 0.0, time.monotonic()
            elif isinstance(event, TokensFinished):
                self._compose(event)
            elif isinstance(event, NodeProgress) and event.node == self.node:
                self.node_share = event.done / max(1, event.total)
                if not event.done and self.composer is None:  # what it loads is loaded
                    self.node_since = time.monotonic()

    def _compose(self, event: TokensFinished) -> None:
        if self.composing_since is None:
            self.composing_since = self.node_since
        self.composer = event.node
        frames = event.block.start_frame + event.block.tokens.shape[-1]
        self.share = frames / max(1, event.block.total_frames)

    def x_real_time(self) -> float:
        """Seconds of music composed in a second; 0 before the first."""
        passed = time.monotonic() - (self.composing_since or 0.0)
        return self.share * self.duration_s / max(passed, 1e-3) if self.composing_since else 0.0

    def html(self) -> str:
        if self.position > 0:
            ahead = "you are next" if self.position == 1 else f"number {self.position} in line"
            return note("Waiting for its turn", ahead, busy=True)
        if self.composer is None:
            return self._preparing()
        if self.composed or self.share >= 1:
            return note("Finishing", "the last samples and the files", share=1.0, busy=True)
        return note("Composing", " · ".join(self._figures()), share=self.share, busy=True)

    def _preparing(self) -> str:
        """What the node at work does before there is music; how far, where that is counted."""
        words = {
            LOADER: "opening the model, or downloading it",
            SAMPLER: "bringing the model into memory",
        }.get(self.classes.get(self.node or "", ""), "reading the words")
        if self.node is None:
            words = "starting the engine"
        passed = time.monotonic() - self.node_since if self.node else 0.0
        counted = f" · {passed:.0f} s" if passed > SHOWN_AFTER_S else ""
        share = self.node_share or None
        return note("Getting ready", f"{words}{counted}", share=share, busy=True)

    def _figures(self) -> Iterator[str]:
        done_s = self.share * self.duration_s
        yield f"{done_s:.1f} of {self.duration_s:g} s"
        passed = time.monotonic() - (self.composing_since or 0.0)
        if passed > 0.5 and done_s > 0:
            yield f"{self.x_real_time():.1f} × real time"
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
            '<div class="mg-bar" role="progressbar" aria-label="so far" '
            f'aria-valuenow="{percent}" '
            f'aria-valuemin="0" aria-valuemax="100"><span style="width:{percent}%"></span></div>'
        )
    classes = " ".join(filter(None, ("mg-note", kind, "busy" if busy else "")))
    words = f"<b>{html.escape(title)}</b>" + (f"<span>{html.escape(text)}</span>" if text else "")
    return f'<div class="{classes}" role="{role}">{words}{bar}</div>'


def explain(error: Exception, title: str = "") -> str:
    """`title`: in the place of what such an error is called."""
    failure = failure_of(error)
    return note(title or failure.title, failure.text, kind="error" if failure.is_error else "")
