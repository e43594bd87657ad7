"""The Graph tab without a browser: graphs of strangers run node by node, within what the server
allows.
"""

import json
from pathlib import Path

import pytest
import tiny
import torch
from fakes import opened
from page_settings import CLASSES, SETTINGS, api_graph
from workers import FakeWorker

from musicgraph.app.page.graph import run_graph, shipped_workflow
from musicgraph.app.page.graph_form import sections
from musicgraph.app.page.graph_picture import draw_graph
from musicgraph.app.page.visitors import Visitors
from musicgraph.app.studio.job import JobResult
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.weights import places
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.problems import NodeError, WorkflowError

ROOT = Path(__file__).parents[1]


pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")


def test_a_graph_runs_node_by_node_and_gives_its_files(visitors, shelf):
    shown = list(run_graph(visitors, shelf, SETTINGS, "anna", opened(api_graph(), CLASSES)))
    assert shown[-1].marks == dict.fromkeys("12345", "done")
    (made,) = shown[-1].made
    assert made.title == "Save Audio (Advanced)"  # as ComfyUI calls it today
    assert read_audio(made.files[0])[0].shape[-1] == 8000
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
    for name in (
        "his.wav",
        "../../" + str(shelf.folder("ben", "input") / "his.wav"),
        "/etc/passwd",
    ):
        prompt = {
            "1": {"class_type": "LoadAudio", "inputs": {"audio": name}},
            "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
        }
        with pytest.raises(WorkflowError, match="LoadAudio"):
            next(run_graph(visitors, shelf, SETTINGS, "anna", opened(prompt, CLASSES)))


def test_a_failing_node_is_named_and_marked(visitors, shelf):
    marks = {}
    with pytest.raises(NodeError, match="MusicGen Sampler"):
        for shown in run_graph(
            visitors, shelf, SETTINGS, "anna", opened(api_graph(top_k=60000), CLASSES)
        ):
            marks = shown.marks
    assert marks["3"] == "broken" and marks["1"] == "done"


@pytest.mark.parametrize("kind", ["MusicGenModelLoader", "MusicGenSampler"])
def test_a_node_without_inputs_beside_the_way_changes_nothing(visitors, shelf, kind):
    beside = {**api_graph(), "9": {"class_type": kind, "inputs": {}}}
    workflow = opened(beside, CLASSES)
    assert "9" in draw_graph(workflow.graph, CLASSES)
    (section,) = [one for one in sections(workflow.graph, workflow.specs) if one.node == "9"]
    assert section.fields
    *_, last = run_graph(visitors, shelf, SETTINGS, "anna", workflow)
    assert last.marks == dict.fromkeys("12345", "done") and last.made[0].files


def test_a_model_that_lies_elsewhere_runs_and_files_name_it_without_its_path(
    visitors, shelf, tmp_path
):
    tiny.write_tiny_checkpoint(tmp_path / "elsewhere" / "own", codebook_size=1024)
    settings = AppSettings(model=str(tmp_path / "elsewhere" / "own"))
    workflow = shipped_workflow("text_to_music.json", settings, CLASSES)
    workflow = with_overrides(workflow, [Override("3", "duration", 1.0)])
    *_, last = run_graph(visitors, shelf, settings, "anna", workflow)
    tags = read_tags(last.made[0].files[0])
    assert json.loads(tags["prompt"])["1"]["inputs"]["model"] == "own"
    assert not any("elsewhere" in text for text in tags.values())


def test_an_official_model_of_the_menu_that_is_not_here_yet_goes_to_the_worker(
    shelf, monkeypatch, tmp_path
):
    name, asked, jobs = places.OFFICIAL[0].id, [], []

    class Notes(FakeWorker):
        def run(self, job, listener, stopped):
            jobs.append(job)
            return JobResult()

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "check_online", lambda name, folders: asked.append(name))
    prompt = api_graph()
    prompt["1"]["inputs"]["model"] = name
    queue = JobQueue(Notes())
    list(run_graph(Visitors(queue), shelf, SETTINGS, "anna", opened(prompt, CLASSES)))
    queue.close()
    (job,) = jobs
    assert job.graph["1"]["inputs"]["model"] == job.named_models[name] == name and name in asked
