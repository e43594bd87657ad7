"""A graph as SVG: nodes as boxes, links as curves, where ComfyUI's page has them or, without that,
in layers.

Everything from the graph is escaped; colours come from the page's theme.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...models.quoting import shown
from ...workflows.graph import Graph, Node
from ...workflows.registry import NodeClasses
from .graph_wires import MOST_ROUTED, Rect, Wire, wire

MAX_DRAWN = 200
WIDTH, HEAD, ROW, PAD = 230, 34, 22, 12
GAP_X, GAP_Y = 70, 36
MAX_LINES = 3
MAX_SOCKETS = 30

WIRE_COLOURS = {
    "AUDIO": "#ee7834",
    "AUDIO_TOKENS": "#cf3f7c",
    "MUSICGEN_CONDITIONING": "#8e5bd0",
    "MUSICGEN_MODEL": "#4f7fd1",
    "MUSICGEN_TEXT_ENCODER": "#3f9d8f",
    "ENCODEC": "#b58b1f",
    "IMAGE": "#5b9e3c",
}
OTHER_WIRE = "#8d8598"
UNKNOWN = "?"
"""the type of what an unknown node gives"""


@dataclass(frozen=True)
class Box:
    id: str
    title: str
    inputs: tuple[str, ...]
    """linked ones; each has a dot on the left"""
    outputs: tuple[str, ...]
    """types; each has a dot on the right"""
    lines: tuple[str, ...]
    """what stands in the widgets"""
    x: float = 0.0
    y: float = 0.0
    is_known: bool = True

    @property
    def rect(self) -> Rect:
        return Rect(self.x, self.y, self.x + WIDTH, self.y + self.height)

    @property
    def height(self) -> float:
        return HEAD + ROW * (max(len(self.inputs), len(self.outputs)) + len(self.lines)) + PAD


def draw_graph(graph: Graph, classes: NodeClasses, marks: Mapping[str, str] | None = None) -> str:
    """`marks` gives nodes a state: at-work, done or broken."""
    if not len(graph):
        return "<p>The workflow has no active nodes to draw.</p>"
    drawn = Graph.of(list(graph)[:MAX_DRAWN])
    boxes = boxes_of(drawn, classes)
    wires = wires_of(drawn, boxes)
    shapes = [_draw_box(box, (marks or {}).get(box.id, "")) for box in boxes.values()]
    names = html.escape(f"The graph: {', '.join(b.title for b in boxes.values())}"[:400])
    more = (
        f"<p>{len(graph) - MAX_DRAWN} more nodes are not drawn.</p>"
        if len(graph) > MAX_DRAWN
        else ""
    )
    return (
        f'<div class="mg-graph" tabindex="0" role="group" aria-label="{names}">'
        f'<svg viewBox="{_view(boxes, wires)}">{"".join(map(_draw_wire, wires))}'
        f"{''.join(shapes)}</svg></div>{more}"
    )


def boxes_of(graph: Graph, classes: NodeClasses) -> dict[str, Box]:
    """Each node's, in its place."""
    used = _used_slots(graph)
    return _placed({one.id: _box(one, classes, used.get(one.id, 0)) for one in graph}, graph)


def _view(boxes: Mapping[str, Box], wires: Sequence[ColouredWire]) -> str:
    """All of it."""
    rects = [box.rect for box in boxes.values()]
    corners = [point for one in wires for point in one.wire.points]
    xs = [x for rect in rects for x in (rect.left, rect.right)] + [x for x, _ in corners]
    ys = [y for rect in rects for y in (rect.top, rect.bottom)] + [y for _, y in corners]
    left, top = min(xs) - PAD, min(ys) - PAD
    return f"{left:.0f} {top:.0f} {max(xs) + PAD - left:.0f} {max(ys) + PAD - top:.0f}"


def _used_slots(graph: Graph) -> dict[str, int]:
    """How many outputs of each node something is linked to, counted up to the last such one."""
    used: dict[str, int] = {}
    for link in (link for node in graph for link in node.links.values()):
        if 0 <= link.slot < MAX_SOCKETS:
            used[link.node] = max(used.get(link.node, 0), link.slot + 1)
    return used


def _box(node: Node, classes: NodeClasses, used_slots: int) -> Box:
    known = classes.get(node.class_type)
    outputs = tuple(map(str, getattr(known, "RETURN_TYPES", ())))
    if known is None:
        outputs = (UNKNOWN,) * used_slots
    values = list(node.widgets.items())
    drawn = values if len(values) <= MAX_LINES else values[: MAX_LINES - 1]
    lines = [
        f"{name}: {value if isinstance(value, str) else shown(value)}" for name, value in drawn
    ]
    if len(drawn) < len(values):
        lines.append(f"and {len(values) - len(drawn)} more")
    return Box(
        node.id,
        node.name,
        tuple(node.links)[:MAX_SOCKETS],
        outputs,
        tuple(lines),
        is_known=known is not None,
    )


# ---------------------------------------------------------------- where


def _placed(boxes: dict[str, Box], graph: Graph) -> dict[str, Box]:
    places = _places_in(graph, boxes) or _layers(boxes, graph)
    return {
        node_id: replace(box, x=places[node_id][0], y=places[node_id][1])
        for node_id, box in boxes.items()
    }


def _places_in(graph: Graph, boxes: Mapping[str, Box]) -> dict[str, tuple[float, float]] | None:
    """ComfyUI's positions, closed up to the size of our boxes; None unless every node has one of
    its own.
    """
    closed = {
        node.id: (node.pos[0] * (WIDTH + GAP_X) / 360, node.pos[1])
        for node in graph
        if node.pos is not None
    }
    return None if len(closed) < len(graph) or _overlap(closed, boxes) else closed


def _overlap(places: Mapping[str, tuple[float, float]], boxes: Mapping[str, Box]) -> bool:
    """Whether two boxes would lie on each other, as collapsed nodes do."""
    at = [(x, y, boxes[node_id].height) for node_id, (x, y) in places.items()]
    return any(
        abs(x1 - x2) < WIDTH and y1 < y2 + h2 and y2 < y1 + h1
        for i, (x1, y1, h1) in enumerate(at)
        for x2, y2, h2 in at[:i]
    )


def _layers(boxes: Mapping[str, Box], graph: Graph) -> dict[str, tuple[float, float]]:
    """Each node one column to the right of the furthest that it needs; in a circle, where it was
    met first.
    """
    depth: dict[str, int] = dict.fromkeys(boxes, 0)
    above = {node_id: set(graph.upstream(node_id)) - {node_id} for node_id in boxes}
    for _ in range(len(boxes)):
        before = dict(depth)
        for node_id in boxes:
            needs = [depth[up] + 1 for up in above[node_id]]
            depth[node_id] = min(max(needs, default=0), len(boxes))
        if depth == before:
            break
    filled: dict[int, float] = {}
    places = {}
    for node_id, column in depth.items():
        top = filled.get(column, 0.0)
        places[node_id] = (column * (WIDTH + GAP_X), top)
        filled[column] = top + boxes[node_id].height + GAP_Y
    return places


# ---------------------------------------------------------------- drawing


@dataclass(frozen=True)
class ColouredWire:
    source: str
    target: str
    wire: Wire
    colour: str


def wires_of(graph: Graph, boxes: Mapping[str, Box]) -> list[ColouredWire]:
    """None of them behind a box, where there is a way around and they are not too many."""
    ends = [
        (link.node, link.slot, node.id, place)
        for node in graph
        for place, link in enumerate(list(node.links.values())[:MAX_SOCKETS])
        if link.node in boxes and 0 <= link.slot < len(boxes[link.node].outputs)
    ]
    rects = {name: box.rect for name, box in boxes.items()} if len(ends) <= MOST_ROUTED else {}
    found = []
    for number, (source, slot, target, place) in enumerate(ends):
        a, b = boxes[source], boxes[target]
        between = [rect for name, rect in rects.items() if name not in (source, target)]
        way = wire((a.x + WIDTH, _row(a, slot)), (b.x, _row(b, place)), between, number)
        colour = WIRE_COLOURS.get(a.outputs[slot], OTHER_WIRE)
        found.append(ColouredWire(source, target, way, colour))
    return found


def _draw_wire(one: ColouredWire) -> str:
    return (
        f'<path d="{one.wire.path()}" fill="none" stroke="{one.colour}" stroke-width="3" '
        'opacity=".85"/>'
    )


def _row(box: Box, index: int) -> float:
    return box.y + HEAD + ROW * index + ROW / 2 + 3


def _draw_box(box: Box, mark: str) -> str:
    x, y = box.x, box.y
    kind = mark if box.is_known else f"{mark} unknown".strip()
    parts = [
        f'<g class="{html.escape(kind)}" data-node="{html.escape(box.id)}">'
        f"<title>{html.escape(box.title)}</title>",
        f'<rect class="box" x="{x:.0f}" y="{y:.0f}" '
        f'width="{WIDTH}" height="{box.height:.0f}" rx="12"/>',
        f'<path class="head" d="M{x + 1:.0f} {y + HEAD:.0f} v-{HEAD - 12} '
        f'q0 -11 11 -11 h{WIDTH - 24} q11 0 11 11 v{HEAD - 12} z"/>',
        _text(box.title, x + 12, y + 23, 15, 25, weight=650),
    ]
    for index, name in enumerate(box.inputs):
        parts.append(
            _dot(x, _row(box, index), OTHER_WIRE)
            + _text(name, x + 12, _row(box, index) + 4, 12, 15, "small")
        )
    for index, kind in enumerate(box.outputs):
        parts.append(_dot(x + WIDTH, _row(box, index), WIRE_COLOURS.get(kind, OTHER_WIRE)))
        short = kind.removeprefix("MUSICGEN_").replace("_", " ").lower()
        parts.append(_text(short, x + WIDTH - 12, _row(box, index) + 4, 12, 15, "small", end=True))
    below = max(len(box.inputs), len(box.outputs))
    for index, line in enumerate(box.lines):
        parts.append(_text(line, x + 12, _row(box, below + index) + 5, 12.5, 30))
    return "".join(parts) + "</g>"


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="5" fill="{colour}"/>'


def _text(
    text: str,
    x: float,
    y: float,
    size: float,
    most: int,
    kind: str = "",
    *,
    weight: int = 400,
    end: bool = False,
) -> str:
    plain = " ".join(text[: 10 * most].split())
    short = plain if len(plain) <= most else plain[: most - 1] + "…"
    anchor = ' text-anchor="end"' if end else ""
    return (
        f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" '
        f'font-size="{size}" font-weight="{weight}"{anchor}>'
        f"{html.escape(short)}</text>"
    )
