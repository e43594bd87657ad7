"""Branches: what items listen to at once, and how their logits become one."""

import pytest
import torch

from musicgraph.models.compose.guidance import branches_for
from musicgraph.models.conditioning import Conditioning
from musicgraph.models.engines.drawing import mixed
from musicgraph.models.refused import Refused


def encoded(*lengths):
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(-1)
    states = torch.randn(len(lengths), 6, 4) * mask.unsqueeze(-1)
    return Conditioning(tuple(str(n) for n in lengths), states, mask)


def test_an_item_is_without_its_neighbours_padding_and_nothing_is_none():
    batch = encoded(6, 2, 0)
    assert batch.item(1).states.shape == (1, 2, 4)
    assert torch.equal(batch.item(1).states[0], batch.states[1, :2])
    assert batch.item(2) is None


def test_guidance_is_a_second_branch_where_it_has_an_effect():
    positive, negative = encoded(3, 0), encoded(2)
    assert [len(item) for item in branches_for(positive, None, 3.0)] == [2, 1]
    assert [len(item) for item in branches_for(positive, negative, 3.0)] == [2, 2]
    assert [len(item) for item in branches_for(positive, negative, 1.0)] == [1, 1]
    assert [branch.weight for branch in branches_for(positive, negative, 3.0)[0]] == [3.0, -2.0]


def test_guidance_one_is_conditional_and_zero_is_null():
    logits = torch.randn(4, 2, 8, generator=torch.manual_seed(4))
    conditional, null = logits[::2], logits[1::2]

    def guided(cfg):
        return mixed(logits, ((cfg, 1 - cfg),) * 2)

    torch.testing.assert_close(guided(1.0), conditional)
    assert torch.equal(guided(0.0), null)
    assert torch.equal(guided(3.0), null + 3.0 * (conditional - null))


def test_three_branches_are_upstreams_double_guidance():
    full, wave, null = torch.randn(3, 2, 8, generator=torch.manual_seed(5))
    alpha, beta = 3.0, 5.0
    weights = alpha * beta, alpha * (1 - beta), 1 - alpha
    got = mixed(torch.stack([full, wave, null]), (tuple(weights),))
    torch.testing.assert_close(got[0], null + alpha * (wave + beta * (full - wave) - null))


def test_items_with_other_numbers_of_branches_share_a_batch():
    rows = torch.randn(3, 2, 8)
    got = mixed(rows, ((1.0,), (2.0, -1.0)))
    assert torch.equal(got[0], rows[0])
    assert torch.equal(got[1], rows[2] + 2.0 * (rows[1] - rows[2]))


def test_a_negative_for_another_number_of_items_is_refused():
    with pytest.raises(Refused, match="got 2 texts for 3 items"):
        branches_for(encoded(1, 2, 3), encoded(1, 2), 3.0)
