"""Properties of drawing."""

import pytest
import torch

from musicgraph.models.compose.noise import Noise
from musicgraph.models.config import Sampling
from musicgraph.models.engines.drawing import draw, keep_top_k, keep_top_p

CPU = torch.device("cpu")


@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_exactly_k_candidates_survive_top_k(k):
    probabilities = torch.softmax(torch.randn(3, 4, 50, generator=torch.manual_seed(0)), dim=-1)
    kept = keep_top_k(probabilities, k)
    assert ((kept > 0).sum(dim=-1) == k).all()
    assert torch.equal(kept.amax(dim=-1), probabilities.amax(dim=-1))


def test_exactly_k_survive_even_when_all_are_equal():
    assert int((keep_top_k(torch.full((1, 1, 64), 1 / 64), 10) > 0).sum()) == 10


def test_top_p_keeps_the_smallest_set_that_exceeds_p():
    probabilities = torch.tensor([[[0.1, 0.4, 0.2, 0.3]]])
    assert keep_top_p(probabilities, 0.65).tolist() == [
        [[0.0, pytest.approx(0.4), 0.0, pytest.approx(0.3)]]
    ]
    assert int((keep_top_p(probabilities, 0.01) > 0).sum()) == 1
    assert torch.equal(keep_top_p(probabilities, 1.0), probabilities)


def test_top_p_replaces_top_k():
    """top_k 1 would always give token 0; top_p 0.9 lets token 1 through as well."""
    logits = torch.log(torch.tensor([0.5, 0.45, 0.05])).expand(1, 1, 3)
    noise = [Noise(seed, 1, 1, 3, CPU).draw() for seed in range(200)]
    drawn = {int(draw(logits, n, Sampling(top_k=1, top_p=0.9))) for n in noise}
    assert drawn == {0, 1}
    assert {int(draw(logits, n, Sampling(top_k=1))) for n in noise} == {0}


def test_draws_follow_the_distribution():
    """20,000 draws: the standard deviation of a share is below 0.0036, so 0.02 is more than five of
    them.
    """
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = probabilities.log().expand(1, 20000, 4)
    drawn = draw(logits, Noise(0, 1, 20000, 4, CPU).draw(), Sampling(top_k=4))
    shares = torch.bincount(drawn.flatten(), minlength=4) / 20000
    torch.testing.assert_close(shares, probabilities, atol=0.02, rtol=0)


def test_temperature_sharpens():
    logits = torch.log(torch.tensor([0.6, 0.4])).expand(1, 5000, 2)
    noise = Noise(1, 1, 5000, 2, CPU).draw()
    cold, hot = (
        draw(logits, noise, Sampling(top_k=2, temperature=t)).float().mean() for t in (0.25, 4.0)
    )
    assert cold < 0.25 < 0.45 < hot


def test_temperature_zero_is_argmax():
    logits = torch.randn(2, 4, 30, generator=torch.manual_seed(3))
    assert torch.equal(draw(logits, None, Sampling(temperature=0)), logits.argmax(dim=-1))


def test_noise_of_an_item_does_not_depend_on_the_batch():
    alone, batch = Noise(11, 1, 4, 16, CPU), Noise(10, 3, 4, 16, CPU)
    for _ in range(3):
        assert torch.equal(alone.draw()[0], batch.draw()[1])


def test_noise_is_where_it_is_drawn_from():
    """On whatever device: this one has no numbers."""
    assert Noise(5, 1, 4, 64, torch.device("meta")).draw().device.type == "meta"


@pytest.mark.parametrize("steps_at_once", [2, 3, 8])
def test_noise_made_in_blocks_equals_noise_made_step_by_step(steps_at_once):
    singly, blocks = Noise(5, 2, 4, 2048, CPU), Noise(5, 2, 4, 2048, CPU, steps_at_once)
    for _ in range(10):
        assert torch.equal(singly.draw(), blocks.draw())
