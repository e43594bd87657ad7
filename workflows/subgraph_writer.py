"""A widget of a node inside a subgraph gets another value in a document.

The value goes where it is read from: to the outermost node that shows the widget, or to the widget
itself. A definition that other nodes use too is copied first, since they keep theirs.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from typing import Any

from . import ui_format, widget_values
from .problems import Problem, WorkflowError
from .registry import NodeSpecs
from .subgraphs import laid_open, shown_widgets
from .ui_format import EDGE_IN, OWN, read_canvas

Ui = dict[str, Any]


class NoPlace(WorkflowError):
    """A value of a node that the picture has no place for, while the graph has."""

    def __init__(self, node_id: str, why: str = "it is linked, or in a group node"):
        message = "the picture has no place for a value"
        super().__init__([Problem("invalid_prompt", message, f"node {node_id}: {why}")])


def set_inside(ui: Ui, node_id: str, name: str, value: Any, specs: NodeSpecs) -> None:
    """Changes `ui`. Raises NoPlace for a group node's and for a linked widget."""
    laid_open(ui_format.read(ui), specs)  # refuses what is no workflow, so the shape below holds
    *above, last = node_id.split(":")
    level, hosts = ui, []
    for one in above:
        host = _node(level, one, node_id)
        level = _own_definition(ui, host, node_id)
        hosts.append((host, level))
    node = _node(level, last, node_id)
    slot = _slot_above(hosts, node, name)
    if slot is not None and _show(ui, hosts, slot, value, specs):
        return
    if slot is None and hosts and _put(hosts[-1][0], [last, name], [], value):
        return
    widget_values.put(node, specs.inputs_of(node["type"]), name, value)


def _node(level: Ui, one: str, node_id: str) -> Ui:
    found = [node for node in level["nodes"] if str(node.get("id")) == one]
    if not found:
        raise NoPlace(node_id)
    return found[0]


def _own_definition(ui: Ui, host: Ui, node_id: str) -> Ui:
    definitions = (ui.get("definitions") or {}).get("subgraphs") or []
    known = [one for one in definitions if isinstance(one, dict)]
    found = next((one for one in reversed(known) if one.get("id") == host["type"]), None)
    if found is None:
        raise NoPlace(node_id)
    levels = [level["nodes"] for level in (ui, *known) if isinstance(level.get("nodes"), list)]
    kinds = [one.get("type") for nodes in levels for one in nodes if isinstance(one, dict)]
    if kinds.count(host["type"]) > 1:
        found = copy.deepcopy(found)
        found["id"] = host["type"] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{found['id']} {node_id}"))
        definitions.append(found)
    return found


Hosts = list[tuple[Ui, Ui]]
"""nodes that stand for others, the outermost first, each with the definition of what is inside"""


def _slot_above(hosts: Hosts, node: Ui, name: str) -> int | None:
    """The input of the last host that feeds a widget; None if the widget is not linked."""
    links = read_canvas(hosts[-1][1]).links
    for socket in _sockets(node, name):
        source = links.get(socket["link"])
        if source is None or source.node != EDGE_IN:
            raise NoPlace(str(node["id"]))
        return source.slot
    return None


def _sockets(node: Ui, name: str) -> Iterator[Ui]:
    for socket in node.get("inputs") or ():
        widget = socket.get("widget")
        shown = widget.get("name") if isinstance(widget, dict) else None
        if (shown or socket.get("name")) == name and socket.get("link") is not None:
            yield socket


def _show(ui: Ui, hosts: Hosts, slot: int, value: Any, specs: NodeSpecs) -> bool:
    """Puts a value where the last host shows it; False if it shows none."""
    host, definition = hosts[-1]
    port = definition["inputs"][slot]["name"]
    if any(True for _ in _sockets(host, port)):
        above = _slot_above(hosts[:-1], host, port) if hosts[:-1] else None
        if above is None:
            raise NoPlace(str(host["id"]))
        return _show(ui, hosts[:-1], above, value, specs)
    own = [[OWN, one] for one in shown_widgets(ui_format.read(ui), host["type"], specs)]
    return _put(host, [OWN, port], own, value)


def _put(host: Ui, entry: list[str], own: list[list[str]], value: Any) -> bool:
    """Puts a value where a host has that of a widget: `own` are those that it shows if it names
    none itself. False if it has no value there.
    """
    values, properties = host.get("widgets_values"), host.get("properties")
    named = properties.get("proxyWidgets") if isinstance(properties, dict) else None
    entries = named if isinstance(named, list) and named else own
    if not isinstance(values, list) or entry not in entries[: len(values)]:
        return False
    values[entries.index(entry)] = value
    by_name = host.get("widgets_values_named")
    if isinstance(by_name, dict):
        by_name[entry[1]] = value
    return True
