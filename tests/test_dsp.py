"""Resampling, loudness, the limiter and pictures."""

import math

import pytest
import torch

from musicgraph.models import dsp
from musicgraph.models.analysis import true_peak_db

RATE = 32000


def tone(hertz, seconds=1.0, amplitude=0.5, rate=RATE):
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("to_rate", [16000, 44100, 48000])
def test_resampling_keeps_the_tone_and_the_length(to_rate):
    out = dsp.resample(tone(440).expand(2, 1, -1), RATE, to_rate)
    assert out.shape == (2, 1, to_rate)
    expected = tone(440, rate=to_rate)
    torch.testing.assert_close(out[0, 0, 2000:-2000], expected[2000:-2000], atol=1e-3, rtol=0)


def test_resampling_rounds_the_length_up_for_every_item():
    assert dsp.resample(torch.zeros(3, 1, 3199), 32000, 44100).shape == (
        3,
        1,
        -(-3199 * 44100 // 32000),
    )
    assert dsp.resample(torch.zeros(1, 1, 1), 48000, 16000).shape == (1, 1, 1)


def test_channels_mix_down_and_spread():
    stereo = torch.stack([torch.ones(5), torch.zeros(5)]).unsqueeze(0)
    assert dsp.with_channels(stereo, 1).tolist() == [[[0.5] * 5]]
    assert dsp.with_channels(torch.ones(1, 1, 5), 2).shape == (1, 2, 5)
    assert dsp.with_channels(torch.ones(1, 6, 5), 2).shape == (1, 2, 5)


def test_levels_of_a_known_tone():
    sine = tone(997, seconds=3, amplitude=1.0).unsqueeze(0)
    assert dsp.peak_db(sine) == pytest.approx(0, abs=0.01)
    assert dsp.rms_db(sine) == pytest.approx(-3.01, abs=0.01)
    # BS.1770: a full-scale 997 Hz sine in one channel reads −3.01 LUFS
    assert dsp.loudness_lufs(tone(997, 3, 1.0, 48000).unsqueeze(0), 48000) == pytest.approx(
        -3.01, abs=0.05
    )


def test_silence_and_the_shortest_sounds_can_be_measured():
    assert dsp.loudness_lufs(torch.zeros(1, 100), RATE) == dsp.SILENCE_DB
    short = dsp.loudness_lufs(tone(997, 0.1, 1.0, 48000).unsqueeze(0), 48000)
    assert short == pytest.approx(-3.01, abs=0.5)


def test_the_limiter_holds_the_ceiling_and_leaves_the_rest_alone():
    sound = torch.cat([tone(220, 0.5, 0.2), tone(220, 0.05, 3.0), tone(220, 0.5, 0.2)]).expand(
        2, -1
    )
    limited = dsp.limit(sound, 0.9, RATE)
    assert float(limited.abs().max()) <= 0.9
    assert float(limited.abs().max()) > 0.85
    assert torch.equal(limited[:, :10000], sound[:, :10000])
    assert torch.equal(limited[:, -10000:], sound[:, -10000:])


@pytest.mark.parametrize("samples", [50, 9000, dsp.BLOCK + 5000])
def test_the_limiter_holds_the_ceiling_between_the_samples_too(samples):
    """A tone at a quarter of the rate, whose samples all miss its peaks by 3 dB."""
    period = 1.2 * math.sqrt(0.5) * torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    sound = period.repeat(1, samples // 4 + 1)[:, :samples]
    assert torch.equal(dsp.limit(sound, 0.9, RATE), sound)
    limited = dsp.limit(sound, 0.9, RATE, true_peaks=True)
    assert limited.shape == sound.shape
    assert true_peak_db(limited, RATE) <= 20 * math.log10(0.9) + 0.1
    quiet = sound / 2
    assert torch.equal(dsp.limit(quiet, 0.9, RATE, true_peaks=True), quiet)


def test_the_limiter_bends_no_waveform_into_a_square():
    """Clipping puts a tenth of this tone into harmonics; a smooth gain next to none."""
    limited = dsp.limit(tone(220, 1.0, 3.0).unsqueeze(0), 0.9, RATE)
    spectrum = torch.fft.rfft(limited[0] * torch.hann_window(RATE)).abs().square()
    assert float(spectrum[210:231].sum() / spectrum.sum()) > 0.999


@pytest.mark.parametrize("rate", [100, 32000])
def test_a_limiter_in_pieces_gives_what_it_gives_for_the_whole(rate):
    draw = torch.Generator().manual_seed(0)
    sound = torch.randn(2, 9000, generator=draw) * torch.linspace(0.1, 3, 9000)
    whole = dsp.limit(sound, 0.9, rate)
    for pieces in ([9000], [1, 0, 7, 500, 4000, 4492], [200] * 45):
        limiter = dsp.StreamLimiter(0.9, rate)
        given = [limiter.push(piece) for piece in sound.split(pieces, dim=1)] + [limiter.close()]
        torch.testing.assert_close(torch.cat(given, dim=1), whole, rtol=0, atol=1e-6)
        assert float(torch.cat(given, dim=1).abs().max()) <= 0.9


def test_a_limiter_in_pieces_changes_nothing_that_is_not_loud():
    sound, limiter = tone(440).unsqueeze(0), dsp.StreamLimiter(1.0, RATE)
    given = [limiter.push(piece) for piece in sound.split(1000, dim=1)] + [limiter.close()]
    assert torch.equal(torch.cat(given, dim=1), sound)
    assert dsp.StreamLimiter(1.0, RATE).close() is None


def test_a_random_codec_that_overshoots_streams_without_a_sample_above_full_scale(mono):
    codes = torch.randint(0, mono.config.codebook_size, (1, 1, mono.config.num_codebooks, 40))
    with torch.inference_mode():
        sound = mono.upstream.audio_encoder.decode(codes, [None]).audio_values[0]
    sound = sound * (4 / sound.abs().max())
    limiter = dsp.StreamLimiter(1.0, mono.config.sample_rate)
    given = [limiter.push(piece) for piece in sound.split(333, dim=1)] + [limiter.close()]
    joined = torch.cat(given, dim=1)
    assert joined.shape == sound.shape and float(joined.abs().max()) <= 1.0


def test_resampling_nothing_gives_nothing():
    assert dsp.resample(torch.zeros(1, 2, 0), 8000, 16000).shape == (1, 2, 0)


def test_a_tone_appears_in_its_mel_band():
    mel = dsp.mel_db(tone(1000), RATE, n_mels=64)
    centre = 2595 * math.log10(1 + 1000 / 700) / (2595 * math.log10(1 + RATE / 2 / 700)) * 65 - 1
    assert abs(int(mel.mean(dim=1).argmax()) - centre) <= 1


@pytest.mark.parametrize("samples", [1, 100, 40000])
def test_pictures_have_the_size_asked_for_and_valid_colours(samples):
    image = dsp.picture(torch.randn(2, samples) * 0.1, RATE, width=200, height=120)
    assert image.shape == (120, 200, 3)
    assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_silence_is_drawn_dark():
    assert float(dsp.picture(torch.zeros(1, 40000), RATE, 100, 200)[50:].max()) < 0.1


def test_high_notes_are_drawn_above_low_ones():
    def brightest_row(hertz):
        image = dsp.picture(tone(hertz).unsqueeze(0), RATE, 100, 200)[50:]
        return int(image.sum(dim=(1, 2)).argmax())

    assert brightest_row(4000) < brightest_row(300)
