"""Fixtures of the HTTP API's tests, which name this file in `pytest_plugins`."""

import pytest
import tiny
from fastapi.testclient import TestClient
from http_api import local
from workers import AnyWorker

from musicgraph.app.http.keys import KeyStore
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint whose codebook is large enough for the default top_k of 250."""
    folder = tmp_path_factory.mktemp("models") / "tiny-256"
    tiny.write_tiny_checkpoint(folder, codebook_size=256)
    return folder


@pytest.fixture(scope="module")
def queue():
    queue = JobQueue(AnyWorker(), max_waiting=4)
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def client(queue, model):
    """Without keys, from this machine."""
    with local(build_api(queue, AppSettings(model=str(model)))) as client:
        yield client


@pytest.fixture
def keys(tmp_path):
    return KeyStore(tmp_path / "keys.sqlite", create=True)


@pytest.fixture
def paying(queue, model, keys):
    """With keys, from another machine."""
    app = build_api(queue, AppSettings(model=str(model), api_keys=keys.path))
    with TestClient(app, base_url="http://music.example", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def exact():
    """The engine whose items are the same to the last bit, however many rows there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSICGRAPH_ENGINE", "numba")
        yield
