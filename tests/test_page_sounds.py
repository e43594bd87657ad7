"""Sounds on the page: an input in sight where the model follows one, the tune as a picture, and
music to it.
"""

import json
import shutil
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
import soundfile
import tiny
from browser_fixtures import Visitor
from gradio_client import Client, handle_file
from pagesite import tiny_site
from workers import AnyWorker

from musicgraph.app.page.create import build_create, compose, page_job
from musicgraph.app.page.form import request_from, usual_style_guidance, values_of
from musicgraph.app.page.runs import PageRun, Runs
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.page.sound_inputs import draw_tune, followed_by
from musicgraph.app.page.take_library import Library
from musicgraph.app.studio.fields import page_fields
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.app.studio.sounds import taken_in
from musicgraph.models.refused import Refused
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.request import Request

pytest_plugins = ["page_fixtures", "browser_fixtures"]

SETTINGS = AppSettings(model="tune")
FIELDS = page_fields(SETTINGS)
ASKED = Request("a calm piano", model="tune", duration_s=1.0, seed=5, top_k=50)
A, E = 440.0, 659.3


@pytest.fixture(scope="module", autouse=True)
def models(mono, melody_mono, style_model, tmp_path_factory):
    """Of each kind one."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, one in {"text": mono, "tune": melody_mono, "manner": style_model}.items():
        shutil.copytree(one.folder, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSICGRAPH_MODELS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def hummed(tmp_path_factory):
    """An A, then an E, two seconds each."""
    path = tmp_path_factory.mktemp("sounds") / "Hummed tune.wav"
    times = np.arange(2 * 8000) / 8000
    notes = [0.5 * np.sin(2 * np.pi * hz * times) for hz in (A, E)]
    soundfile.write(path, np.concatenate(notes), 8000)
    return str(path)


def waveform_of(steps):
    *_, last = steps
    return last.music.waveform


@pytest.mark.parametrize(("how", "model"), [("melody", "tune"), ("style", "manner")])
def test_the_music_follows_an_upload(visitors, shelf, hummed, how, model):
    asked = replace(ASKED, model=model, **{how: hummed})
    *_, last = compose(visitors, shelf, SETTINGS, "anna", asked)
    again = waveform_of(compose(visitors, shelf, SETTINGS, "anna", asked))
    assert last.music.waveform.equal(again)
    plain = replace(asked, **{how: ""})
    assert not again.equal(waveform_of(compose(visitors, shelf, SETTINGS, "anna", plain)))
    graph = json.loads(last.music.tags[0]["prompt"])
    (load,) = (node for node in graph.values() if node["class_type"] == "LoadAudio")
    assert load["inputs"]["audio"].startswith("hummed-tune-"), "a name, and no path"


def test_a_take_keeps_the_sound_that_it_follows(visitors, shelf, hummed):
    asked = replace(ASKED, melody=hummed)
    _, job = page_job(shelf, SETTINGS, "anna", asked)
    library = shelf.takes_of("anna")
    run = Runs(visitors.queue).start(PageRun("anna", asked, job, {}, library))
    assert run.over.wait(60)
    (take,) = Library(library.folder).takes()
    kept = library.sound(take.id, "melody")
    assert kept is not None and kept.read_bytes() == open(hummed, "rb").read()
    assert library.sound(take.id, "style") is None


def test_what_the_widgets_hold_is_the_request_and_back(hummed):
    for request in (
        replace(ASKED, melody=hummed),
        replace(ASKED, style=hummed, style_guidance=2.0),
        ASKED,
    ):
        assert request_from(FIELDS, values_of(FIELDS, request)) == request
    shown = values_of(FIELDS, replace(ASKED, melody="/gone.wav"))
    assert (shown["melody"], shown["style_guidance"]) == (None, usual_style_guidance())


def test_inputs_are_in_sight_where_the_model_can_follow_them():
    """At the beginning, and when another is chosen."""
    for model, seen in (
        ("text", (False, False)), ("tune", (True, False)), ("manner", (False, True)),
    ):  # fmt: skip
        with gr.Blocks():
            runs = Runs(JobQueue(AnyWorker()))
            widgets = build_create(runs, Shelf(), AppSettings(model=model)).widgets
        assert (widgets["melody"].visible, widgets["style"].visible) == seen
        assert widgets["style_guidance"].visible == seen[1]
        assert tuple(followed_by(SETTINGS, model)) == seen
    assert followed_by(SETTINGS, "facebook/musicgen-style") == [False, True], "not yet fetched"
    assert followed_by(SETTINGS, "nobody/nothing") == [False, False]


def test_a_model_that_is_deaf_to_it_is_refused(visitors, shelf, hummed):
    for wrong, words in (
        ({"model": "text", "melody": hummed}, "got text, which cannot follow a melody"),
        ({"model": "tune", "style": hummed}, "a style model, one of manner"),
        ({"melody": hummed, "style": hummed}, "style: got a melody too"),
    ):
        with pytest.raises(Refused, match=words):
            list(compose(visitors, shelf, SETTINGS, "anna", replace(ASKED, **wrong)))


def test_the_picture_is_the_tune(hummed, tmp_path):
    """From left to right: A above C by nine rows, then E by four, of twelve."""
    picture = draw_tune(hummed, SETTINGS, "tune")
    height, width, _ = picture.shape
    light = picture.astype(int).sum(axis=2).reshape(12, height // 12, width).mean(axis=1)
    rows = 11 - light.argmax(axis=0)
    assert {*rows[: int(width * 0.4)]} == {9} and {*rows[int(width * 0.6) :]} == {4}
    (tmp_path / "words.wav").write_text("no sound")
    assert draw_tune(str(tmp_path / "words.wav"), SETTINGS, "tune") is None
    assert draw_tune(hummed, SETTINGS, "facebook/musicgen-melody") is None, "not on this machine"


# ---------------------------------------------------------------- over the network


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """With a text model, and one that follows a melody."""
    folder = tmp_path_factory.mktemp("site")
    tiny.write_tiny_checkpoint(folder / "models" / "tune", codebook_size=1024, melody=True)
    with pytest.MonkeyPatch.context() as patch, tiny_site(folder, patch) as running:
        yield running


def test_a_sound_that_was_taken_in_before_keeps_its_name(hummed, tmp_path):
    with open(hummed, "rb") as sound:
        name = taken_in(sound, "Hummed tune.wav", tmp_path)
        sound.seek(0)
        assert taken_in(sound, name, tmp_path) == name and name.startswith("hummed-tune-")


def test_programs_send_one_by_name(site, hummed):
    client = Client(site.address, verbose=False)
    asked = {"prompt": "a calm piano", "duration": 1, "seed": 7, "model": "tune"}
    (with_it, *_), _ = client.predict(**asked, melody=handle_file(hummed), api_name="/generate")
    (without, *_), _ = client.predict(**asked, api_name="/generate")
    assert not read_audio(with_it)[0].equal(read_audio(without)[0])
    with pytest.raises(Exception, match="style_guidance: got no style"):
        client.predict(**asked, style_guidance=3, api_name="/generate")


@pytest.mark.browser
def test_a_visitor_uploads_a_tune_sees_it_and_makes_another_to_it(site, browser, hummed):
    visitor = Visitor(browser, site)
    page = visitor.page
    assert not page.is_visible("#mg-melody")
    page.click("#mg-model input")
    page.get_by_role("option", name="tune").click()
    page.wait_for_selector("#mg-melody", state="visible")
    assert not page.is_visible("#mg-style")
    page.set_input_files("#mg-melody input[type=file]", hummed)
    page.wait_for_selector("#mg-tune img")
    visitor.generate("a calm piano", duration=1)
    visitor.wait_for(".done")
    page.get_by_role("button", name="More like this").click()
    visitor.until("document.querySelectorAll('#mg-takes .mg-take').length === 2")
    visitor.until("document.querySelectorAll('#mg-takes [aria-expanded=true]').length === 1")
    page.locator("text=melody: hummed-tune").wait_for()
    page.wait_for_selector("#mg-tune img")
    page.click("#mg-model input")
    page.get_by_role("option", name="tiny").click()
    page.wait_for_selector("#mg-melody", state="hidden")
    page.wait_for_selector("#mg-tune", state="hidden")
    assert visitor.complaints == [] and visitor.outside == []
    visitor.context.close()
