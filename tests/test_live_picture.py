"""The picture on a sampler while it works, and the sound that is kept for it."""

import math

import pytest
import torch

from musicgraph.models import dsp
from musicgraph.models.growing_picture import HEIGHT, WAVE_HEIGHT, WIDTH, GrowingPicture
from musicgraph.nodes import host, live_picture
from musicgraph.nodes.codec import EnCodecDecode
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.nodes.tokens import AudioTokensCrop

RATE = 16000


@pytest.fixture
def shown(monkeypatch):
    """The pictures that ComfyUI's page would have got."""
    pictures = []
    monkeypatch.setattr(host, "shows_pictures", lambda: True)
    monkeypatch.setattr(host.Progress, "show", lambda self, picture: pictures.append(picture))
    return pictures


def loaded(tiny):
    return MusicGenModelLoader().load(str(tiny.folder), "fp32", "cpu")


def sample(parts, seconds=3.0, variations=1, **more):
    heard = MusicGenTextEncode().encode(parts[1], "a happy song")[0]
    return MusicGenSampler().sample(
        parts[0], heard, seconds, 3, 3.0, 1.0, 50, 0.0, variations, **more
    )[0]


def test_the_sound_that_was_decoded_for_the_picture_is_the_decoders(tiny, shown):
    parts = loaded(tiny)
    tokens = sample(parts, variations=2)
    (audio,) = EnCodecDecode().decode(parts[2], tokens)
    assert audio["waveform"] is tokens[live_picture.DECODED].waveform and shown
    plain = {name: one for name, one in tokens.items() if name != live_picture.DECODED}
    (anew,) = EnCodecDecode().decode(parts[2], plain)
    assert torch.equal(audio["waveform"], anew["waveform"])
    assert audio["sample_rate"] == anew["sample_rate"]


def test_a_picture_changes_no_token(mono, shown):
    parts = loaded(mono)
    seen = sample(parts)["tokens"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "shows_pictures", lambda: False)
        unseen = sample(parts)
    assert torch.equal(seen, unseen["tokens"]) and live_picture.DECODED not in unseen


def test_tokens_that_were_cut_are_decoded_anew(mono, shown):
    parts = loaded(mono)
    (cut,) = AudioTokensCrop().crop(sample(parts), 1.0, 2.0)
    assert live_picture.already_decoded(parts[2], cut) is None
    (audio,) = EnCodecDecode().decode(parts[2], cut)
    assert audio["waveform"].shape[2] == round(audio["sample_rate"])


def test_another_codec_decodes_for_itself(mono, shown):
    tokens = sample(loaded(mono))
    assert live_picture.already_decoded(loaded(mono)[2], tokens) is None


def test_sound_that_is_too_long_is_not_kept(mono, shown, monkeypatch):
    monkeypatch.setattr(live_picture, "MOST_SAMPLES", RATE)
    assert live_picture.DECODED not in sample(loaded(mono)) and not shown


def test_nothing_is_decoded_where_nobody_looks(mono):
    assert live_picture.DECODED not in sample(loaded(mono))


# ---------------------------------------------------------------- the picture


def tone(seconds, hertz=440.0):
    return 0.8 * torch.sin(torch.arange(round(RATE * seconds)) * 2 * math.pi * hertz / RATE)[None]


def test_it_grows_from_left_to_right_and_the_rest_is_dark():
    picture = GrowingPicture(4 * RATE, RATE)
    dark = picture.draw()
    assert dark.shape == (HEIGHT, WIDTH, 3) and dark.dtype == torch.uint8
    picture.push(tone(1))
    quarter = picture.draw()
    assert torch.equal(quarter[:, WIDTH // 4 :], dark[:, WIDTH // 4 :])
    columns = (quarter[:, : WIDTH // 4] != dark[:, : WIDTH // 4]).flatten(2).any(2).any(0)
    assert columns.all()


def test_what_was_drawn_stays_as_it_is_whatever_comes():
    picture = GrowingPicture(2 * RATE, RATE)
    picture.push(tone(1) * 0.1)
    before = picture.draw()[:, : WIDTH // 2]
    picture.push(tone(1))
    assert torch.equal(picture.draw()[:, : WIDTH // 2], before)


def test_it_is_whole_when_the_sound_is_however_that_was_cut():
    sound = tone(3) * torch.linspace(0, 1, 3 * RATE)
    for size in (7001, 3 * RATE):
        picture = GrowingPicture(3 * RATE, RATE)
        for piece in sound.split(size, dim=1):
            picture.push(piece)
            drawn = picture.draw()
        wave = (drawn[:WAVE_HEIGHT] == (dsp.COLOURS[4] * 255).to(torch.uint8)).all(2).sum(0)
        assert wave[-1] > 0.7 * WAVE_HEIGHT and wave[0] < 4 and (wave > 0).all()


def test_a_high_tone_is_drawn_above_a_low_one():
    def brightest(hertz):
        picture = GrowingPicture(RATE, RATE)
        picture.push(tone(1, hertz))
        return int(picture.draw()[WAVE_HEIGHT:, WIDTH // 2].sum(1).argmax())

    assert brightest(4000) < brightest(1000) < brightest(200)
