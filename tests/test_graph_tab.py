"""The Graph tab without a browser: graphs of strangers run node by node, within what the server
allows.
"""

from pathlib import Path

import pytest
import torch
from fakes import opened
from page_settings import CLASSES, SETTINGS, api_graph

from musicgraph.app.page.graph import run_graph, shipped_workflow
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.problems import NodeError, WorkflowError

ROOT = Path(__file__).parents[1]


pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")


def test_a_graph_runs_node_by_node_and_gives_its_files(visitors, shelf):
    shown = list(run_graph(visitors, shelf, SETTINGS, "anna", opened(api_graph(), CLASSES)))
    assert shown[-1].marks == dict.fromkeys("12345", "done")
    (made,) = shown[-1].made
    assert made.title == "Save Audio (FLAC)" and read_audio(made.files[0])[0].shape[-1] == 8000
    again = list(run_graph(visitors, shelf, SETTINGS, "ben", opened(api_graph(), CLASSES)))
    assert again[-1].made[0].files != made.files
    assert shelf.folder("ben", "made") in again[-1].made[0].files[0].parents


@pytest.mark.parametrize("duration", [500.0, "500", {"__value__": 500}])
def test_music_longer_than_allowed_is_refused_however_it_is_written(visitors, shelf, duration):
    with pytest.raises(WorkflowError, match="expected (0.1 to 120|at most 480)"):
        next(
            run_graph(
                visitors, shelf, SETTINGS, "anna", opened(api_graph(duration=duration), CLASSES)
            )
        )


@pytest.mark.parametrize("model", ["somebody/unknown", "/", {"__value__": "somebody/unknown"}])
def test_models_off_the_menu_are_neither_opened_nor_downloaded(visitors, shelf, model):
    prompt = api_graph()
    prompt["1"]["inputs"]["model"] = model
    with pytest.raises(WorkflowError, match="Load MusicGen"):
        next(run_graph(visitors, shelf, SETTINGS, "anna", opened(prompt, CLASSES)))


def test_files_outside_ones_own_input_folder_are_out_of_reach(visitors, shelf, tmp_path):
    write_audio(shelf.folder("ben", "input") / "his.wav", torch.rand(1, 800) - 0.5, 8000)
    chain = shipped_workflow("chain.json", SETTINGS, CLASSES)
    for name in (
        "his.wav",
        "../../" + str(shelf.folder("ben", "input") / "his.wav"),
        "/etc/passwd",
    ):
        prompt = chain.prompt
        prompt["6"]["inputs"]["audio"] = name
        with pytest.raises(WorkflowError, match="Load Audio"):
            next(run_graph(visitors, shelf, SETTINGS, "anna", opened(prompt, CLASSES)))


def test_a_failing_node_is_named_and_marked(visitors, shelf):
    marks = {}
    with pytest.raises(NodeError, match="MusicGen Sampler"):
        for shown in run_graph(
            visitors, shelf, SETTINGS, "anna", opened(api_graph(top_k=60000), CLASSES)
        ):
            marks = shown.marks
    assert marks["3"] == "broken" and marks["1"] == "done"
