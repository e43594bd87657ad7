"""ComfyUI's UI format, version 0.4 (what Save writes) → the canvas.

The shape of what a stranger's file holds is checked here; `ui_writer.py` writes a changed graph
back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..models.quoting import shown
from . import widget_values
from .canvas import Canvas, CanvasNode, Socket
from .graph import Link
from .problems import refused

GROUP_NODE_PREFIXES = ("workflow>", "workflow/")
FAR = 1e6
"""further away nothing is drawn"""


def read(ui: Mapping[str, Any]) -> Canvas:
    """Raises WorkflowError for what is no workflow of this version."""
    _refuse_later_formats(ui)
    nodes: dict[str, CanvasNode] = {}
    for data in ui["nodes"]:
        node = _node(data)
        if node.id in nodes:
            detail = f"two nodes have the id {node.id}; give each its own"
            raise refused("not a workflow", detail)
        nodes[node.id] = node
    links = ui.get("links") or []
    if not isinstance(links, list):
        raise refused("not a workflow", f"got links {shown(links)}, expected a list")
    return Canvas(nodes, dict(_link(link) for link in links if link is not None))


def positions(ui: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Where the page draws each node, as far as that can be read."""
    found = {}
    for data in ui["nodes"]:
        pos = _pair(data.get("pos"))
        if pos is not None:
            found[str(data.get("id"))] = pos
    return found


def _node(data: Any) -> CanvasNode:
    is_node = isinstance(data, dict) and isinstance(data.get("type"), str)
    if not is_node or not _is_id(data.get("id")):
        detail = f"got the node {shown(data)}, expected an object with an id and a type"
        raise refused("not a workflow", detail)
    node_id = str(data["id"])
    title, mode = data.get("title"), data.get("mode")
    return CanvasNode(
        id=node_id,
        type=data["type"],
        title=title if isinstance(title, str) else "",
        mode=mode if isinstance(mode, int) else 0,
        inputs=tuple(_slot(slot, node_id) for slot in _objects(data, "inputs", node_id)),
        output_types=tuple(slot.get("type") for slot in _objects(data, "outputs", node_id)),
        widgets_values=_widgets_values(data, node_id),
        search_name=_search_name(data),
        pos=_pair(data.get("pos")),
    )


def _refuse_later_formats(ui: Mapping[str, Any]) -> None:
    version = ui.get("version", 0.4)
    if isinstance(version, str) and re.fullmatch(r"\d{1,3}(\.\d{1,3})?", version):
        version = float(version)
    if not isinstance(version, (int, float)) or not version < 1:
        remedy = "export the workflow in API format (Export (API)) and use that file"
        detail = f"got {shown(version)}, expected 0.4; {remedy}"
        raise refused("this version of the UI format is not supported yet", detail)
    definitions = ui.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {
        graph["id"]: graph.get("name")
        for graph in (subgraphs if isinstance(subgraphs, list) else ())
        if isinstance(graph, dict) and isinstance(graph.get("id"), str)
    }
    for node in ui["nodes"]:
        kind = node.get("type") if isinstance(node, dict) else None
        if isinstance(kind, str) and (kind in known or kind.startswith(GROUP_NODE_PREFIXES)):
            got = f"node {shown(node.get('id'))} is the subgraph {shown(known.get(kind, kind))}"
            remedy = "export the workflow in API format, or unpack the subgraph in ComfyUI"
            raise refused("subgraphs are not supported yet", f"{got}; {remedy}")


def _link(link: Any) -> tuple[int, Link]:
    fits = isinstance(link, list) and len(link) >= 5
    if not fits or not (_is_count(link[0]) and _is_id(link[1]) and _is_count(link[2])):
        detail = f"got the link {shown(link)}, expected [id, from, slot, to, slot, type]"
        raise refused("not a workflow", detail)
    return link[0], Link(str(link[1]), link[2])


def _slot(slot: dict, node_id: str) -> Socket:
    widget, name, link = slot.get("widget"), slot.get("name"), slot.get("link")
    if isinstance(widget, dict) and isinstance(widget.get("name"), str):
        name = widget["name"]
    if not isinstance(name, str) or not (link is None or _is_count(link)):
        raise refused(
            "not a workflow",
            f"node {node_id}: got the input {shown(slot)}, expected a name and a link id",
        )
    return Socket(name, slot.get("type"), link)


def _objects(data: dict, key: str, node_id: str) -> list[dict]:
    found = data.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refused(
            "not a workflow",
            f"node {node_id}: got {key} {shown(found)}, expected a list of objects",
        )
    return found


def _widgets_values(data: dict, node_id: str) -> list | dict:
    values = data.get("widgets_values")
    if values is None:
        return []
    if not isinstance(values, (list, dict)):
        raise refused(
            "not a workflow", f"node {node_id}: got widgets_values {shown(values)}, expected a list"
        )
    return widget_values.as_places(values)


def _search_name(data: dict) -> str:
    properties = data.get("properties")
    name = properties.get("Node name for S&R") if isinstance(properties, dict) else None
    return name if isinstance(name, str) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_id(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _pair(pos: Any) -> tuple[float, float] | None:
    values = list(pos.values()) if isinstance(pos, dict) else pos
    if not isinstance(values, list) or len(values) < 2:
        return None
    x, y = values[:2]
    fine = all(  # NaN is not below anything, and no whole number is too large to compare
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < FAR for v in (x, y)
    )
    return (float(x), float(y)) if fine else None
