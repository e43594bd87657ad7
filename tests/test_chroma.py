"""What a melody model hears of a melody is what upstream hears."""

import librosa
import numpy as np
import pytest
import torch
from transformers.audio_utils import chroma_filter_bank

from musicgraph.models import chroma
from musicgraph.models.config import ChromaConfig

RATE, CONFIG = 32000, ChromaConfig()
NOTES = {"C": 60, "D": 62, "F#": 66, "A": 69, "B": 71}


def tone(midi, seconds=1.0, rate=RATE):
    """A note with overtones."""
    time = torch.arange(int(seconds * rate)) / rate
    pitch = 440 * 2 ** ((midi - 69) / 12)
    return sum(torch.sin(2 * torch.pi * pitch * k * time) / k for k in (1, 2, 3))


def tune():
    """Ten seconds of random notes and some noise, of a fixed seed."""
    generator = torch.manual_seed(3)
    notes = torch.randint(48, 84, (20,), generator=generator).tolist()
    sound = torch.cat([tone(note, 0.5) for note in notes])
    return sound + 0.1 * torch.randn(len(sound), generator=generator)


def as_upstream(sound):
    """The formula of transformers' feature extractor, with librosa's spectrum."""
    if len(sound) < CONFIG.window:
        missing = CONFIG.window - len(sound)
        sound = np.pad(sound, (missing // 2, missing - missing // 2))
    spectrum = np.abs(
        librosa.stft(sound, n_fft=CONFIG.window, hop_length=CONFIG.hop, pad_mode="reflect")
    )
    window = librosa.filters.get_window("hann", CONFIG.window)
    power = spectrum**2 / np.sum(window**2)
    raw = chroma_filter_bank(CONFIG.window, 12, RATE, tuning=0).astype(np.float32) @ power
    normed = raw / np.maximum(np.abs(raw).max(axis=0, keepdims=True), 1e-6)
    return normed.argmax(axis=0)


@pytest.mark.parametrize("bins", [12, 24])
@pytest.mark.parametrize("rate", [16000, 32000])
def test_filters_are_librosas(rate, bins):
    ours = chroma.chroma_filters(rate, ChromaConfig(bins=bins, window=4096))
    theirs = librosa.filters.chroma(sr=rate, n_fft=4096, tuning=0.0, n_chroma=bins)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)


def test_pitch_classes_are_upstreams():
    sound = tune()
    ours = chroma.pitch_classes(sound, RATE, CONFIG)
    assert ours.shape == (1 + len(sound) // CONFIG.hop, 12)
    assert ours.argmax(dim=1).tolist() == as_upstream(sound.numpy()).tolist()
    assert len(ours.argmax(dim=1).unique()) > 6


@pytest.mark.parametrize("samples", [1, 4096, 16383, 16384, 20000])
def test_short_sound_is_heard_as_upstream_hears_it(samples):
    sound = tune()[:samples]
    ours = chroma.pitch_classes(sound, RATE, CONFIG).argmax(dim=1)
    assert ours.tolist() == as_upstream(sound.numpy()).tolist()


def test_thirty_seconds_are_as_many_frames_as_the_official_models_read():
    assert len(chroma.pitch_classes(torch.zeros(30 * RATE), RATE, CONFIG)) == CONFIG.frames == 235


def test_the_length_of_a_block_changes_nothing(monkeypatch):
    whole = chroma.pitch_classes(tune(), RATE, CONFIG)
    monkeypatch.setattr(chroma, "BLOCK_FRAMES", 7)
    assert torch.equal(chroma.pitch_classes(tune(), RATE, CONFIG), whole)


@pytest.mark.parametrize("name", NOTES)
def test_a_note_is_its_pitch_class_in_any_octave(name):
    for octave in (-12, 0, 12):
        heard = chroma.pitch_classes(tone(NOTES[name] + octave), RATE, CONFIG).argmax(dim=1)
        assert heard[1:-1].unique().tolist() == [NOTES[name] % 12]


def test_silence_is_the_first_class():
    assert chroma.pitch_classes(torch.zeros(RATE), RATE, CONFIG)[:, 0].all()


def test_a_melody_is_heard_in_mono_at_the_models_own_rate(melody_mono):
    """Two channels and another rate: the same frames a second, the same classes."""
    config = melody_mono.config  # 8 kHz: a frame is 2 s long
    sound = torch.cat([tone(60, 8.0, 44100), tone(67, 8.0, 44100)])
    heard = chroma.melody_of(torch.stack([sound, sound])[None], 44100, config)
    assert heard.frame_rate == 8000 / 4096
    assert heard.chroma.shape == (1, 1 + 16 * 8000 // 4096, 12)
    classes = heard.chroma[0].argmax(dim=1).tolist()
    assert classes[1:14] == [0] * 13 and classes[18:30] == [7] * 12


def test_the_picture_has_a_row_for_each_class_with_c_below():
    classes = torch.tensor([0, 0, 11, 4])
    drawn = chroma.piano_roll(torch.nn.functional.one_hot(classes, 12).float())
    assert drawn.shape == (12 * chroma.ROW_PIXELS, chroma.PICTURE_WIDTH, 3)
    assert 0 <= float(drawn.min()) and float(drawn.max()) <= 1
    bright = drawn.sum(dim=-1) > 1.5
    middles = bright[chroma.ROW_PIXELS // 2 :: chroma.ROW_PIXELS, 128::256]  # [12, 4]
    assert middles.int().argmax(dim=0).tolist() == [11, 11, 0, 7]
    assert middles.sum() == 4
