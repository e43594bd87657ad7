"""A job, as plain data: what is to be run, and what came of it. A worker runs it.

All of it can be pickled, and a job can be written as JSON, so that it may run in this process, in
one that has a GPU for a minute, or on another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...models.limits import Limits
from ...nodes.made_with import MadeWith

if TYPE_CHECKING:
    from ...workflows.events import Listener
    from ...workflows.validate import Validation


@dataclass(frozen=True)
class Folders:
    """Where a graph's nodes read and write."""

    input: str = "input"
    output: str = "output"
    temp: str | None = None
    """None: in the system's folder for such files"""


@dataclass(frozen=True)
class Job:
    """A graph in API format, and the terms on which it runs."""

    graph: Mapping[str, dict[str, Any]]
    extra_pnginfo: Mapping[str, Any] | None = None
    """what savers put beside the graph into a file: the graph as ComfyUI's page draws it"""
    targets: tuple[str, ...] | None = None
    """the nodes whose outputs are wanted; None: the graph's output nodes"""
    limits: Limits = Limits()
    folders: Folders = Folders()
    named_models: Mapping[str, str] = field(default_factory=dict)
    """models that may be opened, and downloaded, because a person named them (see `models.py`):
    what the graph calls each → the folder or hub id that it is
    """
    named_adapters: tuple[str, ...] = ()
    """folders of adapters that may be opened because a person named them"""
    stream: bool = False
    """whether to report sound while it is made"""
    music_s: float = 30.0
    """about how much music it makes: so much of a lent GPU's time is asked for"""
    checked: Validation | None = field(default=None, compare=False, repr=False)
    """the graph as this process has checked it already; elsewhere it is checked again"""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "checked": None}


@dataclass(frozen=True)
class JobResult:
    """What came of a job."""

    audio: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """of each target that gives sound: {"waveform": float32 [B, C, T] on the CPU, "sample_rate":
    Hz}
    """
    files: tuple[Path, ...] = ()
    engine: str = ""
    """what ran the model: engine, precision and device"""
    generation_s: float = 0.0
    """from the first composing node to the end, without loading"""
    made_with: Mapping[str, tuple[MadeWith, ...]] = field(default_factory=dict)
    """sampler → what each of its calls composed with"""


class Worker(Protocol):
    """Runs jobs."""

    def run(self, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
        """From a thread of its own for each job that runs at once.

        Raises WorkflowError, NodeError, Refused, Interrupted, or JobFailed in their place.
        """
        ...

    def has_room(self, job: Job, running: Sequence[Job]) -> bool:
        """Whether this job may run beside those that run now, one or more. Answers at once."""
        ...

    def forget(self) -> None:
        """Lets go of models and results that are kept for the next job."""
