"""MusicGen Melody as a runner calls it, and `generate --melody`."""

import hashlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from musicgraph import cli
from musicgraph.models import separation
from musicgraph.models.refused import Refused
from musicgraph.models.weights import places
from musicgraph.nodes import host
from musicgraph.nodes import melody as melody_node
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.melody import MusicGenMelody
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.overrides import Override, named_by

DRAWING = {"cfg": 3.0, "temperature": 0.0, "top_k": 50, "top_p": 0.0, "variations": 1}


@pytest.fixture(scope="module")
def loaded(melody_mono):
    return MusicGenModelLoader().load(str(melody_mono.folder), "fp32", "cpu")


def sound(*notes, rate=8000, seconds=8.0, items=1):
    """Notes one after the other, as AUDIO."""
    time = torch.arange(int(seconds * rate)) / rate
    waves = [torch.sin(2 * torch.pi * 440 * 2 ** ((note - 69) / 12) * time) for note in notes]
    return {"waveform": torch.cat(waves).expand(items, 2, -1), "sample_rate": rate}


def heard(loaded, audio, text="piano", separate=False):
    conditioning = MusicGenTextEncode().encode(loaded[1], text)[0]
    return MusicGenMelody().add(loaded[0], conditioning, audio, separate)


def sample(loaded, conditioning, **changes):
    settings = {"duration": 1.0, "seed": 3, **DRAWING, **changes}
    return MusicGenSampler().sample(loaded[0], conditioning, **settings)[0]["tokens"]


def test_another_melody_makes_other_music(loaded):
    one, other = (sample(loaded, heard(loaded, sound(*notes))[0]) for notes in ([60], [67, 64]))
    plain = sample(loaded, MusicGenTextEncode().encode(loaded[1], "piano")[0])
    assert not torch.equal(one, other)
    assert not torch.equal(other, plain)


def test_a_melody_model_works_without_a_melody_and_says_so(loaded, caplog):
    caplog.set_level("INFO", "musicgraph")
    sample(loaded, MusicGenTextEncode().encode(loaded[1], "piano")[0])
    assert "no melody: the model follows the text alone" in caplog.text


@pytest.mark.parametrize(("texts", "melodies", "items"), [(1, 1, 1), (1, 3, 3), (2, 1, 2)])
def test_there_is_a_picture_for_each_melody_and_an_item_for_each_pair(
    loaded, texts, melodies, items
):
    text = "\n".join(["piano", "drums"][:texts])
    conditioning, pictures = heard(loaded, sound(60, items=melodies), text)
    assert len(conditioning) == items
    assert pictures.shape[0] == melodies and pictures.shape[3] == 3
    assert sample(loaded, conditioning, variations=2).shape[0] == 2 * items


def test_silence_is_heard_as_no_melody_and_said_so(loaded, caplog):
    conditioning, _ = heard(loaded, {"waveform": torch.zeros(1, 1, 50000), "sample_rate": 8000})
    assert "silence; it is heard as no melody at all" in caplog.text
    plain = MusicGenTextEncode().encode(loaded[1], "piano")[0]
    assert torch.equal(sample(loaded, conditioning), sample(loaded, plain))


def test_a_model_that_hears_no_melody_is_refused(loaded, mono):
    text_model = MusicGenModelLoader().load(str(mono.folder), "fp32", "cpu")
    with pytest.raises(Refused, match="melody: got a model that hears text only.*load facebook"):
        heard(text_model, sound(60))
    with pytest.raises(Refused, match="melody: got a model that hears text only"):
        sample(text_model, heard(loaded, sound(60))[0])


@pytest.mark.parametrize(
    "audio", [None, {"waveform": torch.zeros(1, 1, 0), "sample_rate": 8000}], ids=["none", "empty"]
)
def test_no_sound_is_refused(loaded, audio):
    with pytest.raises(Refused, match="audio: got"):
        heard(loaded, audio)


# ---------------------------------------------------------------- separation


def test_without_the_library_separation_is_refused_and_the_mix_is_not_taken(loaded, monkeypatch):
    monkeypatch.setattr(separation, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"separate: got no demucs-infer.*pip install 'musicgraph"):
        heard(loaded, sound(60), separate=True)


def test_only_vocals_and_other_instruments_are_heard(loaded, monkeypatch):
    """The library is played by one that finds a note in each stem."""
    notes = {"drums": 61, "bass": 62, "other": 64, "vocals": 64}
    stems = {name: sound(note, rate=44100)["waveform"][0] for name, note in notes.items()}
    asked, told = [], {}

    def separate_tensor(one):
        asked.append(tuple(one.shape))
        told["callback"]({"segment_offset": 44100})
        return one, stems

    library = SimpleNamespace(
        samplerate=44100, update_parameter=told.update, separate_tensor=separate_tensor
    )
    monkeypatch.setattr(separation, "find_spec", lambda name: object())
    monkeypatch.setattr(separation, "_loaded", lambda: library)
    conditioning, _ = heard(loaded, sound(70, rate=22050), separate=True)
    assert asked == [(2, 8 * 44100)], "stereo, at the library's rate"
    assert told["shifts"] == 0, "nothing random"
    classes = conditioning.melody.chroma[0].argmax(dim=1)
    assert classes[1:-1].tolist() == [4] * (len(classes) - 2)


@pytest.fixture
def library(monkeypatch, tmp_path):
    """demucs-infer with weights of its own, which it fetches where they are not whole."""
    weights = tmp_path / "htdemucs.th"
    wanted = SimpleNamespace(sha256=hashlib.sha256(b"weights").hexdigest())

    class Runtime:
        def __init__(self, model):
            assert model == "htdemucs"

        def resolve(self):
            return SimpleNamespace(paths=(weights,), artifacts=(wanted,))

        def load_separator(self, options):
            fetched = not weights.is_file() or weights.read_bytes() != b"weights"
            weights.write_bytes(b"weights")
            stems = {"other": torch.zeros(2, 44100), "vocals": torch.ones(2, 44100)}
            return SimpleNamespace(
                samplerate=44100,
                fetched=fetched,
                update_parameter=lambda **_: None,
                separate_tensor=lambda one: (one, stems),
            )

    runtime = SimpleNamespace(CheckpointRuntime=Runtime)
    package = SimpleNamespace(checkpoint_runtime=runtime)
    monkeypatch.setitem(sys.modules, "demucs_infer", package)
    monkeypatch.setitem(sys.modules, "demucs_infer.checkpoint_runtime", runtime)
    monkeypatch.setattr(separation, "find_spec", lambda name: object())
    separation._loaded.cache_clear()
    yield weights
    separation._loaded.cache_clear()


def separated():
    return melody_node._separated(torch.zeros(1, 1, 44100), 44100, lambda done, total: None)


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_strangers_graph_fetches_no_weights(library, content):
    if content is not None:
        library.write_bytes(content)
    with (
        host.running(host.Run()),
        pytest.raises(Refused, match=r"separate: got no weights of htdemucs.*NODE\.separate=true"),
    ):
        separated()
    assert content == (library.read_bytes() if library.is_file() else None)


def test_weights_that_are_here_serve_everybody(library):
    library.write_bytes(b"weights")
    with host.running(host.Run()):
        assert float(separated()[0].mean()) == 1.0
    assert not separation._loaded().fetched


def test_who_asks_for_separation_has_its_weights_fetched(library):
    asked = [Override.parse("MusicGen Melody.separate=true")]
    with host.running(host.Run(named_models=named_by(asked))):
        separated()
    assert separation._loaded().fetched and library.read_bytes() == b"weights"
    assert named_by([Override.parse("5.separate=false")]) == {"false": "false"}


# ---------------------------------------------------------------- the command


def generate(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["musicgraph", "generate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_the_command_follows_a_file_and_its_result_carries_the_graph(
    melody_mono, tmp_path, capsys, monkeypatch
):
    tune, target = tmp_path / "a tune.wav", tmp_path / "made.flac"
    soundfile.write(tune, sound(60, 67)["waveform"][0].T.numpy(), 8000)
    asked = (
        "piano",
        "-d",
        0.5,
        "--top-k",
        50,
        "--model",
        melody_mono.folder,
        "-o",
        target,
        "--melody",
        tune,
    )
    code, _, err = generate(capsys, monkeypatch, *asked)
    assert code == 0, err
    graph = json.loads(read_tags(target)["prompt"])
    (melody,) = (node for node in graph.values() if node["class_type"] == "MusicGenMelody")
    assert graph[melody["inputs"]["audio"][0]]["inputs"]["audio"] == "a tune.wav"
    assert melody["inputs"]["separate"] is False


def test_a_file_that_is_not_there_or_no_sound_or_a_text_model_is_one_line(
    mono, melody_mono, tmp_path, capsys, monkeypatch
):
    tune, noise = tmp_path / "tune.wav", tmp_path / "noise.wav"
    soundfile.write(tune, np.zeros(8000), 8000)
    noise.write_bytes(b"no sound")
    for model, file, words in (
        (melody_mono, tmp_path / "none.wav", "nothing there, expected a sound file"),
        (melody_mono, tmp_path, "a folder, expected a sound file"),
        (melody_mono, noise, "noise.wav"),
        (mono, tune, "melody: got a model that hears text only"),
    ):
        target = tmp_path / "made.wav"
        asked = (
            "piano",
            "-d",
            0.5,
            "--top-k",
            50,
            "--model",
            model.folder,
            "-o",
            target,
            "--melody",
            file,
        )
        code, out, err = generate(capsys, monkeypatch, *asked)
        lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
        assert (code, out, len(lines)) == (2, "", 1), err
        assert words in lines[0]
        assert not target.exists()


def test_without_a_model_the_largest_melody_model_is_taken_or_one_is_asked_for(tmp_path):
    known = [
        places.Found(name, tmp_path, 1, "")
        for name in ("musicgen-melody", "musicgen-small", "facebook/musicgen-melody-large")
    ]
    assert places.default_model((), known)[0] == "musicgen-small"
    assert places.default_model((), known, follows="melody")[0] == "facebook/musicgen-melody-large"
    with pytest.raises(Refused, match="melody: got no melody model on this machine"):
        places.default_model((), known[1:2], follows="melody")
