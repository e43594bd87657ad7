"""ComfyUI's UI format, versions 0.4 (what Save writes) and 1 → what is drawn.

That is a canvas, and the subgraphs that it uses, each of which is a canvas with an edge. The shape
of what a stranger's file holds is checked here; `ui_writer.py` writes a changed graph back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..models.quoting import shown
from . import widget_values
from .canvas import Canvas, CanvasNode, Socket
from .graph import Link
from .problems import refused

FAR = 1e6
"""further away nothing is drawn"""
EDGE_IN, EDGE_OUT = "-10", "-20"
"""the ids by which links inside a subgraph name what comes in, and what goes out"""
LINK_ENDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
"""what a list has by place, and an object by name"""
OWN = "-1"
"""the id by which a subgraph's node names a widget of one of its own inputs"""


@dataclass(frozen=True)
class Subgraph:
    """What is inside a node that stands for others."""

    canvas: Canvas
    inputs: tuple[Socket, ...]
    """what links from EDGE_IN carry, by slot"""
    outputs: tuple[int | None, ...]
    """for each output the link that ends there"""
    has_controls: bool = False
    """whether the values of its node have places for what controls a seed"""

    @cached_property
    def slots(self) -> dict[str, int]:
        """The inputs by their names, of two with one name the first."""
        return {one.name: slot for slot, one in reversed(list(enumerate(self.inputs)))}

    @cached_property
    def targets(self) -> dict[int, list[tuple[CanvasNode, Socket]]]:
        """What each slot of EDGE_IN leads to."""
        ends = {
            socket.link: (node, socket)
            for node in self.canvas.nodes.values()
            for socket in node.inputs
        }
        found: dict[int, list[tuple[CanvasNode, Socket]]] = {}
        for link, source in self.canvas.links.items():
            if source.node == EDGE_IN and link in ends:
                found.setdefault(source.slot, []).append(ends[link])
        return found


@dataclass(frozen=True)
class Drawing:
    """A document: the canvas that is seen first, and what its nodes may stand for, unread."""

    canvas: Canvas
    subgraphs: Mapping[str, dict]
    """type of a node → the definition of the subgraph that it shows"""
    groups: Mapping[str, dict]
    """name of a group node → the nodes and links that it was made of"""


def read(ui: Mapping[str, Any]) -> Drawing:
    """Raises WorkflowError for what is no workflow of these versions."""
    _check_version(ui.get("version", 0.4))
    found = ui.get("definitions")
    found = found.get("subgraphs") if isinstance(found, dict) else None
    subgraphs = {
        one["id"]: one
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and isinstance(one.get("id"), str)
    }
    extra = ui.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    return Drawing(read_canvas(ui), subgraphs, groups if isinstance(groups, dict) else {})


def read_canvas(data: Mapping[str, Any]) -> Canvas:
    """The nodes and links of one level."""
    nodes: dict[str, CanvasNode] = {}
    found = data.get("nodes")
    for one in found if isinstance(found, list) else ():
        node = read_node(one)
        if node.id in nodes:
            detail = f"two nodes have the id {shown(node.id)}; give each its own"
            raise refused("not a workflow", detail)
        nodes[node.id] = node
    return Canvas(nodes, {link.id: link.source for link in _links(data)})


def read_subgraph(data: Mapping[str, Any]) -> Subgraph:
    """The definition of a subgraph."""
    name = f"the subgraph {shown(data.get('name'))}"
    canvas, ends = read_canvas(data), {}
    for link in _links(data):
        if link.target == EDGE_OUT and _is_count(link.target_slot):
            ends.setdefault(link.target_slot, link.id)
    inputs = tuple(_slot(slot, name) for slot in _objects(data, "inputs", name))
    outputs = tuple(ends.get(i) for i in range(len(_objects(data, "outputs", name))))
    return Subgraph(canvas, tuple(replace(one, link=None) for one in inputs), outputs)


def positions(ui: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Where the page draws each node, as far as that can be read."""
    found = {}
    for data in ui["nodes"]:
        pos = _pair(data.get("pos"))
        if pos is not None:
            found[str(data.get("id"))] = pos
    return found


def read_node(data: Any) -> CanvasNode:
    is_node = isinstance(data, dict) and isinstance(data.get("type"), str)
    if not is_node or not _is_id(data.get("id")):
        detail = f"got the node {shown(data)}, expected an object with an id and a type"
        raise refused("not a workflow", detail)
    node_id = str(data["id"])
    where = f"node {node_id}"
    title, mode = data.get("title"), data.get("mode")
    properties = data.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    return CanvasNode(
        id=node_id,
        type=data["type"],
        title=title if isinstance(title, str) else "",
        mode=mode if isinstance(mode, int) else 0,
        inputs=tuple(_slot(slot, where) for slot in _objects(data, "inputs", where)),
        output_types=tuple(slot.get("type") for slot in _objects(data, "outputs", where)),
        widgets_values=_widgets_values(data, where),
        search_name=_text(properties.get("Node name for S&R")),
        pos=_pair(data.get("pos")),
        pack=_text(properties.get("cnr_id")) or _text(properties.get("aux_id")),
        given=_given(properties.get("proxyWidgetErrorQuarantine")),
        promoted=tuple(_promoted(properties.get("proxyWidgets"))),
    )


def _check_version(version: Any) -> None:
    """1 differs from 0.4 in the shape of a link, which is told apart by itself."""
    if isinstance(version, str) and re.fullmatch(r"\d{1,3}(\.\d{1,3})?", version):
        version = float(version)
    if not isinstance(version, (int, float)) or not version < 2:
        remedy = "export the workflow in API format (Export (API)) and use that file"
        detail = f"got {shown(version)}, expected 0.4 or 1; {remedy}"
        raise refused("this version of the UI format is not known", detail)


@dataclass(frozen=True)
class _Wire:
    id: int
    source: Link
    target: str
    target_slot: Any


def _links(data: Mapping[str, Any]) -> Iterable[_Wire]:
    links = data.get("links") or []
    if not isinstance(links, list):
        raise refused("not a workflow", f"got links {shown(links)}, expected a list")
    return [_link(link) for link in links if link is not None]


def _link(link: Any) -> _Wire:
    """A list, or an object, as version 1 has it, and every version inside subgraphs."""
    ends: Any = [link.get(name) for name in LINK_ENDS] if isinstance(link, dict) else link
    fits = isinstance(ends, list) and len(ends) >= len(LINK_ENDS)
    if not fits or not (_is_count(ends[0]) and _is_id(ends[1]) and _is_count(ends[2])):
        detail = f"got the link {shown(link)}, expected [id, from, slot, to, slot, type]"
        raise refused("not a workflow", detail)
    number, source, slot, target, target_slot = ends[: len(LINK_ENDS)]
    return _Wire(number, Link(str(source), slot), str(target), target_slot)


def _slot(slot: dict, where: str) -> Socket:
    widget, name, link = slot.get("widget"), slot.get("name"), slot.get("link")
    of_widget = widget.get("name") if isinstance(widget, dict) else None
    name = of_widget if isinstance(of_widget, str) else name
    if not isinstance(name, str) or not (link is None or _is_count(link)):
        detail = f"{where}: got the input {shown(slot)}, expected a name and a link id"
        raise refused("not a workflow", detail)
    return Socket(name, slot.get("type"), link, isinstance(of_widget, str))


def _objects(data: Mapping[str, Any], key: str, where: str) -> list[dict]:
    found = data.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refused(
            "not a workflow",
            f"{where}: got {key} {shown(found)}, expected a list of objects",
        )
    return found


def _widgets_values(data: dict, where: str) -> list | dict:
    values, named = data.get("widgets_values"), data.get("widgets_values_named")
    if not values:
        return named if isinstance(named, dict) else []
    if not isinstance(values, (list, dict)):
        raise refused(
            "not a workflow", f"{where}: got widgets_values {shown(values)}, expected a list"
        )
    return widget_values.as_places(values)


def _promoted(entries: Any) -> Iterable[tuple[str, str]]:
    """Pairs of a node's id and a widget, whose name may stand behind the ids on the way to it."""
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[1], str):
            yield str(entry[0]), re.sub(r"^(\s*\d+\s*:)+\s*", "", entry[1])


def _given(entries: Any) -> dict[str, Any]:
    """The values that the page could not put where an older one had them; the first one counts."""
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else ():
        value = entry.get("hostValue") if isinstance(entry, dict) else None
        for node_id, name in _promoted([entry.get("originalEntry")]) if value is not None else ():
            if node_id == OWN:
                found.setdefault(name, value)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


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
