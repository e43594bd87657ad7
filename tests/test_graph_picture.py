"""The picture of a graph: every graph that can be read has one, of a bounded size."""

import pytest
from fakes import CLASSES, node, opened
from page_settings import SETTINGS

from musicgraph.app.page.graph import shipped_workflow, shipped_workflows
from musicgraph.app.page.graph_picture import (
    MAX_DRAWN,
    MAX_SOCKETS,
    boxes_of,
    draw_graph,
    wires_of,
)
from musicgraph.app.page.graph_wires import Rect, wire
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import node_classes


def ui(*positions):
    nodes = [
        {"id": i, "type": "Number", "pos": pos, "widgets_values": [i]}
        for i, pos in enumerate(positions)
    ]
    return Document(ui={"nodes": nodes, "links": []})


@pytest.mark.parametrize("document", [Document(ui={"nodes": []}), Document(api={})])
def test_a_graph_without_nodes_is_a_sentence(document):
    assert (
        draw_graph(opened(document).graph, CLASSES)
        == "<p>The workflow has no active nodes to draw.</p>"
    )


def test_muted_nodes_only_are_a_sentence():
    muted = Document(ui={"nodes": [{"id": 1, "type": "Number", "mode": 2}]})
    assert "no active nodes" in draw_graph(opened(muted).graph, CLASSES)


@pytest.mark.parametrize(
    "pos", [[10**400, 0], [0, -(10**400)], [float("nan"), 0], [float("inf"), 0], ["x"], None, {}]
)
def test_a_position_that_cannot_be_drawn_is_not_used(pos):
    drawn = draw_graph(opened(ui(pos, [300, 40])).graph, CLASSES)
    assert drawn.count('class="box"') == 2 and "nan" not in drawn and "inf" not in drawn


def test_a_large_graph_is_drawn_in_part():
    many = {f"{i}": node("Number", value=i) for i in range(MAX_DRAWN + 50)}
    many["x"] = {"inputs": {f"i{i}": ["0", 0] for i in range(5000)}, "class_type": "Number"}
    drawn = draw_graph(opened({"x": many["x"], **many}).graph, CLASSES)
    assert drawn.count('class="box"') == MAX_DRAWN and "51 more nodes are not drawn" in drawn
    assert drawn.count("<path d=") == MAX_SOCKETS


def test_what_a_stranger_wrote_is_escaped():
    drawn = draw_graph(opened({"<b>": node("Number", "<script>", value="<i>")}).graph, CLASSES)
    assert "<script>" not in drawn and "<i>" not in drawn and "<b>" not in drawn


SHIPPED = [name for _, name in shipped_workflows()]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_wire_of_a_shipped_graph_runs_behind_a_box(name):
    graph = shipped_workflow(name, SETTINGS, node_classes()).graph
    boxes = boxes_of(graph, node_classes())
    for one in wires_of(graph, boxes):
        others = [box for key, box in boxes.items() if key not in (one.source, one.target)]
        behind = [box.title for box in others for at in one.wire.along() if box.rect.holds(at)]
        assert not behind, f"{one.source} to {one.target} behind {set(behind)}"


def test_a_wire_goes_around_what_lies_in_its_way():
    wall = Rect(100, -200, 200, 200)
    free, around = wire((0, 0), (300, 0), []), wire((0, 0), (300, 0), [wall])
    assert free.is_curve and not around.is_curve
    assert not any(wall.holds(point) for point in around.along())
    assert (around.points[0], around.points[-1]) == ((0, 0), (300, 0))


def test_an_unknown_node_is_marked_and_its_wires_are_drawn():
    graph = {"1": node("Nobody's", a=1), "2": node("Number", value=["1", 1])}
    drawn = draw_graph(opened(graph).graph, CLASSES)
    assert drawn.count('class="unknown"') == 1 and drawn.count("<path d=") == 1
