"""What went wrong, in words for the person who asked; how each kind of failure is told is decided here alone."""

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
class Told:
    """What went wrong, in words for the person who asked."""

    title: str
    text: str
    is_error: bool = True


class TellTale(Exception):
    """A failure in another process, which comes with its words ready."""

    def __init__(self, told: Told):
        self.told = told
        super().__init__(f"{told.title}: {told.text}")


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


def _problem_words(problem: Problem) -> str:
    where = f"“{problem.title}”" if problem.title else ""
    where += f", {problem.input}" if problem.input else ""
    text = f"{problem.message}: {problem.details}" if problem.details else problem.message
    return f"{where + ': ' if where else ''}{text}."
