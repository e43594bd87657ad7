"""The node classes that a headless run knows, and what their INPUT_TYPES declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .inputs import InputSpec

NodeClasses = Mapping[str, type]
"""node id → V1 node class, as in a pack's NODE_CLASS_MAPPINGS"""


def node_classes() -> dict[str, type]:
    """The twins of ComfyUI's audio nodes, and our own nodes."""
    from ..nodes import NODE_CLASS_MAPPINGS
    from .twins.audio import NODE_CLASS_MAPPINGS as TWINS

    return {**TWINS, **NODE_CLASS_MAPPINGS}


def declared_inputs(node_class: type) -> dict[str, InputSpec]:
    """Required inputs, then optional ones: the order of the widgets on ComfyUI's page."""
    declared = node_class.INPUT_TYPES()
    return {
        name: InputSpec.of(name, entry, required=category == "required")
        for category in ("required", "optional")
        for name, entry in declared.get(category, {}).items()
    }


class DeclaredOnce:
    """The declared inputs of each class, asked for once: INPUT_TYPES may look into folders. Unknown classes have none."""

    def __init__(self, classes: NodeClasses):
        self._classes = classes
        self._known: dict[str, dict[str, InputSpec]] = {}

    def __call__(self, kind: str) -> dict[str, InputSpec]:
        if kind not in self._known:
            known = kind in self._classes
            self._known[kind] = declared_inputs(self._classes[kind]) if known else {}
        return self._known[kind]


def hidden_inputs(node_class: type) -> dict[str, str]:
    """Parameter name → PROMPT, EXTRA_PNGINFO or UNIQUE_ID."""
    return {
        name: entry if isinstance(entry, str) else entry[0]
        for name, entry in node_class.INPUT_TYPES().get("hidden", {}).items()
    }


def is_output_node(node_class: type) -> bool:
    return getattr(node_class, "OUTPUT_NODE", False) is True


def is_link(value: object) -> bool:
    """`[node id, output slot]`: in API format every list is meant as a link."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


def title_of(node: Mapping[str, Any]) -> str:
    """The title that the user gave a node of an API-format prompt, else its class."""
    return node.get("_meta", {}).get("title") or node["class_type"]


def types_fit(received: Any, wanted: Any) -> bool:
    """Whether an output of one type may be linked to an input of another; "A,B" fits A and B, "*" everything."""
    if isinstance(wanted, (list, tuple)) or isinstance(received, (list, tuple)):
        return received == wanted or "COMBO" in (received, wanted) or "*" in (received, wanted)
    if not received != wanted:  # an instance of a str subclass that overrides != to fit everything
        return True
    received_names = {name.strip() for name in str(received).split(",")}
    wanted_names = {name.strip() for name in str(wanted).split(",")}
    return bool(received_names & wanted_names) or "*" in received_names | wanted_names
