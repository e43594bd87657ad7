"""The HTTP API with a tiny random model: what its two routes answer, and its documents."""

import io
import json
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from http_api import COMPATIBLE, GENERATE, RATE, SHORT, error_of, wav

from musicgraph.app.http import routes
from musicgraph.app.studio.encoding import SoundStream
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.media.tags import read_tags

pytest_plugins = ["http_api_fixtures"]

# ---------------------------------------------------------------- the compatible route


def test_the_compatible_route_answers_with_a_wav_of_the_asked_length_and_nothing_else(client):
    response = client.post(
        COMPATIBLE,
        json={"prompt": "lo-fi music with a soothing melody", "duration": 1.5, "seed": 42},
    )
    assert response.headers["content-type"] == "audio/wav"
    assert response.content[:4] == b"RIFF"
    assert len(response.content) == int.from_bytes(response.content[4:8], "little") + 8
    samples = wav(response)
    assert samples.shape == (1.5 * RATE, 1) and np.abs(samples).max() > 100


def test_the_compatible_routes_defaults_are_the_documented_ones(client, monkeypatch):
    seen = []
    monkeypatch.setattr(
        routes, "music_job", lambda request, *_, **__: seen.append(request) or 1 / 0
    )
    client.post(COMPATIBLE, json={"prompt": "x"})
    assert (seen[0].duration_s, seen[0].seed, seen[0].cfg, seen[0].top_k) == (10.0, 42, 3.0, 250)


def test_the_same_seed_gives_the_same_music_and_minus_one_says_which_it_drew(client):
    body = {"prompt": "x", "duration": 1, "seed": -1}
    first = client.post(COMPATIBLE, json=body)
    again = client.post(COMPATIBLE, json={**body, "seed": int(first.headers["x-seed"])})
    other = client.post(
        COMPATIBLE, json={**body, "seed": (int(first.headers["x-seed"]) + 1) % 10000}
    )
    assert first.content == again.content != other.content


def test_the_documented_client_code_works(paying, keys, tmp_path):
    key = keys.add("ann", 3)
    response = paying.post(
        COMPATIBLE,
        json={"prompt": "lo-fi music with a soothing melody", "duration": 1, "seed": 42},
        headers={"x-api-key": key},
    )
    (tmp_path / "music.wav").write_bytes(response.content)
    assert read_audio(tmp_path / "music.wav")[0].shape == (1, RATE)
    assert response.headers["x-remaining-credits"] == "2"


# ---------------------------------------------------------------- /v1/generate


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "format, media_type",
    [("wav", "audio/wav"), ("flac", "audio/flac"), ("mp3", "audio/mpeg"), ("opus", "audio/ogg")],
)
def test_every_format_holds_the_music_and_the_graph_that_made_it(
    client, tmp_path, format, media_type, stream
):
    response = client.post(
        GENERATE, json={**SHORT, "duration": 2, "format": format, "stream": stream}
    )
    assert response.status_code == 200 and response.headers["content-type"] == media_type
    path = tmp_path / f"music.{format}"
    path.write_bytes(response.content)
    waveform, rate = read_audio(path)
    assert waveform.shape[1] / rate == pytest.approx(2, abs=0.2)
    assert waveform.abs().max() > 0.01
    tags = read_tags(path)
    if format == "wav" and stream:
        assert tags == {}
        return
    prompt = json.loads(tags["prompt"])
    assert {"MusicGenSampler"} <= {node["class_type"] for node in prompt.values()}
    (made_with,) = json.loads(tags["musicgraph"])["made_with"]
    assert made_with["seed"] == SHORT["seed"] and made_with["engine"]


def test_the_graph_in_a_file_names_the_model_as_the_client_does_and_no_folder(
    client, model, tmp_path
):
    (tmp_path / "music.flac").write_bytes(
        client.post(GENERATE, json={**SHORT, "format": "flac"}).content
    )
    tags = json.dumps(read_tags(tmp_path / "music.flac"))
    assert model.name in tags and str(model.parent) not in tags


@pytest.mark.parametrize("format", ["wav", "flac", "opus"])
def test_a_stream_holds_the_samples_of_the_file_at_once(client, tmp_path, format):
    sounds = []
    for stream in (False, True):
        body = {**SHORT, "duration": 2.34, "format": format, "stream": stream}
        client.post(
            GENERATE, json={**SHORT, "seed": 1}
        )  # so that nothing is kept from the other one
        path = tmp_path / f"{stream}.{format}"
        path.write_bytes(client.post(GENERATE, json=body).content)
        sounds.append(read_audio(path)[0])
    assert sounds[0].shape == sounds[1].shape and bool((sounds[0] == sounds[1]).all())


def test_a_stream_of_what_was_just_made_is_whole(client):
    at_once, streamed = (
        client.post(GENERATE, json={**SHORT, "stream": stream}) for stream in (False, True)
    )
    assert (wav(at_once) == wav(streamed)).all()
    again = client.post(GENERATE, json={**SHORT, "stream": True})
    assert again.content == streamed.content


@pytest.mark.parametrize(
    "accept, media_type",
    [
        ("", "audio/wav"),
        ("*/*", "audio/wav"),
        ("audio/*", "audio/wav"),
        ("audio/flac", "audio/flac"),
        ("audio/mpeg;q=0.5, audio/ogg; codecs=opus", "audio/ogg"),
        ("text/html, audio/mp3;q=0.9, */*;q=0.1", "audio/mpeg"),
        ("audio/flac;q=0, */*", "audio/wav"),
        ("application/json, text/plain, */*", "audio/wav"),
        ("audio/flac;q=nonsense", "audio/flac"),
    ],
)
def test_accept_chooses_the_format(client, accept, media_type):
    response = client.post(GENERATE, json=SHORT, headers={"accept": accept})
    assert response.status_code == 200 and response.headers["content-type"] == media_type


def test_the_format_field_goes_before_accept_and_accept_may_name_nothing_we_make(client):
    response = client.post(
        GENERATE, json={**SHORT, "format": "mp3"}, headers={"accept": "image/png"}
    )
    assert response.headers["content-type"] == "audio/mpeg"
    assert (
        "audio/flac"
        in error_of(client.post(GENERATE, json=SHORT, headers={"accept": "image/png"}), 406)[
            "message"
        ]
    )


def test_variations_come_as_a_zip_and_each_is_the_music_of_its_own_seed(client):
    response = client.post(GENERATE, json={**SHORT, "variations": 2})
    assert response.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist() == ["music_1.wav", "music_2.wav"]
    second = client.post(GENERATE, json={**SHORT, "seed": SHORT["seed"] + 1})
    assert (
        np.abs(
            soundfile.read(archive.open("music_2.wav"), dtype="int16")[0] - wav(second)[:, 0]
        ).max()
        <= 1
    )


def test_all_settings_reach_the_graph(client, monkeypatch, model):
    seen = []
    monkeypatch.setattr(
        routes, "music_job", lambda request, *_, **__: seen.append(request) or 1 / 0
    )
    settings = {
        "prompt": "p",
        "negative": "n",
        "seed": 2**64 - 1,
        "cfg": 2.5,
        "temperature": 0.5,
        "top_k": 9,
        "top_p": 0.9,
        "variations": 3,
        "precision": "fp32",
        "device": "cpu",
        "loudness_lufs": -20.0,
        "schedule": "1: q",
        "automation": "cfg 0: 3",
    }
    client.post(GENERATE, json={**settings, "duration": 3, "format": "opus", "model": model.name})
    made = vars(seen[0])
    assert {name: made[name] for name in settings} == settings
    assert (made["duration_s"], made["save_as"], made["model"]) == (
        3.0,
        "opus",
        model.name,
    )


def test_loudness_is_reached(client):
    quiet = wav(client.post(GENERATE, json={**SHORT, "duration": 2, "loudness_lufs": -40}))
    loud = wav(client.post(GENERATE, json={**SHORT, "duration": 2, "loudness_lufs": -15}))
    assert np.abs(quiet).max() * 4 < np.abs(loud).max()


def test_the_models_that_are_here_can_be_asked_for(client, model, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(model.parent))
    models = client.get("/v1/models").json()["models"]
    assert models[0]["name"] == model.name and models[0]["default"]
    assert models[0]["size_bytes"] > 0 and models[0]["licence"]
    assert len({one["name"] for one in models}) == len(models)
    assert str(model.parent) not in json.dumps(models)
    response = client.post(GENERATE, json={**SHORT, "model": model.name})
    assert response.status_code == 200 and response.headers["x-model"] == model.name


def test_the_openapi_document_tells_the_fields_and_the_statuses(client):
    document = client.get("/openapi.json").json()
    route = document["paths"][COMPATIBLE]["post"]
    schema = route["requestBody"]["content"]["application/json"]["schema"]
    assert list(schema["properties"]) == ["prompt", "duration", "seed"] and schema["required"] == [
        "prompt"
    ]
    assert schema["properties"]["duration"] | {"description": ""} == {
        "type": "number",
        "minimum": 1.0,
        "maximum": 30.0,
        "default": 10.0,
        "description": "",
    }
    assert {"200", "401", "406", "422", "429", "500"} <= set(route["responses"])
    assert list(route["responses"]["200"]["content"]) == ["audio/wav"]
    assert {"402", "404"} <= set(document["paths"][GENERATE]["post"]["responses"])


def test_the_docs_page_tells_the_same_and_asks_nothing_of_other_hosts(client):
    page = client.get("/docs").text
    assert all(
        text in page for text in (COMPATIBLE, GENERATE, "loudness_lufs", "Retry-After", "curl")
    )
    assert not any(
        text in page for text in ("src=", "https://", "//cdn", "@import", "<script", "<link")
    )


def test_a_stream_turns_down_what_is_above_full_scale(tmp_path):
    """A random codec overshoots; clipping would be heard."""
    loud = 3.0 * torch.sin(torch.linspace(0, 2000, 32_000)).unsqueeze(0)
    stream = SoundStream(".wav")
    pieces = [stream.push(piece, 32_000) for piece in loud.split(1000, dim=1)]
    pieces.append(stream.close())
    samples = np.frombuffer(b"".join(pieces)[44:], "<i2").astype(float) / 32768
    assert len(samples) == 32_000
    assert (np.abs(samples) > 0.9999).mean() < 0.01, "it is not clipped flat"
    assert np.corrcoef(samples, loud[0].numpy())[0, 1] > 0.999
