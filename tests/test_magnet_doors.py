"""A MAGNeT at the doors: nodes, the command line, HTTP, lists."""

import copy
import json
import sys

import pytest
import soundfile
import torch
from adapters import write_adapter
from http_api import GENERATE, error_of, local, wav
from magnet_layout import FRAMES, SEGMENT_S, SPAN, write_magnet

from musicgraph import cli
from musicgraph.app.http.routes import build_api
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.refused import Refused
from musicgraph.models.weights import places
from musicgraph.models.weights.kinds import ModelKind, kind_of
from musicgraph.nodes.conditioning import MusicGenSchedule
from musicgraph.nodes.filling import MusicGenRepaint
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.lora import MusicGenLoraLoader
from musicgraph.nodes.melody import MusicGenMelody
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.workflows.media.tags import read_tags

pytest_plugins = ["http_api_fixtures"]

DRAWING = {"cfg": 10.0, "temperature": 3.0, "top_k": 50, "top_p": 0.9, "variations": 1}
KEPT = FRAMES - FRAMES % SPAN


@pytest.fixture(scope="module")
def folder(mono, tmp_path_factory):
    return write_magnet(tmp_path_factory.mktemp("models") / "mine", mono)


@pytest.fixture(scope="module")
def loaded(folder):
    return MusicGenModelLoader().load(str(folder), "auto", "cpu")


def heard(loaded, text="a calm piano"):
    return MusicGenTextEncode().encode(loaded[1], text)[0]


def sample(model, conditioning, **changes):
    settings = {"duration": float(SEGMENT_S), "seed": 3, **DRAWING, **changes}
    return MusicGenSampler().sample(model, conditioning, **settings)[0]


# ---------------------------------------------------------------- nodes


def test_the_sampler_makes_a_piece_of_whole_spans_whose_end_is_closed(loaded):
    made = sample(loaded[0], heard(loaded), variations=2)
    assert made["tokens"].shape == (2, 4, KEPT) and not made["open_end"]
    assert not torch.equal(made["tokens"][0], made["tokens"][1])
    again = sample(loaded[0], heard(loaded), seed=4)["tokens"]
    assert torch.equal(made["tokens"][1:], again)


def test_what_it_made_is_continued_and_kept(loaded):
    made = sample(loaded[0], heard(loaded))
    prompt = made | {"tokens": made["tokens"][:, :, :31]}
    longer = sample(loaded[0], heard(loaded), audio_prompt=prompt, seed=9)["tokens"]
    assert torch.equal(longer[:, :, :31], prompt["tokens"])
    assert not torch.equal(longer, made["tokens"])


def test_what_changes_over_time_is_refused(loaded):
    schedule = MusicGenSchedule().add(heard(loaded), heard(loaded, "drums"), 1.0, 0.0)[0]
    with pytest.raises(Refused, match="schedule: got one for a MAGNeT"):
        sample(loaded[0], schedule)
    with pytest.raises(Refused, match="automation: got one for a MAGNeT"):
        sample(loaded[0], heard(loaded), automation="cfg 0: 3, 1: 5")
    with pytest.raises(Refused, match="guidance_until: got one for a MAGNeT"):
        sample(loaded[0], heard(loaded), guidance_until=1.9)
    with pytest.raises(Refused, match="duration: got 1 s, expected 2 s"):
        sample(loaded[0], heard(loaded), duration=1.0)


def test_no_region_is_made_anew_with_it(loaded):
    made = sample(loaded[0], heard(loaded))
    drawing = {name: value for name, value in DRAWING.items() if name != "variations"}
    with pytest.raises(Refused, match="model: got a MAGNeT, which makes a piece at once"):
        MusicGenRepaint().repaint(loaded[0], heard(loaded), made, 0.5, 1.0, 2, 3, **drawing)


def test_it_follows_no_melody(loaded):
    audio = {"waveform": torch.randn(1, 1, 40000), "sample_rate": 8000}
    with pytest.raises(Refused, match="melody: got a model that hears text only"):
        MusicGenMelody().add(loaded[0], heard(loaded), audio, separate=False)


def test_a_lora_is_heard_and_at_strength_0_it_is_not(loaded, mono, tmp_path, monkeypatch):
    write_adapter(copy.deepcopy(mono.upstream), tmp_path / "loras" / "tango")
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path))
    plain = sample(loaded[0], heard(loaded))["tokens"]
    made = {}
    for strength in (0.0, 1.0):
        model, text = MusicGenLoraLoader().load(loaded[0], loaded[1], "tango", strength)
        made[strength] = sample(model, MusicGenTextEncode().encode(text, "a calm piano")[0])
    assert torch.equal(made[0.0]["tokens"], plain)
    assert not torch.equal(made[1.0]["tokens"], plain)


# ---------------------------------------------------------------- lists


def test_lists_say_how_long_its_pieces_are(folder, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(folder.parent))
    found = {one.name: kind_of(one) for one in places.known_models([folder.parent])}
    assert found["mine"] == ModelKind("music", piece_s=2, needs=("t5-base",))
    assert str(found["mine"]) == "music, 2 s at once, needs t5-base"
    assert str(found["facebook/magnet-medium-30secs"]) == "music, 30 s at once"
    assert str(found["facebook/audio-magnet-small"]) == "sound effects, 10 s at once"


def test_it_is_nobodys_default(folder, monkeypatch):
    folder.rename(folder.with_name("magnet-small-10secs"))
    try:
        monkeypatch.delenv("MUSICGRAPH_MODEL", raising=False)
        assert places.default_model([folder.parent])[0] == places.POCKET
    finally:
        folder.with_name("magnet-small-10secs").rename(folder)


# ---------------------------------------------------------------- the command line


def called(capsys, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


def generate(capsys, monkeypatch, folder, target, *words):
    drawn = ["--model", folder, "--cfg", 10, "--temperature", 3, "--top-p", 0.9, "--top-k", 50]
    drawn += ["-d", SEGMENT_S, "-o", target]
    return called(capsys, monkeypatch, "generate", "a calm piano", *drawn, *words)


def test_the_command_makes_a_file_that_carries_its_graph(folder, tmp_path, capsys, monkeypatch):
    target = tmp_path / "made.wav"
    code, _, err = generate(capsys, monkeypatch, folder, target)
    assert code == 0, err
    assert soundfile.info(target).frames == KEPT * 160
    graph = json.loads(read_tags(target)["prompt"])
    assert any(node["class_type"] == "MusicGenSampler" for node in graph.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-d", "1"], "the length that it was trained on"),
        (["--schedule", "1: drums"], "schedule: got one for a MAGNeT"),
        (["--automation", "temperature 0: 1, 1: 2"], "automation: got one for a MAGNeT"),
        (["--guidance-until", "1"], "guidance_until: got one for a MAGNeT"),
    ],
)
def test_the_command_refuses_what_it_cannot_in_one_line(
    folder, tmp_path, capsys, monkeypatch, words, said
):
    target = tmp_path / "made.wav"
    code, out, err = generate(capsys, monkeypatch, folder, target, *words)
    lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
    assert (code, len(lines)) == (2, 1) and said in lines[0], err
    assert not target.exists()


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def client(queue, folder):
    with local(build_api(queue, AppSettings(model=str(folder)))) as client:
        yield client


ASKED = {"prompt": "calm piano", "seed": 3, "cfg": 10, "temperature": 3, "top_p": 0.9, "top_k": 50}


def test_a_program_gets_the_whole_piece_at_once_or_as_a_stream(client):
    whole = client.post(GENERATE, json=ASKED | {"duration": SEGMENT_S})
    assert wav(whole).shape == (KEPT * 160, 1)
    pieces = client.post(GENERATE, json=ASKED | {"duration": SEGMENT_S, "stream": True})
    assert len(pieces.content) > KEPT * 160 * 2


def test_another_length_is_told_to_a_program_too(client):
    message = error_of(client.post(GENERATE, json=ASKED | {"duration": 1}), 422)["message"]
    assert "the length that it was trained on" in message
