"""What went wrong, in words for the person who asked; how each kind of failure is told is decided
here alone.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

from ...models.refused import Refused
from ...nodes.host import Interrupted
from ...workflows.problems import NodeError, Problem, WorkflowError
from .paths import without_paths
from .queue import QueueFull

log = logging.getLogger("musicgraph")

MAX_PROBLEMS_SHOWN = 4


@dataclass(frozen=True)
class Failure:
    """What went wrong, in words for the person who asked; plain data."""

    title: str
    text: str
    kind: str = "refused"
    """refused: by what was asked; stopped: by whoever asked; busy: later perhaps; fault: ours"""
    node_class: str = ""
    """of the node that it is about, if it is about one"""

    @property
    def is_error(self) -> bool:
        return self.kind != "stopped"


LOST = Failure(
    "A worker was lost", "The process that was making this is gone; send the request again.", "busy"
)


class JobFailed(Exception):
    """A failure in another process, which comes with its words ready."""

    def __init__(self, failure: Failure):
        self.failure = failure
        super().__init__(f"{failure.title}: {failure.text}")


def failure_of(error: Exception) -> Failure:
    """What broke inside has a number here, and its details in the log only."""
    if isinstance(error, JobFailed):
        return error.failure
    if isinstance(error, Interrupted):
        text = "Nothing was kept. Change something, or press the button again."
        return Failure("Stopped", text, "stopped")
    if isinstance(error, QueueFull):
        text = f"{error.waiting} are waiting already; try again in a little while."
        return Failure("Everybody is busy", text, "busy")
    if isinstance(error, NodeError) and error.is_refusal:
        text = without_paths(str(error.__cause__))
        return Failure(f"“{error.title}” refuses", text, node_class=error.class_type)
    if isinstance(error, WorkflowError):
        more = len(error.problems) - MAX_PROBLEMS_SHOWN
        words = [
            *map(_problem_words, error.problems[:MAX_PROBLEMS_SHOWN]),
            *([f"And {more} more."] if more > 0 else []),
        ]
        return Failure("This cannot run yet", without_paths(" ".join(words)))
    if isinstance(error, Refused):
        return Failure("That cannot be done", without_paths(str(error)))
    return _our_fault(error)


def _our_fault(error: Exception) -> Failure:
    number = secrets.token_hex(4)
    log.error("failure number %s", number, exc_info=error)
    where = f"The node “{error.title}” broke. " if isinstance(error, NodeError) else ""
    return Failure("This is our fault", f"{where}Please report the number {number}.", "fault")


def _problem_words(problem: Problem) -> str:
    where = f"“{problem.title}”" if problem.title else ""
    where += f", {problem.input}" if problem.input else ""
    text = f"{problem.message}: {problem.details}" if problem.details else problem.message
    return f"{where + ': ' if where else ''}{text}."
