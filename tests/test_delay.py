"""The delay pattern."""

import pytest
import torch

from musicgraph.models.compose.delay import defined_at, delayed

MONO, STEREO = (0, 1, 2, 3), (0, 0, 1, 1, 2, 2, 3, 3)


def test_the_drawing_in_the_docstring_is_what_comes_out():
    tokens = torch.arange(5).expand(1, 4, 5)
    s = -1
    assert delayed(tokens, MONO, s)[0].tolist() == [
        [s, 0, 1, 2, 3, 4, s, s, s],
        [s, s, 0, 1, 2, 3, 4, s, s],
        [s, s, s, 0, 1, 2, 3, 4, s],
        [s, s, s, s, 0, 1, 2, 3, 4],
    ]


@pytest.mark.parametrize("delays", [MONO, STEREO])
def test_defined_places_are_those_that_hold_frames(delays):
    steps = delayed(torch.zeros(1, len(delays), 6, dtype=torch.long), delays, 1)
    for step in range(steps.shape[2]):
        assert defined_at(step, 6, delays) == (steps[0, :, step] == 0).tolist()
