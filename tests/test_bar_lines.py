"""Beats and bar lines of sounds whose beats are known, and music that ends at one."""

import math

import pytest
import torch

from musicgraph.models.bar_lines import Grid, grid
from musicgraph.models.refused import Refused
from musicgraph.nodes.fade import AudioFade

RATE = 16_000


def clicks(bpm, first_s=0.0, bar=0, seconds=16):
    """`[1, samples]`: a burst on each beat; with a low note where a bar begins, at each `bar`
    modulo 4.
    """
    sound, length = torch.zeros(1, round(seconds * RATE)), round(0.05 * RATE)
    time = torch.arange(length) / RATE
    noise = torch.randn(length, generator=torch.Generator().manual_seed(0))
    fading = torch.linspace(1, 0, length) ** 2
    low = 0.5 * torch.sin(2 * math.pi * 80 * time) * fading.sqrt()
    beat, place = 60 / bpm, 0
    while (begin := round((first_s + place * beat) * RATE)) + length < sound.shape[1]:
        hit = 0.2 * noise * fading + (low if place % 4 == bar else 0)
        sound[0, begin : begin + length] += hit
        place += 1
    return sound


@pytest.mark.parametrize(
    ("bpm", "first_s", "bar"), [(120, 0.0, 0), (100, 0.31, 2), (140, 0.1, 3), (90, 0.5, 1)]
)
def test_a_bar_begins_where_the_bass_does(bpm, first_s, bar):
    found = grid(clicks(bpm, first_s, bar), RATE)
    assert found.bar_s == pytest.approx(4 * 60 / bpm, rel=0.002)
    line, bar_s = found.last_before(14.0), 4 * 60 / bpm
    off = (line - first_s - bar * 60 / bpm) / bar_s
    assert abs(off - round(off)) * bar_s < 0.03 and 14 - bar_s < line <= 14


def test_of_long_sound_the_end_is_heard():
    """The bar lines of its first half are elsewhere."""
    sound = torch.cat([clicks(120, 0.2, 0, 40), clicks(120, 0.0, 1, 31.5)], dim=1)
    line = grid(sound, RATE).last_before(70.0)
    assert (line - 40.5) % 2 == pytest.approx(0, abs=0.03) or (line - 40.5) % 2 > 1.97


def test_where_nothing_beats_there_are_no_bars():
    noise = 0.1 * torch.randn(1, 10 * RATE, generator=torch.Generator().manual_seed(1))
    for sound in (noise, torch.zeros(1, 5 * RATE), clicks(120, seconds=2)):
        assert grid(sound, RATE) is None


def test_bar_lines_are_counted_from_the_first():
    found = Grid(line_s=1.25, bar_s=2.0)
    assert [found.last_before(t) for t in (1.3, 3.24, 3.25, 1.2, 7.5)] == [
        1.25,
        1.25,
        3.25,
        None,
        7.25,
    ]


# ---------------------------------------------------------------- fades and endings


def fade(sound, rate=RATE, fade_in=0.0, fade_out=1.0, **ending):
    (out,) = AudioFade().fade({"waveform": sound, "sample_rate": rate}, fade_in, fade_out, **ending)
    return out["waveform"]


def test_music_ends_at_the_last_bar_line_that_leaves_room_for_its_fade():
    """Bars of two seconds from 0 on, and 16 seconds: at 14, and silent a second later."""
    sound = clicks(120)[None]
    ended = fade(sound, ending="bar")
    assert ended.shape[2] / RATE == pytest.approx(15.0, abs=0.03)
    until = ended.shape[2] - RATE
    assert torch.equal(ended[:, :, :until], sound[:, :, :until]) and ended[0, 0, -1] == 0
    hit = slice(until - 400, until + 1600)
    assert ended[0, 0, hit].abs().max() > 0.95 * sound[0, 0, hit].abs().max(), "the one is heard"


def test_each_take_of_a_batch_ends_at_its_own_bar_line_with_silence_behind_it():
    both = torch.stack([clicks(120), clicks(100)])
    ended = fade(both, fade_out=0.5, ending="bar")
    alone = [fade(one[None], fade_out=0.5, ending="bar") for one in both]
    assert ended.shape[2] == max(one.shape[2] for one in alone)
    for together, one in zip(ended, alone, strict=True):
        assert torch.equal(together[:, : one.shape[2]], one[0])
        assert not together[:, one.shape[2] :].any()


def test_without_a_beat_music_fades_where_it_was_cut():
    noise = 0.1 * torch.randn(1, 1, 10 * RATE, generator=torch.Generator().manual_seed(1))
    assert torch.equal(fade(noise, ending="bar"), fade(noise))


def test_an_ending_without_a_fade_does_not_click():
    ended = fade(clicks(120)[None] + 0.2, fade_out=0.0, ending="bar")
    assert ended[0, 0, -40:].abs().max() < 0.02 and ended[0, 0, -1] == 0


def test_a_fade_touches_nothing_outside_and_ends_in_silence():
    sound = torch.ones(2, 2, 1000)
    faded = fade(sound, 100, 2.0, 3.0)
    assert torch.equal(faded[:, :, 200:700], sound[:, :, 200:700])
    assert faded[0, 0, 0] == 0 and (faded[0, 0, :200].diff() >= 0).all()
    assert faded[0, 0, -1] == 0 and (faded[0, 0, 700:].diff() <= 0).all()
    assert torch.equal(sound, torch.ones(2, 2, 1000)), "what it was given stays"
    assert torch.equal(fade(sound, 100, 0.0, 0.0), sound)


@pytest.mark.parametrize("ending", ["cut", "bar"])
def test_fades_longer_than_the_sound_are_refused(ending):
    with pytest.raises(Refused, match="fade: got 6 s in and 5 s out of 10 s"):
        fade(torch.ones(1, 1, 1000), 100, 6.0, 5.0, ending=ending)
