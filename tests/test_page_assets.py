"""What a page is made of is packed once, kept by browsers for good, and of Gradio's own folder
only.
"""

import re

import pytest
from page_settings import SETTINGS
from starlette.testclient import TestClient

from musicgraph.app import serve
from musicgraph.app.page import assets, theme


@pytest.fixture(scope="module")
def client():
    with TestClient(serve.build_server(SETTINGS), base_url="http://127.0.0.1") as asking:
        yield asking


def asset_of(client):
    return re.search(r'src="\./(assets/[^"]+\.js)"', client.get("/").text)[1]


def test_the_page_names_our_script_and_its_head_holds_no_copy_of_it(client):
    page = client.get("/").text
    assert page.count(f'src="{assets.script_address()}"') == 1
    assert "play_plane" not in page and "PlaySound extends" not in page
    answer = client.get(f"/{assets.script_address()}")
    assert answer.text == theme.script() and "javascript" in answer.headers["content-type"]


def test_a_file_that_its_content_names_is_kept_for_good(client):
    for path in (asset_of(client), assets.script_address()):
        packed = client.get(f"/{path}", headers={"accept-encoding": "gzip"})
        plain = client.get(f"/{path}", headers={"accept-encoding": "identity"})
        assert "immutable" in packed.headers["cache-control"]
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers and packed.content == plain.content


@pytest.mark.parametrize(
    "path",
    [
        "assets/../config.json",
        "assets/%2e%2e/index.html",
        "page/script-0.js",
        "assets/none-123456789.js",
    ],
)
def test_nothing_else_is_answered_from_there(client, path):
    answer = client.get(f"/{path}")
    assert "immutable" not in answer.headers.get("cache-control", "")
