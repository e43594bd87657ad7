"""The compiled draw is torch's, for whatever may be asked of it."""

import pytest
import torch

from musicgraph.models.compose.noise import Noise
from musicgraph.models.config import Sampling
from musicgraph.models.engines.drawing import tokens_from
from musicgraph.models.engines.numba_engine import NumbaEngine

CPU = torch.device("cpu")
GUIDED, PLAIN, MIXED = (3.0, -2.0), (1.0,), (1.8, 0.0, 1.2, -2.0)


@pytest.fixture(scope="module")
def engine(tiny):
    return NumbaEngine(tiny.checkpoint, "fp32")


def logits(engine, rows, seed=0):
    shape = rows, engine.config.num_codebooks, engine.config.codebook_size
    return 4 * torch.randn(shape, generator=torch.manual_seed(seed))


def noise(engine, items, seed=0):
    shape = items, engine.config.num_codebooks, engine.config.codebook_size
    return Noise(seed, *shape, CPU).draw()


@pytest.mark.parametrize(
    "sampling",
    [
        *(Sampling(top_k=k) for k in (1, 2, 5, 63, 64)),
        *(Sampling(top_p=p) for p in (0.01, 0.3, 0.9, 1.0)),
        *(Sampling(temperature=t, top_k=10) for t in (0.05, 0.7, 3.0)),
    ],
    ids=lambda s: f"{s.top_k}-{s.top_p}-{s.temperature}",
)
@pytest.mark.parametrize("weights", [(GUIDED,) * 3, (PLAIN,), (MIXED, GUIDED, PLAIN)])
def test_it_draws_what_torch_draws(engine, weights, sampling):
    rows = sum(len(own) for own in weights)
    for seed in range(20):
        told = logits(engine, rows, seed), weights, noise(engine, len(weights), seed), sampling
        tokens, sums = engine.draw(*told)
        expected, _ = tokens_from(*told)
        assert torch.equal(tokens, expected)
        assert sums.isfinite().all()


@pytest.mark.parametrize("weights", [(GUIDED,) * 2, (MIXED,)])
def test_without_noise_it_takes_the_likeliest(engine, weights):
    told = logits(engine, sum(map(len, weights))), weights, None, Sampling(temperature=0)
    assert torch.equal(engine.draw(*told)[0], tokens_from(*told)[0])


@pytest.mark.parametrize("sampling", [Sampling(top_k=10), Sampling(top_p=0.15)])
def test_of_equals_only_so_many_take_part(engine, sampling):
    """All are equally likely: ten of them, and ten or one more with a share of 0.15 of 64."""
    even = torch.zeros(1, engine.config.num_codebooks, engine.config.codebook_size)
    drawn = [engine.draw(even, (PLAIN,), noise(engine, 1, i), sampling)[0] for i in range(400)]
    assert len({int(token) for tokens in drawn for token in tokens.flatten()}) == 10


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, -1])
def test_a_logit_that_is_no_number_is_told_of_its_item_alone(engine, value, place):
    rows = logits(engine, 4)
    rows[2, 1, place] = value
    _, sums = engine.draw(rows, (GUIDED,) * 2, noise(engine, 2), Sampling(top_k=5))
    assert sums.isfinite().tolist() == [True, False]


def test_a_row_that_counts_nothing_may_be_anything(engine):
    rows = logits(engine, 4)
    told = (MIXED,), noise(engine, 1), Sampling(top_k=5)
    before, _ = engine.draw(rows, *told)
    rows[1] = float("nan")
    after, sums = engine.draw(rows, *told)
    assert torch.equal(after, before)
    assert sums.isfinite().all()


def test_an_item_is_drawn_alone_as_in_company(engine):
    rows, own = logits(engine, 6), noise(engine, 3)
    together, _ = engine.draw(rows, (GUIDED,) * 3, own, Sampling(top_k=20))
    alone, _ = engine.draw(rows[2:4], (GUIDED,), own[1:2], Sampling(top_k=20))
    assert torch.equal(alone[0], together[1])
