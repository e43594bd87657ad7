"""A changed graph → the UI format: the document that it was read from, with what is different in
it.

Whatever the document has beside the graph (groups, notes, colours, muted nodes, the way of a
reroute) stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from . import widget_values
from .graph import Graph, Link, Node
from .inputs import InputSpec
from .problems import refused
from .registry import NodeSpec, NodeSpecs, pack_of
from .subgraph_writer import set_inside
from .ui_format import LINK_ENDS

NODE_WIDTH, NODE_GAP = 320, 40
HEAD_HEIGHT, ROW_HEIGHT, TEXT_HEIGHT = 60, 26, 48

LINK_KEYS = (*LINK_ENDS, "type")

Ui = dict[str, Any]


def write(ui: Mapping[str, Any], before: Graph, after: Graph, specs: NodeSpecs) -> Ui:
    """`ui`, from which `before` was read, as a document of `after`.

    Raises WorkflowError for a widget that the document has no place for.
    """
    document = _Document(copy.deepcopy(dict(ui)), specs)
    for node in before:
        if node.id not in after:
            document.remove(node.id)
    for node in after:
        old = before.nodes.get(node.id)
        if old is None or old.class_type != node.class_type:
            document.put(node)
    for node in after:
        document.update(node, before.nodes.get(node.id))
    return document.ui


class _Document:
    """A document in UI format that is being changed."""

    def __init__(self, ui: Ui, specs: NodeSpecs):
        self.ui, self.specs = ui, specs
        self.nodes: dict[str, Ui] = {str(node.get("id")): node for node in ui["nodes"]}

    def remove(self, node_id: str) -> None:
        node = self.nodes.pop(node_id, {})
        for link in _links_at(node):
            self._unlink(link)
        self.ui["nodes"] = [one for one in self.ui["nodes"] if one is not node]

    def put(self, node: Node) -> None:
        """A fresh node, at the end or in the place of the one that has its id.

        Then it takes over that one's links: to inputs by name, from outputs by place.
        """
        if not node.id.isdigit():
            raise refused(f"no place for the node {node.id}", "expected one beside the others")
        old = self.nodes.get(node.id)
        new = _fresh_node(node, self.specs[node.class_type], len(self.ui["nodes"]))
        if old is None:
            self.ui["nodes"].append(new)
            self._count("node", int(node.id))
        else:
            new |= {key: old[key] for key in ("id", "pos", "order", "mode") if key in old}
            new["inputs"] = [_socket_named(old, one["name"]) or one for one in new["inputs"]]
            for output, before in zip(new["outputs"], _list(old.get("outputs")), strict=False):
                output["links"] = _list(before.get("links"))
            for link in set(_links_at(old)) - set(_links_at(new)):
                self._unlink(link)
            self.ui["nodes"] = [new if one is old else one for one in self.ui["nodes"]]
        self.nodes[node.id] = new

    def update(self, node: Node, old: Node | None) -> None:
        """Writes the values, links, place and title that are not those of the node as it was."""
        same_class = old is not None and old.class_type == node.class_type
        before = old.inputs if old is not None else {}
        for name, value in sorted(node.inputs.items(), key=_choices_first):
            if isinstance(value, Link):
                if before.get(name) != value:
                    self._link(node.id, name, value)
            elif not same_class or name not in before or before[name] != value:
                self._set_widget(node, name, value)
        for name in before.keys() - node.inputs.keys():
            self._cut(node.id, name)
        if old is not None and node.pos not in (None, old.pos):
            self.nodes[node.id]["pos"] = _place(node)
        if node.title is not None and old is not None and node.title != old.title and same_class:
            self.nodes[node.id]["title"] = node.title

    # ------------------------------------------------------------ widgets

    def _set_widget(self, node: Node, name: str, value: Any) -> None:
        value = list(value) if isinstance(value, tuple) else value
        if node.id not in self.nodes and ":" in node.id:
            return set_inside(self.ui, node.id, name, value, self.specs)
        data, specs = self.nodes.get(node.id), self.specs.inputs_of(node.class_type)
        if data is None or name not in specs or not specs[name].is_widget:
            known = ", ".join(specs) or "no known inputs"
            raise refused(f"node {node.id} has no widget {name}", f"it has {known}")
        widget_values.put(data, specs, name, value)
        self._cut(node.id, name)
        return None

    # ------------------------------------------------------------ links

    def _link(self, target_id: str, name: str, link: Link) -> None:
        """Connects an output to an input; both nodes and the list of links say so."""
        self._cut(target_id, name)
        if not {link.node, target_id} <= self.nodes.keys():
            raise refused(f"no place for a link from node {link.node} to node {target_id}")
        source, target = self.nodes[link.node], self.nodes[target_id]
        socket = _socket_named(target, name) or self._converted(target, name)
        number = socket["link"] = self._fresh_link_id()
        self._count("link", number)
        output = source["outputs"][link.slot]
        output["links"] = [*(output.get("links") or ()), number]
        place = [one is socket for one in target["inputs"]].index(True)
        ends = [number, source["id"], link.slot, target["id"], place, output.get("type")]
        end = dict(zip(LINK_KEYS, ends, strict=True)) if self._is_version_1 else ends
        self.ui["links"] = [*_list(self.ui.get("links")), end]

    @property
    def _is_version_1(self) -> bool:
        return isinstance(self.ui.get("state"), dict)

    def _counter(self, kind: str) -> tuple[Ui, str]:
        """Where the highest number of a "node" or "link" stands, which differs by version."""
        if self._is_version_1:
            return self.ui["state"], f"last{kind.title()}Id"
        return self.ui, f"last_{kind}_id"

    def _count(self, kind: str, number: int) -> None:
        holder, key = self._counter(kind)
        holder[key] = max(holder.get(key) or 0, number)

    def _fresh_link_id(self) -> int:
        holder, key = self._counter("link")
        return max([holder.get(key) or 0, *map(_link_id, _list(self.ui.get("links")))]) + 1

    def _converted(self, target: Ui, name: str) -> Ui:
        """A socket for a widget, as the page makes one when a link is drawn to it."""
        spec = self.specs.inputs_of(target["type"])[name]
        socket = {**_socket(spec), "widget": {"name": name}}
        target["inputs"] = [*_list(target.get("inputs")), socket]
        return socket

    def _cut(self, node_id: str, name: str) -> None:
        for socket in _list(self.nodes.get(node_id, {}).get("inputs")):
            if socket.get("name") == name and socket.get("link") is not None:
                self._unlink(socket["link"])

    def _unlink(self, link: Any) -> None:
        self.ui["links"] = [one for one in _list(self.ui.get("links")) if not _has_id(one, link)]
        for node in self.ui["nodes"]:
            for socket in _list(node.get("inputs")):
                if socket.get("link") == link:
                    socket["link"] = None
            for output in _list(node.get("outputs")):
                output["links"] = [one for one in _list(output.get("links")) if one != link]


# ---------------------------------------------------------------- a node that the document did not
# have


def _fresh_node(node: Node, spec: NodeSpec, order: int) -> Ui:
    """With its defaults, and without links."""
    titled = {} if node.title in (None, spec.title) else {"title": node.title}
    return {
        "id": int(node.id),
        "type": node.class_type,
        "pos": _place(node),
        "size": size_of(spec),
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": [_socket(one) for one in spec.inputs.values() if not one.is_widget],
        "outputs": [
            {"name": name, "type": wire, "links": []}
            for name, wire in zip(spec.output_names, spec.output_types, strict=True)
        ],
        "properties": {
            "Node name for S&R": node.class_type,
            "cnr_id": pack_of(node.class_type),
        },
        "widgets_values": widget_values.all_fresh(spec.inputs),
        **titled,
    }


def _choices_first(named: tuple[str, Any]) -> int:
    """`format` before `format.quality`, which only some formats have."""
    return named[0].count(".")


def _place(node: Node) -> list[float]:
    return [int(one) if one == int(one) else one for one in node.pos or (0.0, 0.0)]


def size_of(spec: NodeSpec) -> list[int]:
    """Width and height that a fresh node is drawn with."""
    texts = sum(one.multiline for one in spec.widgets)
    return [NODE_WIDTH, HEAD_HEIGHT + ROW_HEIGHT * len(spec.inputs) + TEXT_HEIGHT * texts]


def _socket(spec: InputSpec) -> Ui:
    socket = {"name": spec.name, "type": spec.type, "link": None}
    return socket if spec.required else {**socket, "shape": 7}


def _socket_named(node: Ui, name: str) -> Ui | None:
    return next((one for one in _list(node.get("inputs")) if one.get("name") == name), None)


def _links_at(node: Ui) -> list[Any]:
    ends = [socket.get("link") for socket in _list(node.get("inputs"))]
    for output in _list(node.get("outputs")):
        ends += _list(output.get("links"))
    return [link for link in ends if link is not None]


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _has_id(link: object, link_id: object) -> bool:
    return _link_id(link) == link_id


def _link_id(link: Any) -> int:
    found = link.get("id") if isinstance(link, dict) else link and link[0]
    return found if isinstance(found, int) else 0
