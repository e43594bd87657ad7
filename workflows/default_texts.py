"""What the default graph is to follow: mixes of texts, and texts that follow one another."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..models.refused import Refused
from .graph import Graph, Link, Node
from .prompts import Parts, changes_of, in_one_line, parts_of
from .registry import NodeSpecs
from .request import COMBINE, LOADER, SAMPLER, SCHEDULE, TEXT, Request
from .ui_writer import NODE_GAP, NODE_WIDTH, size_of
from .widget_values import settled

FIRST_ROW = 3  # rows of texts below the first one, where a negative and a melody have their places


@dataclass(frozen=True)
class Wanted:
    """A request's texts, read."""

    prompt: Parts
    negative: Parts
    changes: tuple[tuple[float, Parts], ...]
    blend_s: float

    @classmethod
    def of(cls, request: Request) -> Wanted:
        """Raises Refused for a mix or a schedule that is none, and for two beginnings."""
        changes = changes_of(request.schedule, request.duration_s, request.blend_s)
        prompt = in_one_line(request.prompt)
        if changes and changes[0][0] == 0:
            if prompt:
                raise Refused(
                    "schedule",
                    got="two entries at 0 s, the prompt and its own",
                    expected="one",
                    remedy="leave out the prompt, or begin the schedule later",
                )
            prompt, changes = changes[0][1], changes[1:]
        read = tuple((second, parts_of(text)) for second, text in changes)
        return cls(parts_of(prompt), parts_of(request.negative), read, request.blend_s)


def with_texts(graph: Graph, wanted: Wanted, specs: NodeSpecs) -> Graph:
    """With a node for each text that the shipped graph has none for, below the others."""
    side = _Side(graph, specs)
    (sampler,) = graph.of_class(SAMPLER)
    for name, parts in (("positive", wanted.prompt), ("negative", wanted.negative)):
        if len(parts) > 1:
            side.link(sampler.id, name, side.mix(sampler.links[name], parts))
    for second, parts in wanted.changes:
        then = side.heard(parts)
        before = side.graph[sampler.id].links["positive"]
        side.link(sampler.id, "positive", side.change(before, then, second, wanted.blend_s))
    return side.graph


class _Side:
    """The graph while nodes are added, row by row."""

    def __init__(self, graph: Graph, specs: NodeSpecs):
        self.graph, self._specs = graph, specs
        self._rows = [FIRST_ROW] * 3  # of each column, the next free one
        (self._loader,), self._first = graph.of_class(LOADER), graph.of_class(TEXT)[0]
        self._known = {str(self._first.widgets["text"]): Link(self._first.id, 0)}
        self._mixes: dict[Parts, Link] = {}

    def link(self, node_id: str, name: str, link: Link) -> None:
        self.graph = self.graph.with_input(node_id, name, link)

    def heard(self, parts: Parts) -> Link:
        """What was heard before is the same node."""
        if parts not in self._mixes:
            first = self._text(parts[0][0])
            self._mixes[parts] = first if len(parts) == 1 else self.mix(first, parts)
        return self._mixes[parts]

    def mix(self, first: Link, parts: Parts) -> Link:
        """`first` is the text of the first part."""
        links = [first, *(self._text(text) for text, _ in parts[1:])]
        inputs = {f"conditioning_{i}": link for i, link in enumerate(links, 1)}
        weights = {f"weight_{i}": weight for i, (_, weight) in enumerate(parts, 1)}
        return self._put(COMBINE, {**inputs, **weights}, column=1)

    def change(self, before: Link, then: Link, second: float, blend_s: float) -> Link:
        inputs = {"conditioning": before, "then": then, "second": second, "blend": blend_s}
        return self._put(SCHEDULE, inputs, column=2)

    def _text(self, text: str) -> Link:
        if text not in self._known:
            inputs = {"text": text, "text_encoder": Link(self._loader.id, 1)}
            self._known[text] = self._put(TEXT, inputs, column=0)
        return self._known[text]

    def _put(self, class_type: str, inputs: dict[str, object], column: int) -> Link:
        node = new_node(self.graph.fresh_id(), class_type, self._specs)
        height = size_of(self._specs[TEXT])[1]
        right, down = column * (NODE_WIDTH + NODE_GAP), self._rows[column] * (height + 2 * NODE_GAP)
        self._rows[column] += 1
        place = moved(self._first, right, down)
        self.graph = self.graph.with_node(
            replace(node, inputs={**node.inputs, **inputs}, pos=place)
        )
        return Link(node.id, 0)


def new_node(node_id: str, class_type: str, specs: NodeSpecs) -> Node:
    """A node as ComfyUI's page makes it: every widget has its default."""
    spec = specs[class_type]
    return Node(node_id, class_type, settled(spec.inputs, {}), title=spec.title)


def moved(node: Node, right: float, down: float) -> tuple[float, float] | None:
    return None if node.pos is None else (node.pos[0] + right, node.pos[1] + down)
