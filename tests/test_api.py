"""The HTTP API with a tiny random model: what its two routes answer, what is sent, and what is
refused.
"""

import io
import json
import random
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from http_api import COMPATIBLE, GENERATE, RATE, SHORT, error_of, local, wav

from musicgraph.app.http import routes
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.encoding import SoundStream
from musicgraph.app.studio.settings import AppSettings
from musicgraph.nodes.host import Interrupted
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


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": None},
        {"prompt": 3},
        {"prompt": ""},
        {"prompt": " \n"},
        {"prompt": "x" * 2001},
        {"prompt": ["x"]},
        {"prompt": "\ud800"},
        {"duration": 0.5},
        {"duration": 31},
        {"duration": "10"},
        {"duration": True},
        {"duration": None},
        {"duration": 1e999},
        {"duration": 10**400},
        {"seed": -2},
        {"seed": 10000},
        {"seed": 1.5},
        {"seed": False},
        {"seed": "1"},
        {"cfg": 3},
        {"\ud800": 1},
    ],
)
def test_fields_that_do_not_fit_are_refused_with_got_expected_and_remedy(client, change):
    body = json.dumps({"prompt": "x", "duration": 1} | change).replace("Infinity", "1e999")
    response = client.post(COMPATIBLE, content=body, headers={"content-type": "application/json"})
    error = error_of(response, 422)
    assert all(part in error["message"] for part in ("got ", "expected ", "; "))
    assert error["field"] in error["message"]


def test_a_missing_prompt_is_refused(client):
    assert (
        "prompt: got nothing, expected text"
        in error_of(client.post(COMPATIBLE, json={}), 422)["message"]
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"prompt": NaN}',
        b'{"prompt": "x", "duration": Infinity}',
        b"\xff\xfe{}",
        b"[]",
        b"3",
        b'"x"',
        b"null",
        b"[" * 60000,
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"prompt": "a", "prompt": "b"}',
    ],
)
def test_bodies_that_are_not_a_json_object_are_refused(client, body):
    response = client.post(GENERATE, content=body, headers={"content-type": "application/json"})
    assert "expected" in error_of(response, 400)["message"]


def test_a_large_body_and_another_content_type_are_refused(client):
    json_type = {"content-type": "application/json; charset=utf-8"}
    error_of(client.post(GENERATE, content=b'{"prompt": "' + b"x" * 70000, headers=json_type), 413)
    assert (
        "application/json" in error_of(client.post(GENERATE, data={"prompt": "x"}), 415)["message"]
    )
    error_of(client.post(GENERATE, content=b'{"prompt": "x"}'), 415)
    assert client.post(GENERATE, content=json.dumps(SHORT), headers=json_type).status_code == 200


# ---------------------------------------------------------------- wrong addresses and methods


@pytest.mark.parametrize(
    "path", ["/v1/other", "/v1/", "/v1/generate/", "/v1/generate/x", "/v1/../v1/%00"]
)
def test_unknown_addresses_under_v1_are_404(client, path):
    assert (
        "expected one of /v1/meta-musicgen-medium"
        in error_of(client.post(path, json=SHORT), 404)["message"]
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [COMPATIBLE, GENERATE])
def test_other_methods_are_405_and_the_answer_names_the_right_one(client, path, method):
    response = client.request(method, path)
    error_of(response, 405)
    assert response.headers["allow"] == "POST"


def test_a_page_mounted_behind_does_not_take_over_wrong_addresses(queue, model):
    app = build_api(queue, AppSettings(model=str(model)))

    async def mounted(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the page"})

    app.mount("/", mounted)
    client = local(app)
    assert client.get("/").text == "the page"
    assert error_of(client.get(GENERATE), 405) and error_of(client.get("/v1/x"), 404)
    assert client.get("/docs").status_code == client.get("/health").status_code == 200


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
    if format != "wav":
        prompt = json.loads(read_tags(path)["prompt"])
        assert {"MusicGenSampler"} <= {node["class_type"] for node in prompt.values()}


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
    }
    client.post(GENERATE, json={**settings, "duration": 3, "format": "opus", "model": model.name})
    made = vars(seen[0])
    assert {name: made[name] for name in settings} == settings
    assert (made["duration_s"], made["save_as"], made["model"]) == (
        3.0,
        "SaveAudioOpus",
        str(model),
    )


def test_loudness_is_reached(client):
    quiet = wav(client.post(GENERATE, json={**SHORT, "duration": 2, "loudness_lufs": -40}))
    loud = wav(client.post(GENERATE, json={**SHORT, "duration": 2, "loudness_lufs": -15}))
    assert np.abs(quiet).max() * 4 < np.abs(loud).max()


@pytest.mark.parametrize("change", [{"variations": 2}, {"loudness_lufs": -14}])
def test_what_cannot_be_streamed_is_refused(client, change):
    assert (
        "stream: got "
        in error_of(client.post(GENERATE, json={**SHORT, "stream": True} | change), 422)["message"]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"top_k": 0},
        {"top_k": 2.5},
        {"top_p": 1.1},
        {"temperature": -1},
        {"cfg": 21},
        {"variations": 17},
        {"duration": 121},
        {"duration": 0},
        {"seed": 2**64},
        {"precision": "int3"},
        {"device": 0},
        {"format": "aac"},
        {"format": None},
        {"stream": 1},
        {"stream": "true"},
        {"loudness_lufs": 1},
        {"negative": 1},
        {"negative": None},
        {"negative": "x" * 2001},
        {"save_as": "SaveAudio"},
        {"duration_s": 1},
    ],
)
def test_settings_out_of_range_are_refused_by_name(client, change):
    assert error_of(client.post(GENERATE, json=SHORT | change), 422)["field"] == next(iter(change))


def test_what_only_the_graph_can_refuse_is_no_failure_of_the_server(client):
    too_many = error_of(client.post(GENERATE, json={**SHORT, "top_k": 257}), 422)["message"]
    assert "top_k: got 257, expected 1 to 256" in too_many
    without_guidance = client.post(GENERATE, json={**SHORT, "negative": "noise", "cfg": 1})
    assert "negative: got one with cfg 1" in error_of(without_guidance, 422)["message"]


@pytest.mark.parametrize(
    "name", ["nobody/nothing", "facebook/musicgen-large", "/etc", "..", "x" * 200]
)
def test_a_model_that_is_not_here_is_404_and_is_not_fetched(client, monkeypatch, name):
    monkeypatch.setattr(
        "musicgraph.models.weights.places.fetch", lambda *_: pytest.fail("must not be fetched")
    )
    assert (
        "tiny-256" in error_of(client.post(GENERATE, json={**SHORT, "model": name}), 404)["message"]
    )


def test_the_models_that_are_here_can_be_asked_for(client, model, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(model.parent))
    models = client.get("/v1/models").json()["models"]
    assert models[0]["name"] == model.name and models[0]["default"]
    assert models[0]["size_bytes"] > 0 and models[0]["licence"]
    assert len({one["name"] for one in models}) == len(models)
    assert str(model.parent) not in json.dumps(models)
    response = client.post(GENERATE, json={**SHORT, "model": model.name})
    assert response.status_code == 200 and response.headers["x-model"] == model.name


# ---------------------------------------------------------------- hostile bodies, and the documents


NASTY = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63,
    2**64,
    10**300,
    0.1,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "x",
    "\x00",
    "\ud83d",
    "😀",
    "x" * 2001,
    "../../etc/passwd",
    "wav",
    "flac",
    [],
    [1],
    {},
    {"a": {}},
    [[[[]]]],
    "NaN",
]


def nasty_body(dice, names):
    kind = dice.random()
    if kind < 0.1:
        return bytes(dice.randrange(256) for _ in range(dice.randrange(40)))
    if kind < 0.15:
        return json.dumps(dice.choice(NASTY)).encode()
    body = {"prompt": "x", "duration": 0.5} if dice.random() < 0.7 else {}
    for _ in range(dice.randrange(1, 4)):
        name = dice.choice([*names, "", "\ud800", "__proto__", "x" * 300])
        body[name] = dice.choice(NASTY)
    text = json.dumps(body)
    return text[: dice.randrange(len(text))].encode() if kind < 0.25 else text.encode()


def test_a_thousand_hostile_bodies_never_make_the_server_fail(client, monkeypatch):
    """The model is left out: what gets past the checks is only counted."""
    made = []

    def quick(request, *_, **__):
        made.append(request)
        raise Interrupted("counted")

    monkeypatch.setattr(routes, "music_job", quick)
    dice = random.Random(0)
    names = [
        "prompt",
        "negative",
        "model",
        "duration",
        "seed",
        "cfg",
        "temperature",
        "top_k",
        "top_p",
        "variations",
    ]
    names += ["precision", "device", "loudness_lufs", "format", "stream"]
    statuses = set()
    for _ in range(1000):
        path = dice.choice([COMPATIBLE, GENERATE])
        response = client.post(
            path, content=nasty_body(dice, names), headers={"content-type": "application/json"}
        )
        statuses.add(response.status_code)
        assert "error" in response.json()
    assert statuses <= {400, 404, 422, 503} and {400, 422} < statuses
    assert all(0 < request.duration_s <= 120 and 0 <= request.seed < 2**64 for request in made)


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
