"""Music that is steered while it plays: what was said is a graph, which plays it again, to the last
bit; alone and among others.
"""

import contextlib
import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
import soundfile
import torch
from http_api import SOON, error_of, local

from musicgraph.app.http.live import MAX_BACKLOG, SoundListener
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.fields import live_fields
from musicgraph.app.studio.music import make_music, music_job
from musicgraph.app.studio.performance import Performance, loaded_model
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.said import Said, Words, read_said
from musicgraph.app.studio.settings import AppSettings
from musicgraph.app.studio.stage import (
    CALMER,
    LEAST_AHEAD_S,
    MOST_AHEAD_S,
    SPARE,
    LivePlace,
    Stage,
    StageFull,
)
from musicgraph.app.studio.worker import LocalWorker
from musicgraph.models.encodec import BLOCK_FRAMES, CodecStream
from musicgraph.models.refused import Refused
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.inputs import BadInput
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import NodeSpecs
from musicgraph.workflows.request import Request
from musicgraph.workflows.workflow import Workflow

pytest_plugins = ["http_api_fixtures"]
pytestmark = pytest.mark.usefixtures("exact")


@pytest.fixture(scope="module")
def request_(model):
    return Request("calm piano", model=str(model), seed=7, top_k=50, blend_s=0.3)


@pytest.fixture(scope="module")
def runner():
    return Runner()


@pytest.fixture(scope="module")
def loaded(runner, request_):
    named = {request_.model: request_.model}
    return loaded_model(runner, music_job(request_, runner.classes, named_models=named), bool)


def played(performance, sayings, blocks=16):
    """Its sound, while things are said or done after so many times two blocks; it ends after the
    last of them.
    """
    sound, pieces = [], 0
    while (piece := performance.play()) is not None:
        sound.append(piece)
        pieces += 1
        after = pieces / 2
        if after in sayings:
            sayings[after](performance)
        if after == blocks and not performance.is_over:
            performance.end()
    return torch.cat(sound, dim=1)


def say(**told):
    return lambda performance: performance.say(Said(**told))


PERFORMANCES = {
    "nothing": {},
    "another text": {3: say(text="loud drums")},
    "a text while another is blended in": {3: say(text="loud drums"), 4: say(text="flute")},
    "a mix, and other weights": {
        2: say(text="pads 0.7 + drums 0.3"),
        7: say(weights=(0.1, 0.9)),
    },
    "drums out": {4: say(drums="out"), 9: say(drums="free")},
    "settings": {3: say(cfg=6, temperature=0.7), 5: say(top_k=9), 6: say(cfg=1), 9: say(cfg=2)},
    "settings in a blend": {3: say(text="flute"), 4: say(cfg=5.0), 5: say(text="drums", cfg=2)},
    "a new idea, and back": {3: say(seed=99), 8: Performance.undo},
    "undone in a blend": {3: say(text="flute", temperature=1.3), 4: Performance.undo},
    "the same again": {3: say(text="calm piano")},
    "an end some time ahead": {5: lambda performance: performance.end(0.5)},
    "a fade": {5: lambda performance: performance.end(fade_s=0.7)},
    "a fade before an end": {5: lambda performance: performance.end(0.9, fade_s=0.33)},
}


@pytest.mark.parametrize("name", PERFORMANCES)
def test_what_was_performed_is_what_its_graph_plays(runner, loaded, request_, name):
    performance = Performance(loaded, request_)
    sound = played(performance, PERFORMANCES[name])
    again = make_music(runner, performance.score())
    assert performance.is_over and performance.samples == sound.shape[1]
    assert torch.equal(again.waveform[0], sound)


def test_a_negative_and_a_mix_to_begin_with_are_in_the_graph(runner, loaded, request_):
    request = replace(request_, prompt="pads 0.6 + flute 0.4", negative="noise 0.5 + hum 0.5")
    performance = Performance(loaded, request)
    sound = played(performance, {4: say(weights=(1.0, 3.0))})
    assert torch.equal(make_music(runner, performance.score()).waveform[0], sound)
    with pytest.raises(Refused, match="negative: got one with cfg 1"):
        Performance(loaded, replace(request, cfg=1.0))


def test_what_is_said_before_the_first_frame_is_what_it_begins_with(runner, loaded, request_):
    performance = Performance(loaded, request_)
    announced = performance.say(Said(text="flute", cfg=5.0, seed=4))
    assert announced.frame == 0
    sound, score = played(performance, {}), performance.score()
    assert (score.prompt, score.cfg, score.seed, score.schedule) == ("flute", 5.0, 4, "")
    assert torch.equal(make_music(runner, score).waveform[0], sound)


def test_a_performance_is_the_same_alone_and_among_others(loaded, request_):
    ways = [PERFORMANCES["settings in a blend"], PERFORMANCES["a mix, and other weights"], {}]
    alone = [played(Performance(loaded, replace(request_, seed=i)), w) for i, w in enumerate(ways)]
    together = [Performance(loaded, replace(request_, seed=i)) for i in range(3)]
    sounds = [[], [], []]
    for block in (piece / 2 for piece in range(1, 40)):
        for performance, sound, sayings in zip(together, sounds, ways, strict=True):
            piece = performance.play()
            sound += [] if piece is None else [piece]
            if block in sayings:
                sayings[block](performance)
            if block == 16:
                performance.end()
    for ours, theirs in zip(sounds, alone, strict=True):
        assert torch.equal(torch.cat(ours, dim=1), theirs)


def test_the_graph_of_what_still_plays_is_what_was_played_so_far(runner, loaded, request_):
    performance = Performance(loaded, request_)
    sound = [performance.play() for _ in range(6)]
    performance.say(Said(text="loud drums"))
    sound += [performance.play() for _ in range(3)]
    again = make_music(runner, performance.score()).waveform[0]
    settled = 7 * BLOCK_FRAMES * 160  # samples: blocks that no end of the piece can reach
    assert torch.equal(torch.cat(sound, dim=1)[:, :settled], again[:, :settled])


@pytest.mark.parametrize("frames", [37, 8 * BLOCK_FRAMES, 8 * BLOCK_FRAMES + 1])
def test_it_ends_by_itself_where_that_was_agreed(runner, loaded, request_, frames):
    performance = Performance(loaded, request_, frames=frames)
    sound = []
    while (piece := performance.play()) is not None:
        sound.append(piece)
    assert torch.equal(torch.cat(sound, dim=1), make_music(runner, performance.score()).waveform[0])
    assert performance.samples == frames * 160


def test_what_is_said_holds_from_the_next_frame_on_and_all_before_it_is_sound_already(
    loaded, request_
):
    performance, config = Performance(loaded, request_), loaded.engine.config
    alone = CodecStream(loaded.codec, config.channels)
    for block in range(1, 5):
        performance.play()
        assert performance.frames == block * BLOCK_FRAMES
    frames = torch.zeros(1, config.num_codebooks, performance.frames, dtype=torch.int64)
    certain = alone.push(frames, goes_on=True).shape[2]
    assert performance.samples == certain, "nothing is held back that no frame can change"
    announced = performance.say(Said(text="loud drums"))
    assert announced.frame == performance.frames + config.max_delay


# ---------------------------------------------------------------- what cannot be said


def test_what_comes_too_late_is_said(loaded, request_):
    performance = Performance(loaded, request_)
    performance.play()
    performance.end()
    with pytest.raises(Refused, match="the end: got it, and it ends at .* s already"):
        performance.end(5)
    with pytest.raises(Refused, match="what is said: got it for .* before the music's end"):
        performance.say(Said(text="flute"))
    while performance.play() is not None:
        pass
    with pytest.raises(Refused, match="too late"):
        performance.say(Said(cfg=2.0))


def test_a_text_that_would_wait_until_behind_the_end_is_refused(loaded, request_):
    performance = Performance(loaded, request_)
    performance.play()
    performance.say(Said(text="flute"))
    performance.play()
    performance.end(0.1)
    with pytest.raises(Refused, match="too late"):
        performance.say(Said(text="drums"))


CANNOT_BE_SAID = [
    (Said(text="a; b"), 'text: got "a; b", expected a text without semicolons'),
    (Said(text="pads 0.7 + drums"), 'mix: got "drums" without a weight'),
    (Said(weights=(0.5, 0.5)), "weights: got 2 for 1 text, expected one for each"),
    (Said(text="a 0.5 + b 0.5", weights=(1.0,)), "weights: got 1 for 2 texts"),
    (Said(text="a 0.4 + b 0.3 + c 0.3"), "text: got a mix of 3, expected at most 2 at once"),
    (Said(cfg=21.0), "cfg: got 21"),
    (Said(top_k=300), "top_k: got 300, expected 1 to 256"),
]


@pytest.mark.parametrize("said, words", CANNOT_BE_SAID)
def test_what_cannot_be_is_refused_and_changes_nothing(loaded, request_, said, words):
    performance = Performance(loaded, request_)
    first = performance.play()
    with pytest.raises(Refused, match=words):
        performance.say(said)
    sound = torch.cat([first, played(performance, {})], dim=1)
    assert torch.equal(sound, played(Performance(loaded, request_), {}, 16.5))


def test_there_is_nothing_to_undo_or_to_write_down_at_first(loaded, request_):
    performance = Performance(loaded, request_)
    with pytest.raises(Refused, match="undo: got nothing to take back"):
        performance.undo()
    with pytest.raises(Refused, match="the graph: got 0 frames"):
        performance.score()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"volume": 3}, "volume: got a field that is not known, expected only text, weights"),
        ({"text": 3}, "text: got 3, expected text of at most 2000"),
        ({"weights": []}, "weights: got .*, expected a list of at most 8 numbers from 0 to 100"),
        ({"weights": [0, 0.00001]}, "not all 0"),
        ({"weights": [1, "2"]}, "weights: got"),
        ({"weights": [float("inf")]}, "weights: got"),
        ({"drums": "no"}, 'drums: got "no", expected one of "in", "out", "free"'),
        ({"cfg": None}, "cfg: got null"),
        ({"temperature": 99}, "temperature: got 99"),
        ({"seed": -2}, "seed: got -2"),
    ],
)
def test_junk_is_refused_by_its_field(given, words):
    with pytest.raises(BadInput, match=words):
        read_said(given)


def test_saying_nothing_is_refused_and_minus_one_draws_a_seed():
    with pytest.raises(Refused, match="what is said: got nothing"):
        read_said({})
    drawn = read_said({"seed": -1}).seed
    assert drawn is not None and 0 <= drawn < 2**32


def test_what_is_said_takes_over_at_once_unless_a_blend_is_asked_for():
    assert live_fields(AppSettings())["blend_s"].default == 0


def test_words_are_put_together_so_that_they_are_read_as_the_same():
    words = Words((("pads", 2.0), ("bass, 124.5", 1 / 3)), drums="out")
    assert words.prompt == "pads, no drums 2.0000 + bass, 124.5, no drums 0.3333"
    assert Words((("", 1.0),), drums="in").prompt == "drums"


# ---------------------------------------------------------------- the stage


def opened(stage, request, **more):
    news, over = [], threading.Event()

    def hear(told):
        news.append(told)
        if told["event"] in ("over", "closed", "failed"):
            over.set()

    named = {request.model: request.model}
    return stage.open("somebody", request, hear, named_models=named, **more), news, over


def test_a_performance_plays_in_time_while_somebody_listens(runner, request_):
    stage = Stage(LocalWorker(runner))
    place, news, over = opened(stage, request_, frames_s=0.8)
    heard = []
    assert not over.wait(0.1) and place.performance.samples == 0, "nobody listens yet"
    place.listen(heard.append)
    assert over.wait(SOON) and news[-1] == {"event": "over"}, news
    assert heard[-1] is None
    sound = torch.cat(heard[:-1], dim=1)
    assert torch.equal(sound, make_music(runner, place.performance.score()).waveform[0])
    assert stage.find(place.id) is None
    stage.close()


def test_one_that_fails_leaves_and_the_others_play_on(runner, request_):
    stage = Stage(LocalWorker(runner))
    (bad, bad_news, bad_over), (good, _, over) = (
        opened(stage, request_, frames_s=0.5) for _ in range(2)
    )
    bad.listen(lambda sound: 1 / 0 if sound is not None else None)
    good.listen(lambda sound: None)
    assert bad_over.wait(SOON) and over.wait(SOON)
    assert isinstance(bad_news[-1]["error"], ZeroDivisionError)
    stage.close()


def test_a_listener_who_does_not_take_its_sound_is_let_go():
    listener = SoundListener(".wav", 8000)
    for _ in range(MAX_BACKLOG + 9):
        listener(torch.zeros(1, 1600))
    pieces = [piece for batch in listener.stream.batches() for piece in batch]
    assert MAX_BACKLOG < len(pieces) <= MAX_BACKLOG + 2 and listener.stream.over


def test_sound_is_made_earlier_where_that_takes_longer_and_later_when_it_is_quick_again():
    performance = SimpleNamespace(samples=0, taken_back=0, sample_rate=1000)
    place, now = LivePlace(None, "", performance, print, {}), 1.0

    def ahead_after(*pieces_s):
        nonlocal now
        for took_s in pieces_s:
            due_at = place.due_at()
            now = max(now, due_at) + took_s
            performance.samples += 100
            place.note_played(now, due_at)
        return place.ahead_s

    assert ahead_after(0.01, 0.02, 0.03) == LEAST_AHEAD_S
    assert ahead_after(0.08) == pytest.approx(SPARE * 0.08)
    assert ahead_after(0.02) == pytest.approx(CALMER * SPARE * 0.08)
    assert ahead_after(0.4) == MOST_AHEAD_S
    assert ahead_after(*[0.02] * 200) == LEAST_AHEAD_S


def test_there_are_only_so_many_places_and_a_closed_stage_sends_all_home(runner, request_):
    stage = Stage(LocalWorker(runner), places=1)
    _, news, over = opened(stage, request_)
    with pytest.raises(StageFull, match="1 play live already"):
        opened(stage, request_)
    stage.close()
    assert over.is_set() and news == [{"event": "closed"}]


# ---------------------------------------------------------------- over HTTP


class Live:
    """A client in threads: events as they come, and requests beside them."""

    def __init__(self, client, **body):
        self.client, self.events, self._news = client, [], threading.Condition()
        self.thread = threading.Thread(target=self._follow, args=(body,), daemon=True)
        self.thread.start()
        self.here = self.wait_for("open")["steer"]

    def _follow(self, body):
        begin = self.client.stream("POST", "/v1/live", json=body)
        with contextlib.suppress(httpx.ReadError), begin as answer:
            assert answer.status_code == 200, answer.read()
            name = None
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                name = value if field == "event" else name
                if field == "data":
                    with self._news:
                        self.events.append((name, json.loads(value)))
                        self._news.notify_all()

    def wait_for(self, name):
        def found():
            return [told for event, told in self.events if event == name]

        with self._news:
            assert self._news.wait_for(found, SOON), self.events
            return found()[0]

    def post(self, path="", **body):
        return self.client.post(self.here + path, json=body)


@pytest.fixture(scope="module")
def site(model):
    """Answers over real connections: a test client would gather an answer first."""
    from test_api_server import served

    queue = JobQueue(None)
    with served(queue, AppSettings(model=str(model), live=2)) as address:
        yield address
        queue.close()


@pytest.fixture
def client(site):
    with httpx.Client(base_url=site, timeout=SOON) as client:
        yield client


BEGIN = {"prompt": "calm piano", "seed": 7, "top_k": 50, "blend": 0.2}


def test_a_performance_over_http_is_steered_and_ends_with_the_graph_that_plays_it(
    client, runner, model, tmp_path
):
    live = Live(client, **BEGIN)
    sound = []

    def listen():
        with client.stream("GET", live.here + "/sound") as answer:
            assert answer.headers["content-type"] == "audio/wav"
            sound.extend(answer.iter_bytes())

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    live.wait_for("position")
    said = live.post(text="loud drums", cfg=4)
    assert said.status_code == 200 and said.json()["prompt"] == "loud drums"
    assert live.wait_for("said") == said.json()
    assert live.post("/undo").json()["prompt"] == "calm piano"
    assert "nodes" in client.get(live.here + "/graph").json()
    end = live.post("/end", after=0.5).json()["second"]
    over = live.wait_for("over")
    listening.join(SOON)
    live.thread.join(SOON)
    samples = (len(b"".join(sound)) - 44) // 2
    assert over["second"] * 8000 == samples == end * 8000

    work = Workflow.of(Document(ui=over["workflow"]), NodeSpecs(runner.classes)).runnable
    again = runner.run(work, named_models={model.name: str(model)}, output_dir=tmp_path)
    saved, _ = soundfile.read(again.files[0], dtype="int16")
    assert saved.tobytes() == b"".join(sound)[44:]


def test_what_cannot_be_is_refused_with_a_status(client):
    live = Live(client, **BEGIN, duration=60)
    assert error_of(live.post(), 422)["message"].startswith("what is said: got nothing")
    assert error_of(live.post(volume=1), 422)["field"] == "volume"
    assert error_of(live.post(text="a; b"), 422)["type"] == "refused"
    assert error_of(live.post("/undo"), 422)["message"].startswith("undo: got nothing")
    assert error_of(live.post("/end", after=-1), 422)["field"] == "after"
    assert error_of(client.get(live.here + "/graph"), 422)["message"].startswith("the graph")
    assert error_of(client.get(live.here + "/sound?format=xm"), 422)["type"] == "invalid_field"
    assert live.post("/end", after=0.5).status_code == 200
    late = error_of(live.post("/end", after=9), 422)
    assert late["message"].startswith("the end: got it, and it ends at 0.")
    error_of(client.post("/v1/live/nobody", json={"cfg": 2}), 404)
    error_of(client.post("/v1/live", json={"prompt": "a", "variations": 2}), 422)
    error_of(client.post("/v1/live", json={"prompt": "a; b"}), 422)
    error_of(client.put("/v1/live/nobody"), 405)


def test_on_a_server_with_keys_it_costs_a_credit_and_is_its_owners(queue, model, keys):
    app = build_api(queue, AppSettings(model=str(model), api_keys=keys.path))
    with local(app) as client:
        error_of(client.post("/v1/live", json=BEGIN), 401)
        poor = {"x-api-key": keys.add("poor", 0)}
        error_of(client.post("/v1/live", json=BEGIN, headers=poor), 402)
        error_of(client.post("/v1/live", json={**BEGIN, "duration": None}, headers=poor), 422)
        error_of(client.get("/v1/live/nobody/sound", headers=poor), 404)
