"""A recording that is continued or repainted: by nodes, by the command, and what is refused."""

import itertools
import json
import math
import sys

import numpy as np
import pytest
import soundfile
import tiny
import torch

from musicgraph import cli
from musicgraph.app.studio.music import music_job
from musicgraph.models.compose.splice import REACH_S
from musicgraph.models.refused import Refused
from musicgraph.nodes.audio import AudioSplice
from musicgraph.nodes.codec import EnCodecDecode, EnCodecEncode
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.registry import node_classes
from musicgraph.workflows.request import Request

DRAWING = {"cfg": 3.0, "temperature": 1.0, "top_k": 50, "top_p": 0.0}
RATES, CHANNELS, LENGTHS = (8000, 11025, 44100, 48000), (1, 2, 6), (0.55, 1.237)


@pytest.fixture(scope="module")
def loaded(mono):
    return MusicGenModelLoader().load(str(mono.folder), "fp32", "cpu")


def chords(seconds, rate, channels):
    """`[channels, samples]`, each channel its own note."""
    time = torch.arange(round(seconds * rate)) / rate
    notes = 200 * (1 + torch.arange(channels).unsqueeze(1) / 5)
    return 0.4 * torch.sin(2 * math.pi * notes * time)


def text_of(loaded):
    return MusicGenTextEncode().encode(loaded[1], "piano")[0]


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), list(itertools.product(RATES, CHANNELS, LENGTHS))
)
def test_a_recording_of_any_kind_goes_on_and_its_head_stays(loaded, rate, channels, seconds):
    """At its own rate, in all its channels, to the last bit as far as the crossfade's reach; and
    nowhere within that reach is a step that is larger than those of the two sounds: no click.
    """
    model, _, codec = loaded
    head = chords(seconds, rate, channels)
    recording = {"waveform": head[None], "sample_rate": rate}
    (tokens,) = EnCodecEncode().encode(codec, recording, until=seconds)
    assert tokens["tokens"].shape[2] == int(seconds * 50), "whole frames"
    (longer,) = MusicGenSampler().sample(
        model, text_of(loaded), 2.0, 1, **DRAWING, variations=1, audio_prompt=tokens
    )
    (changed,) = EnCodecDecode().decode(codec, longer)
    (result,) = AudioSplice().splice(recording, changed, seconds, 0.0)
    sound = result["waveform"][0]
    assert result["sample_rate"] == rate and sound.shape == (channels, 2 * rate)
    kept = head.shape[1] - round(REACH_S * rate)
    assert torch.equal(sound[:, :kept], head[:, :kept])
    new = sound[:, head.shape[1] :]
    assert new.any() and new.isfinite().all() and sound.abs().max() <= 1
    steps = sound.diff().abs()
    outside = torch.cat([steps[:, : kept - 1], steps[:, head.shape[1] :]], dim=1)
    assert (steps[:, kept:].amax(dim=1) <= 1.1 * outside.amax(dim=1) + 0.005).all()


def test_whole_frames_before_a_second_are_those_of_the_whole_sound(loaded):
    codec = loaded[2]
    recording = {"waveform": chords(1.237, 8000, 1)[None], "sample_rate": 8000}
    (all_of_it,) = EnCodecEncode().encode(codec, recording)
    (part,) = EnCodecEncode().encode(codec, recording, until=0.6)
    assert part["tokens"].shape[2] == 30 and all_of_it["tokens"].shape[2] == 62
    assert torch.equal(part["tokens"][:, :, :29], all_of_it["tokens"][:, :, :29])
    for until in (-1, 0.01, 1.3, math.nan):
        with pytest.raises(Refused, match="until: got"):
            EnCodecEncode().encode(codec, recording, until=until)


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint with room for the default top_k."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_tiny_checkpoint(folder, codebook_size=256)
    return folder


@pytest.fixture
def generate(tmp_path, capsys, monkeypatch, model):
    def run(*arguments):
        asked = ["musicgraph", "generate", "piano", "-m", model, *arguments]
        monkeypatch.setattr(sys, "argv", [str(one) for one in asked])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def take(tmp_path):
    """A recording of 1.5 s at 22050 Hz, in stereo, of 16 bits."""
    path = tmp_path / "in" / "take.wav"
    path.parent.mkdir()
    soundfile.write(path, chords(1.5, 22050, 2).T.numpy(), 22050, "PCM_16")
    return path


def samples(path):
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


def test_the_command_continues_a_file_from_a_second_on(generate, take, tmp_path):
    target = tmp_path / "longer.flac"
    code, _, err = generate(
        "--continue", take, "--continue-from", 1.2, "-d", 2, "--variations", 1, "-o", target
    )
    assert code == 0, err
    longer, kept = samples(target), round((1.2 - REACH_S) * 22050)
    assert longer.shape == (2 * 22050, 2)
    assert np.array_equal(longer[:kept], samples(take)[:kept])
    graph = json.loads(read_tags(target)["prompt"])
    (encoder,) = (one for one in graph.values() if one["class_type"] == "EnCodecEncode")
    assert encoder["inputs"]["until"] == 1.2


def test_without_a_second_it_goes_on_from_the_end_also_to_a_melody_from_elsewhere(
    generate, take, tmp_path, melody_mono
):
    tune = tmp_path / "tune.wav"
    soundfile.write(tune, chords(1, 8000, 1).T.numpy(), 8000)
    target, more = tmp_path / "longer.wav", ("--top-k", 50, "-m", melody_mono.folder)
    code, _, err = generate("--continue", take, "-d", 2, "--melody", tune, "-o", target, *more)
    assert code == 0, err
    kept = round((1.5 - REACH_S) * 22050)
    assert np.array_equal(samples(target)[:kept], samples(take)[:kept])


@pytest.fixture(scope="module")
def short_sighted(tmp_path_factory):
    """A stereo model whose windows have 2 s."""
    folder = tmp_path_factory.mktemp("models") / "short"
    tiny.write_tiny_checkpoint(folder, channels=2, codebook_size=256)
    settings = json.loads((folder / "config.json").read_text())
    settings["decoder"]["max_position_embeddings"] = 106
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_it_goes_on_in_stereo_beyond_windows_to_a_schedule_and_its_head_stays(
    generate, take, tmp_path, short_sighted
):
    target, more = tmp_path / "longer.flac", ("-m", short_sighted, "--overlap", 0.5)
    more += ("--guidance-until", 3)
    asked = ("--continue", take, "-d", 5, "--schedule", "2: drums; 3.5: flute", "--blend", 0.5)
    code, _, err = generate(*asked, *more, "-o", target)
    assert code == 0, err
    longer, kept = samples(target), round((1.5 - REACH_S) * 22050)
    assert longer.shape == (5 * 22050, 2) and longer[-22050:].any()
    assert np.array_equal(longer[:kept], samples(take)[:kept])
    graph = json.loads(read_tags(target)["prompt"])
    (sampler,) = (one for one in graph.values() if one["class_type"] == "MusicGenSampler")
    assert sampler["inputs"]["overlap"] == 0.5
    assert sampler["inputs"]["guidance_until"] == 3


def test_a_recording_longer_than_a_window_goes_on_too(generate, tmp_path, short_sighted):
    """Of the prompt only its last part is heard; all of it is kept."""
    long, target = tmp_path / "long.wav", tmp_path / "longer.wav"
    soundfile.write(long, chords(3.3, 11025, 1).T.numpy(), 11025, "PCM_16")
    code, _, err = generate("--continue", long, "-d", 5, "-m", short_sighted, "-o", target)
    assert code == 0, err
    kept = round((3.3 - REACH_S) * 11025)
    assert np.array_equal(samples(target)[:kept], samples(long)[:kept])
    assert samples(target).shape == (5 * 11025, 1)


def test_an_ending_is_a_node_of_the_graph(generate, tmp_path):
    target = tmp_path / "closed.flac"
    code, _, err = generate("--ending", "bar", "--fade", 0.5, "-d", 1.5, "-o", target)
    assert code == 0, err
    graph = json.loads(read_tags(target)["prompt"])
    (fade,) = (one for one in graph.values() if one["class_type"] == "AudioFade")
    assert (fade["inputs"]["ending"], fade["inputs"]["fade_out"]) == ("bar", 0.5)
    assert not samples(target)[-4:].any()


def test_the_command_makes_a_region_anew_and_leaves_the_rest(generate, take, tmp_path):
    target = tmp_path / "other.flac"
    asked = ("--audio", take, "--candidates", 2, "--seed", 3, "-o", target)
    code, _, err = generate("--repaint", "0.5:1", *asked)
    assert code == 0, err
    old, new, edges = samples(take), samples(target), (round(0.5 * 22050), 22050)
    assert old.shape == new.shape
    assert np.array_equal(old[: edges[0]], new[: edges[0]])
    assert np.array_equal(old[edges[1] :], new[edges[1] :])
    assert not np.array_equal(old, new)
    graph = json.loads(read_tags(target)["prompt"])
    (repaint,) = (one for one in graph.values() if one["class_type"] == "MusicGenRepaint")
    assert repaint["inputs"]["candidates"] == 2 and repaint["inputs"]["seed"] == 3
    assert "MusicGenSampler" not in {one["class_type"] for one in graph.values()}


def test_a_loop_is_exact_to_the_sample_and_the_file_says_where(generate, tmp_path):
    """A bar of two seconds at 121.3 bpm has no whole number of frames."""
    length = round(4 * 60 / 121.3 * 8000)
    for suffix in ("wav", "flac"):
        target = tmp_path / f"loop.{suffix}"
        asked = ("--bpm", 121.3, "--seed", 3, "-o", target, "--candidates", 2)
        code, _, err = generate("--loop", "1bar", *asked)
        assert code == 0, err
        sound, rate = read_audio(target)
        assert (sound.shape[1], rate) == (length, 8000)
    content = (tmp_path / "loop.wav").read_bytes()
    assert len(content) == int.from_bytes(content[4:8], "little") + 8
    smpl, acid = content.index(b"smpl") + 8, content.index(b"acid") + 8
    ends = np.frombuffer(content[smpl + 36 : smpl + 60], "<u4")
    assert (ends[2], ends[3]) == (0, length - 1)
    beats, tempo = np.frombuffer(content[acid + 12 : acid + 24], "<u4")[[0, 2]]
    assert beats == 4 and np.uint32(tempo).view(np.float32) == np.float32(121.3)
    import av

    with av.open(str(tmp_path / "loop.flac")) as container:
        tags = {name.upper(): text for name, text in container.metadata.items()}
    assert (tags["LOOPSTART"], tags["LOOPLENGTH"]) == ("0", str(length))


def test_a_fade_that_cannot_fit_is_refused_before_anything_is_composed():
    long = Request("calm", duration_s=1, fade_in_s=0.5, fade_s=0.6)
    with pytest.raises(Refused, match=r"fade: got 0.5 s in and 0.6 s out of 1 s"):
        music_job(long, node_classes(), named_models={})


def test_a_short_piece_may_end_at_a_bar_without_a_word_about_fades(generate, tmp_path):
    code, _, err = generate("--ending", "bar", "-d", 1, "-o", tmp_path / "short.flac")
    assert (code, (tmp_path / "short.flac").exists()) == (0, True), err


BAD = (
    (("--continue-from", "1"), "--continue-from: got no --continue"),
    (("--audio", "TAKE"), "--audio: got no --repaint"),
    (("--repaint", "0:1"), "--repaint: got no --audio"),
    (("--bpm", "120"), "--bpm: got no --loop"),
    (("--candidates", "2"), "--candidates: got no --repaint or --loop"),
    (("--continue", "TAKE", "--loop", "4bars"), "--continue: got --loop too"),
    (("--loop", "4bars", "--bpm", "120", "--fade", "1"), "--loop: got --fade too"),
    (("--loop", "4bars", "--bpm", "120", "--ending", "bar"), "--loop: got --ending too"),
    (("-d", "1", "--fade", "2"), "fade: got 0 s in and 2 s out of 1 s"),
    (("--fade", "-1"), "fade_out"),
    (("--ending", "soon"), "ending"),
    (("--overlap", "30"), "overlap: got 30 s, expected 0.08 to 29.98 s, less than a window"),
    (("--overlap", "31"), "overlap"),
    (("--overlap", "0.01"), "overlap: got 0 s, expected 0.08"),
    (("--overlap", "-1"), "overlap"),
    (("--guidance-until", "-1"), "guidance_until: the value is too small"),
    (("--guidance-until", "601"), "guidance_until: the value is too big"),
    (("--guidance-until", "soon"), "guidance-until"),
    (("-d", "5", "--schedule", "5: drums"), "schedule: got 5 s, expected 0 s or later, before"),
    (("-d", "5", "--schedule", "9: drums"), "schedule: got 9 s"),
    (("-d", "5", "--schedule", "-1: drums"), "schedule: got -1 s"),
    (("-d", "5", "--schedule", "3: a; 2: b"), "schedule: got 2 s behind 3 s"),
    (("-d", "5", "--schedule", "3: a; 3: b"), "schedule: got two entries at 3 s"),
    (("-d", "5", "--automation", "cfg 5: 4"), "cfg at 5 s in a piece of 5 s"),
    (("-d", "5", "--automation", "cfg -1: 4"), "cfg at -1 s"),
    (("-d", "5", "--automation", "cfg 3: 4, 2: 3"), "cfg at 2 s behind 3 s"),
    (("-d", "5", "--automation", "cfg 3: 4, 3: 3"), "two values of cfg at 3 s"),
    (("--repaint", "0:1", "--audio", "TAKE", "--variations", "2"), "--repaint: got --variations"),
    (("--repaint", "0:1", "--audio", "TAKE", "-d", "2"), "--repaint: got --duration too"),
    (("--repaint", "0:1", "--audio", "TAKE", "--overlap", "2"), "--repaint: got --overlap too"),
    (
        ("--repaint", "0:1", "--audio", "TAKE", "--guidance-until", "1"),
        "--repaint: got --guidance-until too",
    ),
    (("--loop", "1", "--bpm", "120", "-d", "3"), "--loop: got --duration too"),
    (("--continue", "nowhere.wav", "-d", "3"), "nothing there"),
    (("--continue", "TAKE", "-d", "1"), "duration: got 1 s, which begin with 1.5 s"),
    (("--continue", "TAKE", "--continue-from", "1.6"), "1.6 s of a recording of 1.5 s"),
    (("--continue", "TAKE", "--continue-from", "0"), "0 s of a recording of 1.5 s"),
    (("--continue", "TAKE", "--continue-from", "nan"), "nan s of a recording of 1.5 s"),
    (("--repaint", "1:9", "--audio", "TAKE"), "1 to 9 s, expected a part of 0 to 1.5 s"),
    (("--repaint", "1:1", "--audio", "TAKE"), "1 to 1 s, expected a part of 0 to 1.5 s"),
    (("--repaint", "from 1", "--audio", "TAKE"), "expected BEGIN:END in seconds"),
    (("--repaint", "0:1", "--audio", "TAKE", "--candidates", "99"), "candidates"),
    (("--loop", "4bars"), "loop: got no tempo"),
    (("--loop", "four", "--bpm", "120"), "expected a number of bars"),
    (("--loop", "0", "--bpm", "120"), "loop: got 0 bars"),
    (("--loop", "99", "--bpm", "120"), "bars"),
    (("--loop", "16", "--bpm", "100"), "at most 30 s, which a model sees at once"),
)


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_input_is_one_line_and_no_file(generate, take, tmp_path, options, words):
    target = tmp_path / "made.wav"
    code, out, err = generate(*(take if one == "TAKE" else one for one in options), "-o", target)
    lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert words in lines[0] and not target.exists()
