"""Where one sound goes over into another: equal outside, levelled, and without a click."""

import math

import pytest
import torch

from musicgraph.models.compose.splice import (
    REACH_S,
    Region,
    best_fade,
    faded,
    fitted,
    spliced,
)
from musicgraph.models.refused import Refused
from musicgraph.nodes.audio import AudioSplice

RATE = 8000


def tone(hertz, seconds=4.0, channels=1, level=0.3):
    time = torch.arange(round(seconds * RATE)) / RATE
    return level * torch.sin(2 * math.pi * hertz * time).expand(channels, -1)


def steps_of(sound):
    return sound.diff(dim=1).abs()


def test_a_continuation_is_the_recording_up_to_its_crossfade_and_then_the_new():
    recording, copy = tone(220, 2), tone(220)
    result = spliced(recording, copy, RATE, Region(16000, None))
    assert torch.equal(result[:, : 16000 - round(REACH_S * RATE)], recording[:, :14000])
    assert torch.equal(result[:, 16000:], copy[:, 16000:])


def test_a_copy_that_is_quieter_is_levelled_and_nothing_is_heard_of_the_join():
    recording, copy = tone(220, 2), tone(220) / 3
    result = spliced(recording, copy, RATE, Region(16000, None))
    torch.testing.assert_close(result, tone(220), atol=1e-5, rtol=0)


def test_outside_a_region_the_original_stays_to_the_last_bit():
    original, changed = tone(220), torch.cat([tone(220, 1), tone(330, 2), tone(220, 1)], dim=1)
    result = spliced(original, changed, RATE, Region(8000, 24000))
    assert torch.equal(result[:, :8000], original[:, :8000])
    assert torch.equal(result[:, 24000:], original[:, 24000:])
    reach = round(REACH_S * RATE)
    torch.testing.assert_close(
        result[:, 8000 + reach : 24000 - reach], changed[:, 8000 + reach : 24000 - reach]
    )
    assert steps_of(result).max() <= steps_of(original).max() + steps_of(changed).max()


@pytest.mark.parametrize("region", [(0, 16000), (16000, 32000), (0, 32000), (8000, 8004)])
def test_a_region_at_either_end_and_one_of_four_samples(region):
    original, changed = tone(220), tone(330)
    result = spliced(original, changed, RATE, Region(*region))
    assert result.shape == original.shape
    outside = torch.ones(32000, dtype=torch.bool)
    outside[slice(*region)] = False
    assert torch.equal(result[:, outside], original[:, outside])
    assert not torch.equal(result, original)


def test_the_fade_lies_where_the_two_differ_least():
    one, other = tone(220), tone(330)
    other[:, 9000:9200] = one[:, 9000:9200]
    fade = best_fade(one, other, 8000, 10000, 160, 400)
    assert 9000 <= fade.begin and fade.end <= 9200 and fade.end - fade.begin == 160


def test_the_fade_keeps_away_from_attacks():
    one, other = 0.1 * tone(220), 0.1 * tone(330)
    other[:, 9000:9200] = one[:, 9000:9200]  # alike, but within an attack
    one[:, 9100:], other[:, 9100:] = 6 * one[:, 9100:], 6 * other[:, 9100:]
    fade = best_fade(one, other, 8000, 10000, 160, 400)
    assert fade.end + 350 < 9100 or fade.begin > 9100 + 350


@pytest.mark.parametrize("likeness", [0.0, 0.5, 1.0])
def test_a_crossfade_keeps_the_power_however_alike_the_two_are(likeness):
    torch.manual_seed(0)
    one, noise = torch.randn(1, 200_000), torch.randn(1, 200_000)
    other = likeness * one + math.sqrt(1 - likeness**2) * noise
    power = faded(one, other).square().unflatten(1, (10, -1)).mean(dim=-1)
    torch.testing.assert_close(power, torch.ones_like(power), atol=0.03, rtol=0)


def test_equal_sounds_fade_to_the_same_and_silence_to_silence():
    one = tone(220)
    torch.testing.assert_close(faded(one, one), one)
    assert not faded(one * 0, one * 0).any()


def test_new_peaks_stay_within_full_scale_so_that_a_file_need_not_turn_the_head_down():
    recording, copy = tone(220, 2, level=0.9), tone(220, level=0.3)
    copy[:, 20000:] *= 3
    result = spliced(recording, copy, RATE, Region(16000, None))
    assert result.abs().max() <= 1.0
    assert torch.equal(result[:, :14000], recording[:, :14000])


def test_a_silent_copy_is_not_levelled():
    result = spliced(tone(220, 2), tone(220) * 0, RATE, Region(16000, None))
    assert not result[:, 16000:].any() and result.isfinite().all()


@pytest.mark.parametrize(
    ("channels", "wanted", "expected"),
    [
        (1, 3, [[0], [0], [0]]),
        (2, 1, [[0, 1]]),
        (2, 5, [[0], [1], [0], [1], [0]]),
        (3, 2, [[0], [1]]),
    ],
)
def test_channels_fit_each_other(channels, wanted, expected):
    sound = torch.arange(channels).float().view(1, -1, 1).expand(1, channels, 4)
    means = [sum(one) / len(one) for one in expected]
    assert fitted(sound, RATE, wanted, RATE)[0, :, 0].tolist() == means


@pytest.mark.parametrize(
    ("begin", "end"), [(-1, 0), (5, 0), (1, 1), (2, 1), (1, 4.1), (math.nan, 0), (0, math.nan)]
)
def test_a_region_outside_the_original_is_refused(begin, end):
    with pytest.raises(Refused, match="region: got .*expected times within 0 to 4 s"):
        Region.between(begin, end, RATE, 32000)


def audio(waveform, rate=RATE):
    return {"waveform": waveform, "sample_rate": rate}


def test_the_node_refuses_items_that_do_not_fit_and_a_change_that_is_too_short():
    sound = tone(220).unsqueeze(0)
    with pytest.raises(Refused, match="changed: got 2 items for 3"):
        AudioSplice().splice(audio(sound.repeat(3, 1, 1)), audio(sound.repeat(2, 1, 1)), 1, 2)
    with pytest.raises(Refused, match="changed: got 2 s for a region that ends at 3 s"):
        AudioSplice().splice(audio(sound), audio(sound[:, :, :16000]), 1, 3)


def test_several_takes_go_into_one_recording():
    sound = tone(220).unsqueeze(0)
    takes = torch.cat([sound, tone(330).unsqueeze(0)])
    (result,) = AudioSplice().splice(audio(sound), audio(takes), 1, 2)
    assert result["waveform"].shape == (2, 1, 32000)
    torch.testing.assert_close(result["waveform"][:1], sound)


def test_without_times_it_goes_on_from_the_originals_end():
    (result,) = AudioSplice().splice(audio(tone(220, 2)[None]), audio(tone(330)[None]), 0, 0)
    assert torch.equal(result["waveform"][0, :, :14000], tone(220, 2)[:, :14000])
    torch.testing.assert_close(
        result["waveform"][0, :, 16000:], tone(330)[:, 16000:], atol=1e-3, rtol=0
    )
