"""A picture for a graph that has none: its nodes in columns, each to the right of what it needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import ui_writer
from .graph import Graph, Link, Node
from .problems import refused
from .registry import NodeSpecs
from .ui_writer import NODE_GAP, NODE_WIDTH, size_of


def laid_out(graph: Graph, specs: NodeSpecs) -> dict[str, Any]:
    """The graph as a document in UI format 0.4.

    Raises WorkflowError for classes that are not known here: the order of their widgets is not
    either.
    """
    unknown = sorted({node.class_type for node in graph if node.class_type not in specs})
    if unknown:
        names = ", ".join(unknown)
        raise refused("no picture of this graph", f"got {names}, which only ComfyUI knows")
    placed = _in_columns(_numbered(graph), specs)
    empty = {
        "last_node_id": 0,
        "last_link_id": 0,
        "nodes": [],
        "links": [],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }
    return ui_writer.write(empty, Graph(), placed, specs)


def _numbered(graph: Graph) -> Graph:
    """With numbers for ids such as "9:3", of nodes that a subgraph held."""
    number, names = graph.last_id, {}
    for node in graph:
        number += not node.id.isdigit()
        names[node.id] = node.id if node.id.isdigit() else str(number)
    return Graph.of(_renamed(node, names) for node in graph)


def _renamed(node: Node, names: dict[str, str]) -> Node:
    inputs = {
        name: replace(value, node=names.get(value.node, value.node))
        if isinstance(value, Link)
        else value
        for name, value in node.inputs.items()
    }
    return replace(node, id=names[node.id], inputs=inputs)


def _in_columns(graph: Graph, specs: NodeSpecs) -> Graph:
    """A node's column is one behind the last of those that it needs."""
    column: dict[str, int] = {}
    for node_id in graph.order(graph.nodes):
        column[node_id] = 1 + max((column[up] for up in graph.upstream(node_id)), default=-1)
    top = dict.fromkeys(column.values(), 0)
    for node_id, place in column.items():
        node = graph[node_id]
        pos = (place * (NODE_WIDTH + 2 * NODE_GAP), top[place])
        top[place] += size_of(specs[node.class_type])[1] + NODE_GAP
        graph = graph.with_node(replace(node, pos=pos))
    return graph
