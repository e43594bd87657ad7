"""What one does with a take, as the page's script asks for it: each is a run that ends as a take
with its graph, and leaves what was there as it was.
"""

import json

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from page_settings import REQUEST, SETTINGS
from starlette.testclient import TestClient
from workers import AnyWorker

from musicgraph.app.page import browser
from musicgraph.app.page.form import values_of
from musicgraph.app.page.routes import build_routes
from musicgraph.app.page.runs import Runs
from musicgraph.app.page.take_library import Note
from musicgraph.app.studio.fields import page_fields
from musicgraph.app.studio.queue import JobQueue
from musicgraph.models.compose.splice import REACH_S
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.media.retag import all_tags

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")

ANNA = "a" * 32
RATE = 8000
VALUES = {
    name: value
    for name, value in values_of(page_fields(SETTINGS), REQUEST).items()
    if name not in ("melody", "style")
}


@pytest.fixture
def library(shelf):
    return shelf.takes_of(f"browser {ANNA}")


@pytest.fixture
def take(library):
    sound = torch.rand(1, 4 * RATE, generator=torch.Generator().manual_seed(1)) - 0.5
    return library.add(sound, RATE, Note("A piano", 4.0, settings=VALUES), {})


@pytest.fixture
def server(shelf):
    queue = JobQueue(AnyWorker(), max_waiting=2)
    app = FastAPI()
    app.state.runs = Runs(queue)
    app.include_router(build_routes(app.state.runs, shelf, SETTINGS))
    yield app
    queue.close()


@pytest.fixture
def client(server):
    return TestClient(server, cookies={browser.COOKIE: ANNA})


@pytest.fixture
def make(server, client, library):
    def make(take, how, **values):
        answer = client.post(f"/page/takes/{take.id}/make", json={"how": how, **values})
        assert answer.status_code == 200, answer.text
        run = server.state.runs.of(f"browser {ANNA}", answer.json()["run"])
        assert run.over.wait(60)
        now = run.look()
        assert now["state"] == "done", now["status"]
        make.look = now
        return library.take(now["takes"][0]["id"])

    return make


def sound_of(take):
    return read_audio(take.path)[0].numpy()


def classes(take):
    return {one["class_type"] for one in json.loads(all_tags(take.path)["prompt"]).values()}


def test_more_like_this_is_the_same_request_with_another_seed(make, take):
    other = make(take, "more")
    assert (other.note.of, other.note.title) == (take.id, "A piano")
    assert other.note.settings["seed"] != 5
    assert {**other.note.settings, "seed": 5} == {**VALUES, "model": other.note.settings["model"]}


def test_other_words_keep_the_seed(make, take):
    other = make(take, "vary", prompt="A guitar")
    assert (other.note.settings["seed"], other.note.title) == (5, "A guitar")
    assert other.note.settings["prompt"] == "A guitar"


def test_what_goes_on_begins_with_the_take_sample_for_sample(make, take):
    longer = make(take, "continue", seconds=2)
    kept = round((4 - REACH_S) * RATE)
    assert sound_of(longer).shape[-1] == 6 * RATE and longer.note.duration_s == 6
    assert np.array_equal(sound_of(longer)[:, :kept], sound_of(take)[:, :kept])
    assert make.look["begin_s"] == 2.0, "one begins to listen a little before"
    assert longer.note.title == "A piano" and "AudioSplice" in classes(longer)
    assert make(longer, "continue", seconds=1, prompt="drums").note.title == "drums"


def test_a_region_is_made_anew_and_the_rest_stays(make, take):
    other = make(take, "repaint", begin=1, end=2)
    old, new = sound_of(take), sound_of(other)
    assert old.shape == new.shape
    assert np.array_equal(old[:, :RATE], new[:, :RATE])
    assert np.array_equal(old[:, 2 * RATE :], new[:, 2 * RATE :])
    assert not np.array_equal(old, new) and "MusicGenRepaint" in classes(other)


def test_a_loop_is_of_the_take_and_its_file_says_so_in_every_format(make, take, client):
    loop = make(take, "loop", begin=0.5, bars=1, bpm=120)
    assert sound_of(loop).shape[-1] == 2 * RATE
    assert all_tags(loop.path)["looplength"] == str(2 * RATE)
    assert "AudioTokensLoop" in classes(loop) and "MusicGenSampler" not in classes(loop)
    assert b"smpl" in client.get(f"/page/takes/{loop.id}/as/wav").content


def test_a_piece_is_cut_out_and_faded_without_a_model(make, take):
    piece = make(take, "cut", begin=1, end=3, fade_in=0.5, fade_out=1)
    old, new = sound_of(take)[:, RATE : 3 * RATE], sound_of(piece)
    assert new.shape == old.shape and abs(new[:, 0]) < 1e-4 and abs(new[:, -1]) < 1e-4
    assert np.array_equal(new[:, RATE // 2 : RATE], old[:, RATE // 2 : RATE])
    nodes = {"LoadAudio", "TrimAudioDuration", "AudioFade", "SaveAudioAdvanced"}
    assert classes(piece) == nodes
    assert piece.note.settings == take.note.settings
    louder = make(piece, "cut", begin=0, end=2, loudness=-30)
    assert "AudioLoudness" in classes(louder)


def test_more_of_a_continuation_goes_on_from_the_same_place_otherwise(make, take):
    longer = make(take, "continue", seconds=2)
    other = make(longer, "more")
    kept = round((4 - REACH_S) * RATE)
    assert sound_of(other).shape == sound_of(longer).shape
    assert np.array_equal(sound_of(other)[:, :kept], sound_of(longer)[:, :kept])
    assert not np.array_equal(sound_of(other), sound_of(longer))


def test_what_a_graph_has_made_goes_on_too(make, library, tmp_path):
    made = library.add(torch.rand(1, RATE) - 0.5, RATE, Note("By a graph", 1.0), {})
    longer = make(made, "continue", seconds=1)
    assert (longer.note.title, longer.note.duration_s) == ("By a graph", 2.0)


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"how": "else"}, "expected one of more, vary, continue"),
        ({"how": "vary"}, "got nothing"),
        ({"how": "continue", "seconds": 0}, "0.1"),
        ({"how": "continue", "seconds": 500}, "at most 120 s at a time"),
        ({"how": "continue", "seconds": "x"}, "a number"),
        ({"how": "repaint", "begin": 2, "end": 9}, "a part of 0 to 4 s"),
        ({"how": "loop", "begin": 3, "bars": 1, "bpm": 120}, "a part of 0 to 4 s"),
        ({"how": "loop", "begin": 0, "bars": 1.5, "bpm": 120}, "a whole number"),
        ({"how": "cut", "begin": 0, "end": 1, "fade_in": 2}, "both within the piece"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_nothing_runs(client, take, asked, words):
    answer = client.post(f"/page/takes/{take.id}/make", json=asked)
    assert answer.status_code == 409 and words in answer.json()["trouble"], answer.text
    assert client.get("/page/runs").json() == {"run": None}


def test_a_note_by_a_stranger_cannot_name_what_is_not_offered(client, library):
    settings = {**VALUES, "model": "../../etc", "what": 1}
    take = library.add(torch.rand(1, RATE) - 0.5, RATE, Note("x", 1.0, settings=settings), {})
    answer = client.post(f"/page/takes/{take.id}/make", json={"how": "more"})
    assert answer.status_code == 409
