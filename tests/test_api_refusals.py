"""What the HTTP API refuses, and how: fields, bodies, addresses, methods, models; and a thousand
hostile bodies.
"""

import json
import random

import pytest
from http_api import COMPATIBLE, GENERATE, SHORT, error_of, local

from musicgraph.app.http import routes
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.settings import AppSettings
from musicgraph.nodes.host import Interrupted

pytest_plugins = ["http_api_fixtures"]

# ---------------------------------------------------------------- fields and bodies


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


# ---------------------------------------------------------------- what /v1/generate refuses


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
        {"save_as": "flac"},
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


# ---------------------------------------------------------------- hostile bodies


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
    names += ["schedule", "blend", "automation"]
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
