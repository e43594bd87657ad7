"""Downloads, from a hub that misbehaves: whole or nothing, resumed, stopped, explained."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hub import Hub, serving

from musicgraph.models.refused import Refused
from musicgraph.models.weights import download as downloads
from musicgraph.models.weights import places
from musicgraph.models.weights.download import Patience, download

REPOSITORY = "facebook/musicgen-small"
HASTY = Patience(attempts=3, first_wait_s=0.01, longest_wait_s=0.02, silence_s=5)
WEIGHTS = bytes(range(256)) * 400


class Stopped(Exception):
    """Stands for what a host raises when the user presses stop."""


def checkpoint_files():
    return {
        "config.json": json.dumps({"model_type": "musicgen"}).encode(),
        "tokenizer.json": b"{}",
        "spiece.model": b"pieces",
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": b"pickled",
        "README.md": b"words",
    }


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    with serving(Hub(checkpoint_files())) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "models" / "musicgen-small"


def fetched(target, on_progress=lambda *_: None):
    return download(REPOSITORY, target, on_progress, HASTY)


def stop_at(count):
    def on_progress(done, total):
        if done >= count:
            raise Stopped

    return on_progress


def test_a_model_lands_whole_under_its_name_with_only_the_needed_files(hub, target):
    seen = []
    assert fetched(target, lambda *at: seen.append(at)) == target
    names = {"config.json", "tokenizer.json", "spiece.model", "model.safetensors"}
    assert {path.name for path in target.iterdir()} == names == set(hub.fetched)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    total = sum(len(hub.files[name]) for name in names)
    assert seen[-1] == (total, total)
    assert [p.name for p in (target.parent / ".download").iterdir()] == [f"{target.name}.lock"]


def test_of_several_shards_all_and_nothing_else(hub, target):
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    hub.files |= {name: name.encode() for name in shards}
    hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
    fetched(target)
    assert set(shards) < {path.name for path in target.iterdir()}
    assert "model.safetensors" not in hub.fetched


def test_audiocrafts_layout_is_taken_where_there_is_no_other(hub, target):
    archives = {"state_dict.bin": WEIGHTS, "compression_state_dict.bin": b"codec"}
    hub.files = {"README.md": b"words", "pytorch_model.bin": b"pickled", **archives}
    fetched(target)
    assert {path.name for path in target.iterdir()} == archives.keys() == set(hub.fetched)
    assert places.on_disk(REPOSITORY, [target.parent]) == target


def test_of_both_layouts_hugging_faces_is_taken(hub, target):
    hub.files["state_dict.bin"] = WEIGHTS
    fetched(target)
    assert "state_dict.bin" not in hub.fetched and "model.safetensors" in hub.fetched


def test_a_part_is_fetched_as_what_it_is_and_as_nothing_else(hub, target):
    hub.files["config.json"] = json.dumps({"model_type": "t5"}).encode()
    hub.files["state_dict.bin"] = WEIGHTS
    assert download(REPOSITORY, target, lambda *_: None, HASTY, ("t5",)) == target
    assert {"model.safetensors", "spiece.model"} < set(hub.fetched)
    with pytest.raises(Refused, match="a model of type 't5', expected 'encodec'"):
        download(REPOSITORY, target.with_name("codec"), lambda *_: None, HASTY, ("encodec",))


def test_a_cut_connection_is_taken_up_where_it_broke(hub, target):
    hub.cut_after = [20000, 30000]
    fetched(target)
    ranges = [asked for name, asked in hub.asked if name == "model.safetensors"]
    assert ranges == ["", "bytes=20000-", "bytes=50000-"]
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_server_without_ranges_is_read_from_the_beginning(hub, target):
    hub.cut_after, hub.knows_ranges = [20000], False
    fetched(target)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_stopped_download_leaves_no_folder_and_goes_on_where_it_was(hub, target):
    hub.pause_s = 0.01
    with pytest.raises(Stopped):
        fetched(target, stop_at(30000))
    assert not target.exists() and places.on_disk(REPOSITORY, [target.parent]) is None
    hub.pause_s = 0
    fetched(target)
    assert hub.asked[-1][1].startswith("bytes=")
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_stop_does_not_wait_for_the_next_bytes(hub, target):
    hub.pause_s = 4
    small = sum(map(len, (hub.files[n] for n in ("config.json", "tokenizer.json", "spiece.model"))))
    ticks = []

    def on_progress(done, total):
        ticks.append(done)
        if ticks.count(small + hub.piece_bytes) > 3:  # nothing new for three ticks
            raise Stopped

    with pytest.raises(Stopped):
        fetched(target, on_progress)
    assert hub.pieces_sent == 1


def test_a_killed_download_goes_on_where_it_was(hub, target):
    hub.pause_s = 0.05
    program = (
        "import sys; from pathlib import Path; from musicgraph.models.weights.download import "
        "download;"
        "download(sys.argv[1], Path(sys.argv[2]), lambda *_: None)"
    )
    where = os.environ | {"HF_ENDPOINT": hub.url, "PYTHONPATH": _importable(target.parent.parent)}
    child = subprocess.Popen([sys.executable, "-c", program, REPOSITORY, str(target)], env=where)
    part = target.parent / ".download" / f"{target.name}@{hub.revision[:12]}"
    part = part / "model.safetensors.part"
    while not (part.is_file() and part.stat().st_size):
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait()
    hub.pause_s = 0
    fetched(target)
    assert hub.asked[-1][1].startswith("bytes=")
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def _importable(folder):
    import musicgraph

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "musicgraph").symlink_to(os.path.dirname(musicgraph.__file__))
    return str(folder)


def test_damaged_bytes_are_fetched_once_more(hub, target):
    hub.corrupt = 1
    fetched(target)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_bytes_that_stay_damaged_are_refused(hub, target):
    hub.corrupt = 9
    with pytest.raises(Refused, match="another model.safetensors than the hub lists"):
        fetched(target)
    assert not target.exists()


def test_more_bytes_than_listed_are_refused(hub, target, monkeypatch):
    listing = hub.listing()
    for entry in listing["siblings"]:
        entry["size"] = min(entry["size"], 1000)
    monkeypatch.setattr(Hub, "listing", lambda self: listing)
    with pytest.raises(Refused, match="more bytes than listed"):
        fetched(target)
    assert not target.exists()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_fault_is_waited_out(hub, target, status):
    hub.statuses = [200, status, status]
    fetched(target)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("status", [429, 502])
def test_a_fault_that_does_not_pass_is_said(hub, target, status):
    hub.listing_status = status
    with pytest.raises(Refused, match=f"HTTP {status}") as refusal:
        fetched(target)
    assert "run it again" in refusal.value.remedy and str(target) in refusal.value.remedy


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "RepoNotFound", "no such repository"),
        (401, "GatedRepo", "log in"),
        (403, "GatedRepo", "log in"),
        (404, "RepoNotFound", "no such repository"),
        (418, "", "HTTP 418"),
    ],
)
def test_a_hub_that_refuses_is_quoted(hub, target, status, code, said):
    hub.listing_status, hub.error_code = status, code
    with pytest.raises(Refused, match=said):
        fetched(target)
    assert not hub.asked


def test_without_a_network_it_is_said_at_once_where_to_put_the_files(target, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    patience = Patience(attempts=1000, first_wait_s=100)
    with pytest.raises(Refused, match="ConnectionRefused") as refusal:
        download(REPOSITORY, target, lambda *_: None, patience)
    assert str(target) in refusal.value.remedy


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": b'{"model_type": "bert"}'}, "type 'bert'"),
        ({"config.json": b"\xff{"}, "type 'None'"),
    ],
)
def test_another_kind_of_model_is_refused_before_its_weights(hub, target, files, said):
    hub.files |= files
    with pytest.raises(Refused, match=said):
        fetched(target)
    assert hub.fetched == ["config.json"]


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_repository_without_what_is_needed_is_refused_before_any_byte(hub, target, missing):
    del hub.files[missing]
    with pytest.raises(Refused, match=f"without {missing}"):
        fetched(target)
    assert not hub.asked


@pytest.mark.parametrize("name", ["../config.json", "sub/config.json", "..\\config.json", "x.py"])
def test_no_other_name_of_a_listing_is_ever_fetched(hub, target, name):
    hub.files[name] = b"x"
    fetched(target)
    assert name not in {path.name for path in target.iterdir()}
    assert len(hub.asked) == 4


@pytest.mark.parametrize("said", [[], {"sha": 1}, {"sha": "../../x"}, {"sha": "x" * 40}, None])
def test_a_listing_that_is_none_is_refused(hub, target, said, monkeypatch):
    monkeypatch.setattr(Hub, "listing", lambda self: said)
    with pytest.raises(Refused, match="list of files"):
        fetched(target)


def test_too_little_room_is_said_before_any_byte(hub, target, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(Refused, match="does not fit on the disk"):
        fetched(target)
    assert not hub.asked


class Full:
    free = 10


def test_a_disk_that_fills_up_is_said_and_what_is_there_is_kept(hub, target, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads._Part, "add", full)
    with pytest.raises(Refused, match="No space left") as refusal:
        fetched(target)
    assert "goes on where it stopped" in refusal.value.remedy


def test_a_folder_that_is_in_the_way_is_left_alone(hub, target):
    target.mkdir(parents=True)
    (target / "config.json").write_text("mine")
    with pytest.raises(Refused, match="something else under that name"):
        fetched(target)
    assert (target / "config.json").read_text() == "mine" and not hub.asked


def test_what_another_revision_left_is_swept(hub, target):
    hub.pause_s = 0.01
    with pytest.raises(Stopped):
        fetched(target, stop_at(30000))
    hub.revision, hub.pause_s = "f" * 40, 0
    fetched(target)
    assert [p.name for p in (target.parent / ".download").iterdir()] == [f"{target.name}.lock"]
    assert hub.asked[-1] == ("model.safetensors", "")


def test_two_that_want_the_same_fetch_it_once(hub, target):
    hub.pause_s = 0.005
    got = []
    both = [threading.Thread(target=lambda: got.append(fetched(target))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert got == [target, target]
    assert hub.fetched.count("model.safetensors") == 1


def test_the_token_goes_to_the_hub_and_not_to_where_it_sends_us(hub, target, monkeypatch):
    from musicgraph.models.weights import http_body

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    sent = []
    opened = http_body.urllib.request.HTTPHandler.http_open

    def spy(self, request):
        sent.append((request.selector.split("/")[1], request.get_header("Authorization")))
        return opened(self, request)

    monkeypatch.setattr(http_body.urllib.request.HTTPHandler, "http_open", spy)
    fetched(target)
    assert {auth for where, auth in sent if where != "store"} == {"Bearer hf_secret"}
    assert {auth for where, auth in sent if where == "store"} == {None}
