"""The container's recipe, as far as it can be known without building it, and its health check."""

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from musicgraph.app.health import is_well, port_of

DOCKERFILE = (Path(__file__).parents[1] / "Dockerfile").read_text(encoding="utf-8")


def instructions():
    """(instruction, the rest) of each, with continued lines as one."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    for line in joined.splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def said(name):
    return [rest for instruction, rest in instructions() if instruction == name]


def environment():
    return dict(pair.split("=", 1) for pair in said("ENV")[0].split())


def test_models_and_compiled_code_outlive_the_container():
    kept = said("VOLUME")[0].split()
    assert {environment()["MUSICGRAPH_MODELS"], environment()["MUSICGRAPH_CACHE"]} == set(kept)
    assert environment()["HF_HOME"].startswith(kept[0])
    owned = next(rest for rest in said("RUN") if "chown" in rest)
    assert all(folder in owned.partition("chown")[2] for folder in kept)


def test_an_index_with_torch_for_cpus_can_be_named():
    (name,) = (given.rstrip("=") for given in said("ARG"))
    first = said("RUN")[0]
    assert first.endswith(" torch") and f"${{{name}:+--extra-index-url" in first


def test_nobody_is_root_when_the_server_starts():
    order = [name for name, _ in instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT") and said("USER") == ["musician"]


def test_health_is_asked_by_the_module_that_knows_the_port():
    (check,) = said("HEALTHCHECK")
    assert '"musicgraph.app.health"' in check
    assert said("EXPOSE") == [environment()["GRADIO_SERVER_PORT"]]


@pytest.mark.parametrize(
    ("command", "port"),
    [
        (["musicgraph", "demo"], "7861"),
        (["musicgraph", "demo", "--port", "9000"], "9000"),
        (["tini", "--", "musicgraph", "demo", "--port=9001", "--mcp"], "9001"),
    ],
)
def test_the_port_is_the_one_that_the_server_was_told(monkeypatch, command, port):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    assert port_of(command) == port


def test_a_server_that_answers_is_well_and_one_that_does_not_is_not():
    class Well(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Well)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    port = str(server.server_address[1])
    assert is_well(port)
    server.shutdown()
    server.server_close()
    assert not is_well(port) and not is_well("no port")
