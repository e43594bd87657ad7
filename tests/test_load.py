"""The loader: what it says before a run, and that nobody's graph leads it anywhere."""

import pytest
import torch
from fakes import checked

from musicgraph.models.engines import choose
from musicgraph.models.refused import Refused
from musicgraph.models.weights import places
from musicgraph.nodes import host
from musicgraph.nodes.load import MusicGenModelLoader

SMALL = "facebook/musicgen-small"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(places, "download", lambda *_: pytest.fail("asked the hub"))


def said(model="pocket", precision="auto", device="auto", named=()):
    with host.running(host.Run(named_models={name: name for name in named})):
        return MusicGenModelLoader.VALIDATE_INPUTS(model, precision, device)


def test_what_this_machine_can_do_is_let_through():
    assert said() is True
    assert said(precision="fp32", device="cpu") is True
    assert said(SMALL, named=(SMALL,)) is True, "named by the user: it will be downloaded"


def test_values_that_come_over_links_are_left_to_the_run():
    assert said(None, None, None) is True


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"model": "somebody/else"}, "somebody/else"),
        ({"model": "/etc"}, "/etc"),
        ({"model": 7}, "got 7"),
        ({"model": ["x"]}, "x"),
        ({"precision": "int9"}, "int9"),
        ({"device": "tpu"}, "tpu"),
        ({"device": "cuda"}, "which this machine does not offer"),
        ({"model": SMALL}, "is not on this machine"),
        ({"model": "x" * 5000}, "xxx"),
    ],
)
def test_what_cannot_run_is_said_before_it_runs(given, word):
    answer = said(**given)
    assert word in answer and len(answer) < 1500


def test_offline_a_model_that_would_be_downloaded_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in said(SMALL, named=(SMALL,))


def test_int8_without_numba_is_said_before_anything_is_downloaded(monkeypatch):
    monkeypatch.delenv("MUSICGRAPH_ENGINE", raising=False)
    monkeypatch.setattr(choose, "find_spec", lambda _: None)
    for model in ("pocket", SMALL):
        assert "musicgraph[cpu]" in said(model, "int8", named=(model,))


def test_a_broken_checkpoint_is_said_before_it_runs(tmp_path):
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "musicgen"}')
    assert "config.json" in said("mine")


def test_the_headless_check_says_it_too():
    node = {"class_type": "MusicGenModelLoader"}
    node["inputs"] = {"model": "pocket", "precision": "auto", "device": "cuda"}
    classes = {"MusicGenModelLoader": type("Ends", (MusicGenModelLoader,), {"OUTPUT_NODE": True})}
    (problem,) = checked({"1": node}, classes).problems
    assert problem.type == "custom_validation_failed"
    assert "which this machine does not offer" in problem.details


@pytest.mark.parametrize("model", ["somebody/else", "/etc", "../models/x"])
def test_a_linked_name_leads_nowhere_that_a_typed_one_could_not(model):
    with host.running(host.Run()), pytest.raises(Refused, match="expected one of pocket"):
        MusicGenModelLoader().load(model, "auto", "auto")
