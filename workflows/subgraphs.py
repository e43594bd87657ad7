"""Subgraphs and group nodes laid open: what is drawn → one canvas of the nodes that run.

A node that stands for others is replaced by them, under ids such as "9:3", as ComfyUI's page names
them. Where wires cross the edge stands a reroute; where the node shows a widget of one inside, a
primitive with that value. So whatever holds for reroutes and primitives holds at an edge. A muted
or bypassed one stays closed, since nothing inside it runs.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

from . import widget_values
from .canvas import BYPASSED, MUTED, PRIMITIVE, REROUTE, Canvas, CanvasNode, Socket
from .graph import Link
from .group_nodes import group_name, read_group
from .problems import WorkflowError, refused
from .registry import NodeSpecs
from .ui_format import EDGE_IN, OWN, Drawing, Subgraph, read_subgraph

_Named = dict[str, Any]
MAX_LEVELS = 30
MAX_OPENED = 10_000
"""nodes, with those inside"""
MAX_PARTS = 200_000
"""nodes, sockets and links, with those inside"""


def laid_open(drawing: Drawing, specs: NodeSpecs) -> Canvas:
    """Raises WorkflowError for subgraphs that cannot be read, hold themselves, or grow too many."""
    if not drawing.subgraphs and not drawing.groups:
        return drawing.canvas
    return _Opening(drawing, specs).canvas()


def shown_widgets(drawing: Drawing, kind: str, specs: NodeSpecs) -> list[str]:
    """The inputs of a subgraph whose values stand in `widgets_values` of its node, in order."""
    opening = _Opening(drawing, specs)
    inner = opening.inside(kind)
    return [] if inner is None else list(opening.ports(inner))


class _Opening:
    def __init__(self, drawing: Drawing, specs: NodeSpecs):
        self.drawing, self.specs = drawing, specs
        self.read: dict[str, Subgraph | None] = {}
        self.levels: dict[str, int] = {}
        self.widgets: dict[tuple[int, str], bool] = {}
        self.values: dict[int, _Named] = {}
        self.parts = 0
        self.nodes: dict[str, CanvasNode] = {}
        self.links: dict[int, Link] = {}

    def canvas(self) -> Canvas:
        for node in self.drawing.canvas.nodes.values():
            self._count_levels(node.type, ())
        self._add(self.drawing.canvas, "")
        return Canvas(self.nodes, self.links)

    def _count_levels(self, kind: str, within: tuple[str, ...]) -> int:
        """How many levels a type has. Refuses one that has no end."""
        if kind not in self.levels:
            inner = None if kind in within else self.inside(kind)
            below = [] if inner is None else inner.canvas.nodes.values()
            counts = [self._count_levels(node.type, (*within, kind)) for node in below]
            self.levels[kind] = MAX_LEVELS if kind in within else max(counts, default=0) + 1
        if len(within) + self.levels[kind] > MAX_LEVELS:
            detail = f"a subgraph holds itself, or more than {MAX_LEVELS} levels; unpack it"
            raise refused("subgraphs within subgraphs without end", detail)
        return self.levels[kind]

    def _add(self, level: Canvas, prefix: str) -> dict[int, int]:
        """The nodes of one level, and of all below them; the numbers that its links have now."""
        self.parts += len(level.links) + sum(1 + len(one.inputs) for one in level.nodes.values())
        if self.parts > MAX_PARTS:
            raise _too_large()
        opened = {node.id: inner for node in level.nodes.values() if (inner := self._opens(node))}
        numbers = {link: len(self.links) + i for i, link in enumerate(level.links)}
        for link, source in level.links.items():
            self.links[numbers[link]] = _source(source, prefix, opened)
        for node in level.nodes.values():
            links = [None if one.link is None else numbers.get(one.link) for one in node.inputs]
            sockets = tuple(
                replace(one, link=link) for one, link in zip(node.inputs, links, strict=True)
            )
            pos = None if prefix else node.pos
            drawn = replace(node, id=prefix + node.id, inputs=sockets, pos=pos)
            if node.id in opened:
                self._open(drawn, opened[node.id])
            else:
                self._put(drawn)
        return numbers

    def _put(self, node: CanvasNode) -> None:
        if node.id in self.nodes:
            detail = f"two nodes have the id {node.id}; give each its own"
            raise refused("not a workflow", detail)
        if len(self.nodes) >= MAX_OPENED:
            raise _too_large()
        self.nodes[node.id] = node

    def _opens(self, node: CanvasNode) -> Subgraph | None:
        return None if node.mode in (MUTED, BYPASSED) else self.inside(node.type)

    def inside(self, kind: str) -> Subgraph | None:
        """What a type stands for; None for that of an ordinary node."""
        if kind not in self.read:
            name = group_name(kind)
            group = self.drawing.groups.get(name) if name else None
            if kind in self.drawing.subgraphs:
                self.read[kind] = read_subgraph(self.drawing.subgraphs[kind])
            else:
                self.read[kind] = read_group(group, self.specs) if group is not None else None
        return self.read[kind]

    # ------------------------------------------------------------ one node that stands for others

    def _open(self, host: CanvasNode, inner: Subgraph) -> None:
        shown, given = self._values(host, inner)
        nodes = {
            node.id: replace(node, given={**node.given, **given.get(node.id, {})})
            for node in inner.canvas.nodes.values()
        }
        numbers = self._add(Canvas(nodes, inner.canvas.links), f"{host.id}:")
        outer = {socket.name: socket.link for socket in host.inputs}
        for i, socket in enumerate(inner.inputs):
            edge = _edge(f"{host.id}:in {i}", outer.get(socket.name))
            if outer.get(socket.name) is None and socket.name in shown:
                edge = replace(edge, type=PRIMITIVE, given={"value": shown[socket.name]})
            self._put(edge)
        for i, link in enumerate(inner.outputs):
            self._put(_edge(f"{host.id}:out {i}", None if link is None else numbers.get(link)))

    def ports(self, inner: Subgraph) -> dict[str, list[tuple[CanvasNode, Socket]]]:
        """The inputs of whose widgets a node shows the values, in order, and what they lead to."""
        ends = {socket.name: inner.targets.get(i, []) for i, socket in enumerate(inner.inputs)}
        return {
            name: found
            for name, found in ends.items()
            if any(self._is_widget(*end) for end in found)
        }

    def _values(self, host: CanvasNode, inner: Subgraph) -> tuple[_Named, dict[str, _Named]]:
        """What the node shows of its own inputs' widgets, by name; and of others inside, by node.

        A value that it does not have is that of the widget inside, the first one where several are
        fed by one input.
        """
        ports = self.ports(inner)
        shown = {name: self._value_at(*ends[0]) for name, ends in ports.items()}
        given: dict[str, _Named] = {}
        if host.promoted and isinstance(host.widgets_values, list):
            owners = {(end.id, at.name): name for name, ends in ports.items() for end, at in ends}
            for (node_id, name), value in zip(host.promoted, host.widgets_values, strict=False):
                own = name if node_id == OWN else owners.get((node_id, name))
                if value is not None and own is not None:
                    shown[own] = value
                elif value is not None:
                    given.setdefault(node_id, {})[name] = value
        else:
            shown |= _by_name(ports, host.widgets_values, inner.has_controls)
        shown |= {name: value for name, value in host.given.items() if name in ports}
        return {name: value for name, value in shown.items() if value is not None}, given

    def _is_widget(self, node: CanvasNode, socket: Socket) -> bool:
        """Of a node in a definition, which is asked again wherever that is used."""
        inner, asked = self.inside(node.type), (id(node), socket.name)
        if inner is None:
            return socket.is_widget
        if asked not in self.widgets:
            ends = inner.targets.get(inner.slots.get(socket.name, -1), [])
            self.widgets[asked] = any(self._is_widget(*end) for end in ends)
        return self.widgets[asked]

    def _value_at(self, node: CanvasNode, socket: Socket) -> Any:
        """Of a node in a definition, too."""
        if id(node) not in self.values:
            inner, specs = self.inside(node.type), self.specs.inputs_of(node.type)
            self.values[id(node)] = (
                widget_values.named(specs, node.widgets_values)
                if inner is None
                else self._values(node, inner)[0]
            )
        return self.values[id(node)].get(socket.name)


def _too_large() -> WorkflowError:
    detail = f"expected at most {MAX_OPENED} nodes with those in subgraphs, and their links"
    return refused("workflow too large", detail)


def _source(link: Link, prefix: str, opened: Container[str]) -> Link:
    """What feeds a link, by the names of the one canvas; an opened node's edge gives for it."""
    if link.node == EDGE_IN:
        return Link(f"{prefix}in {link.slot}", 0)
    if link.node in opened:
        return Link(f"{prefix}{link.node}:out {link.slot}", 0)
    return Link(prefix + link.node, link.slot)


def _edge(name: str, link: int | None) -> CanvasNode:
    return CanvasNode(name, REROUTE, "", 0, (Socket("", "*", link),), ("*",), [], "")


def _by_name(names: Iterable[str], values: list | dict, has_controls: bool) -> _Named:
    if isinstance(values, dict):
        return {name: values[name] for name in names if name in values}
    if has_controls:
        values = [value for value in values if value not in widget_values.CONTROL_VALUES]
    return dict(zip(names, values, strict=False))
