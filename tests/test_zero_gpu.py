"""A GPU that is lent, by a stand-in for the package `spaces`: jobs, events, results and failures
are sent as data.
"""

import json
import pickle
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from fakes import opened
from page_settings import CLASSES, REQUEST, SETTINGS, api_graph

from musicgraph.app.page.create import compose
from musicgraph.app.page.graph import run_graph
from musicgraph.app.page.visitors import Visitors
from musicgraph.app.studio import zero_gpu
from musicgraph.app.studio.failures import JobFailed, failure_of
from musicgraph.app.studio.music import music_job
from musicgraph.app.studio.queue import JobQueue, QueueFull
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.events import NodeFailed, NodeProgress, NodeStarted

ROOT = Path(__file__).parents[1]


pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")


class FakeSpaces:
    """What the package `spaces` does with a function, without another process; what is sent must
    bear pickling.
    """

    @staticmethod
    def GPU(duration):
        def decorate(function):
            def lent(*arguments):
                assert duration(*arguments) > 0
                for item in function(*pickle.loads(pickle.dumps(arguments))):
                    yield pickle.loads(pickle.dumps(item))

            return lent

        return decorate


@pytest.fixture
def visitors(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", FakeSpaces)
    zero_gpu._lent.cache_clear()
    local_worker = zero_gpu._worker  # a test may put another one in its place
    queue = JobQueue(zero_gpu.ZeroGpuWorker())
    yield Visitors(queue)
    queue.close()
    zero_gpu._lent.cache_clear()
    local_worker.cache_clear()


def test_music_and_graphs_come_back_from_a_lent_gpu(visitors, shelf):
    *_, shown = compose(visitors, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=1.0))
    assert shown.music.waveform.abs().max() > 0
    *_, made = run_graph(visitors, shelf, SETTINGS, "anna", opened(api_graph(), CLASSES))
    assert made.made[0].files


def test_a_refusal_on_a_lent_gpu_comes_in_the_same_words(visitors, shelf):
    with pytest.raises(JobFailed) as refusal:
        list(compose(visitors, shelf, SETTINGS, "anna", replace(REQUEST, top_k=60000)))
    failure = failure_of(refusal.value)
    assert "top_k: got 60000" in failure.text
    assert (failure.kind, failure.node_class) == ("refused", "MusicGenSampler")


def test_the_node_that_failed_there_is_marked_here(visitors, shelf):
    marks = {}
    with pytest.raises(JobFailed):
        for step in run_graph(
            visitors, shelf, SETTINGS, "anna", opened(api_graph(top_k=60000), CLASSES)
        ):
            marks = step.marks
    assert marks["3"] == "broken" and marks["1"] == "done"


def test_a_stop_reaches_a_lent_gpu(visitors, shelf):
    run = compose(visitors, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=120.0))
    while "Composing" not in next(run).status:
        pass
    run.close()
    started = time.monotonic()
    while visitors.queue.busy():
        assert time.monotonic() - started < 5
        time.sleep(0.01)


def test_a_listener_that_fails_ends_the_work_on_a_lent_gpu(visitors, monkeypatch):
    ended = threading.Event()

    class Endless:
        def run(self, job, listener, stopped):
            listener("at work")
            while not stopped():
                time.sleep(0.001)
            ended.set()

    def fails(event):
        assert not ended.is_set() and event == "at work"
        raise OSError("nobody listens any more")

    monkeypatch.setattr(zero_gpu, "_worker", Endless)
    job = music_job(REQUEST, CLASSES, named_models={})
    with pytest.raises(OSError, match="nobody listens"):
        visitors.queue.worker.run(job, fails, lambda: False)
    assert ended.wait(5)


def test_a_job_is_plain_data():
    job = music_job(REQUEST, CLASSES, named_models={}, stream=True)
    sent = pickle.loads(pickle.dumps(job))
    assert sent == job and sent.checked is None, "what this process knows of it stays here"
    assert json.loads(json.dumps(asdict(sent)))["graph"] == job.graph


def test_so_are_events_and_failures():
    events = [NodeStarted("1"), NodeProgress("1", 1, 2), NodeFailed("1", "got 3", True)]
    failures = [
        failure_of(error) for error in (Interrupted("x"), QueueFull(2, 3), Refused("x", got=1))
    ]
    for one in (*events, *failures):
        assert pickle.loads(pickle.dumps(one)) == one
        assert json.loads(json.dumps(asdict(one))) == asdict(one)
