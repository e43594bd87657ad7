"""The evaluation's judges and its subject: what was heard is kept with how it was made, and a model
of another rate is refused.
"""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import write_tiny_checkpoint

from musicgraph.models.refused import Refused

pytest.importorskip("librosa")
pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import judges  # noqa: E402
import subject  # noqa: E402
from key_judge import train_key_judge  # noqa: E402
from measures import Sound  # noqa: E402
from sound_world import TONICS  # noqa: E402

SONGS = [
    SimpleNamespace(
        facts=SimpleNamespace(
            lead="piano",
            texture=texture,
            drums=texture != "solo",
            tempo_bpm=100,
            tonic="C",
            mode="major",
        )
    )
    for texture in ("solo", "band")
]
HEARD = Sound(0.5, 100.0, 100.0, "major", [[1.0] * 12] * 4, -16.0, -1.0, -70.0, -20.0, 2.0, ())


@pytest.fixture
def pocket(monkeypatch):
    """A codec that counts what it was given, and pieces of 10 ms."""
    monkeypatch.setattr(judges, "judged_pieces", lambda _: ((s, np.zeros(320)) for s in SONGS))
    monkeypatch.setattr(judges.measures, "features", lambda clip: np.ones(2))
    monkeypatch.setattr(judges.measures, "listen", lambda clip: HEARD)
    torch.manual_seed(0)
    pocket = SimpleNamespace(model=SimpleNamespace(audio_encoder=torch.nn.Linear(2, 2)), asked=[])
    pocket.reconstruct = lambda audio: (pocket.asked.append(len(audio)) or audio, None)
    return pocket


def test_what_judges_heard_is_taken_again_as_it_was(pocket, tmp_path):
    first = judges.heard_pieces(pocket, 2, tmp_path / "judges.json")
    again = judges.heard_pieces(pocket, 2, tmp_path / "judges.json")
    assert pocket.asked == [320, 320]
    assert [replace(h, sound=replace(h.sound, faults=())) for h in again] == first


@pytest.mark.parametrize("change", ["items", "rate", "codec", "an older file"])
def test_what_was_heard_otherwise_is_heard_anew(pocket, tmp_path, monkeypatch, change):
    kept, items = tmp_path / "judges.json", 2
    judges.heard_pieces(pocket, items, kept)
    if change == "items":
        items = 3
    if change == "rate":
        monkeypatch.setattr(judges, "SAMPLE_RATE", 16_000)
    if change == "codec":
        pocket.model.audio_encoder.weight.data[0, 0] += 1
    if change == "an older file":
        kept.write_text("[]")
    judges.heard_pieces(pocket, items, kept)
    judges.heard_pieces(pocket, items, kept)
    assert len(pocket.asked) == 4


def test_the_key_judge_hears_thirds_on_any_tonic():
    rng, scales = np.random.default_rng(0), {"major": (0, 4, 7), "minor": (0, 3, 7)}
    pieces = []
    for tonic, pitch in list(TONICS.items()) * 28:
        mode = ("major", "minor")[int(rng.integers(2))]
        chromas = rng.uniform(0, 0.3, (4, 12))
        chromas[:, [(pitch + step) % 12 for step in scales[mode]]] += 1
        pieces.append((chromas, tonic, mode))
    judge = train_key_judge(pieces[:60], pieces[60:])
    assert judge.accuracy == 1.0
    assert {judge.mode(chromas) for chromas, _, _ in pieces} == {"major", "minor"}
    assert all(judge.key(chromas) == (tonic, mode) for chromas, tonic, mode in pieces)


def test_a_model_of_another_rate_is_refused_before_it_is_loaded(tmp_path):
    write_tiny_checkpoint(tmp_path)  # of 8 kHz
    with pytest.raises(Refused, match="got 8000 Hz, expected 32000 Hz; .*SAMPLE_RATE=8000"):
        subject.load(tmp_path)
