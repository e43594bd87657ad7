"""A runner that lives on while files change under it."""

import os
import shutil

import pytest
import torch
from tiny import write_tiny_checkpoint

from musicgraph.workflows import api_format
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.registry import node_classes

SETTINGS = {"seed": 1, "cfg": 3.0, "temperature": 1.0, "top_k": 50, "top_p": 0.0, "variations": 1}


def graph(model):
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": inputs}

    return {
        "1": node("MusicGenModelLoader", model=model, precision="fp32", device="cpu"),
        "2": node("MusicGenTextEncode", text_encoder=["1", 1], text="drums"),
        "3": node("MusicGenSampler", model=["1", 0], positive=["2", 0], duration=0.5, **SETTINGS),
        "4": node("EnCodecDecode", codec=["1", 2], tokens=["3", 0]),
        "5": node("PreviewAudio", audio=["4", 0]),
    }


@pytest.fixture
def folder(mono, tmp_path):
    return shutil.copytree(mono.folder, tmp_path / "model")


def run(runner, folder):
    prompt = api_format.read(graph(str(folder)))
    result = runner.run(prompt, targets=("3",), named_models={str(folder): str(folder)})
    return result.value("3")["tokens"], result.cached


def test_weights_replaced_on_disk_are_heard_in_the_next_run(folder, tmp_path):
    runner = Runner(node_classes())
    before, _ = run(runner, folder)
    again, cached = run(runner, folder)
    assert torch.equal(before, again) and "1" in cached, "nothing changed, nothing is loaded"
    write_tiny_checkpoint(tmp_path / "other", seed=1)
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")
    after, cached = run(runner, folder)
    assert "1" not in cached
    assert torch.equal(after, run(Runner(node_classes()), folder)[0])
    assert not torch.equal(after, before)


def test_a_configuration_replaced_on_disk_is_read_in_the_next_run(folder):
    runner = Runner(node_classes())
    run(runner, folder)
    os.utime(folder / "config.json", ns=(1, 1))
    assert "1" not in run(runner, folder)[1]


def test_a_model_that_is_nowhere_has_no_fingerprint(tmp_path):
    assert (
        node_classes()["MusicGenModelLoader"].IS_CHANGED(str(tmp_path / "nowhere"), "auto", "auto")
        == ""
    )
