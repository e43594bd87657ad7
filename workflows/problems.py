"""What can be wrong with a workflow, in ComfyUI's vocabulary of error types, as data and as
exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ..models.quoting import one_line
from ..models.refused import Refused

MAX_NAMED = 20


@dataclass(frozen=True)
class Problem:
    """One finding.

    Everything but `type` and `message` may be empty: some problems belong to no node.
    """

    type: str
    """ComfyUI's name of the error, e.g. `value_not_in_list`"""
    message: str
    details: str = ""
    """what was got, what was expected, and what to do"""
    node: str | None = None
    title: str | None = None
    input: str | None = None
    nodes: tuple[str, ...] = ()
    """the nodes that a problem of several has"""

    def as_dict(self) -> dict[str, str | None]:
        """The keys of `musicgraph check --json`."""
        fields = asdict(self)
        return {
            key: fields[key] for key in ("type", "node", "title", "input", "message", "details")
        }

    def __str__(self) -> str:
        where = f'node {self.node} "{self.title}"' if self.node is not None else ""
        where += f", input {self.input}" if self.input else ""
        text = f"{self.message}: {self.details}" if self.details else self.message
        return one_line(f"[{self.type}] {where + ': ' if where else ''}{text}")


class WorkflowError(Refused):
    """A workflow that cannot be read or must not run. `problems` has every reason at once."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        more = len(self.problems) - MAX_NAMED
        named = [
            *map(str, self.problems[:MAX_NAMED]),
            *([f"and {more} more problems"] if more > 0 else ()),
        ]
        super().__init__("; ".join(named))


class NodeError(Exception):
    """A node that failed while it ran; the cause is `__cause__`, and a refusal (of its input) or a
    bug.
    """

    __module__ = "musicgraph"

    def __init__(self, node: str, title: str, class_type: str, cause: Exception):
        self.node, self.title, self.class_type = node, title, class_type
        self.is_refusal = isinstance(cause, Refused)
        kind = "" if self.is_refusal else f"{type(cause).__name__}: "
        super().__init__(one_line(f'node {node} "{title}" ({class_type}) failed: {kind}{cause}'))


def refused(message: str, details: str = "", type: str = "invalid_prompt") -> WorkflowError:
    """A workflow refused as a whole, for one reason."""
    return WorkflowError([Problem(type, message, details)])
