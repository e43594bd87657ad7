"""Other values for a workflow's inputs: `--set NODE.INPUT=VALUE`, and what a front door puts into the default graph.

The UI format is changed along with the API format, so that the tags of a result hold the graph that made it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..models.quoting import shown
from .inputs import BadInput, InputSpec
from .problems import WorkflowError, refused
from .reader import Document
from .registry import NodeClasses, declared_inputs, title_of
from .ui_format import with_widget

log = logging.getLogger("musicgraph")


@dataclass(frozen=True)
class Override:
    """A value for one input of the node that has this id, or alone has this title or class."""

    node: str
    input: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Override:
        """NODE.INPUT=VALUE; what VALUE means depends on the input's type and is settled by `with_overrides`."""
        target, equals, value = text.partition("=")
        node, dot, name = target.rpartition(".")
        if not (equals and dot and node and name):
            raise refused(
                "this value cannot be set",
                f"got {shown(text)}, expected NODE.INPUT=VALUE, such as 3.seed=42",
            )
        return cls(node, name, value)


def with_overrides(
    document: Document, overrides: Iterable[Override], classes: NodeClasses
) -> Document:
    """The document with other values, in both formats if it has both."""
    for override in overrides:
        prompt = document.prompt(classes)
        node_id = _node_id(prompt, override.node)
        spec = _spec(prompt[node_id], override, classes)
        value = _value(spec, override.value)
        if document.api is not None:
            prompt[node_id]["inputs"][override.input] = value
            document = replace(document, api=prompt)
        document = replace(
            document, ui=_changed_ui(document, node_id, override.input, value, classes)
        )
    return document


def _changed_ui(
    document: Document, node_id: str, name: str, value: Any, classes: NodeClasses
) -> Mapping | None:
    if document.ui is None:
        return None
    try:
        return with_widget(document.ui, node_id, name, value, classes)
    except WorkflowError:
        if document.api is None:
            raise
        log.warning(
            "the picture of the graph has no place for %s of node %s: results carry the API format only",
            name,
            node_id,
        )
        return None


def _node_id(prompt: Mapping[str, dict], name: str) -> str:
    if name in prompt:
        return name
    found = [
        node_id for node_id, node in prompt.items() if name in (title_of(node), node["class_type"])
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{node_id} ({title_of(node)})" for node_id, node in prompt.items())
    got = (
        f"{len(found)} nodes are called {shown(name)}"
        if found
        else f"no node is called {shown(name)}"
    )
    raise refused("this value cannot be set", f"{got}; expected the id of one of: {known}")


def _spec(node: Mapping[str, Any], override: Override, classes: NodeClasses) -> InputSpec:
    if node["class_type"] not in classes:
        raise refused(
            "this value cannot be set",
            f"the node class {shown(node['class_type'])} is unknown here",
        )
    specs = declared_inputs(classes[node["class_type"]])
    if override.input not in specs or not specs[override.input].is_widget:
        known = ", ".join(name for name, spec in specs.items() if spec.is_widget) or "none"
        detail = f"got {shown(override.input)}, expected an input of {node['class_type']} that takes a value: {known}"
        raise refused("this value cannot be set", detail)
    return specs[override.input]


def _value(spec: InputSpec, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return spec.parse(value)
    except BadInput as error:
        raise refused("this value cannot be set", error.details) from error
