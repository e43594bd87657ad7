"""Sounds sent over HTTP: the music follows them, bad ones are refused, and none stays behind."""

import io
import json
import os
import shutil
import tempfile

import numpy as np
import pytest
import soundfile
import torch
from http_api import COMPATIBLE, GENERATE, error_of, local, wav

from musicgraph.app.http import reading
from musicgraph.app.http.door import Door, Hosts
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.music import make_music
from musicgraph.app.studio.settings import AppSettings
from musicgraph.app.studio.sounds import followed, plain, taken_in
from musicgraph.models.refused import Refused
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import full_scale_factor
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.request import Request

pytest_plugins = ["http_api_fixtures"]

ASKED = {"prompt": "calm piano", "duration": 0.5, "seed": 7, "top_k": 50}


@pytest.fixture(scope="module")
def shelf(mono, melody_mono, style_model, tmp_path_factory):
    """A folder of models, of each kind one."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, one in {"text": mono, "tune": melody_mono, "manner": style_model}.items():
        shutil.copytree(one.folder, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSICGRAPH_MODELS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def api(queue, shelf):
    return build_api(queue, AppSettings(model="text"))


@pytest.fixture(scope="module")
def client(api):
    with local(api) as client:
        yield client


@pytest.fixture(autouse=True)
def leftovers(tmp_path, monkeypatch):
    """What is put aside, which is nothing in the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not os.listdir(tmp_path)


def a_sound(seconds=3.5, seed=0):
    """A WAV file."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(8000 * seconds))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, format="WAV")
    return buffer.getvalue()


def sent(client, asked=ASKED, headers=None, **sounds):
    files = [(how, (f"{how} 1.wav", content)) for how, content in sounds.items()]
    return client.post(GENERATE, data={"request": json.dumps(asked)}, files=files, headers=headers)


def by_itself(tmp_path, model, how, content, **more):
    """What `musicgraph generate` makes of it."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "sound.wav").write_bytes(content)
    more |= {how: "sound.wav"}
    request = Request("calm piano", model=str(model), duration_s=0.5, seed=7, top_k=50, **more)
    made = make_music(Runner(), request, input_dir=str(folder)).waveform
    shutil.rmtree(folder)
    return made[0] * full_scale_factor(made[0])


@pytest.mark.parametrize(
    ("how", "model", "more"),
    [("melody", "tune", {}), ("style", "manner", {}), ("style", "manner", {"style_guidance": 2.0})],
)
def test_the_music_is_that_of_the_command_by_the_model_that_can_follow_it(
    client, shelf, leftovers, how, model, more
):
    """Though the server's usual model hears text only."""
    answer = sent(client, ASKED | more, **{how: a_sound()})
    expected = by_itself(leftovers, shelf / model, how, a_sound(), **more)
    heard = torch.from_numpy(wav(answer).T / 32768)
    assert float((heard - expected).abs().max()) < 1 / 32000
    assert answer.headers["x-model"] == model
    other = sent(client, ASKED | more, **{how: a_sound(seed=1)})
    assert answer.content != other.content, "it is heard"


def test_a_stream_follows_it_too_and_a_file_carries_its_name(client, leftovers):
    whole = sent(client, ASKED | {"format": "flac"}, melody=a_sound())
    path = leftovers / "whole.flac"
    path.write_bytes(whole.content)
    graph = json.loads(read_tags(path)["prompt"])
    path.unlink()
    (load,) = (node for node in graph.values() if node["class_type"] == "LoadAudio")
    name = load["inputs"]["audio"]
    assert name.startswith("melody-1-") and name.endswith(".wav") and "/" not in name
    pieces = sent(client, ASKED | {"stream": True}, melody=a_sound())
    once = sent(client, melody=a_sound())
    samples = pieces.content[44:]
    assert samples and once.content[44:].startswith(samples), "behind them come the tags"


def test_lists_and_documents_say_what_may_be_sent(client):
    listed = {one["name"]: one["follows"] for one in client.get("/v1/models").json()["models"]}
    assert (listed["text"], listed["tune"], listed["manner"]) == ([], ["melody"], ["style"])
    route = client.get("/openapi.json").json()["paths"][GENERATE]["post"]
    form = route["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"].keys() == {"request", "melody", "style", "audio"}
    assert "prompt" in form["properties"]["request"]["properties"]
    assert "melody=@hummed.wav" in client.get("/docs").text


REFUSED = {
    "both": (ASKED, {"melody": a_sound(), "style": a_sound()}, "style: got a melody too"),
    "a model that is deaf to it": (
        ASKED | {"model": "text"},
        {"melody": a_sound()},
        "got text, which cannot follow a melody, expected a melody model, one of tune",
    ),
    "the other kind": (ASKED | {"model": "tune"}, {"style": a_sound()}, "one of manner"),
    "no sound": (ASKED, {"melody": b"no sound at all"}, "got no audio or video|not an audio file"),
    "an empty file": (ASKED, {"melody": b""}, "not an audio file|got"),
    "a style of a second": (ASKED, {"style": a_sound(1.0)}, "style: got 1.00 s of sound"),
    "guidance of no number": (
        ASKED | {"style_guidance": "much"},
        {"style": a_sound()},
        "style_guidance: got",
    ),
    "guidance beyond": (ASKED | {"style_guidance": 10}, {"style": a_sound()}, "from 1 to 9"),
    "guidance of nothing": (ASKED | {"style_guidance": 3}, {"melody": a_sound()}, "got no style"),
    "a field that is none": (ASKED | {"melody": "x.wav"}, {"melody": a_sound()}, "not known"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_followed_is_refused_in_words_without_a_path(client, case):
    asked, sounds, words = REFUSED[case]
    message = error_of(sent(client, asked, **sounds), 422)["message"]
    assert any(one in message for one in words.split("|")), message
    assert tempfile.gettempdir() not in message


def test_a_style_guidance_without_a_form_needs_a_style_too(client):
    error = error_of(client.post(GENERATE, json=ASKED | {"style_guidance": 3}), 422)
    assert "style_guidance: got no style" in error["message"]


def test_a_form_of_other_parts_is_refused(client):
    told = {"request": json.dumps(ASKED)}
    for parts in (
        {"files": {"melody": a_sound()}},
        {"data": told, "files": {"drums": a_sound()}},
        {"data": told | {"prompt": "x"}, "files": {"melody": a_sound()}},
        {"data": told | {"melody": "/etc/passwd"}, "files": {"style": a_sound()}},
        {"files": {"request": b"{}", "melody": a_sound()}},
        {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
    ):
        error = error_of(client.post(GENERATE, **parts), 400)
        assert error["type"] == "not_a_form", error
    spoiled = client.post(GENERATE, data={"request": "{"}, files={"melody": a_sound()})
    assert error_of(spoiled, 400)["type"] == "not_json"
    plain_form = client.post(COMPATIBLE, data=told, files={"melody": a_sound()})
    assert error_of(plain_form, 415)["type"] == "not_json"


def test_a_sound_that_is_too_large_is_not_read_to_its_end(client, monkeypatch):
    long = sent(client, ASKED | {"prompt": "x" * 70_000}, style=b"")
    assert error_of(long, 400)["type"] == "not_a_form"
    monkeypatch.setattr(reading, "MAX_SOUND_BYTES", 1000)
    assert error_of(sent(client, melody=a_sound(30)), 413)["type"] == "too_large"


def test_other_sites_pages_send_nothing(api):
    with local(Door(api, Hosts(set()))) as client:
        away = sent(client, headers={"origin": "https://other.example"}, melody=a_sound())
        assert error_of(away, 403)["type"] == "other_origin"


def test_names_are_plain_and_the_same_sound_has_the_same_one(leftovers):
    assert plain("Lo-fi: Évening / ../etc\\passwd", "music") == "lo-fi-evening-etc-passwd"
    assert plain("音楽", "music") == "music" and len(plain("word " * 100, "")) <= 40
    names = [
        taken_in(io.BytesIO(content), name, leftovers)
        for name, content in [
            ("a.WAV", b"1"), ("a.WAV", b"1"), ("a.WAV", b"2"), ("../\0.w/v", b"3"), ("", b"4"),
        ]
    ]  # fmt: skip
    assert names[0] == names[1] != names[2] and names[0].endswith(".wav")
    assert sorted({*names}) == sorted(os.listdir(leftovers))
    for name in {*names}:
        (leftovers / name).unlink()


def test_no_model_follows_two_sounds():
    assert followed(None, None, None) == ("", None)
    assert followed("m", None, None) == ("melody", "m")
    assert followed(None, "s", 3.0) == ("style", "s")
    with pytest.raises(Refused, match="style: got a melody too"):
        followed("m", "s", None)
    with pytest.raises(Refused, match="style_guidance: got no style"):
        followed("m", None, 3.0)
