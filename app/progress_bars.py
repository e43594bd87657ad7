"""Progress on a terminal: of music in seconds, and of a graph node by node."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..workflows.graph import Graph


@contextlib.contextmanager
def music_bar(duration_s: float) -> Iterator:
    """A listener that shows seconds of music done and how that compares to real time."""
    from tqdm import tqdm

    from ..workflows.events import NodeProgress, NodeStarted, TokensFinished

    layout = "{desc} {bar} {n:.1f}/{total:.1f} s of music, {rate_fmt} real time, {remaining} left"
    with tqdm(
        desc="loading",
        total=duration_s,
        bar_format=layout,
        file=sys.stderr,
        disable=None,
        unit="",
        leave=False,
    ) as bar:
        composing = ""

        def show(event: object) -> None:
            nonlocal composing
            if isinstance(event, NodeStarted):
                bar.set_description("decoding" if composing else "loading")
            elif isinstance(event, TokensFinished) and not composing:
                composing = event.node
                bar.set_description("composing")
            if isinstance(event, NodeProgress) and (not composing or event.node == composing):
                if event.done <= 1:
                    bar.reset()
                bar.update(event.done / event.total * duration_s - bar.n)

        yield show


@contextlib.contextmanager
def node_bar(graph: Graph) -> Iterator:
    """A listener that shows, on a terminal, which node is at work and how far it is."""
    from tqdm import tqdm

    from ..workflows.events import NodeProgress, NodeStarted

    with tqdm(total=1, file=sys.stderr, disable=None, leave=False) as bar:

        def show(event: object) -> None:
            if isinstance(event, NodeStarted):
                bar.reset(total=1)
                bar.set_description(graph[event.node].name)
            elif isinstance(event, NodeProgress):
                bar.total = event.total
                bar.update(event.done - bar.n)

        yield show
