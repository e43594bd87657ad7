"""A DAW's plug-in, by its public description: sends a sound, asks until the music is there."""

import base64
import io
import sys
import time

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from http_api import local

from musicgraph import cli
from musicgraph.app.http import juce
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.compose.splice import REACH_S
from musicgraph.models.refused import Refused

pytest_plugins = ["http_api_fixtures"]

RATE, SECONDS = 44_100, 3.01
PLAIN = {"model_name": "", "prompt_duration": 1, "duration": 2, "top_k": 50}
SOON = 60.0


@pytest.fixture(scope="module")
def api(queue, model):
    with local(build_api(queue, AppSettings(model=str(model), juce=True))) as client:
        yield client


def loop(channels=2, rate=RATE, seconds=SECONDS):
    t = np.arange(int(seconds * rate)) / rate
    sides = [0.5 * np.sin(2 * np.pi * 220 * (side + 1) * t) for side in range(channels)]
    return np.stack(sides, axis=1)


def as_wav(sound, rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, "PCM_16", format="WAV")
    return base64.b64encode(buffer.getvalue()).decode()


def of_wav(text):
    return soundfile.read(io.BytesIO(base64.b64decode(text)), always_2d=True)


def begun(api, route, **body):
    answer = api.post(f"/api/juce/{route}", json=body)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["success"] and said["session_id"] and said["message"]
    return said


def polled(api, session_id):
    """What the plug-in does several times a second."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        said = api.get(f"/api/juce/poll_status/{session_id}").json()
        if not (said["generation_in_progress"] or said["transform_in_progress"]):
            return said
        assert said["success"] and 0 <= said["progress"] < 100 and not said["audio_data"]
        assert said["status"] == said["queue_status"]["status"] in ("queued", "processing")
        time.sleep(0.05)
    raise AssertionError("nothing came")


def continued(api, route="continue_music", sound=None, **body):
    sound = loop() if sound is None else sound
    said = begun(api, route, **{**PLAIN, "audio_data": as_wav(sound), **body})
    done = polled(api, said["session_id"])
    assert done["success"] and (done["status"], done["progress"]) == ("completed", 100)
    assert done["generation_seed"] == said["seed"]
    return said, *of_wav(done["audio_data"])


# ---------------------------------------------------------------- music


def test_a_loop_comes_back_as_it_was_with_music_behind_it(api):
    _, sound, rate = continued(api, seed=1, description="loud drums")
    sent = loop()
    kept = len(sent) - round(REACH_S * RATE)
    assert rate == RATE and sound.shape[1] == 2
    assert np.abs(sound[:kept] - sent[:kept]).max() < 1.1 / 32768
    assert len(sound) == pytest.approx(len(sent) - RATE + 2 * RATE, abs=2)
    assert np.abs(sound[len(sent) + 1000 :]).max() > 0.001


def test_process_audio_goes_on_from_the_beginning(api):
    _, sound, _ = continued(api, "process_audio", seed=1)
    kept = RATE - round(REACH_S * RATE)
    assert np.abs(sound[:kept] - loop()[:kept]).max() < 1.1 / 32768
    assert len(sound) == pytest.approx(2 * RATE, abs=2)


def test_the_same_seed_continues_the_same_and_another_does_not(api):
    _, first, _ = continued(api, seed=5)
    _, again, _ = continued(api, seed=5)
    _, other, _ = continued(api, seed=6)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_retry_takes_what_was_sent_and_not_what_came_of_it(api):
    said, first, _ = continued(api, seed=5)
    retry = begun(api, "retry_music", session_id=said["session_id"], seed=6)
    done = polled(api, retry["session_id"])
    second, _ = of_wav(done["audio_data"])
    _, meant, _ = continued(api, seed=6)
    assert retry["session_id"] != said["session_id"] and done["generation_seed"] == 6
    assert np.array_equal(second, meant) and second.shape == first.shape


def test_a_retry_of_a_retry_still_has_the_sound_and_says_its_own_seed(api):
    said, first, _ = continued(api, seed=5)
    once = begun(api, "retry_music", session_id=said["session_id"], seed=-1)
    twice = begun(api, "retry_music", session_id=once["session_id"], seed=5)
    assert np.array_equal(of_wav(polled(api, twice["session_id"])["audio_data"])[0], first)


def test_what_came_can_be_sent_back_to_go_on_further(api):
    _, first, _ = continued(api, seed=5)
    _, longer, _ = continued(api, sound=first, seed=5)
    assert len(longer) > len(first)
    kept = len(first) - round(REACH_S * RATE)
    assert np.abs(longer[:kept] - first[:kept]).max() < 1.1 / 32768


@pytest.mark.parametrize(("channels", "rate"), [(1, 48_000), (1, 8000), (2, 22_050)])
def test_rate_and_channels_are_those_of_the_loop(api, channels, rate):
    sent = loop(channels, rate)
    said = begun(api, "continue_music", **{**PLAIN, "audio_data": as_wav(sent, rate)})
    sound, found = of_wav(polled(api, said["session_id"])["audio_data"])
    assert (found, sound.shape[1]) == (rate, channels)
    assert len(sound) == pytest.approx(len(sent) + rate, abs=3)


def test_what_is_listened_to_is_a_recording_that_goes_on(api, queue, monkeypatch):
    """As with --continue: one way to continue, whoever asks."""
    asked = []
    monkeypatch.setattr(juce, "music_job", lambda request, *a, **k: asked.append(request) or 1 / 0)
    for route, listened_s in (("continue_music", 1.0), ("process_audio", 1.0)):
        api.post(f"/api/juce/{route}", json={**PLAIN, "audio_data": as_wav(loop())})
        assert asked[-1].recording == juce.PROMPT
        assert asked[-1].continue_from_s == pytest.approx(listened_s, abs=1 / RATE)


def test_a_loop_that_is_shorter_than_what_is_listened_to_is_heard_whole(api):
    _, sound, _ = continued(api, sound=loop(seconds=0.5), prompt_duration=6)
    assert len(sound) == pytest.approx(2 * RATE, abs=2)


# ---------------------------------------------------------------- seeds and fields


@pytest.mark.parametrize("route", ["process_audio", "continue_music"])
@pytest.mark.parametrize("seed", [1234, 0])
def test_a_seed_is_kept_and_said(api, route, seed):
    said, *_ = continued(api, route, seed=seed)
    assert said["seed"] == seed


@pytest.mark.parametrize("more", [{"seed": -1}, {"seed": None}, {"seed": ""}, {}])
def test_no_seed_draws_one_that_the_plug_in_can_show(api, more):
    said, *_ = continued(api, **more)
    assert 0 <= said["seed"] <= 99_999


def test_fields_of_other_services_are_passed_over(api):
    continued(api, quantization_mode="q4", cfg_coef=3, temperature=1, description=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "x"}, "seed"),
        ({"audio_data": ""}, "audio_data"),
        ({"audio_data": None}, "audio_data"),
        ({"audio_data": "ü"}, "audio_data"),
        ({"audio_data": "AAAA"}, "sound.wav"),
        ({"model_name": "thepatch/nowhere"}, "tiny-256"),
        ({"prompt_duration": 0}, "prompt_duration"),
        ({"duration": 1}, "duration"),
        ({"duration": 1000}, "duration"),
        ({"top_k": 0}, "top_k"),
    ],
)
def test_what_cannot_be_continued_is_a_400_in_words(api, change, words):
    body = {**PLAIN, "audio_data": as_wav(loop(seconds=1.5)), **change}
    answer = api.post("/api/juce/continue_music", json=body)
    assert answer.status_code == 400, answer.text
    said = answer.json()
    assert said["success"] is False and words in said["error"] and "/tmp" not in said["error"]


def test_sessions_that_are_not_there(api):
    answer = api.post("/api/juce/retry_music", json={"session_id": "gone"})
    assert answer.status_code == 400 and answer.json()["success"] is False
    assert api.get("/api/juce/poll_status/gone").json()["status"] == "unknown"


def test_a_job_that_fails_says_so(api, queue, monkeypatch):
    def broken(*_):
        raise Refused("the sampler", got="nothing", expected="something")

    monkeypatch.setattr(type(queue.worker), "run", broken)
    said = begun(api, "continue_music", **{**PLAIN, "audio_data": as_wav(loop())})
    failed = polled(api, said["session_id"])
    assert (failed["success"], failed["status"]) == (False, "failed")
    assert "the sampler: got nothing" in failed["error"]


# ---------------------------------------------------------------- the door


def test_the_models_are_those_of_this_machine_and_health_is_live(api, client):
    assert "tiny-256" in api.get("/api/models").json()["models"]["small"]
    assert set(api.get("/api/models").json()["models"]) == {"small", "medium", "large"}
    health = api.get("/health").json()
    assert health["status"] == "live" and health["busy"] in (True, False)
    assert client.get("/health").json()["status"] == "ok"


def test_without_the_option_there_are_no_such_routes(client):
    assert client.get("/api/models").status_code == 404
    assert client.post("/api/juce/continue_music", json={}).status_code == 404


def test_another_machine_is_not_answered(queue, model):
    app = build_api(queue, AppSettings(model=str(model), juce=True))
    with TestClient(app, base_url="http://music.example") as elsewhere:
        assert elsewhere.get("/api/models").status_code == 401


@pytest.mark.parametrize("words", [["--share"], ["--api-keys", "keys.sqlite"]])
def test_the_plug_in_and_strangers_do_not_share_a_server(capsys, monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["musicgraph", "demo", "--juce", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "expected this machine only" in capsys.readouterr().err
