"""Graphs made in ComfyUI's page by its own functions (frontend 1.58.1): what comes of them here is
what came of them in ComfyUI 0.30.0, sample for sample.

These of `graphs/` have `samples` too: of each saver the sound that ComfyUI wrote as FLAC.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgraph.nodes.host import Run, running
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import NodeSpecs, node_classes
from musicgraph.workflows.validate import validate
from musicgraph.workflows.workflow import Workflow

GRAPHS = {
    path.stem: both
    for path in sorted((Path(__file__).parent / "graphs").glob("*.json"))
    if "samples" in (both := json.loads(path.read_text(encoding="utf-8")))
}
RATE = 24000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """The folder of inputs: 16 bits, made of whole numbers, so that they are the same anywhere."""
    folder, t = tmp_path_factory.mktemp("input"), np.arange(RATE)
    left, right = t * 37 % 20001 - 10000, t * t // 7 % 16001 - 8000
    both = np.stack([left, right], 1).astype("<i2")
    soundfile.write(folder / "page_stereo.wav", both, RATE, "PCM_16")
    soundfile.write(folder / "page_mono.wav", both[: RATE // 2, 0], RATE, "PCM_16")
    return folder


def said(path):
    """The samples of a file, its shape and its rate in a line."""
    samples, rate = read_audio(path)
    whole = np.rint(samples.numpy() * 32768).astype("<i2").tobytes()
    return f"{hashlib.sha256(whole).hexdigest()[:16]} {tuple(samples.shape)} {rate}"


def test_there_are_graphs():
    assert len(GRAPHS) >= 20


@pytest.mark.parametrize("name", GRAPHS)
def test_the_samples_are_comfyuis(name, sounds, tmp_path):
    folders = {"output": tmp_path / "output", "temp": tmp_path / "temp"}
    specs = NodeSpecs(node_classes())
    with running(Run(input_dir=sounds, output_dir=folders["output"], temp_dir=folders["temp"])):
        workflow = Workflow.of(Document(ui=GRAPHS[name]["workflow"]), specs)
        valid = validate(workflow.runnable, specs)
    result = Runner().run(
        valid, input_dir=sounds, output_dir=folders["output"], temp_dir=folders["temp"]
    )
    made = {
        node: said(folders[entry["type"]] / entry["subfolder"] / entry["filename"])
        for node, shown in result.ui.items()
        for entry in shown.get("audio", [])
        if entry["filename"].endswith(".flac")
    }
    assert made == GRAPHS[name]["samples"]
