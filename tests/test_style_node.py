"""MusicGen Style as a runner calls it, and `generate --style`."""

import json
import sys

import pytest
import soundfile
import torch

from musicgraph import cli
from musicgraph.models.refused import Refused
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.style import MusicGenStyle
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.workflows.media.tags import read_tags

DRAWING = {"cfg": 3.0, "temperature": 0.0, "top_k": 50, "top_p": 0.0, "variations": 1}


@pytest.fixture(scope="module")
def folder(style_model):
    return style_model.folder


@pytest.fixture(scope="module")
def loaded(folder):
    return MusicGenModelLoader().load(str(folder), "fp32", "cpu")


def sound(seconds=6.0, rate=8000, items=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    wave = torch.randn(items, 2, int(seconds * rate), generator=generator) / 4
    return {"waveform": wave, "sample_rate": rate}


def heard(loaded, audio, text="piano", **changes):
    settings = {"eval_q": 3, "excerpt_length": 3.0, "seed": 0, "style_guidance": 5.0, **changes}
    conditioning = MusicGenTextEncode().encode(loaded[1], text)[0]
    return MusicGenStyle().add(loaded[0], conditioning, audio, **settings)


def sample(loaded, conditioning, **changes):
    settings = {"duration": 1.0, "seed": 3, **DRAWING, **changes}
    return MusicGenSampler().sample(loaded[0], conditioning, **settings)[0]["tokens"]


def test_each_input_changes_what_is_heard_and_so_the_music(loaded):
    usual = sample(loaded, heard(loaded, sound())[0])
    assert torch.equal(usual, sample(loaded, heard(loaded, sound())[0]))
    for changes in (
        {"eval_q": 1}, {"excerpt_length": 4.5}, {"seed": 1}, {"style_guidance": 1.0},
        {"audio": sound(seed=9)}, {"text": "drums"},
    ):  # fmt: skip
        other = heard(loaded, **{"audio": sound(), **changes})[0]
        assert not torch.equal(sample(loaded, other), usual), changes


@pytest.mark.parametrize(("texts", "sounds", "items"), [(1, 1, 1), (1, 3, 3), (2, 1, 2)])
def test_there_is_an_excerpt_for_each_sound_and_an_item_for_each_pair(loaded, texts, sounds, items):
    text = "\n".join(["piano", "drums"][:texts])
    conditioning, excerpt = heard(loaded, sound(items=sounds), text)
    assert len(conditioning) == items
    assert excerpt["waveform"].shape == (sounds, 1, 72000) and excerpt["sample_rate"] == 24000
    assert sample(loaded, conditioning, variations=2).shape[0] == 2 * items


def test_a_style_model_works_without_a_style_and_says_so(loaded, caplog):
    caplog.set_level("INFO", "musicgraph")
    sample(loaded, MusicGenTextEncode().encode(loaded[1], "piano")[0])
    assert "no style: the model follows the text alone" in caplog.text


def test_silence_is_said(loaded, caplog):
    caplog.set_level("INFO", "musicgraph")
    heard(loaded, {"waveform": torch.zeros(1, 1, 50000), "sample_rate": 8000})
    assert "the excerpt is silence" in caplog.text


def test_a_model_that_hears_no_style_is_refused(loaded, mono, melody_mono):
    for other, got in ((mono, "a model that hears text only"), (melody_mono, "a melody model")):
        model = MusicGenModelLoader().load(str(other.folder), "fp32", "cpu")
        with pytest.raises(Refused, match=f"style: got {got}.*load facebook/musicgen-style"):
            heard(model, sound())
        with pytest.raises(Refused, match=f"style: got {got}"):
            sample(model, heard(loaded, sound())[0])


def test_sound_that_is_shorter_than_the_excerpt_is_refused(loaded):
    with pytest.raises(Refused, match=r"style: got 2.00 s of sound, expected at least the 3 s"):
        heard(loaded, sound(2.0))
    with pytest.raises(Refused, match="audio: got nothing"):
        heard(loaded, None)


# ---------------------------------------------------------------- the command


def generate(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["musicgraph", "generate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_the_command_sounds_like_a_file_and_its_result_carries_the_graph(
    folder, tmp_path, capsys, monkeypatch
):
    like, target = tmp_path / "like this.wav", tmp_path / "made.flac"
    soundfile.write(like, sound()["waveform"][0].T.numpy(), 8000)
    settings = ("-d", 0.5, "--top-k", 50, "--seed", 4, "--model", folder, "-o", target)
    asked = ("piano", *settings, "--style", like, "--style-guidance", 7)
    code, _, err = generate(capsys, monkeypatch, *asked)
    assert code == 0, err
    graph = json.loads(read_tags(target)["prompt"])
    (style,) = (node for node in graph.values() if node["class_type"] == "MusicGenStyle")
    assert graph[style["inputs"]["audio"][0]]["inputs"]["audio"] == "like this.wav"
    assert (style["inputs"]["style_guidance"], style["inputs"]["seed"]) == (7, 4)


def test_wishes_that_contradict_each_other_are_one_line(folder, tmp_path, capsys, monkeypatch):
    like, short = tmp_path / "like.wav", tmp_path / "short.wav"
    soundfile.write(like, sound()["waveform"][0].T.numpy(), 8000)
    soundfile.write(short, sound(1.0)["waveform"][0].T.numpy(), 8000)
    for options, words in (
        (("--style", like, "--melody", like), "style: got a melody too"),
        (("--style-guidance", 3), "style_guidance: got no style"),
        (("--style", tmp_path / "none.wav"), "nothing there, expected a sound file"),
        (("--style", short), "style: got 1.00 s of sound"),
        (("--style", like, "--style-guidance", 10), "style_guidance"),
        (("--style", like, "--style-guidance", "nan"), "style_guidance"),
    ):
        target = tmp_path / "made.wav"
        settings = ("-d", 0.5, "--top-k", 50, "--model", folder, "-o", target)
        code, out, err = generate(capsys, monkeypatch, "piano", *settings, *options)
        lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
        assert (code, out, len(lines)) == (2, "", 1), err
        assert words in lines[0]
        assert not target.exists()
