"""The HTTP API over real connections: sound while it is made, clients that leave, the documented
client code.
"""

import concurrent.futures
import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import soundfile
import uvicorn
from http_api import COMPATIBLE, GENERATE
from workers import AnyWorker

from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings

pytest_plugins = ["http_api_fixtures"]

LONG = {"prompt": "calm piano", "duration": 120, "seed": 7, "top_k": 50}
SOON = 20.0


@contextlib.contextmanager
def served(queue, settings):
    """Its address, on a port that was free."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(build_api(queue, settings), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(SOON)


def wait_for(condition, limit_s=SOON):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s
        time.sleep(0.005)


@pytest.fixture(scope="module")
def queue():
    queue = JobQueue(AnyWorker())
    yield queue
    queue.close()


@pytest.fixture
def address(queue, model, keys):
    with served(queue, AppSettings(model=str(model), api_keys=keys.path)) as address:
        yield address


def sent(address, body, key):
    """A connection over which a request went, and whose answer nobody has read yet."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    data = json.dumps(body).encode()
    head = (
        f"POST {GENERATE} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n"
        "content-type: application/json\r\n"
    )
    connection.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    return connection


SERVER = """
import sys; sys.path.insert(0, sys.argv[1]); import conftest
from musicgraph.cli import main
main(["demo", "--port", sys.argv[2], "--model", sys.argv[3], "--api-keys", sys.argv[4]])
"""


@contextlib.contextmanager
def process(model, keys, folder):
    """The server in a process of its own, with its temporary files in `folder`, and its address."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder)}
    environment.pop("GRADIO_TEMP_DIR", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", SERVER, tests, str(port), str(model), str(keys.path)]
    with subprocess.Popen(command, env=environment, **pipes) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: server.poll() is not None or is_there(address), 120)
            yield server, address
        finally:
            server.kill()


def under_way(address):
    health = httpx.get(address + "/health").json()
    return health["running"] + health["waiting"]


def is_there(address):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(address + "/health").status_code == 200
    return False


def test_told_to_end_the_server_answers_all_who_wait_and_no_credit_is_lost(model, keys, tmp_path):
    key = keys.add("ann", 5)
    with (
        process(model, keys, tmp_path / "tmp") as (server, address),
        concurrent.futures.ThreadPoolExecutor(5) as pool,
    ):
        asking = [
            pool.submit(
                httpx.post, address + GENERATE, json=LONG, headers={"x-api-key": key}, timeout=60
            )
            for _ in range(5)
        ]
        wait_for(lambda: under_way(address) == 5, 60)
        server.terminate()
        assert [one.result().status_code for one in asking] == [503] * 5
        said = server.communicate(timeout=60)
    assert server.returncode == 0
    assert b"Traceback" not in b"".join(said)
    assert keys.rows()[0].credits == 5
    left = [path for path in (tmp_path / "tmp").iterdir() if "tests" not in path.name]
    assert not [path for path in left if "musicgraph" in path.name or path.name == "gradio"]


def test_a_stream_that_the_servers_end_cuts_off_costs_nothing(model, keys, tmp_path):
    key = keys.add("ann", 1)
    with process(model, keys, tmp_path) as (server, address):
        url, body = address + GENERATE, {**LONG, "stream": True}
        with httpx.stream("POST", url, json=body, headers={"x-api-key": key}, timeout=60) as answer:
            pieces = answer.iter_raw()
            assert next(pieces) and keys.rows()[0].credits == 0
            server.terminate()
            with pytest.raises(httpx.RemoteProtocolError):
                list(pieces)
        said = server.communicate(timeout=SOON)
    assert server.returncode == 0 and b"Traceback" not in b"".join(said)
    assert keys.rows()[0].credits == 1


def test_a_killed_server_keeps_no_credit_from_the_next_start_on(model, keys, tmp_path):
    key = keys.add("ann", 2)
    with process(model, keys, tmp_path) as (server, address):
        connection = sent(address, LONG, key)
        wait_for(lambda: keys.rows()[0].credits == 1, 60)
        server.kill()
        server.wait()
        connection.close()
    build_api(JobQueue(AnyWorker()), AppSettings(model=str(model), api_keys=keys.path))
    assert keys.rows()[0].credits == 2


def test_the_client_code_of_the_hosted_api_works_with_another_address(address, keys, tmp_path):
    requests = pytest.importorskip("requests")
    url, key = address + COMPATIBLE, keys.add("ann", 3)
    response = requests.post(
        url,
        json={"prompt": "lo-fi music with a soothing melody", "duration": 10, "seed": 42},
        headers={"x-api-key": key},
    )
    assert response.status_code == 200 and response.headers["x-remaining-credits"] == "2"
    assert response.headers["content-type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(response.content)).frames == 10 * 8000


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "opus"])
def test_sound_arrives_while_the_rest_is_being_made(address, keys, queue, format):
    headers, pieces = {"x-api-key": keys.add("ann", 1)}, 0
    seed = sum(format.encode())  # one for each format: what was just made is not made again
    body = {**LONG, "duration": 20, "stream": True, "format": format, "seed": seed}
    with httpx.stream(
        "POST", address + GENERATE, json=body, headers=headers, timeout=SOON
    ) as response:
        assert response.status_code == 200 and response.headers["transfer-encoding"] == "chunked"
        assert response.headers["x-seed"] == str(seed)
        for _ in response.iter_raw():
            pieces += 1
            if pieces == 1:
                assert queue.busy()
    assert pieces > 5


def test_a_client_that_leaves_a_stream_ends_its_own_run_and_pays(address, keys, queue):
    headers = {"x-api-key": keys.add("ann", 1)}
    with httpx.stream(
        "POST", address + GENERATE, json={**LONG, "stream": True}, headers=headers, timeout=SOON
    ) as response:
        next(response.iter_raw())
        assert queue.busy()
    wait_for(lambda: not queue.busy(), 5)
    assert keys.rows()[0].credits == 0


def test_a_client_that_leaves_before_it_has_heard_anything_ends_its_own_run_and_pays_nothing(
    address, keys, queue
):
    connection = sent(address, LONG, keys.add("ann", 1))
    wait_for(queue.busy)
    assert keys.rows()[0].credits == 0
    connection.close()
    wait_for(lambda: not queue.busy(), 5)
    wait_for(lambda: keys.rows()[0].credits == 1)


def test_who_leaves_the_line_leaves_the_others_alone(address, keys, queue):
    ann, bob, eve = (keys.add(name, 1) for name in ("ann", "bob", "eve"))
    outcome = []

    def first():
        post = httpx.post(
            address + GENERATE,
            json={**LONG, "duration": 20},
            headers={"x-api-key": ann},
            timeout=SOON,
        )
        outcome.append(post.status_code)

    thread = threading.Thread(target=first)
    thread.start()
    wait_for(queue.busy)
    connections = [sent(address, {**LONG, "duration": 1}, key) for key in (bob, eve)]
    wait_for(lambda: queue.waiting() == 2)
    connections[0].close()
    wait_for(lambda: queue.waiting() < 2, 5)
    answer = connections[1].recv(1000)
    thread.join(SOON)
    assert answer.startswith(b"HTTP/1.1 200") and outcome == [200]
    connections[1].close()
    assert [row.credits for row in keys.rows()] == [0, 1, 0]


def test_two_streams_at_once_are_both_whole(address, keys):
    headers, lengths = {"x-api-key": keys.add("ann", 2)}, []

    def listen(seed):
        body = {**LONG, "duration": 4, "seed": seed, "stream": True}
        lengths.append(
            len(httpx.post(address + GENERATE, json=body, headers=headers, timeout=SOON).content)
        )

    threads = [threading.Thread(target=listen, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert lengths == [44 + 2 * 4 * 8000] * 2


def test_twenty_at_once_on_five_credits_are_five_successes(address, keys):
    headers = {"x-api-key": keys.add("ann", 5)}
    body = {"prompt": "calm piano", "duration": 1}
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        posts = [
            pool.submit(httpx.post, address + COMPATIBLE, json=body, headers=headers, timeout=SOON)
            for _ in range(20)
        ]
    answers = [post.result() for post in posts]
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [406] * 15
    left = [
        answer.headers["x-remaining-credits"] for answer in answers if answer.status_code == 200
    ]
    assert sorted(left) == list("01234")
    assert keys.rows()[0].credits == 0
