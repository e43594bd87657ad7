"""A gap in music, filled: what is outside stays, and what follows says which candidate is kept."""

import copy
from dataclasses import replace

import pytest
import torch
from sessions import opened

from musicgraph.models.compose.composition import Direction, stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.compose.filling import Filling, Gap, bounds_of, likeliest
from musicgraph.models.compose.guidance import weights_of
from musicgraph.models.compose.rows import Room, TextRows
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.compose.window import Bounds, Window
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.drawing import mixed
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.refused import Refused

SAMPLING = Sampling(top_k=50)


@pytest.fixture(scope="module", params=["mono", "stereo"])
def band(request):
    tiny = request.getfixturevalue(request.param)
    return NumbaEngine(tiny.checkpoint, "fp32"), tiny


@pytest.fixture(scope="module")
def piece(band):
    engine, tiny = band
    heard = tiny.text.encode(["drums"])
    return torch.cat(list(stream(engine, Generation(60, 3, SAMPLING), heard)), dim=2)


def played(engine, heard, piece, gap, seed=0, sampling=SAMPLING, schedule=()):
    piece = piece.expand(len(heard), -1, -1)
    bounds = bounds_of(piece, gap, engine.config)
    filling = Filling(
        engine, Direction(heard, None, sampling), bounds, seed=seed, schedule=schedule
    )
    frames = torch.cat(list(filling.play()), dim=2)
    return filling, frames


def test_what_is_given_stays_and_the_gap_is_made_anew(band, piece):
    engine, tiny = band
    heard = tiny.text.encode(["piano"]).repeated(3)
    filling, frames = played(engine, heard, piece, Gap(20, 32), seed=8)
    assert filling.tokens.shape == (3, piece.shape[1], 12)
    assert torch.equal(frames, torch.cat([filling.tokens, piece[:, :, 32:].expand(3, -1, -1)], 2))
    assert not torch.equal(filling.tokens[0], filling.tokens[1])


def test_a_candidate_is_the_same_alone_and_in_company(band, piece):
    engine, tiny = band
    heard = tiny.text.encode(["piano"])
    together, _ = played(engine, heard.repeated(3), piece, Gap(20, 32), seed=8)
    alone, _ = played(engine, heard, piece, Gap(20, 32), seed=10)
    assert torch.equal(together.tokens[2:], alone.tokens)
    assert together.likelihood[2] == alone.likelihood[0]


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_the_likelihood_is_that_of_reading_all_of_it_as_it_stands(band, piece, cfg):
    """By the reference engine, a step at a time, over every place that holds a frame behind the
    gap, as far as the codebooks' delays leave its neighbours in place.
    """
    _, tiny = band
    engine, config = TorchEngine(tiny.lm), tiny.config
    heard, sampling = tiny.text.encode(["piano"]), replace(SAMPLING, cfg=cfg)
    filling, _ = played(engine, heard, piece, Gap(20, 32), seed=8, sampling=sampling)
    whole = torch.cat([piece[:, :, :20], filling.tokens, piece[:, :, 32:]], dim=2)
    steps = delayed(whole, config.delays, config.special_token)
    together = opened(engine, heard, steps.shape[2], cfg)
    rows = TextRows(Room.for_all([Direction(heard, None, sampling)]), 1)
    from musicgraph.models.compose.direction import Turn

    branches = [groups[0] for groups in rows.at(Turn(Direction(heard, None, sampling)), 0, cfg)]
    found = []
    for step in range(60):
        logits = mixed(
            together.step(steps[:, :, step : step + 1]), weights_of(branches)
        ).log_softmax(-1)
        for book, delay in enumerate(config.delays):
            if 32 <= step - delay < 60:
                found.append(logits[0, book, steps[0, book, step + 1]])
    torch.testing.assert_close(filling.likelihood[0], torch.stack(found).mean(), atol=1e-4, rtol=0)


def test_likelihood_knows_the_music_that_the_model_made_from_noise(band, piece):
    """What a model made follows its own beginning better than random tokens do."""
    engine, tiny = band
    heard = tiny.text.encode(["drums"])
    noise = torch.randint(tiny.config.codebook_size, piece[:, :, 32:].shape)
    own, _ = played(engine, heard, piece, Gap(32, 32))
    other, _ = played(engine, heard, torch.cat([piece[:, :, :32], noise], 2), Gap(32, 32))
    assert own.likelihood[0] > other.likelihood[0] + 0.5


def test_each_item_keeps_its_likeliest_candidate():
    kept, rows = likeliest(torch.tensor([-3.0, -1.0, -2.0, -5.0, -6.0, -4.0]), 3)
    assert kept.tolist() == [1, 2] and rows.tolist() == [1, 5]


def test_a_gap_at_the_end_is_a_continuation(band, piece):
    """Token for token, and nothing is asked."""
    engine, tiny = band
    heard = tiny.text.encode(["piano"])
    filling, _ = played(engine, heard, piece, Gap(40, 60), seed=8)
    generation = Generation(60, 8, SAMPLING)
    expected = torch.cat(list(stream(engine, generation, heard, prompt=piece[:, :, :40])), dim=2)
    assert torch.equal(filling.tokens, expected[:, :, 40:])
    assert filling.likelihood.tolist() == [0.0]


def test_a_gap_at_the_beginning_has_nothing_before_it(band, piece):
    engine, tiny = band
    filling, frames = played(engine, tiny.text.encode(["piano"]), piece, Gap(0, 12), seed=8)
    assert torch.equal(frames[:, :, 12:], piece[:, :, 12:]) and frames.shape == piece.shape


def test_a_region_far_on_hears_what_is_around_it_and_the_schedule_of_its_time(band, piece):
    """In a window of 40 frames: what lies further away is not heard, and changes nothing."""
    engine, tiny = copy.copy(band[0]), band[1]
    engine.config = replace(tiny.config, window_frames=40)
    drums, piano = (tiny.text.encode([text]) for text in ("drums", "piano"))
    gap, rate = Gap(40, 50), tiny.config.frame_rate
    other = torch.cat([piece[:, :, :10].flip(2), piece[:, :, 10:]], dim=2)
    begun = Direction(drums, None, SAMPLING)
    late = Timeline(drums).then(Change(30 / rate, piano)).schedule(begun, rate, 60)
    here, _ = played(engine, drums, piece, gap, seed=8)
    assert bounds_of(piece, gap, engine.config).first_frame == 20
    assert torch.equal(played(engine, drums, other, gap, seed=8)[0].tokens, here.tokens)
    scheduled, _ = played(engine, drums, piece, gap, seed=8, schedule=late)
    assert torch.equal(scheduled.tokens, played(engine, piano, piece, gap, seed=8)[0].tokens)


@pytest.mark.parametrize(
    ("begin", "end"),
    [(-1, 2), (0.5, 0.5), (0.7, 0.5), (1.2, 0), (1.3, 2), (0.5, 1.3), (float("nan"), 1), (0, 1e9)],
)
def test_a_region_outside_the_music_is_refused(begin, end):
    with pytest.raises(Refused, match="region: got .*expected a part of 0 to 1.2 s"):
        Gap.between(begin, end, 50, 60)
    assert Gap.between(0.2, 0, 50, 60) == Gap(10, 60)


def test_a_region_that_leaves_no_room_for_what_is_around_it_is_refused(band, piece):
    config = replace(band[1].config, window_frames=40)
    with pytest.raises(Refused, match="in several parts"):
        bounds_of(piece, Gap(10, 48), config)


def test_a_step_is_drawn_where_it_holds_a_frame_of_the_gap(band):
    config = band[1].config
    tokens = torch.zeros(1, config.num_codebooks, 9, dtype=torch.int64)
    window = Window(Bounds(tokens[:, :, :4], 0, 9, 0, tokens[:, :, 6:]), config)
    marked = delayed(torch.arange(9).expand_as(tokens), config.delays, -1)[0].T
    assert torch.equal(window.to_draw, (marked == 4) | (marked == 5))
