"""The compiled noise is torch's, to the last bit, and goes on where torch's stands."""

import pytest
import torch
from test_shared import engine_of

from musicgraph.models.compose.noise import Noise
from musicgraph.models.engines.drawing import LEAST_NOISE, TorchNoise

CPU = torch.device("cpu")
SHAPES = [(1, 4, 64), (3, 4, 1024), (2, 4, 2048), (1, 8, 2048)]


@pytest.fixture(scope="module")
def source(mono):
    return engine_of(mono).noise


def states(*seeds):
    return torch.stack([torch.Generator().manual_seed(seed).get_state() for seed in seeds])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_torchs_noise_and_leaves_torchs_state(source, shape):
    begun = states(*(0, 2**64 - 1, 2**32 + 5)[: shape[0]])
    compiled, reference = source(begun), TorchNoise(begun)
    for _ in range(60):
        ours, theirs = torch.empty(shape), torch.empty(shape)
        compiled.fill(ours), reference.fill(theirs)
        assert torch.equal(ours, theirs)
        assert torch.equal(compiled.states(), reference.states())


def test_what_is_no_more_than_nothing_is_the_least(source):
    """A word of zeros throughout is a number of which the logarithm is 0."""
    begun = states(1)
    begun[:, 24 : 24 + 624 * 8] = 0
    begun[:, 8:12] = torch.tensor([113, 2, 0, 0], dtype=torch.uint8)  # 624 words left, and one
    begun[:, 16:24] = 0
    noise = torch.empty(1, 4, 64)
    source(begun).fill(noise)
    assert (noise == LEAST_NOISE).all()


def test_an_item_has_the_noise_that_it_has_alone(source):
    together = torch.empty(3, 4, 64)
    source(states(7, 8, 9)).fill(together)
    for item, seed in enumerate((7, 8, 9)):
        alone = torch.empty(1, 4, 64)
        source(states(seed)).fill(alone)
        assert torch.equal(together[item : item + 1], alone)


@pytest.mark.parametrize("steps_at_once", [1, 8])
def test_a_place_in_it_is_gone_on_from_by_either(source, steps_at_once):
    shape = 2, 4, 64, CPU, steps_at_once
    ours = Noise(5, *shape, source=source)
    for _ in range(11):
        ours.draw()
    mark = ours.mark()
    after = [ours.draw() for _ in range(20)]
    for anew in (Noise(5, *shape, mark, source), Noise(5, *shape, mark)):
        assert all(torch.equal(noise, anew.draw()) for noise in after)
