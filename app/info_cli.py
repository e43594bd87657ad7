"""`musicgraph info`: what a file says of itself, and what is measured of it.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson
from .streams import print_line

if TYPE_CHECKING:
    from ..workflows.graph import Graph, Node
    from ..workflows.reader import Document

Sound = Annotated[Path, typer.Argument(metavar="FILE", help="A sound, or a video with one.")]

SIDES = {"prompt": "positive", "negative": "negative"}
"""field → the sampler's input that its text goes to"""
PLAIN = (str, int, float)  # a stranger's widget may hold anything


def info(file: Sound, as_json: AsJson = False) -> None:
    """Tell what a sound file says of how it was made, and what it measures: tempo, key, drums,
    loudness, faults.
    """
    from ..models.analysis import analyse
    from ..workflows.media.audio import read_audio
    from ..workflows.media.tags import read_tags
    from ..workflows.provenance import TAG, told_in

    sound, rate = read_audio(file)
    tags = read_tags(file)
    said, told, heard = _said(file, tags), told_in(tags.get(TAG)), analyse(sound, rate)
    if as_json:
        facts = {"file": str(file), "made_by": said, "made_with": told, "measured": heard.facts()}
        print_line(json.dumps(facts))
        return
    for name, value in (said or {"made by": "the file does not say"}).items():
        print_line(_line(name, value))
    for name, value in told.items():
        if (said or {}).get(name) != value:
            print_line(_line(name, value))
    for name, value in heard.facts().items():
        print_line(_line(name, value))


def _line(name: str, value: Any) -> str:
    from ..models.quoting import one_line

    if isinstance(value, list):
        value = ", ".join(map(str, value)) or None
    text = {None: "none", True: "yes", False: "no"}.get(value) if _is_word(value) else str(value)
    return one_line(f"{name.replace('_', ' ')}: {text}")


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _said(file: Path, tags: Mapping[str, str]) -> dict[str, Any] | None:
    """The fields of a request that the graph in the file's tags gives values to; None without a
    graph.

    Raises WorkflowError for a graph that cannot be read.
    """
    from ..workflows.media.tags import WORKFLOW_TAGS
    from ..workflows.reader import read_document

    has_graph = any(name in tags for name in WORKFLOW_TAGS)
    return _fields(read_document(file)) if has_graph else None


def _fields(document: Document) -> dict[str, Any]:
    """A field that several nodes fill in differently is a list, one that they leave empty is not
    there; a schedule's texts are prompts.
    """
    from ..workflows.registry import NodeSpecs, node_classes
    from ..workflows.request import INPUTS, TEXT
    from ..workflows.workflow import Workflow

    graph, found = Workflow.of(document, NodeSpecs(node_classes())).graph, {}
    for name, (class_type, input) in INPUTS.items():
        if class_type == TEXT and name not in SIDES:
            continue
        nodes = _texts(graph, SIDES[name]) if name in SIDES else graph.of_class(class_type)
        given = (node.widgets.get(input) for node in nodes)
        values = list(dict.fromkeys(one for one in given if isinstance(one, PLAIN) and one != ""))
        if values:
            found[name] = values[0] if len(values) == 1 else values
    return found


def _texts(graph: Graph, side: str) -> list[Node]:
    """The text nodes behind one input of the samplers."""
    from ..workflows.request import SAMPLER, TEXT

    heads = [one.links[side].node for one in graph.of_class(SAMPLER) if side in one.links]
    behind = graph.needed(head for head in heads if head in graph)
    return [graph[one] for one in behind if one in graph and graph[one].class_type == TEXT]
