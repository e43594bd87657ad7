"""Hugging Face's ZeroGPU: a GPU is lent for one function call, which runs in a process of its own.

There the work runs with a runner of that process, and what it reports comes back piece by piece. Without the package
`spaces`, or on a Space with a GPU of its own, none of this is used.
"""

from __future__ import annotations

import functools
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...workflows.events import Listener
from ...workflows.executor import Runner
from .failures import TellTale, told
from .queue import PageWork

MARGIN_S = 45
"""to start the process and to load the model"""
EVENT, RESULT, REFUSAL = "event", "result", "refusal"


def is_zero_gpu() -> bool:
    try:
        from spaces.config import Config  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    return bool(Config.zero_gpu)


def announce() -> None:
    """Tells the Space that there is a function for its GPU, which Gradio's own launch would do."""
    from spaces.zero import startup  # pyright: ignore[reportMissingImports]

    _lent()
    startup()


def on_lent_gpu(work: PageWork, seconds: float) -> PageWork:
    """`work`, which must be a partial of a function of a module, to be run where the GPU is."""

    def elsewhere(_: Runner, stopped: Callable[[], bool], listener: Listener) -> Any:
        with tempfile.TemporaryDirectory(prefix="musicgraph-stop-") as folder:
            flag, result = Path(folder) / "stop", None
            for kind, value in _lent()(work, flag, seconds):
                if stopped():
                    flag.touch()
                if kind == EVENT:
                    listener(value)
                elif kind == RESULT:
                    result = value
                else:
                    raise TellTale(value)
            return result

    return elsewhere


@functools.cache
def _lent() -> Callable[..., Iterator[tuple[str, Any]]]:
    import spaces  # pyright: ignore[reportMissingImports]

    return spaces.GPU(duration=lambda work, flag, seconds: round(MARGIN_S + seconds))(reports)


def reports(work: PageWork, flag: Path, _seconds: float) -> Iterator[tuple[str, Any]]:
    """Runs where the GPU is: (event | result | refusal, value), each of which can be sent to another process."""
    found: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put(
                (RESULT, work(_runner(), flag.exists, lambda event: found.put((EVENT, event))))
            )
        except Exception as error:  # also what nobody foresaw: see follow.told
            found.put((REFUSAL, told(error)))
        finally:
            found.put(None)

    threading.Thread(target=run, daemon=True).start()
    while (item := found.get()) is not None:
        if not _holds_exception(item[1]):
            yield item


def _holds_exception(value: Any) -> bool:
    """NodeFailed carries one; its words come as the refusal."""
    return isinstance(getattr(value, "error", None), BaseException)


@functools.cache
def _runner() -> Runner:
    return Runner()
