"""What the page's own script asks of the server: each browser is told of its own runs and takes."""

import io
import zipfile

import pytest
import torch
from fastapi import FastAPI
from page_settings import SETTINGS
from starlette.testclient import TestClient
from workers import AnyWorker

from musicgraph.app.page import browser
from musicgraph.app.page.routes import build_routes
from musicgraph.app.page.runs import Runs
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.page.take_library import Note
from musicgraph.app.studio.queue import JobQueue
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.tags import read_tags

ANNA, BEN = "a" * 32, "b" * 32
SOUND = torch.rand(1, 8000) - 0.5
TAGS = {"prompt": '{"1": {}}'}


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def asking(shelf):
    app = FastAPI()
    app.include_router(build_routes(Runs(JobQueue(AnyWorker())), shelf, SETTINGS))
    return lambda number: TestClient(app, cookies={browser.COOKIE: number} if number else None)


@pytest.fixture
def take(shelf):
    return shelf.takes_of(f"browser {ANNA}").add(SOUND, 8000, Note("A piano", 1.0), TAGS)


def test_takes_are_listed_for_their_browser_alone(asking, take):
    mine = asking(ANNA).get("/page/takes").json()
    assert [one["id"] for one in mine["takes"]] == [take.id] and mine["hours"] == 24
    assert mine["folder"] == "", "where things lie on a server is nobody's business"
    assert asking(BEN).get("/page/takes").json()["takes"] == []
    for number in ("", "x" * 32, f"../{ANNA}"):
        assert asking(number).get("/page/takes").json()["takes"] == []
    assert asking(BEN).get(f"/page/takes/{take.id}/sound").status_code == 409


@pytest.mark.parametrize("format", ["flac", "wav", "mp3"])
def test_a_take_is_given_in_each_format_with_its_graph(asking, take, tmp_path, format):
    answer = asking(ANNA).get(f"/page/takes/{take.id}/as/{format}")
    assert take.path.stem in answer.headers["content-disposition"]
    path = tmp_path / f"given.{format}"
    path.write_bytes(answer.content)
    assert read_audio(path)[0].shape[-1] == pytest.approx(8000, abs=3000)
    assert format == "wav" or read_tags(path) == TAGS


def test_no_other_format_and_no_path_is_given(asking, take):
    for path in (f"{take.id}/as/exe", f"{take.id}/as/..%2f..", "..%2f..%2fetc/sound"):
        answer = asking(ANNA).get(f"/page/takes/{path}")
        assert answer.status_code in (404, 409), path
        assert str(take.path.parent) not in answer.text


def test_sound_is_given_in_parts_so_that_players_can_seek(asking, take):
    answer = asking(ANNA).get(f"/page/takes/{take.id}/sound", headers={"range": "bytes=100-199"})
    assert answer.status_code == 206 and answer.content == take.path.read_bytes()[100:200]


def test_names_stars_and_deletion_are_the_owners(asking, take):
    anna, ben = asking(ANNA), asking(BEN)
    assert ben.post(f"/page/takes/{take.id}/remove", json={}).status_code == 409
    changed = anna.post(f"/page/takes/{take.id}/rename", json={"title": "Nocturne"}).json()["take"]
    assert changed["title"] == "Nocturne" and changed["file"].startswith("nocturne-")
    anna.post(f"/page/takes/{take.id}/favour", json={"favourite": True})
    assert anna.get("/page/takes").json()["takes"][0]["is_favourite"] is True
    anna.post(f"/page/takes/{take.id}/remove", json={})
    assert anna.get("/page/takes").json()["takes"] == []
    anna.post(f"/page/takes/{take.id}/restore", json={})
    assert len(anna.get("/page/takes").json()["takes"]) == 1


@pytest.mark.parametrize(
    "body", [b"x", b'{"title": "%s"}' % (b"x" * 20_000), b"[]", b'{"title": "  "}']
)
def test_a_body_that_cannot_be_is_refused_in_words(asking, take, body):
    answer = asking(ANNA).post(f"/page/takes/{take.id}/rename", content=body)
    assert answer.status_code == 409 and "got" in answer.json()["trouble"]


def test_all_takes_come_in_one_file(asking, take):
    answer = asking(ANNA).get("/page/takes.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == [take.path.name]


def test_a_run_that_nobody_knows_is_gone(asking):
    asks = asking(ANNA)
    assert asks.get("/page/runs").json() == {"run": None}
    assert asks.get("/page/runs/xyz").json()["state"] == "gone"
    assert asks.get("/page/runs/xyz/sound").status_code == 404
    assert asks.post("/page/runs/xyz/stop", json={}).status_code == 200


def test_a_sound_of_ones_own_becomes_a_take(asking, take, tmp_path):
    path = tmp_path / "My tune.wav"
    write_audio(path, SOUND, 8000)
    answer = asking(ANNA).post("/page/takes?name=My tune.wav", content=path.read_bytes())
    own = answer.json()["take"]
    assert (own["title"], own["duration_s"]) == ("My tune", 1.0)
    assert len(asking(ANNA).get("/page/takes").json()["takes"]) == 2
    sent = asking(BEN).post("/page/takes?name=x.flac", content=take.path.read_bytes()).json()
    assert sent["take"]["title"] == "A piano" and sent["take"]["id"] != take.id


@pytest.mark.parametrize("name", ["x.wav", "../../x.wav", "", "x." + "y" * 300])
def test_what_is_no_sound_is_no_take_and_our_folders_are_not_named(asking, name):
    answer = asking(ANNA).post("/page/takes", params={"name": name}, content=b"no sound")
    assert answer.status_code == 409 and "/tmp" not in answer.text
    assert asking(ANNA).get("/page/takes").json()["takes"] == []
