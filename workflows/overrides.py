"""Other values for a workflow's inputs: `--set NODE.INPUT=VALUE`, and what a front door puts into
the default graph.

They go into the graph, from which the tags of a result are written, so that a file holds what made
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..models.quoting import shown
from ..models.separation import MODEL as SEPARATOR
from .api_format import literal
from .graph import Graph, Node
from .inputs import BadInput, InputSpec
from .problems import WorkflowError, refused
from .registry import NodeSpecs
from .widget_values import settled
from .workflow import Workflow


@dataclass(frozen=True)
class Override:
    """A value for one input of the node that has this id, or alone has this title or class."""

    node: str
    input: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Override:
        """NODE.INPUT=VALUE; what VALUE means depends on the input's type and is settled by
        `with_overrides`.
        """
        target, equals, value = text.partition("=")
        node, dot, name = target.rpartition(".")
        if not (equals and dot and node and name):
            raise refused(
                "this value cannot be set",
                f"got {shown(text)}, expected NODE.INPUT=VALUE, such as 3.seed=42",
            )
        return cls(node, name, value)


def named_by(overrides: Iterable[Override]) -> dict[str, str]:
    """What whoever wrote them named, and so may be used or downloaded (`Run.named_models`): any
    value may be a model, and `separate=true` stands for the weights that take a mix apart.
    """
    values = [str(one.value) for one in overrides]
    if any(one.input == "separate" and str(one.value).lower() == "true" for one in overrides):
        values.append(SEPARATOR)
    return {value: value for value in values}


def with_overrides(workflow: Workflow, overrides: Iterable[Override]) -> Workflow:
    """The workflow with other values in its graph. A link into one of these inputs is gone. Of
    those that are said alike the last one counts, as on any command line.

    Raises WorkflowError, which names what could be set.
    """
    graph, overrides = workflow.graph, {(one.node, one.input): one for one in overrides}.values()
    asked: dict[str, list[str]] = {}
    for override in overrides:
        node, name = _meant(graph, override)
        spec = _spec(node, name, workflow.specs)
        value = literal(_value(spec, override.value))
        if name in asked.get(node.id, ()) and graph[node.id].inputs[name] != value:
            raise _set_twice(node, override)
        graph = graph.with_input(node.id, name, value)
        asked.setdefault(node.id, []).append(name)
    for node_id, names in asked.items():
        before = workflow.graph[node_id]
        graph = graph.with_node(_settled(before, graph[node_id], names, workflow.specs))
    return workflow.with_graph(graph)


def _set_twice(node: Node, override: Override) -> WorkflowError:
    """Two names of the node may hide it."""
    got = f"{shown(override.value)} and, before, another value for {override.input}"
    detail = f"got {got} of node {node.id} ({node.name}), expected one; leave one out"
    return refused("this value is set twice", detail)


def _settled(before: Node, node: Node, asked: Collection[str], specs: NodeSpecs) -> Node:
    """The node with the widgets that come with what is chosen, and no others. What came with
    another choice is gone.
    """
    inputs = specs[node.class_type].inputs
    others = [f"{name}." for name in asked if before.inputs.get(name) != node.inputs[name]]
    fresh = {
        name: value
        for name, value in node.inputs.items()
        if name in asked or not name.startswith(tuple(others))
    }
    shown = settled(inputs, fresh)
    for name in asked:
        if name not in shown and name.rpartition(".")[0] not in node.links:
            brings = ", ".join(map(str, inputs[name].by_choice or ()))
            chooser = name.rpartition(".")[0]
            detail = f"node {node.id} has {name} only where {chooser} is one of {brings}"
            raise refused("this value cannot be set", detail)
    came = {
        name
        for name, spec in inputs.items()
        if spec.by_choice is not None and name.rpartition(".")[0] not in node.links
    }
    kept = {name: value for name, value in node.inputs.items() if name not in came}
    return replace(node, inputs=kept | {name: shown[name] for name in shown if name in came})


def _meant(graph: Graph, override: Override) -> tuple[Node, str]:
    """The node and its input: `5.format.quality` is an input with a dot, if no node is called
    `5.format`.
    """
    words = f"{override.node}.{override.input}".split(".")
    for end in range(override.node.count(".") + 1, 0, -1):
        name = ".".join(words[:end])
        if graph.named(name):
            return _node(graph, name), ".".join(words[end:])
    return _node(graph, override.node), override.input


def _node(graph: Graph, name: str) -> Node:
    found = graph.named(name)
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{node.id} ({node.name})" for node in graph)
    count = f"{len(found)} nodes are" if found else "no node is"
    detail = f"{count} called {shown(name)}; expected the id of one of: {known}"
    raise refused("this value cannot be set", detail)


def _spec(node: Node, name: str, specs: NodeSpecs) -> InputSpec:
    if node.class_type not in specs:
        detail = f"the node class {shown(node.class_type)} is unknown here"
        raise refused("this value cannot be set", detail)
    widgets = {spec.name: spec for spec in specs[node.class_type].widgets}
    if name not in widgets:
        expected = f"expected an input of {node.class_type} that takes a value"
        detail = f"got {shown(name)}, {expected}: {', '.join(widgets) or 'none'}"
        raise refused("this value cannot be set", detail)
    return widgets[name]


def _value(spec: InputSpec, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return spec.parse(value)
    except BadInput as error:
        raise refused("this value cannot be set", error.details) from error
