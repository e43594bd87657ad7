"""MusicGen Repaint, Audio Tokens Loop and Audio Loop Save, as a runner calls them."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicgraph.models import rhythm
from musicgraph.models.bars import Bars
from musicgraph.models.refused import Refused
from musicgraph.nodes.codec import EnCodecDecode
from musicgraph.nodes.conditioning import MusicGenSchedule
from musicgraph.nodes.filling import AudioTokensLoop, MusicGenRepaint, _as_played
from musicgraph.nodes.host import Run, running
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.loop_file import AudioLoopSave
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.reader import read_document

DRAWING = {"cfg": 3.0, "temperature": 1.0, "top_k": 50, "top_p": 0.0}
RATE = 8000


@pytest.fixture(scope="module", params=["mono", "melody_mono"])
def loaded(request):
    """A model that hears text in layers of its own, and one that reads it first."""
    folder = request.getfixturevalue(request.param).folder
    return MusicGenModelLoader().load(str(folder), "fp32", "cpu")


def text(loaded, words="piano"):
    return MusicGenTextEncode().encode(loaded[1], words)[0]


@pytest.fixture(scope="module")
def take(loaded):
    settings = {"duration": 2.0, "seed": 1, **DRAWING, "variations": 1}
    return MusicGenSampler().sample(loaded[0], text(loaded, "drums"), **settings)[0]


def repaint(loaded, take, begin=0.5, end=1.0, words="piano", **changes):
    settings = {"candidates": 3, "seed": 5, **DRAWING, **changes}
    heard = words if not isinstance(words, str) else text(loaded, words)
    return MusicGenRepaint().repaint(loaded[0], heard, take, begin, end, **settings)[0]


def loop(loaded, take, bars=1, bpm=240.0, **changes):
    settings = {"beats": 4, "begin": 0.0, "bridge": 1.0, "candidates": 2, "seed": 5, **DRAWING}
    inputs = loaded[0], loaded[2], text(loaded), take, bars, bpm
    return AudioTokensLoop().loop(*inputs, **{**settings, **changes})


# ---------------------------------------------------------------- repaint


def test_tokens_outside_the_region_are_equal_and_inside_others(loaded, take):
    old, new = take["tokens"], repaint(loaded, take)["tokens"]
    assert torch.equal(new[:, :, :25], old[:, :, :25])
    assert torch.equal(new[:, :, 50:], old[:, :, 50:])
    assert not torch.equal(new[:, :, 25:50], old[:, :, 25:50])


def test_the_kept_candidate_is_one_of_those_that_are_drawn_alone(loaded, take):
    """Candidate i has the seed + i, and what is beside it changes nothing."""
    best = repaint(loaded, take)["tokens"]
    alone = [repaint(loaded, take, candidates=1, seed=5 + i)["tokens"] for i in range(3)]
    assert sum(torch.equal(best, one) for one in alone) == 1


def test_each_take_and_text_has_candidates_of_its_own(loaded, take):
    both = repaint(loaded, take, words="piano\nflute", candidates=2)["tokens"]
    assert both.shape[0] == 2 and not torch.equal(both[0], both[1])
    takes = {**take, "tokens": take["tokens"].repeat(2, 1, 1)}
    assert torch.equal(repaint(loaded, takes, candidates=2)["tokens"][:1], both[:1])


def test_a_region_at_the_end_is_open_and_has_one_candidate(loaded, take, caplog):
    caplog.set_level("INFO")
    new = repaint(loaded, take, 1.5, 0.0)
    assert new["open_end"] and new["tokens"].shape == take["tokens"].shape
    assert torch.equal(new["tokens"], repaint(loaded, take, 1.5, 0.0, candidates=1)["tokens"])
    assert "nothing follows the region" in caplog.text


def test_a_schedule_holds_by_the_times_of_the_piece(loaded, take):
    heard = MusicGenSchedule().add(text(loaded, "drums"), text(loaded), 0.2, 0.0)[0]
    assert torch.equal(
        repaint(loaded, take, words=heard)["tokens"], repaint(loaded, take)["tokens"]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"begin": 1.0, "end": 1.0}, "region: got 1 to 1 s"),
        ({"begin": 2.0, "end": 0.0}, "region: got 2 to 2 s"),
        ({"begin": 1.0, "end": 2.5}, "region: got 1 to 2.5 s"),
        ({"begin": math.nan}, "region: got nan"),
        ({"candidates": 17}, "candidates: got 17"),
        ({"words": "a\nb", "candidates": 9}, "candidates: got 9 for 2 takes"),
        ({"top_k": 999}, "top_k"),
    ],
)
def test_what_cannot_be_repainted_is_refused(loaded, take, changes, words):
    with pytest.raises(Refused, match=words):
        repaint(loaded, take, **changes)


def test_tokens_of_another_codec_and_texts_that_do_not_fit_are_refused(loaded, take):
    with pytest.raises(Refused, match="tokens: got tokens of sample_rate"):
        repaint(loaded, {**take, "sample_rate": 32000})
    takes = {**take, "tokens": take["tokens"].repeat(3, 1, 1)}
    with pytest.raises(Refused, match="positive: got 2 texts for 3 takes"):
        repaint(loaded, takes, words="a\nb", candidates=1)


# ---------------------------------------------------------------- loops


@pytest.mark.parametrize("bpm", [240.0, 241.7, 238.1])
def test_a_round_is_exact_to_the_sample_and_its_beginning_is_kept(loaded, take, bpm):
    audio, tokens = loop(loaded, take, bpm=bpm)
    assert audio["waveform"].shape == (1, 1, round(4 * 60 / bpm * RATE))
    frames = tokens["tokens"].shape[2]
    assert frames == round(4 * 60 / bpm * 50)
    kept = frames - round(60 / bpm * 50)
    assert torch.equal(tokens["tokens"][:, :, :kept], take["tokens"][:, :, :kept])
    assert not tokens["open_end"]


@pytest.mark.parametrize("bpm", [240.0, 241.7, 238.1])
def test_eight_rounds_have_no_step_at_their_seams(loaded, take, bpm):
    round_ = loop(loaded, take, bpm=bpm)[0]["waveform"][0, 0]
    steps = round_.repeat(8).diff().abs()
    seams = torch.arange(1, 8) * len(round_) - 1
    inside = torch.ones(len(steps), dtype=torch.bool).index_fill(0, seams, False)
    assert steps[seams].max() <= steps[inside].quantile(0.999)


def test_a_round_of_whole_frames_is_what_the_decoder_plays_between_its_like(loaded, take):
    audio, tokens = loop(loaded, take)
    played, _ = (
        EnCodecDecode()
        .decode(loaded[2], {**tokens, "tokens": tokens["tokens"].repeat(1, 1, 3)})[0]
        .values()
    )
    third = played[:, :, 8000:16000]
    torch.testing.assert_close(audio["waveform"], third, atol=1e-3, rtol=0)


def test_a_loop_has_the_tempo_that_the_music_has(loaded, take, monkeypatch, caplog):
    """Else the beat at its seam would be longer or shorter than all others."""
    caplog.set_level("INFO")
    monkeypatch.setattr(rhythm, "tempo", lambda bands: rhythm.Tempo(125.0, 1, 1, ()))
    audio, tokens = loop(loaded, take, bpm=240.0)
    assert audio["waveform"].shape[2] == 4 * 60 * RATE // 250 and tokens["tokens"].shape[2] == 48
    assert "the music has 250.00 bpm, and so has the loop" in caplog.text


class Clicks:
    """Plays 20 s of clicks, whatever the tokens."""

    sample_rate = 24_000

    def __init__(self, beat_s):
        places = (torch.arange(0, 20, beat_s) * self.sample_rate).long()
        self.sound = torch.zeros(1, 1, 20 * self.sample_rate)
        self.sound[0, 0, places[:, None] + torch.arange(200)] = torch.rand(200) - 0.5

    def decode(self, tokens, channels):
        return self.sound


@pytest.mark.parametrize(
    ("asked_bpm", "beat_s"), [(86, 0.70), (130, 0.46), (94, 0.64), (143, 0.42), (62, 0.46)]
)
def test_the_beat_at_the_seam_is_as_long_as_those_inside(asked_bpm, beat_s):
    """A model's beats are whole frames, and nearly those of the tempo that was asked for."""
    piece = torch.zeros(1, 4, 1000, dtype=torch.int64)
    length = _as_played(Bars(4, asked_bpm), piece, 20.0, Clicks(beat_s), 1)
    beats = round(length.seconds / beat_s)
    assert abs(length.seconds - beats * beat_s) < 0.005


def test_a_loop_is_as_long_as_was_asked_where_the_music_says_nothing_else():
    asked = Bars(4, 120.0)
    assert asked.as_played(None) == asked.as_played(160.0) == asked.as_played(120.01) == asked
    assert asked.as_played(60.5).bpm == 121.0 and asked.as_played(230.0).bpm == 115.0
    assert asked.as_played(115.0, longest_s=8.1) == asked, "there is no more music"
    assert asked.as_played(106.0).seconds <= asked.enough_s


def test_a_file_tells_the_tempo_of_its_samples():
    acid = Bars(4, 130.0).riff_chunks(368 * 640, 32_000)[-4:]
    assert struct.unpack("<f", acid)[0] == pytest.approx(130.43)


def test_without_a_bridge_the_music_stays_and_another_beginning_may_be_chosen(loaded, take):
    _, tokens = loop(loaded, take, bridge=0.0, begin=0.4)
    assert torch.equal(tokens["tokens"], take["tokens"][:, :, 20:70])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bars": 3}, "loop: got 3 s from 0 s on of 2 s"),
        ({"begin": 1.5}, "loop: got 1 s from 1.5 s on of 2 s"),
        ({"bars": 16, "bpm": 100.0}, "expected at most 30 s"),
        ({"bpm": math.nan}, "expected numbers above 0"),
        ({"bridge": 4.0}, "bridge: got 4 beats of 4"),
    ],
)
def test_what_is_no_loop_is_refused(loaded, take, changes, words):
    with pytest.raises(Refused, match=words):
        loop(loaded, take, **changes)


def test_a_loop_that_is_too_long_is_refused_before_music_is_made_for_it():
    assert "at most 30 s" in str(AudioTokensLoop.VALIDATE_INPUTS(16, 100.0, 4))
    assert AudioTokensLoop.VALIDATE_INPUTS(4, None, 4) is True


def test_a_saved_loop_holds_the_samples_and_its_points(loaded, take, tmp_path):
    audio, _ = loop(loaded, take)
    with running(Run(output_dir=tmp_path)):
        result = AudioLoopSave().save(audio, 1, 240.0, 4, "loops/one")
        with pytest.raises(Refused, match="audio: got 8000 samples, expected about 6400"):
            AudioLoopSave().save(audio, 1, 300.0, 4, "loops/one")
    (saved,) = result["ui"]["audio"]
    path = tmp_path / saved["subfolder"] / saved["filename"]
    assert path.relative_to(tmp_path) == Path("loops/one_00001.wav")
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE and np.abs(samples - audio["waveform"][0, 0].numpy()).max() <= 0.5 / 32768
    assert torch.equal(read_audio(path)[0], torch.from_numpy(samples)[None])
    assert path.read_bytes().endswith(Bars(1, 240.0).riff_chunks(8000, RATE))


def test_a_saved_loop_carries_the_graph_of_its_take_and_is_a_loop_all_the_same(tmp_path):
    one = {"1": {"class_type": "X", "inputs": {}}}
    takes = {"waveform": torch.rand(2, 1, 8000) - 0.5, "sample_rate": RATE}

    def take(item, items):
        return ({f"{item}{items}": one["1"]}, {"workflow": {"nodes": [item]}})

    with running(Run(output_dir=tmp_path, take=take)):
        AudioLoopSave().save(takes, 1, 240.0, 4, "two", one, {"workflow": {"nodes": []}})
    for item, path in enumerate(sorted(tmp_path.glob("*.wav"))):
        assert read_document(path).api == {f"{item}2": one["1"]}
        assert json.loads(read_tags(path)["workflow"]) == {"nodes": [item]}
        assert soundfile.info(path).frames == 8000
        assert path.read_bytes().endswith(Bars(1, 240.0).riff_chunks(8000, RATE))


def test_what_a_tempo_is_named_as(tmp_path):
    assert Bars.parse("4bars", None, "techno at 128.5 BPM") == Bars(4, 128.5)
    assert Bars.parse(" 2 ", 90.0, "techno, 128 bpm") == Bars(2, 90.0)
    assert json.dumps(Bars(2, 90.0).tags(7)) == '{"LOOPSTART": "0", "LOOPLENGTH": "7"}'
