"""The graph: nodes with values and links, whatever format they were written in.

Everything between a file and a run works on it: other values, forms, pictures, checks, execution. A
graph is never changed; each operation gives another one. What a picture needs beside it (groups,
colours, notes) stays in the document that the graph was read from (`workflow.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Link:
    """Where an input's value comes from: an output of another node."""

    node: str
    slot: int


@dataclass(frozen=True)
class BrokenLink:
    """What stands where a link belongs, and is none."""

    value: Any


@dataclass(frozen=True)
class Node:
    """A node that runs. Muted, bypassed and page-only ones are not in a graph."""

    id: str
    class_type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """input name → Link, BrokenLink, or the value of a widget (a list as a tuple)"""
    title: str | None = None
    """None: nobody has given it one"""
    pos: tuple[float, float] | None = field(default=None, compare=False)
    """where ComfyUI's page draws it, in its units; None if that is not known"""
    pack: str = field(default="", compare=False)
    """the pack that the document says its class is from, by its name in ComfyUI's registry"""

    @property
    def name(self) -> str:
        """What people call it: its title, else its class."""
        return self.title or self.class_type

    @property
    def links(self) -> dict[str, Link]:
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}

    @property
    def widgets(self) -> dict[str, Any]:
        """The values that are given here, by input name."""
        return {
            name: value
            for name, value in self.inputs.items()
            if not isinstance(value, (Link, BrokenLink))
        }

    def with_input(self, name: str, value: Any) -> Node:
        return replace(self, inputs={**self.inputs, name: value})


@dataclass(frozen=True)
class Graph:
    """Nodes by id, in the order of the document."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    last_id: int = field(default=0, compare=False)
    """the highest number that the document uses for a node, notes and muted ones among them"""

    @classmethod
    def of(cls, nodes: Iterable[Node], other_ids: Iterable[str] = ()) -> Graph:
        """`other_ids` are those of nodes that the document has beside these."""
        by_id = {node.id: node for node in nodes}
        return cls(by_id, max(map(_number, [*by_id, *other_ids]), default=0))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self.nodes

    def __getitem__(self, node_id: str) -> Node:
        return self.nodes[node_id]

    # ------------------------------------------------------------ finding

    def named(self, name: str) -> list[Node]:
        """The node with this id, else all that have this title or class."""
        if name in self.nodes:
            return [self.nodes[name]]
        return [node for node in self if name in (node.name, node.class_type)]

    def of_class(self, class_type: str) -> list[Node]:
        return [node for node in self if node.class_type == class_type]

    def fresh_id(self) -> str:
        return str(self.last_id + 1)

    # ------------------------------------------------------------ changing

    def with_node(self, node: Node) -> Graph:
        """With this node in the place of the one that has its id, or at the end."""
        nodes = {**self.nodes, node.id: node}
        return Graph(nodes, max(self.last_id, _number(node.id)))

    def with_input(self, node_id: str, name: str, value: Any) -> Graph:
        """With a widget's value, or a Link, in one input."""
        return self.with_node(self.nodes[node_id].with_input(name, value))

    def without(self, node_ids: Iterable[str]) -> Graph:
        """Without these nodes. Links to them are left as they are."""
        gone = set(node_ids)
        kept = {node_id: node for node_id, node in self.nodes.items() if node_id not in gone}
        return replace(self, nodes=kept)

    def inserted(self, node: Node, name: str, before: str, target: str) -> Graph:
        """With a node put on the wire that ends at the input `target` of the node `before`.

        The wire now ends at the new node's input `name`, and its first output goes on to where
        the wire ended.
        """
        node = node.with_input(name, self.nodes[before].inputs[target])
        return self.with_node(node).with_input(before, target, Link(node.id, 0))

    # ------------------------------------------------------------ what leads to what

    def needed(self, targets: Iterable[str]) -> list[str]:
        """The targets and all nodes above them, in the order of the document."""
        found = dict.fromkeys(targets)
        waiting = list(found)
        while waiting:
            for upstream in self.upstream(waiting.pop()):
                if upstream not in found:
                    found[upstream] = None
                    waiting.append(upstream)
        return [node_id for node_id in self.nodes if node_id in found]

    def order(self, targets: Iterable[str]) -> list[str]:
        """Every node that leads to a target, after all that it needs. The graph has no circle."""
        order: dict[str, None] = {}
        waiting = list(reversed(list(targets)))
        while waiting:
            needs = [up for up in self.upstream(waiting[-1]) if up not in order]
            if needs and waiting[-1] not in order:
                waiting += reversed(needs)
            else:
                order.setdefault(waiting.pop())
        return list(order)

    def consumers(self, node_ids: Iterable[str]) -> dict[str, set[str]]:
        """For each node, those among `node_ids` that are linked to it."""
        consumers: dict[str, set[str]] = {}
        for node_id in node_ids:
            for upstream in self.upstream(node_id):
                consumers.setdefault(upstream, set()).add(node_id)
        return consumers

    def circle(self, node_ids: Iterable[str]) -> list[str]:
        """Nodes among these that run in a circle, each linked to the next; empty if there is none.

        It is what is left when all that can be computed is taken away.
        """
        waits_for = {node_id: set(self.upstream(node_id)) for node_id in node_ids}
        feeds = self.consumers(waits_for)
        ready = [node_id for node_id, waits in waits_for.items() if not waits]
        while ready:
            done = ready.pop()
            for node_id in feeds.get(done, ()):
                waits_for[node_id].discard(done)
                if not waits_for[node_id]:
                    ready.append(node_id)
        stuck = next((node_id for node_id, waits in waits_for.items() if waits), None)
        return [] if stuck is None else _ring(waits_for, stuck)

    def upstream(self, node_id: str) -> list[str]:
        """The nodes that a node is linked to. Links into nowhere lead to none."""
        above = dict.fromkeys(link.node for link in self.nodes[node_id].links.values())
        return [up for up in above if up in self.nodes]


def _ring(waits_for: Mapping[str, set[str]], start: str) -> list[str]:
    path: list[str] = []
    places: dict[str, int] = {}
    while start not in places:
        places[start] = len(path)
        path.append(start)
        start = next(up for up in sorted(waits_for[start]) if waits_for[up])
    return path[places[start] :]


def _number(node_id: str) -> int:
    """Ids of other kinds, such as "12:3", do not count."""
    is_number = node_id.isascii() and node_id.isdigit() and len(node_id) < 16
    return int(node_id) if is_number else 0
