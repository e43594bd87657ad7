"""`musicgraph workflow`: what a file's graph is, in words and in either of ComfyUI's formats.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .streams import print_line

if TYPE_CHECKING:
    from ..workflows.graph import Graph
    from ..workflows.workflow import Workflow

workflow = typer.Typer(
    help="The graph in a file: in words, or as JSON on stdout.", no_args_is_help=True
)

Carrier = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="JSON, or an audio, video or PNG file that carries one."),
]


@workflow.command("show")
def show_graph(file: Carrier) -> None:
    """Tell the nodes, what is set in them, and what is linked to what."""
    print_line("\n".join(_words(_opened(file).graph)))


@workflow.command("to-api")
def to_api(file: Carrier) -> None:
    """Print it in API format, which ComfyUI's server takes."""
    print_line(json.dumps(_opened(file).prompt, indent=2))


@workflow.command("to-ui")
def to_ui(file: Carrier) -> None:
    """Print it in UI format, which ComfyUI's page opens; drawn in columns if it has no picture."""
    from ..workflows.layout import laid_out

    opened = _opened(file)
    ui = opened.ui if opened.ui is not None else laid_out(opened.graph, opened.specs)
    print_line(json.dumps(ui, indent=2))


def _opened(file: Path) -> Workflow:
    from ..workflows.reader import read_document
    from ..workflows.registry import NodeSpecs, node_classes
    from ..workflows.workflow import Workflow

    return Workflow.of(read_document(file), NodeSpecs(node_classes()))


def _words(graph: Graph) -> Iterator[str]:
    from ..models.quoting import one_line, shown
    from ..workflows.graph import Link

    for node in graph:
        kind = "" if node.name == node.class_type else f" ({node.class_type})"
        yield one_line(f"{node.id}: {node.name}{kind}")
        for name, value in node.inputs.items():
            if isinstance(value, Link) and value.node in graph:
                said = f"from {value.node}, {graph[value.node].name}, output {value.slot}"
            else:
                said = shown(value)
            yield "    " + one_line(f"{name}: {said}")
