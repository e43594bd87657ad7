"""The takes that are shipped, and a server that is warm before the first press."""

import time
from dataclasses import replace

import pytest
import tiny
from fastapi.testclient import TestClient
from workers import AnyWorker

from musicgraph.app import serve
from musicgraph.app.page.first_takes import DURATION_S, FIRST_TAKES
from musicgraph.app.page.prompt_help import pockets_words
from musicgraph.app.page.warm_up import LENGTH_S, WarmUp
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.dsp import loudness_lufs
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import read_document

MOST_BYTES = 200_000

each_take = pytest.mark.parametrize("take", FIRST_TAKES, ids=lambda take: take.id)


@each_take
def test_a_shipped_take_is_small_loud_enough_and_of_everyday_words(take):
    sound, rate = read_audio(take.path)
    assert take.path.stat().st_size <= MOST_BYTES
    assert sound.shape[-1] / rate == pytest.approx(DURATION_S, abs=0.2)
    assert -20 < loudness_lufs(sound, rate) < -12
    assert pockets_words().unknown(take.prompt) == []


@each_take
def test_a_shipped_take_carries_the_graph_that_made_it(take):
    document = read_document(take.path)
    (text,) = (n for n in document.api.values() if n["class_type"] == "MusicGenTextEncode")
    (sampler,) = (n for n in document.api.values() if n["class_type"] == "MusicGenSampler")
    assert text["inputs"]["text"] == take.prompt and sampler["inputs"]["seed"] == take.seed


@pytest.fixture
def tiny_settings(tmp_path, monkeypatch):
    tiny.write_tiny_checkpoint(tmp_path / "models" / "tiny", codebook_size=1024)
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path / "models"))
    return AppSettings(model="tiny")


@pytest.fixture
def queue():
    queue = JobQueue(AnyWorker())
    yield queue
    queue.close()


def test_a_warm_up_makes_a_short_piece_and_says_so_meanwhile(tiny_settings, queue):
    warm_up = WarmUp(queue, tiny_settings)
    assert warm_up.look() == {"is_going": False, "status": ""}
    warm_up.start()
    seen = warm_up.look()
    assert seen["is_going"] and "The server has just started" in seen["status"]
    while warm_up.is_going:
        time.sleep(0.02)
    music = warm_up._handle.result()
    assert music.duration_s == pytest.approx(LENGTH_S, abs=0.05)
    assert warm_up.look() == {"is_going": False, "status": ""}


def test_a_model_that_would_be_downloaded_is_not_warmed(queue, monkeypatch, tmp_path):
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    warm_up = WarmUp(queue, AppSettings(model="facebook/musicgen-small"))
    warm_up.start()
    assert not warm_up.is_going and not queue.busy()


def test_a_model_that_cannot_be_used_does_not_keep_the_server_from_starting(
    tiny_settings, queue, tmp_path
):
    (tmp_path / "models/tiny/config.json").write_text("no JSON")
    warm_up = WarmUp(queue, tiny_settings)
    warm_up.start()
    while warm_up.is_going:
        time.sleep(0.02)
    assert warm_up.look() == {"is_going": False, "status": ""}


def test_a_queue_that_is_full_of_warming_workers_does_not_keep_the_server_from_starting(
    tiny_settings,
):
    queue = JobQueue(AnyWorker(), max_waiting=0)
    warm_up = WarmUp(queue, replace(tiny_settings, workers=4))
    warm_up.start()
    assert warm_up.is_going and queue.close(10)


def test_every_worker_is_warmed(tiny_settings):
    queue = JobQueue(AnyWorker(at_once=3), max_waiting=8)
    WarmUp(queue, replace(tiny_settings, workers=3)).start()
    assert queue.running() + queue.waiting() == 3
    assert queue.close(10)


def test_the_page_is_answered_in_its_first_minute(tiny_settings):
    with TestClient(serve.build_server(tiny_settings), base_url="http://127.0.0.1") as client:
        assert client.get("/page/start").json() == {"is_going": False, "status": ""}
        help = client.get("/page/help").json()
        assert [take["prompt"] for take in help["takes"]] == [t.prompt for t in FIRST_TAKES]
        sound = client.get(f"/page/first/{FIRST_TAKES[0].id}")
        assert sound.status_code == 200 and sound.headers["content-type"] == "audio/mpeg"
        assert client.get("/page/first/passwd").status_code == 404
        found = client.post("/page/prompt", json={"prompt": "a kazoo", "model": ""})
        assert found.json()["tokens"] is not None
        assert client.post("/page/prompt", content="[").status_code == 409
