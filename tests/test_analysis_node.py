"""The nodes Audio Analyse and Audio Pick."""

import pytest
import torch

from musicgraph.models.refused import Refused
from musicgraph.nodes.analysis import AudioAnalyse, AudioPick

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


def takes():
    silent, struck = torch.zeros(4 * RATE), pulsing()
    return {"waveform": torch.stack([silent, struck, struck])[:, None], "sample_rate": RATE}


def test_the_first_take_that_is_what_was_asked_for_is_kept():
    audio = takes()
    kept, take, report = AudioPick().pick(audio, "tempo=120±3 no silence")
    assert take == 2 and torch.equal(kept["waveform"], audio["waveform"][1:2])
    lines = report.splitlines()
    assert lines[0] == "take 1: 4 s of silence; not tempo=120±3; not no silence"
    assert len(lines) == 3 and "not" not in lines[1].split("dB")[1]


def test_where_none_is_the_closest_is_kept():
    """Half of the wishes are better than none of them, and a near tempo than a far one."""
    assert AudioPick().pick(takes(), "tempo=200 silence")[1] == 1
    assert AudioPick().pick(takes(), "tempo=130±1")[1] == 2


def test_wishes_that_make_no_sense_are_refused_before_anything_is_made():
    for wishes, words in (
        ("loudly", "until: got"),
        ("tempo=fast", "until: tempo"),
        ("", "no wish"),
    ):
        assert words in AudioPick.VALIDATE_INPUTS(wishes)
        with pytest.raises(Refused, match=words):
            AudioPick().pick(takes(), wishes)
    assert AudioPick.VALIDATE_INPUTS("tempo=120 drums") is AudioPick.VALIDATE_INPUTS(None) is True
