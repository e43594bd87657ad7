"""The text encoder's network: transformers' numbers, to the last bit."""

import pytest
import torch
from upstream import musicgen_model, our_t5, t5_model

from musicgraph.models.t5 import buckets
from musicgraph.models.weights.checkpoint import load_text_encoder, open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

EXACT = t5_model().config._attn_implementation == "sdpa"
"""Whether transformers computes attention in one operation, as we do: older releases round
otherwise.
"""


def agree(ours, theirs, ids, mask):
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
        got = ours(ids, mask)[mask]
    if EXACT:
        assert torch.equal(got, expected)
    else:
        torch.testing.assert_close(got, expected, atol=2e-3, rtol=1e-3)


def texts(lengths, vocabulary=64):
    """Ids and mask of texts of these lengths, padded."""
    ids = torch.randint(3, vocabulary, (len(lengths), max(lengths)))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)
    return ids * mask, mask


@pytest.mark.parametrize("lengths", [(1,), (9,), (4, 11, 1), (60, 200)])
@pytest.mark.parametrize("kind", ["relu", "gated-gelu", "gelu", "gated-relu", "gated-silu"])
def test_states_are_upstreams_for_texts_of_any_length(kind, lengths):
    theirs = t5_model(
        feed_forward_proj=kind,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=20,
    )
    agree(our_t5(theirs), theirs, *texts(lengths))


def test_pockets_states_are_upstreams():
    encoder = load_text_encoder(open_checkpoint(POCKET_FOLDER))
    theirs = musicgen_model(POCKET_FOLDER)
    for text in ("a happy piano tune with drums, 120 bpm", "sad flute"):
        ids = torch.tensor([encoder.tokenizer.encode(text)])
        agree(encoder.t5, theirs.text_encoder, ids, torch.ones_like(ids, dtype=torch.bool))


def test_a_text_is_the_same_alone_and_beside_others():
    """To the last bit, whatever the processor does with more rows."""
    encoder = load_text_encoder(open_checkpoint(POCKET_FOLDER))
    texts = ["sad flute", "a happy piano tune with drums, 120 bpm", "", "loud rock guitar"]
    together = encoder.encode(texts)
    for index, text in enumerate(texts):
        alone, beside = encoder.encode([text]).item(0), together.item(index)
        assert (alone is None) == (beside is None) == (not text)
        assert alone is None or torch.equal(alone.states, beside.states)


@pytest.mark.parametrize(("count", "distance"), [(32, 128), (4, 2), (16, 20), (9, 40)])
def test_buckets_are_upstreams_beyond_the_largest_distance_too(count, distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    places = torch.arange(300)
    theirs = T5Attention._relative_position_bucket(
        places - places.unsqueeze(-1), num_buckets=count, max_distance=distance
    )
    assert torch.equal(buckets(300, count, distance), theirs)
