"""The stage, and the queue beside it, over time: whoever waits is told, nobody's trouble is
another's, and nothing of what is over is kept.
"""

import asyncio
import contextlib
import gc
import threading
import weakref
from dataclasses import replace

import pytest
from fastapi import FastAPI
from test_live import SOON, opened
from test_queue import wait_for
from workers import FakeWorker

from musicgraph.app.http.live import LiveRoutes
from musicgraph.app.page.play_routes import _Plays
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.studio.music import music_job
from musicgraph.app.studio.performance import Performance, loaded_model
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.app.studio.stage import Stage
from musicgraph.app.studio.worker import LocalWorker
from musicgraph.models.refused import Refused
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

pytest_plugins = ["http_api_fixtures"]
pytestmark = pytest.mark.usefixtures("exact")


@pytest.fixture(scope="module")
def request_(model):
    return Request("calm piano", model=str(model), seed=7, top_k=50)


@pytest.fixture(scope="module")
def runner():
    return Runner()


@pytest.fixture(scope="module")
def loaded(runner, request_):
    named = {request_.model: request_.model}
    return loaded_model(runner, music_job(request_, runner.classes, named_models=named), bool)


@pytest.fixture
def stage(runner):
    stage = Stage(LocalWorker(runner))
    yield stage
    stage.close()


class Listener:
    """Counts pieces, and notes the end."""

    def __init__(self, at_end=lambda: None, at_sound=lambda: None):
        self.pieces, self.over = 0, threading.Event()
        self._at_end, self._at_sound = at_end, at_sound

    def __call__(self, sound):
        if sound is None:
            self.over.set()
            self._at_end()
        else:
            self.pieces += 1
            self._at_sound()


def slots_of(place):
    return place.performance._loaded.engine._own._slots._slots


def fail():
    raise RuntimeError("out of order")


def test_each_listener_hears_of_the_end_whatever_the_others_do_then(stage, request_):
    place, news, _ = opened(stage, request_)
    leaves = Listener(at_end=lambda: place.leave(leaves))
    fails, last = Listener(at_end=fail), Listener()
    for one in (leaves, fails, last):
        place.listen(one)
    place.close()
    assert leaves.over.is_set() and fails.over.is_set() and last.over.is_set()
    assert news == [{"event": "closed"}]


def test_who_listens_when_it_is_over_does_not_wait(stage, request_):
    place, _, _ = opened(stage, request_)
    place.close()
    late = Listener()
    place.listen(late)
    assert late.over.is_set() and not place.listeners


def test_a_listener_that_fails_is_nobody_elses_trouble(stage, request_):
    place, news, over = opened(stage, request_, frames_s=0.8)
    good, bad = Listener(), Listener(at_sound=fail)
    place.listen(good)
    place.listen(bad)
    assert over.wait(SOON) and news[-1] == {"event": "over"}
    assert good.pieces > 1 and good.over.is_set()
    assert bad.over.is_set() and bad.pieces == 1


def test_the_stage_plays_on_after_one_who_cannot_even_be_told(stage, request_):
    place, _, over = opened(stage, request_)
    place.listen(Listener(at_sound=fail, at_end=fail))
    assert over.wait(SOON)
    place, news, over = opened(stage, request_, frames_s=0.5)
    place.listen(Listener())
    assert over.wait(SOON) and news[-1] == {"event": "over"}


def test_a_closed_stage_leaves_no_music_in_the_engine(runner, request_):
    stage = Stage(LocalWorker(runner))
    one, _, _ = opened(stage, request_)
    heard = Listener()
    one.listen(heard)
    wait_for(lambda: heard.pieces)
    one.leave(heard)
    wait_for(lambda: not stage._in_hand)
    stage.close()
    assert not slots_of(one)


def test_what_is_over_is_not_kept(stage, request_):
    place, _, over = opened(stage, request_, frames_s=0.5)
    place.listen(Listener())
    assert over.wait(SOON)
    performance = weakref.ref(place.performance)
    del place
    wait_for(lambda: gc.collect() is None or performance() is None)


def test_there_is_no_mark_at_the_end(loaded, request_):
    performance = Performance(loaded, request_, frames=20)
    while performance.play() is not None:
        pass
    with pytest.raises(Refused, match="this mark: got the music's end"):
        performance.mark()


def test_what_was_closed_does_not_go_back(loaded, request_):
    performance = Performance(loaded, replace(request_, seed=8))
    performance.play()
    mark = performance.mark()
    performance.close()
    with pytest.raises(Refused, match="got one that is over"):
        performance.go_back(mark)
    assert not loaded.engine._own._slots._slots


def test_what_is_closed_while_it_goes_back_leaves_nothing(loaded, request_, monkeypatch):
    performance = Performance(loaded, request_)
    performance.play()
    mark, check = performance.mark(), Performance._check_is_endless
    checks = iter([check, lambda self: performance_closed() or check(self)])

    def performance_closed():
        performance._lock.release(), performance._playing.release()
        performance.close()
        performance._playing.acquire(), performance._lock.acquire()

    monkeypatch.setattr(Performance, "_check_is_endless", lambda self: next(checks)(self))
    with pytest.raises(Refused, match="got one that is over") as refused:
        performance.go_back(mark)
    assert not loaded.engine._own._slots._slots
    del refused


# ---------------------------------------------------------------- the queue


class Large:
    """What a job works with."""


def test_what_a_job_worked_with_is_not_kept_by_who_ran_it():
    queue, seen = JobQueue(FakeWorker()), []

    def work(worker, stopped):
        large = Large()
        seen.append(weakref.ref(large))
        raise ValueError("whose traceback knows it")

    handle = queue.submit("a", work)
    assert isinstance(handle._future.exception(SOON), ValueError)
    del handle
    wait_for(lambda: gc.collect() is None or seen[0]() is None)
    queue.close()


def test_a_model_that_cannot_be_unloaded_holds_up_nobody():
    worker = FakeWorker()

    def forget():
        worker.forgotten.set()
        raise RuntimeError("CUDA error: device-side assert triggered")

    worker.forget = forget
    queue = JobQueue(worker, idle_unload_s=0.02)
    queue.submit("a", lambda *_: None).result(SOON)
    assert worker.forgotten.wait(SOON)
    assert queue.submit("a", lambda *_: "served").result(SOON) == "served"
    queue.close()


# ---------------------------------------------------------------- who leaves before the answer


def answered_to_nobody(app, path, cookies=""):
    """As servers tell of a client that has left: at once, or when they are to send."""

    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        raise OSError("nobody is there")

    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "http_version": "1.1",
        "headers": [(b"cookie", cookies.encode())], "scheme": "http",
    }  # fmt: skip
    for version in ("2.3", "2.4"):
        scope["asgi"] = {"version": "3.0", "spec_version": version}
        with contextlib.suppress(Exception):
            asyncio.run(app(dict(scope), gone, send))


async def somebody(http):
    return "somebody", None


def test_who_left_before_the_answer_does_not_count_as_a_listener(
    stage,
    request_,
    model,
    tmp_path,
):
    settings = AppSettings(model=str(model), live=2)
    place, _, _ = opened(stage, request_)
    routes = LiveRoutes(stage, settings, None, somebody)
    plays = _Plays(stage, settings, Shelf(tmp_path / "shelf"))
    number = "a" * 32
    playing = plays._begun(f"browser {number}", {"prompt": "calm piano", "top_k": 50})
    app = FastAPI()
    app.add_api_route("/live/{id}/sound", routes.sound)
    app.add_api_route("/play/{id}/stream", plays.stream)
    answered_to_nobody(app, f"/live/{place.id}/sound")
    assert not place.listeners
    answered_to_nobody(app, f"/play/{playing.place.id}/stream", f"musicgraph={number}")
    assert not playing.place.listeners and not playing._streams
