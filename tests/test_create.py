"""The Create tab without a browser: what its form means, what its handler yields, refuses."""

import re
import time
from dataclasses import replace

import gradio as gr
import pytest
from page_settings import REQUEST, SETTINGS
from workers import AnyWorker

from musicgraph.app.page.create import build_create, compose
from musicgraph.app.page.first_takes import FIRST_TAKES
from musicgraph.app.page.form import request_from, values_of
from musicgraph.app.page.model_menu import model_choices
from musicgraph.app.page.runs import Runs
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.studio.fields import page_fields
from musicgraph.app.studio.models import ModelNotOffered
from musicgraph.app.studio.queue import JobQueue
from musicgraph.models.refused import Refused
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.workflows.registry import NodeSpec

FIELDS = page_fields(SETTINGS)


pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")


def declared(node_class):
    return NodeSpec.of(node_class.__name__, node_class).inputs


def filled(**values):
    """What stands in the form for REQUEST, with other values."""
    return {**values_of(FIELDS, replace(REQUEST, loudness_lufs=-14.0)), **values}


def test_what_the_widgets_hold_is_the_request_and_back():
    request = replace(
        REQUEST, negative="noise", loudness_lufs=-16.0, variations=2, top_p=0.9, cfg=4.5
    )
    assert request_from(FIELDS, values_of(FIELDS, request)) == request
    quiet = values_of(FIELDS, replace(request, loudness_lufs=None))
    assert request_from(FIELDS, quiet).loudness_lufs is None


def test_the_form_has_what_the_nodes_declare():
    """So a precision that the loader learns is on the page without anybody writing it there."""
    with gr.Blocks():
        form = build_create(Runs(JobQueue(AnyWorker())), Shelf(), SETTINGS)
    loader = declared(MusicGenModelLoader)["precision"]
    precision = form.widgets["precision"]
    assert [name for name, _ in precision.choices] == list(loader.choices)
    assert precision.info == loader.tooltip
    sampler = declared(MusicGenSampler)
    guidance = form.widgets["guidance"]
    assert (guidance.minimum, guidance.maximum) == (
        sampler["cfg"].minimum,
        sampler["cfg"].maximum,
    )


def test_a_seed_is_drawn_for_minus_one_and_for_nothing():
    for seed in (-1, None):
        assert 0 <= request_from(FIELDS, filled(seed=seed)).seed < 2**32


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("seed", -2, "seed: got -2, expected a whole number from -1 to"),
        ("seed", 1e20, "seed: got 1"),
        ("seed", 1.5, "seed: got 1.5"),
        ("seed", "7", 'seed: got "7"'),
        ("duration", None, "duration: got nothing"),
        ("duration", float("nan"), "duration: got NaN"),
        ("duration", 121.0, "duration: got 121.0, expected a number from 0.1 to 120"),
        ("variations", 2.5, "variations: got 2.5, expected a whole number"),
        ("variations", 5, "variations: got 5, expected a whole number from 1 to 4"),
        ("guidance", 99, "guidance: got 99.0, expected a number from"),
        ("temperature", -1, "temperature: got -1"),
        ("top_k", 0, "top_k: got 0"),
        ("top_p", 2, "top_p: got 2"),
        ("loudness", None, "loudness: got nothing"),
        ("loudness", 7, "loudness: got 7"),
        ("prompt", "  ", "prompt: got nothing"),
        ("prompt", None, "prompt: got nothing"),
        ("prompt", "x" * 2001, "prompt: got 2001 characters"),
        ("negative", "x" * 2001, "negative: got 2001 characters"),
        ("precision", "int3", 'precision: got "int3", expected one of "auto"'),
        ("precision", None, "precision: got nothing"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_fields_name(name, value, words):
    with pytest.raises(Refused, match=re.escape(words)) as refused:
        request_from(FIELDS, filled(**{name: value}))
    assert refused.value.what == name


@pytest.mark.parametrize("model", ["/etc", "somebody/unknown", "../tiny"])
def test_a_model_off_the_menu_is_refused_before_anything_waits(visitors, shelf, model):
    with pytest.raises(ModelNotOffered, match="expected one of tiny"):
        next(compose(visitors, shelf, SETTINGS, "anna", replace(REQUEST, model=model)))
    assert not visitors.queue.busy()


def test_ideas_are_requests():
    for idea in (take.prompt for take in FIRST_TAKES):
        assert request_from(FIELDS, filled(prompt=idea)).prompt == idea


def test_the_menu_has_the_default_first_and_tells_size_and_licence():
    choices = model_choices(SETTINGS)
    assert choices[0].name == "tiny"
    small = next(choice for choice in choices if choice.name == "facebook/musicgen-small")
    assert "2.4 GB" in small.label and "not for commercial use" in small.label


def test_closing_the_handler_ends_the_run(visitors, shelf):
    run = compose(visitors, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=120.0))
    while "Composing" not in next(run).status:
        pass
    run.close()
    started = time.monotonic()
    while visitors.queue.busy():
        assert time.monotonic() - started < 5
        time.sleep(0.01)
