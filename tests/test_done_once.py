"""From a request or a file to a result: each step of understanding is done once."""

import sys
from collections import Counter

import pytest
import tiny

from musicgraph import cli
from musicgraph.app.page import graph as page_graph
from musicgraph.app.page.model_menu import model_choices
from musicgraph.app.studio import models as offered_models
from musicgraph.app.studio import music
from musicgraph.app.studio.models import offers
from musicgraph.app.studio.music import make_music
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.weights import places
from musicgraph.workflows import default_graph, executor, validate, workflow
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.registry import node_classes
from musicgraph.workflows.request import Request


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint with room for the default top_k."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_tiny_checkpoint(folder, codebook_size=512)
    return str(folder)


@pytest.fixture
def counts(monkeypatch):
    """How often a document becomes a graph, a graph is checked, the models are listed and a class
    is asked.
    """
    counter = Counter()

    def count(holder, name, key):
        original = getattr(holder, name)

        def counted(*arguments, **options):
            counter[key] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(holder, name, counted)

    count(workflow, "graph_of", "conversions")
    count(places, "known_models", "scans")
    count(offered_models, "known_models", "scans")
    for module in (music, executor, validate, page_graph):
        count(module, "validate", "validations")
    for class_type, node_class in node_classes().items():
        if "INPUT_TYPES" in vars(node_class):
            count(node_class, "INPUT_TYPES", class_type)
    return counter


ONCE = {
    "MusicGenModelLoader": 1,
    "MusicGenTextEncode": 1,
    "MusicGenSampler": 1,
    "EnCodecDecode": 1,
    "conversions": 1,
    "scans": 1,
    "validations": 1,
}


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_request_is_understood_once(model, counts, seeds):
    runner = Runner()
    for seed in range(seeds):
        counts.clear()
        make_music(runner, Request("happy", model=model, duration_s=0.2, seed=seed))
    assert {name: counts[name] for name in ONCE} == ONCE


def test_every_wish_of_a_request_goes_into_the_same_graph(model, counts):
    wishes = {"negative": "noise", "loudness_lufs": -14.0, "save_as": "mp3"}
    make_music(Runner(), Request("happy", model=model, duration_s=0.5, **wishes))
    assert {name: counts[name] for name in ONCE} == ONCE and counts["AudioLoudness"] == 1


def test_a_file_is_understood_once_however_much_is_set(model, counts, tmp_path, monkeypatch):
    words = {
        "MusicGenModelLoader.model": model,
        "MusicGenSampler.duration": 0.2,
        "MusicGenSampler.seed": 7,
        "MusicGenTextEncode.text": "happy",
    }
    sets = [part for name, value in words.items() for part in ("--set", f"{name}={value}")]
    flow = default_graph.DEFAULT_GRAPH
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musicgraph", "run", str(flow), *sets])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert {name: counts[name] for name in ONCE} == ONCE


def test_what_a_server_offers_takes_one_look_at_the_folders(counts):
    settings = AppSettings()
    for ask in (offers, model_choices):
        counts.clear()
        assert ask(settings) and counts["scans"] == 1
