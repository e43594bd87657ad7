"""What the tests of audiocraft's layout share: a folder to change, on a machine that has nothing
else. Test files name this one in `pytest_plugins`.
"""

import shutil

import pytest
import torch
from audiocraft_layout import exported, lm_settings, write_audiocraft

from musicgraph.app.studio.music import make_music
from musicgraph.models.weights import parts, places
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

STATE, CODEC = "state_dict.bin", "compression_state_dict.bin"


def no_network(*_, **__):
    pytest.fail("asked the hub")


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(parts, "download", no_network)
    monkeypatch.setattr(places, "download", no_network)


@pytest.fixture(scope="session")
def whole(mono, tmp_path_factory):
    """A folder to copy from."""
    folder = tmp_path_factory.mktemp("audiocraft") / "whole"
    write_audiocraft(folder, mono.upstream)
    return folder


@pytest.fixture
def folder(whole, tmp_path, bare_machine):
    return shutil.copytree(whole, tmp_path / "models" / "mine")


def rewrite(folder, name, change):
    """The same archive after `change(content)`."""
    content = torch.load(folder / name, weights_only=True)
    torch.save(change(content) or content, folder / name)


def text_with(change, settings=None):
    """Changes xp.cfg."""

    def rewritten(content, model):
        tree = (settings or lm_settings)(model)
        change(tree)
        return exported(content["best_state"], tree)

    return rewritten


def sound_of(folder):
    request = Request("a calm piano", model=str(folder), duration_s=0.5, seed=3, top_k=50)
    return make_music(Runner(), request).waveform
