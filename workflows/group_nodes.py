"""Group nodes, which came before subgraphs, read as what they are: subgraphs of numbered nodes.

A file keeps the nodes and links of a group once, under its name. What the group's own node has for
inputs, outputs and widgets follows from them: whatever is not linked inside, in order, by a name
that is made longer until it is unique (extensions/core/groupNode of ComfyUI's page).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..models.quoting import shown
from .canvas import PRIMITIVE, REROUTE, Canvas, CanvasNode, Socket
from .graph import Link
from .problems import refused
from .registry import NodeSpecs
from .ui_format import EDGE_IN, Subgraph, read_node

PREFIXES = ("workflow>", "workflow/")


def group_name(kind: str) -> str:
    """The name of the group that a node's type stands for; "" for other types."""
    return next((kind.removeprefix(one) for one in PREFIXES if kind.startswith(one)), "")


def read_group(data: Any, specs: NodeSpecs) -> Subgraph:
    """Raises WorkflowError for what is no group."""
    parts = [data.get(key) for key in ("nodes", "links")] if isinstance(data, dict) else [None]
    if not all(isinstance(part, list) for part in parts):
        raise refused("not a workflow", f"got the group {shown(data)}, expected nodes and links")
    return _Group(data, specs).read()


class _Group:
    def __init__(self, data: Mapping[str, Any], specs: NodeSpecs):
        self.specs = specs
        self.nodes = [
            read_node({**one, "id": i} if isinstance(one, dict) else one)
            for i, one in enumerate(data["nodes"])
        ]
        self.places = [
            {one.name: at for at, one in reversed(list(enumerate(node.inputs)))}
            for node in self.nodes
        ]
        links = [link for link in data["links"] if self._is_inside(link)]
        self.fed = {(link[2], link[3]): Link(str(link[0]), link[1]) for link in links}
        self.feeding = {(link[0], link[1]) for link in links}
        external = data.get("external")
        self.external = {
            (one[0], one[1])
            for one in (external if isinstance(external, list) else ())
            if isinstance(one, list) and len(one) > 1 and all(type(end) is int for end in one[:2])
        }
        self.config = data.get("config")
        self.inputs: list[Socket] = []
        self.sources: dict[int, Link] = {}
        self.sockets: list[list[Socket]] = [[] for _ in self.nodes]
        self.seen: dict[str, int] = {}

    def _is_inside(self, link: Any) -> bool:
        """[node, output, node, input, …], the nodes by their place in the list."""
        ends = link[:4] if isinstance(link, list) and len(link) > 3 else []
        are_counts = all(type(end) is int and end >= 0 for end in ends)
        return bool(ends) and are_counts and max(ends[0], ends[2]) < len(self.nodes)

    def read(self) -> Subgraph:
        for i, node in enumerate(self.nodes):
            for socket in self._declared(i, node):
                self._add(i, socket)
        for i, node in enumerate(self.nodes):  # widgets turned into sockets come after all others
            for socket in node.inputs if node.type in self.specs else ():
                if socket.is_widget:
                    self._add(i, replace(socket, is_widget=False))
        outputs = [out for i, node in enumerate(self.nodes) for out in self._outputs(i, node)]
        nodes = [
            replace(node, inputs=tuple(sockets))
            for node, sockets in zip(self.nodes, self.sockets, strict=True)
        ]
        canvas = Canvas({node.id: node for node in nodes}, self.sources)
        return Subgraph(canvas, tuple(self.inputs), tuple(outputs), has_controls=True)

    def _declared(self, i: int, node: CanvasNode) -> list[Socket]:
        """Widgets that are still widgets, then sockets."""
        if node.type == PRIMITIVE:
            return [Socket("value", "*", None, is_widget=True)] if (i, 0) in self.feeding else []
        if node.type not in self.specs:
            return [replace(one, is_widget=False) for one in node.inputs]
        turned = {one.name for one in node.inputs if one.is_widget}
        declared = self.specs.inputs_of(node.type).values()
        found = [Socket(one.name, one.type, None, one.is_widget) for one in declared]
        return [one for one in found if one.is_widget and one.name not in turned] + [
            one for one in found if not one.is_widget
        ]

    def _add(self, i: int, socket: Socket) -> None:
        """One input of a node inside, and one of the group's where nothing inside feeds it."""
        source = self.fed.get((i, self.places[i].get(socket.name, -1)))
        if source is None:
            node = self.nodes[i]  # a reroute's input has no name: its type stands for it
            kinds = node.output_types if node.type == REROUTE else ()
            name = self._unique(i, str(kinds[0]) if kinds else socket.name)
            if self._says(i, "input", socket.name).get("visible") is False:
                return
            source = Link(EDGE_IN, len(self.inputs))
            self.inputs.append(replace(socket, name=name, link=None))
        self.sockets[i].append(replace(socket, link=self._link(source)))

    def _unique(self, i: int, name: str) -> str:
        node = self.nodes[i]
        said = self._says(i, "input", name).get("name")
        key = unique = said if isinstance(said, str) else name
        if (node.type == PRIMITIVE and node.title) or unique in self.seen:
            prefix = f"{node.title or node.type} "
            key = unique = f"{prefix}{name}"
            if unique in self.seen:
                unique = f"{prefix}{self.seen[unique]} {name}"
        self.seen[key] = self.seen.get(key, 1) + 1
        return unique

    def _outputs(self, i: int, node: CanvasNode) -> Iterator[int]:
        known = self.specs.classes.get(node.type)
        count = len(node.output_types) if known is None else len(known.RETURN_TYPES)
        for slot in range(count):
            is_free = (i, slot) not in self.feeding or (i, slot) in self.external
            visible = self._says(i, "output", str(slot)).get("visible")
            if visible if isinstance(visible, bool) else is_free:
                yield self._link(Link(node.id, slot))

    def _says(self, i: int, kind: str, name: str) -> Mapping[str, Any]:
        """What its maker has set for an input or output: another name, or that it is hidden."""
        found: Any = self.config
        for key in (str(i), kind, name):
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _link(self, source: Link) -> int:
        self.sources[len(self.sources)] = source
        return len(self.sources) - 1
