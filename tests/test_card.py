"""What others see of the page: its title, card and icons, and that it can be installed."""

import re
import struct
from pathlib import Path

import pytest
from page_settings import SETTINGS
from starlette.testclient import TestClient

from musicgraph.app import serve
from musicgraph.app.page import card

GRADIOS = (
    '<head><base href="./" /><meta property="og:title" content="Gradio" />\n'
    '<meta\n\tname="twitter:image"\n\tcontent="x.jpg"\n/><link rel="manifest" href="/m.json" />'
    '<link rel="stylesheet" href="a.css"><meta name="viewport" content="w"></head>'
)


@pytest.fixture(scope="module")
def client():
    with TestClient(serve.build_server(SETTINGS), base_url="http://127.0.0.1") as asking:
        yield asking


def test_gradios_card_is_gone_and_ours_is_there_once():
    page = card.with_own_head(GRADIOS, "https://a.example/")
    assert "Gradio" not in page and "x.jpg" not in page and "/m.json" not in page
    assert page.count('property="og:title"') == 1 and "a.css" in page and 'name="viewport"' in page
    assert 'content="https://a.example/page/images/card.png"' in page


def test_what_a_visitor_sends_as_host_is_text_in_the_page():
    assert "<script>" not in card.with_own_head(GRADIOS, 'http://"><script>/')


def test_the_page_itself_has_our_card_and_nothing_of_gradios(client):
    page = client.get("/", headers={"x-forwarded-proto": "https"}).text
    found = dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="([^"]*)"', page))
    assert found["og:title"] == card.TITLE and found["twitter:card"] == "summary_large_image"
    assert found["og:image"] == "https://127.0.0.1/page/images/card.png"
    assert page.count('property="og:image"') == 1 and "header-image" not in page
    assert page.count('rel="manifest"') == 1 and page.count('rel="icon"') == 1


def test_the_page_is_packed_for_whoever_can_unpack_it(client):
    packed = client.get("/", headers={"accept-encoding": "gzip"})
    plain = client.get("/", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert int(plain.headers["content-length"]) == len(plain.content)


def test_a_browser_is_told_all_that_it_needs_to_install_the_page(client):
    told = client.get("/manifest.json").json()
    assert told["display"] == "standalone" and told["start_url"] == "./"
    assert {icon["purpose"] for icon in told["icons"]} == {"any", "maskable"}
    for icon in told["icons"]:
        answer = client.get(f"/{icon['src']}")
        width, height = struct.unpack(">II", answer.content[16:24])
        assert answer.headers["content-type"] == "image/png"
        assert icon["sizes"] == f"{width}x{height}"


def test_icons_are_ours_and_no_other_file_is_given(client):
    assert client.get("/favicon.ico").text.startswith("<svg xmlns=")
    assert client.get("/page/images/card.png").status_code == 200
    assert client.get("/page/images/..%2Fcard.py").status_code == 404
    assert Path(card.HERE / "images" / card.CARD).stat().st_size < 300_000
