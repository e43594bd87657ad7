"""The node Audio Analyse."""

import pytest
import torch

from musicgraph.models.refused import Refused
from musicgraph.nodes.analysis import AudioAnalyse

RATE = 16_000


def pulsing():
    """A tone that is struck twice a second: 120 bpm."""
    t = torch.arange(4 * RATE) / RATE
    return 0.4 * torch.sin(2 * torch.pi * 293.66 * t) * torch.exp(-6 * (t % 0.5))


def test_each_item_is_measured_and_the_sound_goes_through():
    audio = {
        "waveform": torch.stack([pulsing(), torch.zeros(4 * RATE)])[:, None],
        "sample_rate": RATE,
    }
    through, report, tempi, keys = AudioAnalyse().measure(audio)
    assert through is audio
    assert tempi == [pytest.approx(120, abs=0.5), 0.0]
    assert len(keys) == 2 and keys[1] == ""
    first, second = report.splitlines()
    assert first.startswith("120") and second == "4 s of silence"


def test_nothing_is_refused():
    with pytest.raises(Refused, match="audio: got nothing"):
        AudioAnalyse().measure(None)
