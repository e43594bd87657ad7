"""The delay pattern."""

import torch

from musicgraph.models.compose.delay import delayed

MONO = 0, 1, 2, 3


def test_the_drawing_in_the_docstring_is_what_comes_out():
    tokens = torch.arange(5).expand(1, 4, 5)
    s = -1
    assert delayed(tokens, MONO, s)[0].tolist() == [
        [s, 0, 1, 2, 3, 4, s, s, s],
        [s, s, 0, 1, 2, 3, 4, s, s],
        [s, s, s, 0, 1, 2, 3, 4, s],
        [s, s, s, s, 0, 1, 2, 3, 4],
    ]
