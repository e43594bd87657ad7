"""Fixtures of the tests of audiocraft's layout, which name this file in `pytest_plugins`: a folder
to change, on a machine that has nothing else.
"""

import shutil

import pytest
from audiocraft_layout import write_audiocraft

from musicgraph.models.weights import parts, places


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
