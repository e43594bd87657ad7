"""Every workflow that is shipped opens in ComfyUI: its ids, links and widgets are sound, and both
formats agree.
"""

import json
import sys
from pathlib import Path

import pytest
import torch
from adapters import write_adapter
from audiocraft_layout import exported, lm_settings, write_audiocraft
from fakes import assert_links_sound, checked, opened
from upstream import musicgen_model

from musicgraph import cli
from musicgraph.models.weights.places import OFFICIAL
from musicgraph.nodes import host
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.canvas import NOTES
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import read_document
from musicgraph.workflows.registry import NodeSpec, node_classes
from musicgraph.workflows.widget_values import CONTROL_VALUES, widget_places

FOLDER = Path(__file__).parents[1] / "workflows"
UI_FILES = sorted(FOLDER.glob("*.json"))
API_FILES = sorted((FOLDER / "api").glob("*.json"))
EXTRA_VALUES = {"LoadAudio": [None, ""]}  # what ComfyUI's page adds for its upload button
OWN_FILES = {"Load Video", "Load MusicGen LoRA"}
"""the nodes whose file is the user's own: no other needs one that is not shipped"""

each_ui_file = pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def classes():
    return node_classes()


def loaded(path):
    return json.loads(path.read_text(encoding="utf-8"))


def nodes_of(path):
    return [node for node in loaded(path)["nodes"] if node["type"] not in NOTES]


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
    for node in nodes_of(path):
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
    for node in nodes_of(path):
        expected, values = [], list(node["widgets_values"])
        specs = NodeSpec.of(node["type"], classes[node["type"]]).inputs
        for name in widget_places(specs.values(), values):
            spec = specs[name]
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
    """A published model may be named, which is not on this machine."""
    models = {official.id: official.id for official in OFFICIAL}
    with running(Run(input_dir=tmp_path, named_models=models)):
        problems = checked(read_document(path), classes).problems
    assert {problem.title for problem in problems} <= OWN_FILES


@each_ui_file
def test_a_thumbnail_lies_beside_it_by_its_name(path):
    """As ComfyUI's list of templates looks for it."""
    picture = path.with_suffix(".jpg").read_bytes()
    assert picture[:2] == b"\xff\xd8" and len(picture) < 100_000


@each_ui_file
def test_a_note_says_what_it_is_for_and_no_node_is_out_of_date(path, classes):
    nodes = loaded(path)["nodes"]
    (note,) = [node for node in nodes if node["type"] in NOTES]
    assert note["widgets_values"][0].startswith("## ")
    titles = [NodeSpec.of(one["type"], classes[one["type"]]).title for one in nodes_of(path)]
    assert not any("DEPRECATED" in title for title in titles)


def test_the_default_graph_is_an_app_too_of_values_and_a_result_that_are_there(classes):
    ui = loaded(FOLDER / "text_to_music.json")
    kinds = {str(node["id"]): node["type"] for node in ui["nodes"]}
    shown, results = ui["extra"]["linearData"]["inputs"], ui["extra"]["linearData"]["outputs"]
    assert [name for _, name in shown] == ["text", "duration", "seed", "model"]
    for node_id, name in shown:
        assert NodeSpec.of(kinds[node_id], classes[kinds[node_id]]).inputs[name].is_widget
    assert results == ["5"] and classes[kinds["5"]].OUTPUT_NODE
    assert ui["extra"]["linearMode"] is False, "it opens as the graph that it is"


# ---------------------------------------------------------------- runs


@pytest.fixture
def ran(tmp_path, capsys, monkeypatch):
    """Runs a shipped workflow by the command, with tiny models in it: its one file and its log."""
    monkeypatch.chdir(tmp_path)

    def run(name, **values):
        values = {
            "1.precision": "fp32",
            "1.device": "cpu",
            "3.top_k": 50,
            "3.duration": 1,
            **values,
        }
        options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        monkeypatch.setattr(sys, "argv", ["musicgraph", "run", str(FOLDER / name), *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        assert not ended.value.code, told.err
        return read_audio(Path(told.out.splitlines()[0]))

    return run


@pytest.mark.parametrize("file", ["lora.json", "api/lora.json"])
def test_the_lora_workflow_plays_an_adapter_that_the_user_names(ran, mono, tmp_path, file):
    adapter = write_adapter(musicgen_model(mono.folder), tmp_path / "zither")
    tiny = {"1.model": mono.folder, "6.adapter": adapter}
    heard, rate = ran(file, **tiny)
    off, _ = ran(file, **tiny, **{"6.strength": 0})
    assert heard.shape == (1, rate) == off.shape and not torch.equal(heard, off)


@pytest.mark.parametrize("file", ["sound_effects.json", "api/sound_effects.json"])
def test_the_workflow_for_sound_effects_runs_on_audiocrafts_files(
    ran, mono, tmp_path, monkeypatch, file
):
    shown = []
    monkeypatch.setattr(host, "show", shown.append)
    settings = {**lm_settings(mono.upstream), "solver": "audiogen"}
    folder = tmp_path / "tiny-audiogen"
    write_audiocraft(folder, mono.upstream)
    content = torch.load(folder / "state_dict.bin", weights_only=True)
    torch.save(exported(content["best_state"], settings), folder / "state_dict.bin")
    sound, rate = ran(file, **{"1.model": folder})
    assert sound.shape == (1, rate) and sound.abs().max() > 0
    assert any("sound effects model (AudioGen)" in one for one in shown)
