"""The door: other hosts and other sites get nothing, and no file is opened that was not uploaded
here.
"""

import json
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gradio.context import LocalContext
from gradio.exceptions import InvalidPathError
from gradio.processing_utils import _check_allowed
from gradio.utils import get_upload_folder
from starlette.websockets import WebSocketDisconnect
from workers import AnyWorker

from musicgraph.app.http.door import Door, Hosts, named_paths
from musicgraph.app.serve import build_server
from musicgraph.app.studio import sounds
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.refused import Refused

ROUTES = ("/", "/config", "/gradio_api/info", "/health", "/v1/models", "/openapi.json", "/docs")
LOCAL = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def server():
    queue = JobQueue(AnyWorker())
    yield build_server(AppSettings(model="pocket"), queue)
    queue.close()


@pytest.fixture(scope="module")
def client(server):
    with TestClient(server, base_url=LOCAL, client=("127.0.0.1", 5000)) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("host", ["other.example", "other.example:7860", "127.0.0.1.nip.io", ""])
def test_a_loopback_server_answers_loopback_names_only(client, route, host):
    assert client.get(route).status_code == 200
    assert client.get(route, headers={"host": host}).status_code == 421
    forged = {"host": host, "x-forwarded-host": "localhost"}
    assert client.get(route, headers=forged).status_code == 421
    for name in ("localhost", "localhost:7860", "127.0.0.1", "[::1]:7860"):
        assert client.get(route, headers={"host": name}).status_code == 200


@pytest.mark.parametrize("origin", ["http://other.example", "null", "http://127.0.0.1:9999"])
def test_a_page_of_another_site_reaches_nothing(client, origin):
    for method, path in (
        ("GET", "/config"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/v1/generate"),
    ):
        answer = client.request(method, path, headers={"origin": origin})
        assert answer.status_code == 403
    assert client.get("/config", headers={"origin": LOCAL}).status_code == 200


def test_a_forwarded_host_must_be_one_of_the_servers_too(client):
    """Gradio makes addresses of it, and its MCP server would turn there."""
    assert client.get("/config", headers={"x-forwarded-host": "other.example"}).status_code == 421
    assert client.get("/config", headers={"x-forwarded-host": "localhost"}).status_code == 200


def test_sockets_are_kept_from_other_hosts_and_sites_as_well(client):
    for headers in ({"host": "other.example"}, {"origin": "http://other.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/x", headers=headers):
            pass


def test_a_page_under_a_given_name_is_the_servers_own_whatever_host_its_proxy_asks_for():
    hosts = Hosts({"music.example"})
    assert hosts.are_home_of("https://music.example", "10.0.0.7:7860")
    assert hosts.are_home_of("http://127.0.0.1:7860", "127.0.0.1:7860")
    for origin in (
        "http://localhost:3000",
        "http://other.example",
        "null",
        "",
        "http://[::1",
        "//[",
    ):
        assert not hosts.are_home_of(origin, "127.0.0.1:7860")


def test_names_may_be_added_and_a_space_has_its_own(monkeypatch):
    hosts = Hosts.of(AppSettings(allowed_hosts=("music.example",)))
    assert hosts.answer("music.example:80") and not hosts.answer("other.example")
    monkeypatch.setenv("SPACE_HOST", "ann-music.hf.space")
    space = Hosts.of(AppSettings(host="0.0.0.0"))
    assert space.answer("ann-music.hf.space") and space.answer("10.0.0.7:7860")
    assert not space.answer("other.example")
    monkeypatch.delenv("SPACE_HOST")
    assert Hosts.of(AppSettings(host="0.0.0.0")).answer("anything.example")


# ---------------------------------------------------------------- files


def file_at(path):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def foreign_files(tmp_path_factory):
    """Files that exist and belong to nobody who visits."""
    other = tmp_path_factory.mktemp("other") / "take.flac"
    other.write_bytes(b"secret")
    in_the_cache = Path(get_upload_folder()) / "not-uploaded-here" / "take.flac"
    in_the_cache.parent.mkdir(parents=True, exist_ok=True)
    in_the_cache.write_bytes(b"secret")
    yield [
        "/etc/hostname",
        __file__,
        str(other),
        str(in_the_cache),
        ".",
        "pyproject.toml",
        "http://127.0.0.1:1/x",
        "file:///etc/hostname",
    ]
    in_the_cache.unlink()
    in_the_cache.parent.rmdir()


def calls(client):
    """Every way to call the page: (url, number of inputs, body without its data)."""
    config = client.get("/config").json()
    for dependency in config["dependencies"]:
        name, inputs = dependency["api_name"], max(1, len(dependency["inputs"]))
        more = {"fn_index": dependency["id"], "session_hash": "s", "trigger_id": 1}
        yield "/gradio_api/queue/join", inputs, more
        yield "/gradio_api/run/predict", inputs, more
        if name:
            yield f"/gradio_api/call/{name}", inputs, {}
            yield f"/gradio_api/run/{name}", inputs, {"session_hash": "s"}


def test_no_position_of_any_call_takes_a_file_that_was_not_uploaded(client, foreign_files):
    known = client.get("/gradio_api/info").json()["named_endpoints"]
    assert {"/generate", "/run_workflow"} <= set(known)
    tried = 0
    for url, inputs, more in calls(client):
        for position in range(inputs):
            for path in foreign_files:
                data: list = [None] * inputs
                for shape in (file_at(path), [file_at(path)], {"deep": [file_at(path)]}):
                    data[position] = shape
                    answer = client.post(url, json={"data": data, **more})
                    assert answer.status_code == 403, (url, position, path, answer.text)
                    assert path not in answer.text
                    tried += 1
    assert tried > 100


def test_an_upload_of_this_process_is_taken(client):
    files = {"files": ("graph.json", b"{}", "application/json")}
    (path,) = client.post("/gradio_api/upload", files=files).json()
    answer = client.post("/gradio_api/call/run_workflow", json={"data": [file_at(path), "{}"]})
    assert answer.status_code == 200
    event = answer.json()["event_id"]
    with client.stream("GET", f"/gradio_api/call/run_workflow/{event}") as stream:
        said = "".join(stream.iter_text())
    assert "graph.json" in said or "empty workflow" in said
    assert path.rpartition("/")[0] not in said, "where it lies is nobody's business"


def test_an_upload_with_a_long_name_is_known_though_its_answer_could_be_compressed(client):
    files = [("files", (f"{i}{'x' * 200}.json", b"{}", "application/json")) for i in range(4)]
    for encoding in ("gzip", "br"):
        answer = client.post(
            "/gradio_api/upload", files=files, headers={"accept-encoding": encoding}
        )
        body = {"data": [file_at(answer.json()[-1]), "{}"]}
        assert client.post("/gradio_api/call/run_workflow", json=body).status_code == 200


def test_of_very_many_uploads_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(sounds, "MAX_KNOWN_FILES", 2)
    one = Door(app=None, hosts=Hosts(None))
    for paths in (["/a", "/b"], ["/a", "/c"]):
        one._note(json.dumps(paths).encode())
    assert list(one.files) == ["/a", "/c"]


@pytest.mark.parametrize(
    "address",
    [
        "file=http://192.0.2.1/x",
        "file=https://192.0.2.1/x",
        "file/http://192.0.2.1/x",
        "file=HTTP:/192.0.2.1",
        "proxy=https://192.0.2.1/x",
    ],
)
def test_nobody_makes_the_server_fetch_from_another(client, address):
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/gradio_api/{address}").status_code == 403
    assert client.get(f"/gradio_api/{address}").json()["error"]["type"] == "not_fetched"


def test_how_much_the_server_is_used_is_told_to_nobody(client):
    assert client.get("/monitoring/summary").status_code == 403
    assert client.get("/monitoring").status_code == 403


@pytest.fixture
def without_mcp(monkeypatch):
    """What Gradio imports meanwhile is not there afterwards."""
    import gradio

    before = sys.modules.pop("gradio.mcp", None)
    monkeypatch.setitem(sys.modules, "mcp", None)
    yield
    sys.modules.pop("gradio.mcp", None)
    if before is not None:
        sys.modules["gradio.mcp"] = gradio.mcp = before


def test_mcp_without_the_package_that_gradio_uses_is_refused_at_the_start(without_mcp):
    with pytest.raises(Refused, match="--mcp.*gradio"):
        build_server(AppSettings(model="pocket", mcp=True), JobQueue(AnyWorker()))


def test_objects_with_a_path_are_found_wherever_they_hide():
    body = {"a": [{"b": {"path": "/x"}}, {"path": 3}, {"path": None}], "path": "/y"}
    assert set(named_paths(json.dumps(body).encode())) == {"/x", None, "/y"}
    assert list(named_paths(b"no json")) == []


def test_gradio_checks_paths_only_of_what_it_takes_for_launched(server):
    """Why serve.build_server says so.

    If Gradio changes either half, this fails: then look again.
    """
    page = next(route.app for route in server.routes if getattr(route, "path", None) == "").blocks
    token = LocalContext.blocks.set(page)
    try:
        assert page.has_launched
        with pytest.raises(InvalidPathError):
            _check_allowed("/etc/hostname", check_in_upload_folder=True)
        page.has_launched = False
        assert _check_allowed("/etc/hostname", check_in_upload_folder=True) is None
    finally:
        page.has_launched = True
        LocalContext.blocks.reset(token)


def test_a_call_that_is_too_long_is_refused(client):
    answer = client.post("/gradio_api/call/generate", content=b"[" * 5_000_000)
    assert answer.status_code == 413
