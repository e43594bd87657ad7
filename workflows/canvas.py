"""What ComfyUI's page shows, and what it makes of it when the user presses Run: the graph.

Every version of the UI format is read into a `Canvas`, whose subgraphs `subgraphs.py` lays open.
`graph_of` names the widget values, follows reroutes and Get to its Set, passes bypassed nodes by,
leaves out muted ones, and puts the values of primitives where they point to, as the page does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..nodes.names import page_tokens
from . import widget_values
from .api_format import literal
from .graph import Graph, Link, Node
from .registry import NodeSpecs, types_fit

MUTED, BYPASSED = 2, 4
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"
GET_OF_SET = {"SetNode": "GetNode", "easy setNode": "easy getNode"}
"""the nodes with which widespread packs carry a wire by its name, which is their only widget"""
SETTERS, GETTERS = frozenset(GET_OF_SET), frozenset(GET_OF_SET.values())
FOLLOWED = SETTERS | {REROUTE, "Reroute (rgthree)"}
"""what gives on what comes in at its first input"""
NOTES = frozenset({"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"})
PAGE_ONLY = FOLLOWED | GETTERS | NOTES | {PRIMITIVE}


@dataclass(frozen=True)
class Socket:
    """An input as it is drawn: a socket, or a widget that can be linked."""

    name: str
    type: Any
    link: int | None
    is_widget: bool = False


@dataclass(frozen=True)
class CanvasNode:
    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[Socket, ...]
    output_types: tuple[Any, ...]
    widgets_values: list | dict
    search_name: str
    """the name for search and replace, by which prefixes point at the node's widgets"""
    pos: tuple[float, float] | None = None
    pack: str = ""
    """the pack that the document says its class is from, by its name in ComfyUI's registry"""
    given: Mapping[str, Any] = field(default_factory=dict)
    """values that come before those in `widgets_values`, by the name of the widget"""
    promoted: tuple[tuple[str, str], ...] = ()
    """the widgets of nodes inside that a subgraph's node shows: id and name, in order"""

    @property
    def runs(self) -> bool:
        return self.type not in PAGE_ONLY and self.mode not in (MUTED, BYPASSED)


@dataclass(frozen=True)
class Canvas:
    nodes: Mapping[str, CanvasNode]
    links: Mapping[int, Link]
    """link id → the output that it comes from"""


def graph_of(canvas: Canvas, specs: NodeSpecs) -> Graph:
    """What would run.

    Nodes of unknown classes are kept with their links, for `validate` to name them all.
    """
    resolver = _Resolver(canvas, specs)
    nodes: dict[str, Node] = {}
    cut_off = []
    for drawn in canvas.nodes.values():
        if drawn.runs:
            node, from_muted = resolver.node(drawn)
            nodes[node.id] = node
            if any(specs.requires(node.class_type, name) for name in from_muted):
                cut_off.append(node.id)
    _drop(nodes, cut_off, specs)
    return Graph.of(nodes.values(), (name.partition(":")[0] for name in canvas.nodes))


def _drop(nodes: dict[str, Node], cut_off: Iterable[str], specs: NodeSpecs) -> None:
    """Takes out the nodes that lack what a muted node would give, and those that need them."""
    consumers = defaultdict(list)
    for node in nodes.values():
        for name, link in node.links.items():
            consumers[link.node].append((node.id, name))
    waiting = list(cut_off)
    while waiting:
        node_id = waiting.pop()
        if nodes.pop(node_id, None) is None:
            continue
        for consumer, name in consumers[node_id]:
            if consumer in nodes:
                node = nodes[consumer]
                inputs = {key: value for key, value in node.inputs.items() if key != name}
                nodes[consumer] = replace(node, inputs=inputs)
                if specs.requires(node.class_type, name):
                    waiting.append(consumer)


def with_page_tokens(graph: Graph, canvas: Canvas, specs: NodeSpecs) -> Graph:
    """The graph of a canvas with the tokens of its filename prefixes replaced, as the page does
    last of all.

    `%Node.widget%` names the first node that has this name for search and replace, or else this
    title.
    """
    drawn = list(canvas.nodes.values())[::-1]  # of several with one name the first counts
    names = {one.title: one for one in drawn} | {one.search_name: one for one in drawn}

    def value_of(name: str, widget: str) -> object:
        found = names.get(name)
        if found is None or not name:
            return None
        now = graph[found.id].widgets if found.id in graph else {}
        return (_widgets(found, specs) | now).get(widget)

    changed = {}
    for node in graph:
        prefix = node.inputs.get("filename_prefix")
        if isinstance(prefix, str) and "%" in prefix:
            changed[node.id] = node.with_input("filename_prefix", page_tokens(prefix, value_of))
    return replace(graph, nodes={**graph.nodes, **changed}) if changed else graph


@dataclass(frozen=True)
class _Source:
    """What feeds an input: an output, or the widget of a primitive; or why there is nothing."""

    link: Link | None = None
    primitive: CanvasNode | None = None
    is_muted: bool = False


_NOWHERE = _Source()


class _Resolver:
    """One press of Run."""

    def __init__(self, canvas: Canvas, specs: NodeSpecs):
        self.canvas, self.specs = canvas, specs
        self._sources: dict[tuple[int | None, str], _Source] = {}  # by link and wanted type
        self._setters = {
            (_level(node.id), GET_OF_SET[node.type], _first_value(node)): node
            for node in list(canvas.nodes.values())[
                ::-1
            ]  # of several with one name the first counts
            if node.type in SETTERS
        }

    def node(self, drawn: CanvasNode) -> tuple[Node, list[str]]:
        """The node, and the names of the inputs left empty because what they are linked to is
        muted.
        """
        inputs, from_muted = _widgets(drawn, self.specs), []
        for slot in drawn.inputs:
            if slot.link is None:
                continue
            source = self._source(slot)
            if source.link is not None:
                inputs[slot.name] = source.link
            elif source.primitive is not None:
                _take_primitive(inputs, slot.name, source.primitive)
            elif source.is_muted and slot.name not in inputs:
                from_muted.append(slot.name)
        title = drawn.title or self._title(drawn.type)
        node = Node(drawn.id, drawn.type, inputs, title, drawn.pos, drawn.pack)
        return node, from_muted

    def _title(self, class_type: str) -> str:
        return self.specs[class_type].title if class_type in self.specs else class_type

    def _origin(self, link: int | None) -> tuple[CanvasNode, int] | None:
        """The node and output slot that a link comes from; None if it leads nowhere."""
        source = None if link is None else self.canvas.links.get(link)
        if source is None or source.node not in self.canvas.nodes:
            return None
        return self.canvas.nodes[source.node], source.slot

    def _source(self, slot: Socket) -> _Source:
        """What feeds a slot, through reroutes and bypassed nodes. Each way is gone once."""
        wanted, link = str(slot.type), slot.link
        way = []
        source = None
        while source is None:
            source = self._sources.get((link, wanted))
            if source is None:
                self._sources[link, wanted] = _NOWHERE  # to stay so if the way comes back here
                way.append(link)
                source, link = self._step(link, slot.type)
        self._sources.update(((link, wanted), source) for link in way)
        return source

    def _step(self, link: int | None, wanted: Any) -> tuple[_Source | None, int | None]:
        """Where a link comes from: the source, or the link to follow further."""
        origin = self._origin(link)
        if origin is None:
            return _NOWHERE, None
        node, output = origin
        if node.type in FOLLOWED:  # whatever its mode
            return None, _link_at(node, 0)
        if node.type == PRIMITIVE:
            above = _link_at(node, 0)
            return (_Source(primitive=node) if above is None else None), above
        if node.mode == MUTED:
            return _Source(is_muted=True), None
        if node.mode == BYPASSED:
            return None, _link_at(node, _bypass_input(node, output, wanted))
        if node.type in GETTERS:
            return None, self._link_set_for(node)
        return (_NOWHERE if node.type in PAGE_ONLY else _Source(Link(node.id, output))), None

    def _link_set_for(self, getter: CanvasNode) -> int | None:
        """What goes into the Set that has the name of this Get: on its level, or on one above."""
        level = _level(getter.id)
        while True:
            found = self._setters.get((level, getter.type, _first_value(getter)))
            if found is not None or not level:
                return None if found is None else _link_at(found, 0)
            level = _level(level)


def _level(node_id: str) -> str:
    """The subgraph's node that a node is in: "9" for "9:3", "" for what is drawn first."""
    return node_id.rpartition(":")[0]


def _first_value(node: CanvasNode) -> str | None:
    values = node.widgets_values
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else None


def _widgets(drawn: CanvasNode, specs: NodeSpecs) -> dict[str, Any]:
    inputs = specs.inputs_of(drawn.type)
    given = {name: value for name, value in drawn.given.items() if name in inputs}
    values = widget_values.named(inputs, drawn.widgets_values) | given
    return {name: literal(value) for name, value in values.items()}


def _take_primitive(inputs: dict[str, Any], name: str, primitive: CanvasNode) -> None:
    if "value" in primitive.given:
        inputs[name] = literal(primitive.given["value"])
    elif isinstance(primitive.widgets_values, list) and primitive.widgets_values:
        inputs[name] = literal(primitive.widgets_values[0])


def _link_at(node: CanvasNode, index: int | None) -> int | None:
    return node.inputs[index].link if index is not None and index < len(node.inputs) else None


def _bypass_input(node: CanvasNode, output: int, wanted: Any) -> int | None:
    """Which input stands in for an output: the one in the same place if the types fit, else the
    first of the type.
    """
    types = [slot.type for slot in node.inputs]
    given = node.output_types[output] if output < len(node.output_types) else wanted
    if output < len(types) and types_fit(types[output], given) and types_fit(types[output], wanted):
        return output
    if wanted in types:
        return types.index(wanted)
    return next(
        (i for i, kind in enumerate(types) if types_fit(kind, given) and types_fit(kind, wanted)),
        None,
    )
