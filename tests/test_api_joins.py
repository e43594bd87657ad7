"""A recording that is sent along, and loops, over HTTP."""

import io
import json
import math
import tempfile

import numpy as np
import pytest
import soundfile
import torch
from http_api import GENERATE, error_of

from musicgraph.models.compose.splice import REACH_S

pytest_plugins = ["http_api_fixtures"]

RATE = 11025


@pytest.fixture(scope="module")
def recording():
    """A second and a half of two channels, as 16 bits."""
    time = torch.arange(round(1.5 * RATE)) / RATE
    notes = torch.tensor([[220.0], [330.0]])
    return np.round(0.4 * 32767 * torch.sin(2 * math.pi * notes * time).T.numpy()).astype(np.int16)


@pytest.fixture(scope="module")
def sent(recording):
    file = io.BytesIO()
    soundfile.write(file, recording, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Where the server puts what it is sent."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def ask(client, audio=None, **fields):
    asked = {"prompt": "piano", "seed": 3, **fields}
    if audio is None:
        return client.post(GENERATE, json=asked)
    files = {"audio": ("take 1.flac", audio)}
    return client.post(GENERATE, data={"request": json.dumps(asked)}, files=files)


def samples(response):
    assert response.status_code == 200, response.text
    return soundfile.read(io.BytesIO(response.content), dtype="int16", always_2d=True)


def test_a_recording_goes_on_from_a_second_and_nothing_of_it_is_kept(
    client, sent, recording, folders
):
    sound, rate = samples(ask(client, audio=sent, continue_from=1.2, duration=2))
    kept = round((1.2 - REACH_S) * RATE)
    assert rate == RATE and sound.shape == (2 * RATE, 2)
    assert np.array_equal(sound[:kept], recording[:kept])
    assert not list(folders.iterdir())


def test_it_goes_on_beyond_changes_of_text_and_closes(client, sent, recording):
    asked = {"duration": 3, "schedule": "2: drums", "blend": 0.5, "fade": 0.5, "ending": "bar"}
    sound, _ = samples(ask(client, audio=sent, overlap=10, **asked))
    kept = round((1.5 - REACH_S) * RATE)
    assert np.array_equal(sound[:kept], recording[:kept])
    assert len(sound) <= 3 * RATE and not sound[-2:].any()


def test_a_region_is_made_anew_and_the_rest_comes_back(client, sent, recording, folders):
    sound, _ = samples(ask(client, audio=sent, repaint="0.5:1"))
    edges = round(0.5 * RATE), RATE
    assert sound.shape == recording.shape and not np.array_equal(sound, recording)
    assert np.array_equal(sound[: edges[0]], recording[: edges[0]])
    assert np.array_equal(sound[edges[1] :], recording[edges[1] :])
    assert not list(folders.iterdir())


def test_a_loop_takes_its_tempo_from_the_prompt_and_has_its_points(client):
    response = ask(client, prompt="piano, 240 bpm", loop="1bar")
    sound, rate = samples(response)
    assert len(sound) == rate
    assert b"smpl" in response.content and b"acid" in response.content


BAD = (
    ({"audio": b"no sound"}, "expected WAV, FLAC, MP3"),
    ({"continue_from": 1}, "continue_from: got no audio"),
    ({"repaint": "0:1"}, "repaint: got no audio"),
    ({"bpm": 120}, "bpm: got no loop"),
    ({"audio": "SENT", "loop": "4"}, "audio: got loop too"),
    ({"audio": "SENT", "repaint": "0:1", "variations": 2}, "repaint: got variations too"),
    ({"audio": "SENT", "repaint": "0:1", "overlap": 2}, "repaint: got overlap too"),
    ({"audio": "SENT", "repaint": "0:1", "guidance_until": 1}, "repaint: got guidance_until too"),
    ({"audio": "SENT", "repaint": "0:9"}, "0 to 9 s, expected a part of 0 to 1.5 s"),
    ({"audio": "SENT", "continue_from": 1.6}, "1.6 s of a recording of 1.5 s"),
    ({"audio": "SENT", "duration": 1}, "duration: got 1 s, which begin with 1.5 s"),
    ({"audio": "SENT", "stream": True}, "stream: got audio too"),
    ({"fade": 1, "stream": True}, "stream: got a fade too"),
    ({"ending": "bar", "stream": True}, "stream: got an ending too"),
    ({"ending": "soon"}, "ending"),
    ({"overlap": 31}, "overlap"),
    ({"guidance_until": -0.1}, "guidance_until: got -0.1"),
    ({"guidance_until": None}, "guidance_until"),
    ({"overlap": 30}, "overlap: got 30 s, expected 0.08 to 29.98 s, less than a window"),
    ({"duration": 2, "fade": 3}, "fade: got 0 s in and 3 s out of 2 s"),
    ({"loop": "4", "bpm": 120, "fade": 1}, "loop: got fade too"),
    ({"duration": 5, "schedule": "5: drums"}, "schedule: got 5 s"),
    ({"loop": "4"}, "loop: got no tempo"),
    ({"loop": "9", "bpm": 20}, "at most 30 s"),
    ({"loop": "4", "bpm": 1}, "bpm: got 1"),
)


@pytest.mark.parametrize(("fields", "words"), BAD)
def test_what_does_not_fit_is_refused_and_nothing_is_kept(client, sent, folders, fields, words):
    given = {name: sent if value == "SENT" else value for name, value in fields.items()}
    message = error_of(ask(client, **given), 422)["message"]
    assert words in message and "musicgraph-" not in message
    assert not list(folders.iterdir())
