"""ComfyUI's API format (what its server runs) ↔ the graph.

`{node id: {"inputs": {name: value or [node id, output slot]}, "class_type": …, "_meta": {"title":
…}}}`. Every list is meant as a link; a list that is a value travels as `{"__value__": [...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.quoting import shown
from .graph import BrokenLink, Graph, Link, Node
from .problems import refused


def read(prompt: Mapping[str, Any]) -> Graph:
    """Raises WorkflowError for what is no prompt. Keys that mean nothing here are left out."""
    return Graph.of(_node(node_id, data) for node_id, data in prompt.items())


def write(graph: Graph) -> dict[str, dict]:
    """The graph in API format, as it stands in the tags of a file."""
    return {node.id: _written(node) for node in graph}


def literal(value: Any) -> Any:
    """A widget's value as the graph has it: a list as a tuple, out of the object that it may travel
    in.
    """
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    return tuple(value) if isinstance(value, list) else value


def _node(node_id: str, data: Any) -> Node:
    if not isinstance(data, dict):
        expected = "expected an object with class_type and inputs"
        raise refused("not a workflow", f"node {shown(node_id)}: got {shown(data)}, {expected}")
    class_type, inputs, meta = data.get("class_type"), data.get("inputs", {}), data.get("_meta")
    if not isinstance(class_type, str):
        got = f"node {shown(node_id)}: got class_type {shown(class_type)}"
        raise refused("a node without class_type", f"{got}, expected the name of a node class")
    if not isinstance(inputs, dict):
        got = f"node {shown(node_id)}: got inputs {shown(inputs)}"
        raise refused("not a workflow", f"{got}, expected an object")
    meta = meta if isinstance(meta, dict) else {}
    title, pack = meta.get("title"), meta.get("cnr_id") or meta.get("aux_id")
    values = {name: _input(value) for name, value in inputs.items()}
    title = title if isinstance(title, str) else None
    return Node(node_id, class_type, values, title, pack=pack if isinstance(pack, str) else "")


def _input(value: Any) -> Any:
    if not isinstance(value, list):
        return literal(value)
    return Link(*value) if _is_link(value) else BrokenLink(value)


def _is_link(value: list) -> bool:
    if len(value) != 2:
        return False
    node, slot = value
    return isinstance(node, str) and isinstance(slot, int) and not isinstance(slot, bool)


def _written(node: Node) -> dict[str, Any]:
    inputs = {name: _written_input(value) for name, value in node.inputs.items()}
    titled = {} if node.title is None else {"_meta": {"title": node.title}}
    return {"inputs": inputs, "class_type": node.class_type, **titled}


def _written_input(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    if isinstance(value, BrokenLink):
        return value.value
    return {"__value__": list(value)} if isinstance(value, tuple) else value
