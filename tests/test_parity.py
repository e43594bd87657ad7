"""Ours ≡ transformers, on checkpoints that transformers wrote."""

import pytest
import torch
from sessions import opened
from transformers import AutoTokenizer

from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.session import TorchEngine

TEXTS = ["a happy song with drums and a long description", "piano", "slow, sad"]
GREEDY = {"temperature": 0.0, "top_k": 1}


def tokenized(tiny, texts):
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def greedy(tiny, texts, frames, cfg, **kwargs):
    generation = Generation(frames, sampling=Sampling(cfg=cfg, **GREEDY))
    return torch.cat(
        list(stream(TorchEngine(tiny.lm), generation, tiny.text.encode(texts), **kwargs)), dim=2
    )


def upstream_greedy_audio(tiny, texts, frames, cfg):
    with torch.inference_mode():
        return tiny.upstream.generate(
            **tokenized(tiny, texts),
            do_sample=False,
            guidance_scale=cfg,
            max_new_tokens=frames + tiny.config.max_delay,
        )


def upstream_greedy_tokens(tiny, texts, frames, cfg):
    """What upstream's generate hands to its codec."""
    heard = {}
    decode = tiny.upstream.audio_encoder.decode

    def spy(codes, *args, **kwargs):
        heard.setdefault("codes", []).append(codes[0])
        return decode(codes, *args, **kwargs)

    tiny.upstream.audio_encoder.decode = spy
    try:
        upstream_greedy_audio(tiny, texts, frames, cfg)
    finally:
        del tiny.upstream.audio_encoder.decode
    channels = heard["codes"]  # one call a channel, [B, K / channels, T]
    return torch.stack(channels, dim=2).flatten(1, 2)


def test_text_states_equal_upstream(tiny):
    batch = tokenized(tiny, TEXTS)
    with torch.inference_mode():
        theirs = tiny.upstream.text_encoder(**batch).last_hidden_state * batch[
            "attention_mask"
        ].unsqueeze(-1)
    torch.testing.assert_close(tiny.text.encode(TEXTS).states, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("prefill", [1, 7, 20])
def test_teacher_forced_logits_equal_upstream(tiny, prefill):
    """However the steps are split between a prefill and single steps."""
    config, B, T = tiny.config, len(TEXTS), 20
    frames = torch.randint(
        0, config.codebook_size, (B, config.num_codebooks, T), generator=torch.manual_seed(1)
    )
    steps = delayed(frames, config.delays, config.special_token)[:, :, :T]
    with torch.inference_mode():
        theirs = tiny.upstream(
            **tokenized(tiny, TEXTS), decoder_input_ids=steps.flatten(0, 1)
        ).logits
    theirs = theirs.unflatten(0, (B, -1))  # [B, K, T, V]
    session = opened(TorchEngine(tiny.lm), tiny.text.encode(TEXTS), max_steps=T)
    ours = [session.step(steps[:, :, :prefill])]
    ours += [session.step(steps[:, :, t : t + 1]) for t in range(prefill, T)]
    torch.testing.assert_close(
        torch.stack(ours, dim=2), theirs[:, :, prefill - 1 :], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_greedy_tokens_equal_upstream(tiny, cfg):
    theirs = upstream_greedy_tokens(tiny, TEXTS, 30, cfg)
    ours = greedy(tiny, TEXTS, 30, cfg)
    assert len(ours.unique()) > 10, "a test that compares constant tokens shows nothing"
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_each_item_of_a_batch_equals_the_item_alone(tiny, cfg):
    together = greedy(tiny, TEXTS, 25, cfg)
    for i, text in enumerate(TEXTS):
        assert torch.equal(together[i : i + 1], greedy(tiny, [text], 25, cfg)), text


def test_null_half_is_exactly_unconditional(tiny):
    """With guidance 0 the result is that of an empty prompt: the null half hears exact zeros."""
    assert torch.equal(greedy(tiny, ["drums"], 20, cfg=0.0), greedy(tiny, [""], 20, cfg=1.0))


def test_an_empty_prompt_beside_others_stays_unconditional(tiny):
    together = greedy(tiny, ["drums", ""], 20, cfg=1.0)
    assert torch.equal(together[1:], greedy(tiny, [""], 20, cfg=1.0))


def test_negative_text_replaces_the_null_half(tiny):
    negative = tiny.text.encode(["noise"])
    with_it = greedy(tiny, ["drums", "piano"], 20, 3.0, negative=negative)
    assert not torch.equal(with_it, greedy(tiny, ["drums", "piano"], 20, 3.0))
    same = greedy(tiny, ["drums"], 20, 3.0, negative=tiny.text.encode(["drums"]))
    assert torch.equal(same, greedy(tiny, ["drums"], 20, 1.0)), (
        "pushed away from itself, guidance cancels"
    )


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_continuing_equals_generating_at_once(tiny, cfg):
    """Temperature 0: 4 s at once ≡ 2 s, then continued for 2 s."""
    rate = round(tiny.config.frame_rate)
    whole = greedy(tiny, TEXTS, 4 * rate, cfg)
    half = greedy(tiny, TEXTS, 2 * rate, cfg)
    assert torch.equal(greedy(tiny, TEXTS, 4 * rate, cfg, prompt=half, open_end=True), whole)


def test_continuing_a_recording_equals_upstream(mono):
    """Tokens that were not generated are kept whole."""
    prompt = torch.randint(0, 64, (1, 4, 12), generator=torch.manual_seed(2))
    ours = greedy(mono, ["drums"], 30, 3.0, prompt=prompt)
    with torch.inference_mode():
        audio = mono.upstream.generate(
            **tokenized(mono, ["drums"]),
            decoder_input_ids=torch.cat([torch.full((4, 1), 64), prompt[0]], dim=1),
            do_sample=False,
            guidance_scale=3.0,
            max_length=30 + mono.config.max_delay + 1,
        )
    assert torch.equal(ours[:, :, :12], prompt)
    torch.testing.assert_close(mono.codec.decode(ours, 1), audio, atol=1e-5, rtol=0)
