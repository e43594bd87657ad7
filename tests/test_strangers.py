"""Whatever a stranger sends, it is a result or a refusal: never another exception, never one that
is half said.
"""

import json
from pathlib import Path

import pytest
import torch
from fakes import CLASSES, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import VALUES, as_text, damaged, mutated

from musicgraph.app.page.graph_picture import draw_graph
from musicgraph.app.studio.fields import all_fields, compatible_fields, read_fields
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.refused import Refused
from musicgraph.workflows import default_graph
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import write_audio
from musicgraph.workflows.media.pngs import png_bytes
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.problems import NodeError
from musicgraph.workflows.reader import parse_document
from musicgraph.workflows.registry import node_classes
from musicgraph.workflows.validate import validate

SHIPPED_IN = Path(default_graph.__file__).parent
SHIPPED = [
    json.loads(path.read_text(encoding="utf-8")) for path in sorted(SHIPPED_IN.rglob("*.json"))
]
DRAWN = [
    json.loads(path.read_text(encoding="utf-8"))["workflow"]
    for path in sorted((Path(__file__).parent / "graphs").glob("*.json"))
]
BOTH = [
    {"output": json.loads((SHIPPED_IN / "api" / path.name).read_text(encoding="utf-8")),
     "workflow": json.loads(path.read_text(encoding="utf-8"))}
    for path in sorted(SHIPPED_IN.glob("*.json"))
]  # fmt: skip
FEW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NODES = node_classes()


def understood(text, classes):
    """The graph of a document, drawn and checked; None if it was refused."""
    try:
        workflow = opened(parse_document(text), classes)
        assert draw_graph(workflow.graph, classes).startswith("<")
        found = validate(workflow.runnable, workflow.specs)
        found.raise_if_refused()
    except Refused as error:
        assert str(error).strip() and "Traceback" not in str(error)
        return None
    return found


@FEW
@given(mutated(SHIPPED) | mutated(DRAWN))
def test_a_workflow_that_was_changed_somewhere(data):
    understood(as_text(data), NODES)


@FEW
@given(mutated(SHIPPED + BOTH) | mutated(DRAWN), st.data())
def test_a_value_set_in_a_changed_workflow_is_in_its_tags(data, draw):
    try:
        workflow = opened(parse_document(as_text(data)), NODES)
        widgets = [(node.id, name) for node in workflow.graph for name in node.widgets]
        if not widgets:
            return
        node_id, name = draw.draw(st.sampled_from(widgets))
        tags = with_overrides(workflow, [Override(node_id, name, "set by me")]).tags
    except Refused as error:
        assert str(error).strip()
        return
    assert "set by me" in tags["prompt"]


@FEW
@given(VALUES)
def test_json_that_is_no_workflow(data):
    understood(as_text(data), NODES)


@FEW
@given(st.text(max_size=200))
def test_text_that_may_be_no_json(text):
    understood(text, NODES)


TINY = {
    "1": {"class_type": "Number", "inputs": {"value": 3}},
    "2": {"class_type": "Add", "inputs": {"a": ["1", 0], "seed": 5, "mode": "plus"}},
    "3": {"class_type": "Show", "inputs": {"value": ["2", 0], "label": "sum"}},
    "4": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
}


@FEW
@given(mutated([TINY]))
def test_a_changed_graph_that_passes_is_run(data):
    found = understood(as_text(data), CLASSES)
    if found is not None:
        try:
            Runner(CLASSES).run(found)
        except (Refused, NodeError) as error:
            assert not isinstance(error, NodeError) or error.is_refusal


@pytest.fixture(scope="module")
def carriers(tmp_path_factory):
    """One file of each kind that carries a graph."""
    folder = tmp_path_factory.mktemp("carriers")
    tags = {"prompt": json.dumps(TINY), "workflow": json.dumps(SHIPPED[0])}
    for suffix in (".flac", ".mp3", ".opus"):
        write_audio(folder / f"a{suffix}", torch.zeros(1, 4800), 48000, tags=tags)
    (folder / "a.png").write_bytes(png_bytes(torch.zeros(8, 8, 3), tags))
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


@FEW
@given(data=st.data())
def test_a_damaged_file_that_carries_a_graph(carriers, tmp_path, data):
    name, whole = data.draw(st.sampled_from(carriers))
    (tmp_path / name).write_bytes(data.draw(damaged([whole])))
    try:
        assert isinstance(read_tags(tmp_path / name), dict)
    except Refused as error:
        assert str(error).strip()


@pytest.mark.parametrize("fields", [all_fields, compatible_fields])
@FEW
@given(data=st.data())
def test_a_body_of_the_api(fields, data):
    known = fields(AppSettings(model="pocket"))
    names = st.sampled_from(sorted(known)) | st.text(max_size=6)
    body = data.draw(st.dictionaries(names, VALUES, max_size=4))
    try:
        assert set(read_fields(known, {"prompt": "x", **body})) == set(known)
    except Refused as error:
        assert error.what and error.remedy
