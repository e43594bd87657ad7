"""Other values for a workflow's inputs: `--set NODE.INPUT=VALUE`, and what a front door puts into
the default graph.

They go into the graph, from which the tags of a result are written, so that a file holds what made
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..models.quoting import shown
from ..models.separation import MODEL as SEPARATOR
from .api_format import literal
from .graph import Graph, Node
from .inputs import BadInput, InputSpec
from .problems import refused
from .registry import NodeSpecs
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
    """The workflow with other values in its graph. A link into one of these inputs is gone.

    Raises WorkflowError, which names what could be set.
    """
    graph = workflow.graph
    for override in overrides:
        node = _node(graph, override.node)
        spec = _spec(node, override.input, workflow.specs)
        graph = graph.with_input(node.id, spec.name, literal(_value(spec, override.value)))
    return workflow.with_graph(graph)


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
