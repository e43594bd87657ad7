"""The Play tab's answers: one performance for each browser, which goes back, and is recorded as a
take that plays the same samples again.
"""

import json
import threading
from dataclasses import replace

import pytest
import torch
from fastapi import FastAPI
from http_api import SOON
from starlette.testclient import TestClient
from test_queue import wait_for

from musicgraph.app.page import browser, play_place
from musicgraph.app.page.play_place import HEAD, NEWS, SOUND, packed_sound
from musicgraph.app.page.play_routes import _Plays, build_play_routes
from musicgraph.app.page.play_take import Recording
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.studio import performance as performing
from musicgraph.app.studio.music import make_music, music_job
from musicgraph.app.studio.performance import Performance, loaded_model
from musicgraph.app.studio.said import Said
from musicgraph.app.studio.settings import AppSettings
from musicgraph.app.studio.stage import LivePlace, Stage
from musicgraph.app.studio.worker import LocalWorker
from musicgraph.models.refused import Refused
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import read_document
from musicgraph.workflows.registry import NodeSpecs
from musicgraph.workflows.request import Request
from musicgraph.workflows.workflow import Workflow

pytest_plugins = ["http_api_fixtures"]
pytestmark = pytest.mark.usefixtures("exact")

ANNA, BEN = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def runner():
    return Runner()


@pytest.fixture(scope="module")
def request_(model):
    return Request("pads 0.70 + flute 0.30", model=str(model), seed=7, top_k=50, blend_s=0.0)


@pytest.fixture(scope="module")
def loaded(runner, request_):
    named = {request_.model: request_.model}
    return loaded_model(runner, music_job(request_, runner.classes, named_models=named), bool)


@pytest.fixture
def performance(loaded, request_):
    return Performance(loaded, request_, parts=3)


def blocks(performance, count):
    return [performance.play() for _ in range(count)]


# ---------------------------------------------------------------- going back


def test_what_goes_on_from_a_mark_is_what_would_have_come(performance):
    blocks(performance, 4)
    performance.say(Said(weights=(0.2, 0.8)))
    blocks(performance, 2)
    mark = performance.mark()
    first = torch.cat(blocks(performance, 5), dim=1)
    performance.say(Said(text="drums", energy="high"))
    blocks(performance, 3)
    for _ in range(2):
        performance.go_back(mark)
        assert performance.samples == mark.samples
        assert torch.equal(torch.cat(blocks(performance, 5), dim=1), first)


def test_what_was_taken_back_is_in_no_graph(runner, performance):
    sound = blocks(performance, 5)
    mark = performance.mark()
    performance.say(Said(text="drums"))
    blocks(performance, 4)
    performance.go_back(mark)
    performance.say(Said(text="flute", drums="out", cfg=5.0))
    sound += blocks(performance, 6)
    performance.end()
    while (piece := performance.play()) is not None:
        sound.append(piece)
    score = performance.score()
    assert "drums" not in score.schedule.replace("no drums", "")
    again = make_music(runner, score).waveform[0]
    assert torch.equal(again, torch.cat(sound, dim=1))
    with pytest.raises(Refused, match="told to end"):
        performance.go_back(mark)


def test_there_is_no_mark_before_the_first_frame(performance):
    with pytest.raises(Refused, match="not begun"):
        performance.mark()


# ---------------------------------------------------------------- a recording


def replayed(path, runner, model, tmp_path):
    """What the graph in a file makes, `[C, T]`."""
    work = Workflow.of(read_document(path), NodeSpecs(runner.classes)).runnable
    named = {name: str(model) for name in (model.name, str(model))}
    made = runner.run(work, named_models=named, output_dir=tmp_path / "again")
    return read_audio(made.files[0])[0]


def recorded(performance, recording, count):
    for _ in range(count):
        sound = performance.play()
        recording.push(performance.begun_at, sound)


def test_a_take_has_the_graph_that_plays_the_same_samples(
    runner, performance, model, tmp_path, request_
):
    blocks(performance, 3)
    recording = Recording(performance)
    recorded(performance, recording, 4)
    performance.say(Said(weights=(0.1, 0.9), temperature=0.8))
    recorded(performance, recording, 6)
    mark = performance.mark()
    performance.say(Said(text="loud drums"))
    recorded(performance, recording, 5)
    performance.go_back(mark)
    recorded(performance, recording, 2)
    performance.say(Said(energy="low", seed=4))
    recorded(performance, recording, 4)
    library = Shelf(tmp_path / "shelf").takes_of("anna")
    take = recording.keep(library, "played", {request_.model: str(model)})
    sound, rate = read_audio(take.path)
    assert take.note.came == "played"
    assert take.note.duration_s == sound.shape[1] / rate > 1
    assert torch.equal(replayed(take.path, runner, model, tmp_path), sound)


def test_a_recording_follows_what_is_taken_back_and_leaves_out_what_came_late(performance):
    recording = Recording(performance)
    whole = torch.arange(100.0).unsqueeze(0)
    for begin, end in ((20, 40), (40, 60), (60, 80), (50, 55), (80, 90), (55, 70)):
        recording.push(begin, whole[:, begin:end])
    assert torch.equal(torch.cat([one for _, one in recording._pieces], dim=1), whole[:, 20:70])
    recording.push(5, whole[:, 5:9])
    assert torch.equal(torch.cat([one for _, one in recording._pieces], dim=1), whole[:, 5:9])


def test_a_recording_that_nobody_ends_grows_no_longer_than_a_graph(performance):
    recording, rate = Recording(performance), performance.sample_rate
    longest, piece = 600 * rate, torch.zeros(1, 10 * rate)
    for begin in range(0, longest + 20 * rate, 10 * rate):
        recording.push(begin, piece)
    assert recording.seconds == 600
    recording.push(0, piece)
    assert recording.seconds == 10, "what it goes back to is recorded again"


def test_what_is_said_while_nobody_listens_has_an_end(performance, monkeypatch):
    """What others took the place of, before it was heard, takes memory, too."""
    monkeypatch.setattr(performing, "MAX_SAID", 5)
    for number in range(4):
        performance.say(Said(text=f"drums {number}"))
    with pytest.raises(Refused, match="at most 5 changes"):
        performance.say(Said(text="one more"))
    with pytest.raises(Refused, match="at most 5 changes"):
        performance.undo()


def test_so_much_is_undone_and_no_more(performance, monkeypatch):
    monkeypatch.setattr(performing, "MAX_SAID", 5)
    for number in range(20):
        performance.say(Said(temperature=1 + number / 20))
    assert len(performance._past) == 5
    assert performance.undo().settings["temperature"] == 1 + 18 / 20


def test_what_is_too_short_or_too_old_is_no_recording(performance, tmp_path, request_):
    recording = Recording(performance)
    recorded(performance, recording, 4)
    with pytest.raises(Refused, match="recording: got .* s, expected at least 1 s"):
        recording.keep(Shelf(tmp_path).takes_of("anna"), "", {})
    performance.frames = round(600 * performance.frame_rate)
    with pytest.raises(Refused, match="begin anew"):
        Recording(performance)


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def stage(runner):
    stage = Stage(LocalWorker(runner), places=2)
    yield stage
    stage.close()


@pytest.fixture
def asking(stage, model, tmp_path):
    app = FastAPI()
    settings = AppSettings(model=str(model), live=2)
    app.include_router(build_play_routes(stage, settings, Shelf(tmp_path / "shelf")))
    return lambda number: TestClient(app, cookies={browser.COOKIE: number})


BEGIN = {"prompt": "pads 0.70 + flute 0.30", "cfg": 3, "temperature": 1, "seed": 7, "top_k": 50}


def begun(client, **more):
    answer = client.post("/page/play", json={**BEGIN, **more})
    assert answer.status_code == 200, answer.text
    return "/page/play/" + answer.json()["id"]


class Heard:
    """A listener in a thread, past the test client, which would wait for the end."""

    def __init__(self, stage, here, routes_client):
        place = stage.find(here.rsplit("/", 1)[1])
        self.messages, self._news = [], threading.Condition()
        self.playing = place.on_news.__self__
        self.stream = self.playing.listen()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        for batch in self.stream.batches():
            with self._news:
                self.messages += [HEAD.unpack(one[:16]) + (one[16:],) for one in batch]
                self._news.notify_all()

    def wait_for(self, is_there):
        with self._news:
            assert self._news.wait_for(lambda: any(map(is_there, self.messages)), SOON)
            return next(filter(is_there, self.messages))

    def sound_from(self, second, rate=8000):
        return self.wait_for(lambda one: one[0] == SOUND and one[3] >= second * rate)

    def news(self, name):
        found = self.wait_for(lambda one: one[0] == NEWS and json.loads(one[4])["event"] == name)
        return json.loads(found[4])


def test_it_is_steered_marked_recorded_and_kept_as_a_take(asking, stage, runner, model, tmp_path):
    anna = asking(ANNA)
    here = begun(anna, drums="out")
    heard = Heard(stage, here, anna)
    assert heard.news("here")["rate"] == 8000
    _, channels, length, begin, data = heard.sound_from(0)
    assert (channels, length, begin) == (1, len(data), 0)
    assert anna.post(f"{here}/record", json={}).status_code == 200
    said = anna.post(f"{here}/say", json={"text": "flute 0.40 + pads 0.60", "cfg": 4}).json()
    assert said["prompt"] == "flute, no drums 0.4000 + pads, no drums 0.6000"
    heard.sound_from(2.5)
    marks = anna.post(f"{here}/mark", json={"number": 1}).json()["marks"]
    assert marks[0] is None and marks[1] >= 2.5 * 8000
    heard.sound_from(marks[1] / 8000 + 0.5)
    assert anna.post(f"{here}/back", json={"number": 1}).status_code == 200
    count = len(heard.messages)
    heard.wait_for(lambda one: heard.messages.index(one) > count + 3)
    take = anna.post(f"{here}/keep", json={"title": "two  words"}).json()["take"]
    assert take["title"] == "two words" and take["duration_s"] > 1.5
    path = next((tmp_path / "shelf").rglob("*.flac"))
    assert torch.equal(replayed(path, runner, model, tmp_path), read_audio(path)[0])
    assert "no recording" not in anna.post(f"{here}/keep", json={}).text


def test_each_browser_has_one_of_its_own_and_a_new_one_ends_the_old(asking, stage):
    anna, ben = asking(ANNA), asking(BEN)
    first = begun(anna)
    heard = Heard(stage, first, anna)
    assert "over" in ben.post(f"{first}/say", json={"cfg": 2}).json()["trouble"]
    second = begun(anna)
    assert heard.news("closed")
    assert anna.post(f"{first}/say", json={"cfg": 2}).status_code == 409
    assert anna.post(f"{second}/say", json={"cfg": 2}).status_code == 200
    begun(ben)
    full = asking("c" * 32).post("/page/play", json=BEGIN)
    assert full.status_code == 409 and "2 who play live" in full.json()["trouble"]


def test_a_page_that_has_gone_ends_its_music_and_one_that_pauses_does_not(
    asking, stage, monkeypatch
):
    monkeypatch.setattr(play_place, "GONE_S", 1.05)
    monkeypatch.setattr(play_place, "PAUSED_S", 60.0)
    anna, ben = asking(ANNA), asking(BEN)
    gone, paused = begun(anna), begun(ben)
    for client, here in ((anna, gone), (ben, paused)):
        heard = Heard(stage, here, client)
        heard.sound_from(0)
        if here == paused:
            assert client.post(f"{here}/wait", json={}).status_code == 200
        heard.playing.leave(heard.stream)
    over = threading.Event()
    for _ in range(int(SOON * 10)):
        if stage.find(gone.rsplit("/", 1)[1]) is None:
            break
        over.wait(0.1)
    assert anna.post(f"{gone}/say", json={"cfg": 2}).status_code == 409
    assert ben.post(f"{paused}/say", json={"cfg": 2}).status_code == 200


def test_what_is_recorded_when_the_music_ends_becomes_a_take(asking, stage, tmp_path):
    anna = asking(ANNA)
    here = begun(anna)
    heard = Heard(stage, here, anna)
    anna.post(f"{here}/record", json={})
    heard.sound_from(2)
    begun(anna)
    assert heard.news("closed")
    over = threading.Event()
    for _ in range(int(SOON * 10)):
        if list((tmp_path / "shelf").rglob("*.flac")):
            break
        over.wait(0.1)
    (path,) = (tmp_path / "shelf").rglob("played-live*.flac")
    assert read_audio(path)[0].shape[1] > 8000


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("say", {"volume": 3}, "not known"),
        ("say", {"energy": "much"}, 'energy: got "much", expected one of "low", "free", "high"'),
        ("mark", {"number": 9}, "expected 0 to 3"),
        ("back", {"number": 2}, "set it first"),
        ("keep", {}, "press Record first"),
        ("undo", {}, "nothing to take back"),
        ("fly", {}, "no such change"),
    ],
)
def test_what_cannot_be_is_said_in_words(asking, stage, path, body, words):
    anna = asking(ANNA)
    here = begun(anna)
    Heard(stage, here, anna).sound_from(0)
    answer = anna.post(f"{here}/{path}", json=body)
    assert answer.status_code in (404, 409) and words in answer.json()["trouble"]


def test_words_that_cannot_be_played_are_refused_before_anything_is_there(asking, stage):
    answer = asking(ANNA).post("/page/play", json={**BEGIN, "prompt": "a 0.5 + b"})
    assert answer.status_code == 409 and "without a weight" in answer.json()["trouble"]
    assert stage.latest() is None


def test_what_is_said_first_and_refused_takes_no_place(asking, stage, monkeypatch):
    answer = asking(ANNA).post("/page/play", json={**BEGIN, "drums": "loud"})
    assert answer.status_code == 409 and "drums" in answer.json()["trouble"]
    assert stage.latest() is None

    def refuse(place, said):
        raise Refused("what is said", got="it", expected="nothing")

    monkeypatch.setattr(LivePlace, "say", refuse)
    answer = asking(ANNA).post("/page/play", json={**BEGIN, "drums": "out"})
    assert answer.status_code == 409 and stage.latest() is None


def test_music_that_ends_while_it_begins_is_not_kept(stage, model, tmp_path, monkeypatch):
    plays = _Plays(stage, AppSettings(model=str(model), live=2), Shelf(tmp_path / "shelf"))
    monkeypatch.setattr(LivePlace, "say", lambda place, said: place.close())
    plays._begun("anna", {**BEGIN, "drums": "out"})
    assert not plays._playing


def test_a_page_that_comes_when_it_is_over_does_not_wait(asking, stage):
    begun(asking(ANNA))
    place = stage.latest()
    place.close()
    stream = place.on_news.__self__.listen()
    assert next(stream.batches())
    assert stream.over


def test_who_pauses_often_makes_no_threads_and_none_is_left_at_the_end(asking, stage):
    anna = asking(ANNA)
    here = begun(anna)
    playing = stage.latest().on_news.__self__
    before = timers()
    for _ in range(20):
        assert anna.post(f"{here}/wait", json={}).status_code == 200
    wait_for(lambda: timers() <= before)
    playing.place.close()
    playing.leave(playing.listen())
    wait_for(lambda: timers() < before)


def timers():
    return sum(isinstance(one, threading.Timer) for one in threading.enumerate())


def test_sound_that_is_above_full_scale_comes_through():
    data = packed_sound(12, torch.tensor([[1.5, -1.5], [0.0, 0.25]]))
    kind, channels, length, begin = HEAD.unpack(data[:16])
    assert (kind, channels, length, begin) == (SOUND, 2, 8, 12.0)
    assert torch.frombuffer(bytearray(data[16:]), dtype=torch.int16).tolist() == [
        24576, 0, -24576, 4096,
    ]  # fmt: skip


def test_texts_and_mixes_that_come_again_are_the_same_nodes(request_):
    from musicgraph.workflows.default_graph import workflow_for
    from musicgraph.workflows.registry import node_classes

    schedule = "2.0: pads 0.2 + flute 0.8; 3.0: pads 0.7 + flute 0.3; 4.0: pads 0.2 + flute 0.8"
    request = replace(request_, schedule=schedule, excerpt_s=(1.0, 4.5))
    graph = workflow_for(request, NodeSpecs(node_classes())).graph
    assert len(graph.of_class("MusicGenTextEncode")) == 2
    assert len(graph.of_class("MusicGenConditioningCombine")) == 3
    (trim,) = graph.of_class("TrimAudioDuration")
    assert (trim.widgets["start_index"], trim.widgets["duration"]) == (1.0, 3.5)
