"""Every workflow that is shipped opens in ComfyUI: its ids, links and widgets are sound, and both
formats agree.
"""

import json
from pathlib import Path

import pytest
from fakes import assert_links_sound, checked, opened

from musicgraph.models.weights.places import OFFICIAL
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.reader import read_document
from musicgraph.workflows.registry import NodeSpec, node_classes
from musicgraph.workflows.widget_values import CONTROL_VALUES

FOLDER = Path(__file__).parents[1] / "workflows"
UI_FILES = sorted(FOLDER.glob("*.json"))
API_FILES = sorted((FOLDER / "api").glob("*.json"))
EXTRA_VALUES = {"LoadAudio": [None, ""]}  # what ComfyUI's page adds for its upload button

each_ui_file = pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def classes():
    return node_classes()


def loaded(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_workflow_is_there_in_both_formats():
    assert UI_FILES and [path.stem for path in API_FILES] == [path.stem for path in UI_FILES]


@each_ui_file
def test_ids_are_unique_and_counted(path):
    ui = loaded(path)
    node_ids, link_ids = [node["id"] for node in ui["nodes"]], [link[0] for link in ui["links"]]
    assert len(set(node_ids)) == len(node_ids) and ui["last_node_id"] == max(node_ids)
    assert len(set(link_ids)) == len(link_ids) and ui["last_link_id"] == max(link_ids)
    assert ui["version"] == 0.4 and sorted(node["order"] for node in ui["nodes"]) == list(
        range(len(node_ids))
    )


@each_ui_file
def test_every_link_is_named_at_both_ends_and_of_one_type(path):
    assert_links_sound(loaded(path))


@each_ui_file
def test_sockets_and_outputs_are_those_of_the_class(path, classes):
    for node in loaded(path)["nodes"]:
        node_class = classes[node["type"]]
        specs = NodeSpec.of(node["type"], node_class).inputs
        assert [output["type"] for output in node["outputs"]] == list(node_class.RETURN_TYPES)
        assert [socket["name"] for socket in node["inputs"] if "widget" not in socket] == [
            name for name, spec in specs.items() if not spec.is_widget
        ]
        assert all(socket["type"] == specs[socket["name"]].type_name for socket in node["inputs"])
        assert node["properties"]["Node name for S&R"] == node["type"]
        assert node["properties"]["cnr_id"] in ("musicgraph", "comfy-core")


@each_ui_file
def test_widget_values_are_all_there_in_order_and_seeds_are_fixed(path, classes):
    for node in loaded(path)["nodes"]:
        expected, values = [], list(node["widgets_values"])
        for spec in NodeSpec.of(node["type"], classes[node["type"]]).widgets:
            expected.append(spec)
            expected += ["fixed"] if spec.has_seed_control else []
        expected += EXTRA_VALUES.get(node["type"], [])
        assert len(values) == len(expected), node["type"]
        for value, spec in zip(values, expected, strict=True):
            assert spec == value if spec in (None, "", "fixed") else value not in CONTROL_VALUES


@each_ui_file
def test_the_api_form_is_what_the_page_would_send(path, classes):
    assert loaded(FOLDER / "api" / path.name) == opened(read_document(path), classes).prompt


@pytest.mark.parametrize("path", [*UI_FILES, *API_FILES], ids=lambda path: path.stem)
def test_every_workflow_is_fit_to_run(path, classes, tmp_path):
    """All but the file that LoadAudio asks for: that is the user's own. A published model may be
    named, which is not on this machine.
    """
    models = {official.id: official.id for official in OFFICIAL}
    with running(Run(input_dir=tmp_path, named_models=models)):
        problems = checked(read_document(path), classes).problems
    assert {problem.title for problem in problems} <= {"Load Audio"}
