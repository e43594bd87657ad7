"""Processes of this machine behind the same HTTP app: the same music, stops and refusals; what a
lost one was making is said to be lost, and nothing else is.
"""

import os
import pickle
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from http_api import GENERATE, check_some_were_lost, error_of, local, wav

from musicgraph.app import serve
from musicgraph.app.http.routes import build_api
from musicgraph.app.serve_cli import demo
from musicgraph.app.studio import worker_process
from musicgraph.app.studio.music import music_job
from musicgraph.app.studio.process_worker import ProcessWorker
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.app.studio.worker import LocalWorker
from musicgraph.app.studio.worker_process import EVENT, MUSIC, Post, _Report, received
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.events import AudioChunk, NodeProgress, NodeStarted
from musicgraph.workflows.registry import node_classes
from musicgraph.workflows.request import Request

SOON = 60.0
ASKED = 6
LONG_S = 400


@contextmanager
def served(worker, mono):
    queue = JobQueue(worker, max_waiting=2 * ASKED)
    try:
        with local(build_api(queue, AppSettings(model=str(mono.folder)))) as client:
            yield client
    finally:
        queue.close(5)


@pytest.fixture(scope="module")
def worker():
    worker = ProcessWorker(2)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def client(worker, mono):
    """Of an API that two processes make the music for, with the tiny model."""
    with served(worker, mono) as client:
        yield client


def asked(client, seed, seconds=0.5, **more):
    body = {"prompt": "a", "seed": seed, "duration": seconds, "top_k": 50, "format": "wav"}
    return client.post(GENERATE, json=body | more)


def until(is_so):
    last = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < last
        time.sleep(0.02)


def at_once(client, count, seconds):
    """Threads that ask, and the answers by seed as they come."""
    answers = {}

    def ask(seed):
        answers[seed] = asked(client, seed, seconds)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    return threads, answers


def test_another_process_gives_the_music_that_this_one_gives(client, mono):
    with served(LocalWorker(), mono) as here:
        files = [wav(asked(one, 3)) for one in (client, here)]
        streams = [wav(asked(one, 3, stream=True)) for one in (client, here)]
    assert abs(files[0]).max() > 100
    assert np.array_equal(*files) and np.array_equal(*streams)


def test_what_is_refused_there_is_refused_in_words(client):
    body = {"prompt": "a", "negative": "b", "cfg": 1, "duration": 0.5}
    assert error_of(client.post(GENERATE, json=body), 422)["type"] == "refused"


def test_who_come_at_once_are_spread_over_the_processes(client, worker):
    threads, answers = at_once(client, 2, 5)
    until(lambda: [one.at_work() for one in worker._processes] == [1, 1])
    for thread in threads:
        thread.join(SOON)
    assert [one.status_code for one in answers.values()] == [200, 200]
    assert [one.at_work() for one in worker._processes] == [0, 0]


def long_job(mono):
    model = str(mono.folder)
    request = Request("a", model=model, duration_s=LONG_S, top_k=50)
    return music_job(request, node_classes(), named_models={model: model}, stream=True)


def test_a_job_that_is_stopped_stops_there(worker, mono):
    job, queue, came = long_job(mono), JobQueue(worker), threading.Event()
    handle = queue.submit(
        "me", job, listener=lambda event: isinstance(event, AudioChunk) and came.set()
    )
    assert came.wait(SOON)
    handle.cancel()
    with pytest.raises(Interrupted):
        handle.result(SOON)
    began = time.monotonic()
    until(lambda: not any(one.at_work() for one in worker._processes))
    assert time.monotonic() - began < 2, "it does not go on to its end"
    assert queue.close(5)


def test_a_job_that_cannot_be_sent_leaves_nothing_behind(worker, mono):
    job = replace(long_job(mono), extra_pnginfo={"workflow": lambda: 0})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        worker.run(job, lambda _: None, lambda: False)
    assert not any(one.at_work() for one in worker._processes)


def cpu_s(process):
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def is_idle(worker):
    before = [cpu_s(one._process) for one in worker._processes]
    time.sleep(0.5)
    return [cpu_s(one._process) for one in worker._processes] == before


def test_a_job_whose_listener_fails_ends_there_too(worker, mono):
    def deaf(event):
        if isinstance(event, AudioChunk):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        worker.run(long_job(mono), deaf, lambda: False)
    until(lambda: is_idle(worker))


def test_of_two_one_is_killed_and_only_what_it_was_making_is_lost(client, worker):
    threads, answers = at_once(client, ASKED, 20)
    until(lambda: all(one.at_work() for one in worker._processes))
    killed = worker._processes[0]
    os.kill(killed._process.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(SOON)
    check_some_were_lost(answers.values(), ASKED)
    assert asked(client, 1).status_code == 200
    assert killed not in worker._processes and not any(one.is_lost for one in worker._processes)


def test_a_worker_that_is_closed_leaves_no_process():
    worker = ProcessWorker(2)
    processes = [one._process for one in worker._processes]
    worker.close()
    assert [one.poll() for one in processes] == [0, 0]


def test_a_server_ends_its_processes_when_it_closes():
    queue = serve._queue(AppSettings(workers=2))
    processes = [one._process for one in queue.worker._processes]
    assert [one.poll() for one in processes] == [None, None] and queue.close(5)
    assert [one.poll() for one in processes] == [0, 0]


# ---------------------------------------------------------------- what is said between them


class Sent(list):
    def send(self, *message):
        self.append(message)


def test_how_far_a_job_is_is_told_now_and_then_and_its_end_always(monkeypatch):
    clock = iter(100 + 0.01 * i for i in range(1000))
    monkeypatch.setattr(worker_process.time, "monotonic", lambda: next(clock))
    sent = Sent()
    report = _Report(sent, 7)
    report.event(NodeStarted("1"))
    for done in range(101):
        report.music(done / 10)
        report.event(NodeProgress("1", done, 100))
    told = [event.done for what, _, event in sent if what == EVENT and event != NodeStarted("1")]
    assert told[0] == 0 and told[-1] == 100 and told == sorted(told) and 5 < len(told) < 30
    made = [seconds for what, _, seconds in sent if what == MUSIC]
    assert made[-1] == 10 and {number for _, number, _ in sent} == {7}


def test_what_happens_keeps_its_order():
    sent = Sent()
    report = _Report(sent, 7)
    events = [NodeProgress("1", done, 9) for done in range(3)] + [NodeStarted("2")]
    for event in events:
        report.event(event)
    assert [event for _, _, event in sent][-2:] == [NodeProgress("1", 2, 9), NodeStarted("2")]


def test_sound_goes_to_another_process_as_it_is():
    read_end, write_end = os.pipe()
    chunk = AudioChunk("1", torch.randn(1, 2, 5).transpose(1, 2), 32000, 7)
    with os.fdopen(read_end, "rb") as pipe:
        post = Post(os.fdopen(write_end, "wb"))
        post.send(EVENT, 3, chunk)
        what, number, came = received(pipe)
        post.close()
        assert received(pipe) is None
    assert (what, number, came.sample_rate, came.start_sample) == (EVENT, 3, 32000, 7)
    assert torch.equal(came.waveform, chunk.waveform)
    came.waveform.mul_(2)  # it is its own
    with pytest.raises(ValueError):
        post.send(EVENT, 4, chunk)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("workers", [0, 65])
def test_workers_that_cannot_be_are_refused(workers):
    with pytest.raises(Refused, match="workers"):
        AppSettings(workers=workers)


def test_workers_beside_ray_are_refused():
    with pytest.raises(Refused, match="--workers: got --ray, too"):
        demo(workers=2, ray="local")
