"""What is measured of music, on sounds whose facts are known."""

import math

import pytest
import torch

from musicgraph.models import rhythm, tonality
from musicgraph.models.analysis import analyse, clipped_share, true_peak_db
from musicgraph.models.refused import Refused
from musicgraph.models.tonality import Key, read_key

RATE = 16_000
D_MINOR = ((62, 65, 69), (67, 70, 74), (57, 61, 64), (62, 65, 69))  # i iv V i
C_MAJOR = ((60, 64, 67), (65, 69, 72), (67, 71, 74), (60, 64, 67))  # I IV V I


def clicks(bpm, seconds=10, rate=RATE):
    """`[1, samples]`: a short burst of noise on each beat."""
    sound = torch.zeros(1, round(seconds * rate))
    length = round(0.03 * rate)
    noise = torch.randn(length, generator=torch.Generator().manual_seed(0))
    burst = noise * torch.linspace(1, 0, length) ** 2 * 0.3
    beat = 60 * rate / bpm
    for place in range(int((sound.shape[1] - length) / beat) + 1):
        start = round(place * beat)
        sound[0, start : start + length] += burst
    return sound


def tone(pitch, seconds, rate=RATE):
    """Three harmonics of a MIDI pitch, which die away."""
    t = torch.arange(round(seconds * rate)) / rate
    hz = 440 * 2 ** ((pitch - 69) / 12)
    waves = sum(torch.sin(2 * math.pi * hz * h * t) / h for h in (1, 2, 3))
    return 0.05 * waves * torch.exp(-t) * (t * 200).clamp_max(1)


def chords(progression, rounds=2, seconds=1.0):
    """`[1, samples]`"""
    played = [sum(tone(pitch, seconds) for pitch in chord) for chord in progression]
    return torch.cat(played * rounds)[None]


def sine(hz, seconds=2.0, rate=RATE, level=0.5):
    return level * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate)) / rate)[None]


# ---------------------------------------------------------------- tempo


@pytest.mark.parametrize("bpm", [64, 97, 120, 173])
def test_the_tempo_of_clicks_is_found_to_a_fifth_of_a_beat_a_minute(bpm):
    found = analyse(clicks(bpm), RATE).tempo
    readings = found.bpm, *found.also_bpm
    assert min(abs(reading - bpm) for reading in readings) < 0.2
    assert found.strength > 0.7


def test_the_half_or_double_that_fits_as_well_is_named_beside_the_tempo():
    """Clicks at 97: those at 194 have nothing between, and those at 48.5 are as alike."""
    found = analyse(clicks(97), RATE).tempo
    assert found.bpm == pytest.approx(97, abs=0.2)
    assert found.also_bpm == pytest.approx([48.5], abs=0.2)


@pytest.mark.parametrize(
    "sound",
    [
        torch.zeros(1, 5 * RATE),
        sine(440, 5),
        0.1 * torch.randn(1, 10 * RATE, generator=torch.Generator().manual_seed(1)),
        clicks(120, seconds=2),
    ],
    ids=["silence", "a held tone", "noise", "too short"],
)
def test_there_is_no_tempo_where_nothing_comes_again(sound):
    assert analyse(sound, RATE).tempo is None


# ---------------------------------------------------------------- key


@pytest.mark.parametrize(
    ("progression", "name"), [(D_MINOR, "Dm"), (C_MAJOR, "C")], ids=["D minor", "C major"]
)
def test_the_key_of_a_cadence_is_found(progression, name):
    found = analyse(chords(progression), RATE)
    assert found.key.name == name and found.key.confidence > 0.3
    assert not found.drums


def test_a_mode_is_surer_than_a_key_whose_fifth_would_do_as_well():
    found = tonality.key(chords(C_MAJOR[:1] + C_MAJOR[-1:]), RATE)
    assert found.mode_confidence >= found.confidence


@pytest.mark.parametrize("steps", [0, 1, 5, 8])
def test_a_cadence_that_is_moved_has_a_key_that_is_moved(steps):
    moved = [[pitch + steps - 6 for pitch in chord] for chord in D_MINOR]
    assert tonality.key(chords(moved), RATE).tonic == (2 + steps - 6) % 12


@pytest.mark.parametrize("struck", [False, True])
def test_noise_has_no_key(struck):
    noise = 0.1 * torch.randn(1, 5 * RATE, generator=torch.Generator().manual_seed(2))
    strokes = (torch.arange(5 * RATE) % (RATE // 2) < RATE // 10).float()
    assert tonality.key(noise * strokes if struck else noise, RATE) is None


def test_keys_are_read_as_musicians_write_them():
    assert read_key("Dm") == Key(2, "minor") and read_key("F#") == Key(6, "major")
    assert read_key("Gb").name == "F#" and read_key("B♭min").name == "Bbm"
    assert read_key("H") is read_key("Dx") is read_key("") is None


def test_relative_keys_share_a_scale_and_the_tritone_is_the_farthest():
    c = Key(0, "major")
    assert [c.fifths_to(read_key(name)) for name in ("Am", "G", "F", "Em", "F#")] == [0, 1, 1, 1, 6]


# ---------------------------------------------------------------- drums


def test_strokes_of_noise_are_drums_with_and_without_chords():
    assert analyse(clicks(120), RATE).drums
    both = chords(D_MINOR) + 2 * clicks(120, seconds=8)
    assert analyse(both, RATE).drums


# ---------------------------------------------------------------- levels and faults


def test_silence_has_nothing_and_says_so():
    found = analyse(torch.zeros(2, RATE), RATE)
    assert found.silent and not found.drums and not found.stuck
    assert found.tempo is None and found.key is None
    assert found.facts()["silence_share"] == 1.0 and found.words() == "1 s of silence"


def test_silence_at_the_ends_is_measured():
    sound = torch.cat([torch.zeros(1, RATE // 2), sine(440, 1), torch.zeros(1, RATE)], dim=1)
    found = analyse(sound, RATE)
    assert found.silence_start_s == pytest.approx(0.5, abs=0.02)
    assert found.silence_end_s == pytest.approx(1.0, abs=0.02)
    assert found.silence_share == pytest.approx(0.6, abs=0.02)


def test_a_sine_that_is_cut_off_is_clipped_and_a_whole_one_is_not():
    assert analyse((2 * sine(220, level=1.0)).clamp(-1, 1), RATE).clipped
    assert not analyse(sine(220, level=0.99), RATE).clipped


def test_clipping_counts_samples_in_runs_and_beyond_full_scale():
    sound = torch.tensor([[0.0, 1, 1, 1, 0, 1, 1, 0, -1, -1, -1, -1, 0, 1.5, 0, 0]])
    assert clipped_share(sound) == (3 + 4 + 1) / 16
    assert clipped_share(torch.tensor([[1.0, -1.0, 1.0]])) == 0, "a run is on one side"
    assert clipped_share(torch.tensor([[1.0, 1.0]])) == 0, "shorter than a run"


def test_the_true_peak_lies_between_the_samples():
    """A quarter of the rate, 45° off: samples are at 0.707 of a peak that is 1."""
    t = torch.arange(RATE)
    sound = torch.sin(math.pi / 2 * t + math.pi / 4)[None]
    inner = sound * torch.hann_window(RATE)  # no edge, which would ring
    assert 20 * math.log10(float(inner.abs().max())) == pytest.approx(-3.01, abs=0.01)
    assert true_peak_db(inner, RATE) == pytest.approx(0.0, abs=0.1)


def test_the_true_peak_of_a_long_sound_is_that_of_its_pieces(monkeypatch):
    from musicgraph.models import analysis

    sound = 0.1 * torch.randn(2, 50_000, generator=torch.Generator().manual_seed(3))
    whole = true_peak_db(sound, RATE)
    monkeypatch.setattr(analysis, "PEAK_BLOCK", 7001)
    assert true_peak_db(sound, RATE) == pytest.approx(whole, abs=0.01)


def test_the_same_second_over_and_over_is_stuck_and_so_is_a_held_chord():
    second = chords(D_MINOR, rounds=1, seconds=0.25)
    assert analyse(second.repeat(1, 8), RATE).stuckness == 1.0
    held = sum(sine(440 * 2 ** (step / 12), 8, level=0.1) for step in (0, 3, 7))
    assert analyse(held, RATE).stuck


def test_music_that_goes_on_is_not_stuck():
    assert analyse(chords(D_MINOR), RATE).stuckness < 0.2


# ---------------------------------------------------------------- properties


def music():
    return chords(D_MINOR) + clicks(97, seconds=8)


def test_gain_moves_levels_and_nothing_else():
    loud, quiet = analyse(music(), RATE), analyse(music() / 4, RATE)
    assert loud.tempo.bpm == pytest.approx(quiet.tempo.bpm, abs=1e-3)
    assert (loud.key.name, loud.drums, loud.stuck) == (quiet.key.name, quiet.drums, quiet.stuck)
    assert loud.percussion_db == pytest.approx(quiet.percussion_db, abs=0.01)
    for name in ("loudness_lufs", "true_peak_db"):
        assert getattr(loud, name) - getattr(quiet, name) == pytest.approx(12.04, abs=0.02)


def test_two_equal_channels_are_one_but_3_db_louder():
    """BS.1770 adds up the channels' energies."""
    mono, stereo = (analyse(music().repeat(count, 1), RATE) for count in (1, 2))
    assert stereo.loudness_lufs - mono.loudness_lufs == pytest.approx(3.01, abs=0.01)
    same = {"channels": 2, "loudness_lufs": round(stereo.loudness_lufs, 1)}
    assert {**mono.facts(), **same} == stereo.facts()


def test_channels_out_of_phase_do_not_cancel():
    found = analyse(torch.cat([music(), -music()]), RATE)
    assert found.tempo.bpm == pytest.approx(97, abs=0.2) and found.key.name == "Dm"


def test_of_long_music_the_middle_is_heard(monkeypatch):
    from musicgraph.models import analysis

    monkeypatch.setattr(analysis, "LISTENED_S", 6.0)
    sound = torch.cat([clicks(150, 2), clicks(97, 6), clicks(150, 2)], dim=1)
    found = analyse(sound, RATE)
    assert found.tempo.bpm == pytest.approx(97, abs=0.5) and found.duration_s == 10


@pytest.mark.parametrize("samples", [1, 2, 100, RATE])
def test_however_short_a_sound_is_it_is_measured(samples):
    facts = analyse(0.1 * torch.ones(1, samples), RATE).facts()
    assert facts["tempo_bpm"] is None and facts["stuckness"] == 0
    assert all(not isinstance(value, float) or math.isfinite(value) for value in facts.values())


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (torch.full((1, 100), torch.nan), "NaN"),
        (torch.full((1, 100), torch.inf), "NaN or infinite"),
        (torch.zeros(1, 0), r"shape \[1, 0\]"),
        (torch.zeros(100), r"shape \[100\]"),
        (torch.ones(6, 100), "6 channels"),
    ],
)
def test_what_is_no_sound_is_refused(sound, message):
    with pytest.raises(Refused, match=message):
        analyse(sound, RATE)


@pytest.mark.parametrize("rate", [8000, 44_100, 192_000])
def test_any_rate_will_do(rate):
    assert analyse(clicks(97, 5, rate), rate).tempo.bpm == pytest.approx(97, abs=0.5)


def test_an_autocorrelation_is_one_where_everything_comes_again():
    beat = torch.zeros(400)
    beat[::50] = 1
    found = rhythm._autocorrelation(beat)
    assert found[0] == pytest.approx(1, abs=1e-5) and found[50] == pytest.approx(1, abs=0.05)
    assert found[25] < 0
