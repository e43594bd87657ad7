"""The HTTP API with a tiny random model: who may ask, what it costs, and what comes back when
something breaks.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
import time

import pytest
from fastapi.testclient import TestClient
from http_api import COMPATIBLE, GENERATE, SHORT, SOON, Holding, error_of, local
from workers import AnyWorker

from musicgraph.app.http.reading import PageOnlyHere
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.follow import JobStream
from musicgraph.app.studio.queue import JobHandle, JobQueue
from musicgraph.app.studio.settings import AppSettings

pytest_plugins = ["http_api_fixtures"]

# ---------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    "host, address",
    [
        ("127.0.0.1", "10.0.0.9"),
        ("rebound.example", "127.0.0.1"),
        ("tunnel.example:443", "::1"),
        ("[::1", "127.0.0.1"),
    ],
)
def test_without_keys_only_this_machine_is_answered(queue, model, host, address):
    app = build_api(queue, AppSettings(model=str(model)))
    client = TestClient(
        app, base_url="http://127.0.0.1", client=(address, 5000), headers={"host": host}
    )
    for path in (COMPATIBLE, GENERATE):
        assert "--api-keys" in error_of(client.post(path, json=SHORT), 401)["message"]
    error_of(client.get("/v1/models"), 401)
    assert client.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", "/v1/models"])
def test_head_is_answered_where_get_is_as_monitors_ask(client, path):
    asked, told = client.head(path), client.get(path)
    assert (asked.status_code, told.status_code) == (200, 200)
    assert asked.headers["content-type"] == told.headers["content-type"]


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Via", "Forwarded", "X-Forwarded-Host"]
)
def test_what_a_proxy_brings_in_is_not_from_this_machine(client, header):
    error_of(client.get("/v1/models", headers={header: "127.0.0.1"}), 401)


def test_a_shared_server_needs_keys(queue, model):
    app = build_api(queue, AppSettings(model=str(model), share=True))
    assert "--api-keys" in error_of(local(app).post(GENERATE, json=SHORT), 401)["message"]


@pytest.mark.parametrize(
    "address, host",
    [("127.0.0.1", "localhost:7860"), ("::1", "[::1]:7860"), ("::ffff:127.0.0.1", "127.0.0.2")],
)
def test_this_machine_has_several_names(queue, model, address, host):
    app = build_api(queue, AppSettings(model=str(model)))
    assert (
        TestClient(app, client=(address, 5000), headers={"host": host})
        .get("/v1/models")
        .status_code
        == 200
    )


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": ""}, {"x-api-key": "mg_1_wrong"}, {"x-api-key": "x" * 5000}]
)
def test_with_keys_a_missing_or_wrong_one_is_401(paying, keys, headers):
    keys.add("ann", 5)
    for path in (COMPATIBLE, GENERATE):
        error_of(paying.post(path, json=SHORT, headers=headers), 401)
    error_of(paying.get("/v1/models", headers=headers), 401)
    assert keys.rows()[0].credits == 5


def test_this_machine_needs_a_key_too_if_there_are_keys(queue, model, keys):
    error_of(
        local(build_api(queue, AppSettings(model=str(model), api_keys=keys.path))).post(
            GENERATE, json=SHORT
        ),
        401,
    )


def test_a_generation_costs_one_credit_whatever_it_makes(paying, keys):
    key = {"x-api-key": keys.add("ann", 9)}
    for left, more in ((8, {}), (7, {"stream": True}), (6, {"variations": 3})):
        assert paying.post(GENERATE, json=SHORT | more, headers=key).headers[
            "x-remaining-credits"
        ] == str(left)
    paying.get("/v1/models", headers=key)
    assert keys.rows()[0].credits == 6


def test_no_credits_is_406_on_the_compatible_route_and_402_on_the_other(paying, keys):
    key = {"x-api-key": keys.add("ann", 0)}
    error_of(paying.post(COMPATIBLE, json={"prompt": "x"}, headers=key), 406)
    assert error_of(paying.post(GENERATE, json=SHORT, headers=key), 402)["type"] == "no_credits"


@pytest.mark.parametrize(
    "body", [{}, {**SHORT, "duration": -1}, {**SHORT, "model": "none"}, {**SHORT, "top_k": 257}]
)
def test_a_refusal_costs_nothing(paying, keys, body):
    key = {"x-api-key": keys.add("ann", 1)}
    assert paying.post(GENERATE, json=body, headers=key).status_code in (404, 422)
    assert keys.rows()[0].credits == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_a_500_with_an_id_the_details_are_in_the_log_and_the_credit_comes_back(
    paying, queue, keys, monkeypatch, caplog, stream
):
    def broken(*_, **__):
        raise RuntimeError("secret detail of /some/path")

    monkeypatch.setattr(queue.worker, "run", broken)
    key = {"x-api-key": keys.add("ann", 1)}
    response = paying.post(GENERATE, json={**SHORT, "stream": stream}, headers=key)
    error = error_of(response, 500)
    assert error["id"] in error["message"] and "secret" not in response.text
    assert error["id"] in caplog.text and "secret detail" in caplog.text
    assert keys.rows()[0].credits == 1


def test_a_broken_file_of_keys_is_a_500_with_an_id(paying, keys):
    keys.path.write_bytes(b"damaged" * 2000)
    error_of(paying.post(GENERATE, json=SHORT, headers={"x-api-key": "mg_1_x"}), 500)


def test_a_stream_that_breaks_off_midway_gives_the_credit_back(paying, queue, keys, monkeypatch):
    original = queue.worker.run

    def breaks(*arguments, **more):
        original(*arguments, **more)
        raise RuntimeError("midway")

    monkeypatch.setattr(queue.worker, "run", breaks)
    key = {"x-api-key": keys.add("ann", 1)}
    with pytest.raises(
        RuntimeError, match="midway"
    ):  # what a server turns into a connection that is cut
        local_app = TestClient(paying.app, base_url="http://music.example")
        local_app.post(GENERATE, json={**SHORT, "duration": 2, "stream": True}, headers=key)
    assert keys.rows()[0].credits == 1


def test_a_full_queue_is_429_with_retry_after_and_costs_nothing(queue, paying, keys):
    key = {"x-api-key": keys.add("ann", 1)}
    with Holding(queue):
        waiting = [queue.submit(f"other {i}", lambda *_: None) for i in range(queue.max_waiting)]
        response = paying.post(GENERATE, json=SHORT, headers=key)
        error_of(response, 429)
        assert int(response.headers["retry-after"]) >= 1
        assert paying.get("/health").json()["waiting"] == len(waiting)
    assert keys.rows()[0].credits == 1
    waiting[-1].result(SOON)
    assert paying.post(GENERATE, json=SHORT, headers=key).status_code == 200


def test_an_answer_says_which_in_line_it_was(client, monkeypatch):
    assert client.post(GENERATE, json=SHORT).headers["x-queue-place"] == "0"
    monkeypatch.setattr(JobHandle, "position", lambda _: 3)
    assert client.post(GENERATE, json=SHORT).headers["x-queue-place"] == "3"


def test_a_queue_that_closes_answers_503(model):
    queue = JobQueue(AnyWorker())
    client = local(build_api(queue, AppSettings(model=str(model))))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        post = pool.submit(client.post, GENERATE, json={**SHORT, "duration": 120})
        while not queue.busy():
            time.sleep(0.01)
        queue.close()
        error_of(post.result(SOON), 503)


def test_what_comes_after_the_servers_end_is_dropped():
    stream = JobStream()

    async def waits():
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream.each()), 0.01)

    asyncio.run(waits())
    stream.put(b"late")
    stream.end()


def test_building_the_api_loads_no_model_and_starts_no_thread(model):
    before = threading.active_count()
    build_api(JobQueue(AnyWorker()), AppSettings(model=str(model)))
    assert threading.active_count() == before


def test_a_server_with_keys_shows_its_page_to_its_own_machine_only(keys, queue, model):
    """Or the page, which needs no key, would be a way around the credits."""
    app = build_api(queue, AppSettings(model=str(model)))
    app.add_api_route("/", lambda: "the page")
    app.add_middleware(PageOnlyHere)
    assert local(app).get("/").status_code == 200
    stranger = TestClient(app, base_url="http://music.example", client=("203.0.113.9", 5000))
    refused = stranger.get("/")
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "page_is_local")
    assert stranger.post("/gradio_api/call/generate", json={}).status_code == 403
    for path in ("/health", "/docs", "/openapi.json"):
        assert stranger.get(path).status_code == 200
