"""Pieces side by side: each has the tokens that it has by itself."""

from dataclasses import replace

import pytest
import torch

from musicgraph.models.automation import Automation
from musicgraph.models.compose.company import SamplerCall, side_by_side
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused

FEW = Sampling(top_k=50)


@pytest.fixture(scope="module")
def engine(mono):
    return NumbaEngine(mono.checkpoint, "int8")


@pytest.fixture(scope="module")
def piece(mono, engine):
    """A way to make pieces: texts (one item each), frames, a seed."""

    def make(*texts, frames=30, seed=0, negative=None, sampling=FEW, **more):
        away = None if negative is None else mono.text.encode([negative])
        generation = Generation(frames, seed, sampling)
        return SamplerCall(
            more.pop("engine", engine), generation, mono.text.encode(texts), away, **more
        )

    return make


def tokens(frames):
    return torch.cat(list(frames), dim=2)


def together(pieces):
    return [torch.cat(one, dim=2) for one in zip(*side_by_side(pieces), strict=True)]


def test_each_has_its_own_tokens_whatever_its_neighbours_seeds_texts_and_negatives_are(piece):
    pieces = [
        piece("drums", seed=5),
        piece("a slow piano", seed=2**64 - 1),
        piece("one", "another", seed=5, negative="noise"),
        piece("", seed=9),
    ]
    for alone, beside in zip(pieces, together(pieces), strict=True):
        assert torch.equal(tokens(alone.stream()), beside)


def test_a_seed_alone_makes_another_piece(piece):
    first, second = together([piece("drums", seed=1), piece("drums", seed=2)])
    assert not torch.equal(first, second)


def test_music_of_several_windows_is_the_same_in_company(mono, piece, monkeypatch):
    short = NumbaEngine(mono.checkpoint, "fp32")
    short.config = replace(short.config, window_frames=20)
    pieces = [piece("drums", frames=50, seed=i, engine=short) for i in (3, 8)]
    for alone, beside in zip(pieces, together(pieces), strict=True):
        assert torch.equal(tokens(alone.stream()), beside)


def test_mixes_keep_company_with_mixes_of_as_many_texts(mono, engine, piece):
    mixes = [
        replace(piece("x", seed=i), positive=combined([(mono.text.encode([a]), 1), (b, w)]))
        for i, (a, b, w) in enumerate(
            [("drums", mono.text.encode(["pads"]), 2), ("a", mono.text.encode(["b"]), 0.5)]
        )
    ]
    assert mixes[0].company == mixes[1].company != piece("x").company
    for alone, beside in zip(mixes, together(mixes), strict=True):
        assert torch.equal(tokens(alone.stream()), beside)


def test_what_moves_over_time_moves_for_all(piece):
    moves = Automation.parse("cfg 0: 1, 0.1: 4")
    pieces = [piece("drums", seed=i, automation=moves) for i in (1, 2)]
    for alone, beside in zip(pieces, together(pieces), strict=True):
        assert torch.equal(tokens(alone.stream()), beside)


def test_only_pieces_of_one_kind_keep_company(mono, piece):
    one = piece("drums")
    assert one.company == piece("pads", seed=7, negative="noise").company
    others = [
        piece("drums", frames=31),
        piece("drums", sampling=replace(FEW, cfg=2)),
        piece("drums", automation=Automation.parse("cfg 0: 1, 0.5: 3")),
    ]
    assert one.company not in [other.company for other in others]
    assert piece("drums", engine=TorchEngine(mono.lm)).company is None, "exact to rounding only"
    later = Timeline(one.positive, (Change(0.1, mono.text.encode(["pads"])),))
    assert replace(one, positive=later).company is None
    assert replace(one, prompt=torch.zeros(1, 4, 3, dtype=torch.int64)).company is None


def test_too_many_items_are_refused(piece):
    with pytest.raises(Refused, match="17 items"):
        side_by_side([piece("a")] * 17)
