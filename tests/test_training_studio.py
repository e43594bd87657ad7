"""How the training data sounds, where no soundfont is needed: computed voices, drums, levels."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyloudnorm
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from world import chip, mix  # noqa: E402
from world.fluid import TimedNote  # noqa: E402
from world.kits import Drummer  # noqa: E402
from world.notes import Hit  # noqa: E402

RATE = 32_000


def _beeps(seconds: float = 6.0, crest: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 440 * t) * (t % 0.5 < 0.3)
    return (tone * 0.05 * np.where(t % 0.5 < 0.005, crest, 1)).astype(np.float32)


def _pitch_hz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    return float(np.argmax(spectrum)) * RATE / (8 * len(audio))


@pytest.mark.parametrize("program", [0, 3, 8])
def test_a_computed_voice_is_in_tune(program):
    made = chip.render(program, [TimedNote(0, 0.1, 1.1, 69, 100)], 1.3, RATE)
    assert not made[: RATE // 10].any()
    assert _pitch_hz(made[RATE // 5 : RATE]) == pytest.approx(440, rel=0.004)


def test_a_computed_voice_has_no_tones_between_its_harmonics():
    """Aliases of a high square wave would lie there."""
    made = chip.tone(chip.WAVES[0], 96, 1.0, RATE)[:RATE]
    power = np.abs(np.fft.rfft(made * np.blackman(len(made)))) ** 2
    hz = np.arange(len(power))
    tone = 440 * 2 ** ((96 - 69) / 12)
    beside = np.abs(hz / tone - np.round(hz / tone)) * tone > 20
    assert power[beside].sum() < 1e-4 * power.sum()


def test_hits_begin_on_their_sample_and_hats_end_each_other():
    drummer = Drummer(SimpleNamespace(sample_rate=RATE))
    made = drummer.render("trap", [(0.5, Hit(1, "open", 100))], 1.5, 0)
    choked = drummer.render("trap", [(0.5, Hit(1, "open", 100)), (0.6, Hit(2, "open", 1))], 1.5, 0)
    first = np.argmax(np.abs(made) > 0.1 * np.abs(made).max())
    assert abs(first - RATE // 2) < 0.003 * RATE
    later = slice(round(0.62 * RATE), None)
    assert np.abs(choked[later]).max() < 0.2 * np.abs(made[later]).max()


def test_a_drum_that_a_kit_lacks_is_named():
    with pytest.raises(ValueError, match="got drum 'gong'"):
        Drummer(SimpleNamespace(sample_rate=RATE)).render("chip", [(0, Hit(0, "gong", 9))], 1, 0)


@pytest.mark.parametrize("level_db", [-30.0, -12.0])
def test_parts_are_brought_to_a_level(level_db):
    audio = mix.at_level(_beeps(), level_db, RATE)
    assert mix.loudness_db(audio, RATE) == pytest.approx(level_db, abs=0.01)
    assert mix.at_level(np.zeros(RATE, np.float32), level_db, RATE).max() == 0


def test_a_piece_is_as_loud_as_all_others_and_its_peaks_stay_below_one_decibel():
    for crest in (1.0, 6.0):
        audio = mix.mastered(_beeps(crest=crest), RATE)
        assert 20 * np.log10(mix.peaks(audio).max()) < -1.0
        loudness = pyloudnorm.Meter(RATE).integrated_loudness(audio.astype(float))
        assert loudness == pytest.approx(mix.TARGET_LUFS, abs=0.2) or crest > 1
        assert loudness <= mix.TARGET_LUFS + 0.2


def test_the_limiter_leaves_alone_what_is_low_enough():
    audio = _beeps()
    assert np.array_equal(mix.limited(audio, mix.peaks(audio), 0.5, RATE), audio)


def test_a_kick_makes_room_for_itself_and_gives_it_back():
    made = mix.ducked(np.ones(RATE, np.float32), [0.25], RATE, depth=0.6)
    assert made[RATE // 4] == pytest.approx(0.4, abs=0.01)
    assert made[0] == 1 and made[-1] == 1


def test_the_same_seed_gives_the_same_worn_record():
    audio = _beeps()
    assert np.array_equal(mix.low_fidelity(audio, RATE, 3), mix.low_fidelity(audio, RATE, 3))
    assert not np.array_equal(mix.low_fidelity(audio, RATE, 3), mix.low_fidelity(audio, RATE, 4))
