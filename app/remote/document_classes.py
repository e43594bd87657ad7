"""What a server says of its node classes, as classes: for graphs whose nodes are not known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...workflows.reader import Document
from ...workflows.registry import NodeClasses


def needs_more(document: Document, known: NodeClasses) -> bool:
    """Whether a document in UI format has classes that are not known: without them nobody can tell
    which of its widget values is which. The API format names them.
    """
    if document.api is not None or document.ui is None:
        return False
    definitions = document.ui.get("definitions")
    inner = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    places = [document.ui, *(inner if isinstance(inner, list) else ())]
    nodes = [node for one in places if isinstance(one, dict) for node in one.get("nodes") or ()]
    types = {node.get("type") for node in nodes if isinstance(node, dict)}
    return not types <= known.keys()


def classes_of(told: Mapping[str, Any]) -> dict[str, type]:
    """From an answer of /object_info; what is not understood is left out."""
    found = {}
    for name, facts in told.items():
        inputs = facts.get("input") if isinstance(facts, dict) else None
        if isinstance(inputs, dict):
            found[name] = _class(name, facts, inputs)
    return found


def _class(name: str, facts: Mapping[str, Any], inputs: Mapping[str, Any]) -> type:
    declared = {
        part: _in_order(inputs.get(part) or {}, (facts.get("input_order") or {}).get(part))
        for part in ("required", "optional")
    }
    return type(
        name,
        (),
        {
            "INPUT_TYPES": classmethod(lambda cls: declared),
            "RETURN_TYPES": tuple(facts.get("output") or ()),
            "RETURN_NAMES": tuple(facts.get("output_name") or facts.get("output") or ()),
            "OUTPUT_NODE": bool(facts.get("output_node")),
            "TITLE": str(facts.get("display_name") or name),
        },
    )


def _in_order(part: Mapping[str, Any], order: Any) -> dict[str, tuple]:
    names = [name for name in order or part if name in part]
    return {name: tuple(part[name]) for name in names if isinstance(part[name], list)}
