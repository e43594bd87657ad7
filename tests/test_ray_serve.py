"""Replicas on Ray Serve behind the same HTTP app: what a lost one was making is said to be lost,
and nothing else is.
"""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from http_api import GENERATE, check_some_were_lost, error_of, local, wav

from musicgraph.app.http.routes import build_api
from musicgraph.app.studio import ray_worker
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.ray_cluster import joined
from musicgraph.app.studio.ray_worker import RayWorker
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.refused import Refused

SOON = 300.0
ASKED = 8


@pytest.fixture(scope="module")
def replicas(mono):
    """A client of an API that two replicas make the music for, with the tiny model."""
    pytest.importorskip("ray")
    pytest.importorskip("grpc")  # what Ray Serve needs; itself it reads its settings when imported
    settings = AppSettings(model=str(mono.folder), ray="local", replicas=(2, 2), live=0)
    worker = RayWorker("local", 2, 2)
    queue = JobQueue(worker, max_waiting=2 * ASKED)
    try:
        with local(build_api(queue, settings)) as client:
            yield client
    finally:
        queue.close(5)
        ray_worker.leave_cluster()


def processes():
    """Of the replicas, by the names that Ray gives them, below this process."""
    named = {
        int(entry.parent.name)
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if b"ServeReplica:musicgraph" in _read(entry)
    }
    return sorted(one for one in named if os.getpid() in _ancestors(one))


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def _ancestors(pid):
    while pid > 1:
        yield pid
        told = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
        pid = int(told[1]) if told else 0


def asked(client, seed, seconds):
    body = {"prompt": "a", "seed": seed, "duration": seconds, "top_k": 50, "format": "wav"}
    return client.post(GENERATE, json=body)


@pytest.mark.slow  # a cluster takes a while to start
def test_a_replica_gives_the_music_that_this_process_gives(replicas, mono):
    """Its number of threads is its own, by which torch's last digits differ."""
    from musicgraph.app.studio.worker import LocalWorker

    queue = JobQueue(LocalWorker())
    here = local(build_api(queue, AppSettings(model=str(mono.folder))))
    there, same = (wav(asked(one, 3, 0.5)).astype(int) for one in (replicas, here))
    queue.close(5)
    assert there.shape == same.shape and abs(there).max() > 100
    assert abs(there - same).max() <= 2


@pytest.mark.slow
def test_what_is_refused_there_is_refused_in_words(replicas):
    body = {"prompt": "a", "negative": "b", "cfg": 1, "duration": 0.5}
    assert error_of(replicas.post(GENERATE, json=body), 422)["type"] == "refused"


@pytest.mark.slow
def test_of_two_replicas_one_is_killed_and_only_what_it_was_making_is_lost(replicas):
    answers = {}

    def ask(seed):
        answers[seed] = asked(replicas, seed, 20)

    before = processes()
    assert len(before) == 2
    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(ASKED)]
    for thread in threads:
        thread.start()
    while replicas.get("/health").json()["running"] < ASKED:
        time.sleep(0.05)
    time.sleep(1)
    os.kill(before[0], signal.SIGKILL)
    for thread in threads:
        thread.join(SOON)
    check_some_were_lost(answers.values(), ASKED)
    assert asked(replicas, 1, 0.5).status_code == 200
    until = time.monotonic() + SOON
    while (now := processes()) == before or len(now) < 2:  # another one takes its place
        assert time.monotonic() < until
        time.sleep(0.5)


def too_late(times, ray, monkeypatch):
    """Ray as it is on a busy machine."""
    left = [Exception("The current node timed out during startup.")] * times

    def init(**_):
        if left:
            raise left.pop()

    monkeypatch.setattr(ray, "init", init)


def test_a_cluster_that_does_not_start_in_time_is_tried_again_and_then_refused(monkeypatch):
    ray = pytest.importorskip("ray")
    too_late(2, ray, monkeypatch)
    assert joined("local") is ray
    too_late(3, ray, monkeypatch)
    with pytest.raises(Refused, match="--ray local: got a cluster that does not start in time"):
        joined("local")
    too_late(1, ray, monkeypatch)
    with pytest.raises(Refused, match="--ray auto: got a cluster that does not start in time"):
        joined("auto")


@pytest.mark.parametrize("replicas", [(0, 1), (3, 2), (1, 1001)])
def test_replicas_that_cannot_be_are_refused(replicas):
    with pytest.raises(Refused, match="replicas"):
        AppSettings(replicas=replicas)
