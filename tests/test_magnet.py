"""MAGNeT: pieces that are made at once are audiocraft's own, and what has no sense for them is said
in a line.
"""

import math
from dataclasses import replace

import pytest
import torch
from magnet_layout import (
    DRAWS,
    EVERY,
    FRAMES,
    GOLDEN,
    PROMPT,
    SEGMENT_S,
    SPAN,
    write_golden_magnet,
    write_magnet,
)
from safetensors.torch import load_file
from tiny import Tiny

from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.magnet import passes_of, piece_at_once
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines import choose
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.convert import write_converted

KEPT = FRAMES - FRAMES % SPAN  # whole spans


class Opened:
    def __init__(self, folder):
        self.folder, self.weights = folder, checkpoint.open_checkpoint(folder)
        lm = checkpoint.load_lm(self.weights, torch.float32, torch.device("cpu"))
        self.engine, self.config = TorchEngine(lm), self.weights.config.lm
        self.text = checkpoint.load_text_encoder(self.weights)

    def piece(self, texts=("a calm piano",), seed=5, prompt=None, negative=None, **sampling):
        *_, tokens = self.passes(texts, seed, prompt, negative, **sampling)
        return tokens

    def passes(self, texts=("a calm piano",), seed=5, prompt=None, negative=None, **sampling):
        settings = {"temperature": 3.0, "top_p": 0.9, "top_k": 50, "cfg": 10.0} | sampling
        generation = Generation(self.config.window_frames, seed, Sampling(**settings))
        heard = self.text.encode(list(texts))
        away = None if negative is None else self.text.encode([negative])
        return piece_at_once(self.engine, generation, heard, away, prompt)


@pytest.fixture(scope="module")
def magnet(mono, tmp_path_factory):
    return Opened(write_magnet(tmp_path_factory.mktemp("magnet") / "model", mono))


# ---------------------------------------------------------------- audiocraft's answers


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    work = tmp_path_factory.mktemp("golden")
    return Opened(write_golden_magnet(work / "model", Tiny(work / "twin", 1)))


@pytest.mark.parametrize("begun", ["fresh", "continued"])
@pytest.mark.parametrize("draw", DRAWS)
def test_tokens_are_those_of_audiocraft_with_the_same_noise(golden, begun, draw):
    prompt = PROMPT if begun == "continued" else None
    settings = {"top_p": 0.0, "top_k": 1} | DRAWS[draw]
    made = golden.piece(seed=11, prompt=prompt, **settings)
    assert torch.equal(made, load_file(GOLDEN)[f"{begun} {draw}"].long())


def test_logits_are_those_of_audiocraft_at_every_frame_of_every_codebook(golden):
    kept = load_file(GOLDEN)
    masked, reach = kept["masked"].long(), golden.config.magnet.reach
    reader = golden.engine.whole([golden.text.encode(["a calm piano"])], masked.shape[2])
    for codebook, theirs in enumerate(kept["logits"]):
        ours = reader.logits(masked, codebook, reach if codebook else None)[0, ::EVERY]
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


# ---------------------------------------------------------------- how a piece comes about


def test_attention_looks_both_ways_and_in_later_codebooks_no_further_than_it_may(magnet):
    tokens = magnet.piece()
    changed = tokens.clone()
    changed[:, 0, -1] = (changed[:, 0, -1] + 1) % magnet.config.codebook_size
    reader = magnet.engine.whole([None], KEPT)
    layers, reach = magnet.config.num_layers, magnet.config.magnet.reach
    everywhere = reader.logits(tokens, 0, None) != reader.logits(changed, 0, None)
    assert everywhere.any(dim=-1).all()
    near = (reader.logits(tokens, 1, reach) != reader.logits(changed, 1, reach)).any(dim=-1)[0]
    assert near.nonzero().min() == KEPT - 1 - layers * reach


def test_a_codebook_is_drawn_whole_and_then_ever_fewer_spans_of_it_anew(magnet):
    special, seen = magnet.config.special_token, torch.cat(list(magnet.passes()))
    assert len(seen) == sum(passes_of(magnet.config)) == 50
    for codebook, (first, last) in enumerate([(0, 20), (20, 30), (30, 40), (40, 50)]):
        passes = seen[first:last, codebook]
        assert (seen[:first, codebook] == special).all() and (passes != special).all()
        assert (seen[last - 1 :, codebook] == passes[-1]).all()
        changed = (passes[1:] != passes[:-1]).unflatten(1, (-1, SPAN)).any(dim=2).sum(dim=1)
        shares = torch.cos(torch.linspace(0, 1, last - first) * math.pi / 2)[1:]
        assert changed[0] > 0 and (changed <= (shares * (KEPT // SPAN)).clamp_min(1)).all()


def test_a_seed_is_one_piece_and_another_seed_another(magnet):
    assert torch.equal(magnet.piece(seed=1), magnet.piece(seed=1))
    assert not torch.equal(magnet.piece(seed=1), magnet.piece(seed=2))


def test_items_of_a_batch_have_their_own_texts_and_seeds(magnet):
    both = magnet.piece(["a calm piano", "drums"], seed=3)
    assert torch.equal(both[:1], magnet.piece(["a calm piano"], seed=3))
    assert torch.equal(both[1:], magnet.piece(["drums"], seed=4))


def test_a_prompt_is_kept_and_heard(magnet):
    fresh = magnet.piece(temperature=0.0)
    known = (fresh[:, :, :20] + 1) % magnet.config.codebook_size
    made = magnet.piece(temperature=0.0, prompt=known)
    assert torch.equal(made[:, :, :20], known)
    assert not torch.equal(made[:, :, 20:], fresh[:, :, 20:])


def test_guidance_a_negative_and_a_mix_are_heard(magnet):
    made = [
        magnet.piece(temperature=0.0, **changes)
        for changes in ({}, {"cfg": 1.0}, {"negative": "drums"}, {"texts": ("drums",)})
    ]
    for one in range(len(made)):
        assert not any(torch.equal(made[one], other) for other in made[one + 1 :])
    texts = [(magnet.text.encode([text]), 0.5) for text in ("a calm piano", "drums")]
    generation = Generation(FRAMES, 5, Sampling(temperature=0.0, cfg=10.0, top_k=1))
    *_, mixed = piece_at_once(magnet.engine, generation, combined(texts))
    assert not any(torch.equal(mixed, one) for one in made)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("frames", [FRAMES - SPAN, FRAMES + SPAN])
def test_another_length_is_refused(magnet, frames):
    with pytest.raises(Refused, match=r"duration: got .*expected 2 s"):
        piece_at_once(
            magnet.engine,
            Generation(frames, sampling=Sampling(top_k=9)),
            magnet.text.encode(["piano"]),
        )


def test_a_prompt_that_leaves_nothing_to_make_is_refused(magnet):
    prompt = torch.zeros(1, 4, KEPT - SPAN + 1, dtype=torch.int64)
    with pytest.raises(Refused, match="audio prompt: got 97 frames, expected at most 96"):
        magnet.passes(prompt=prompt)


def test_no_composition_is_made_with_it(magnet):
    with pytest.raises(Refused, match="model: got a MAGNeT, which makes a piece at once"):
        stream(
            magnet.engine,
            Generation(FRAMES, sampling=Sampling(top_k=9)),
            magnet.text.encode(["piano"]),
        )


@pytest.mark.parametrize("engine", ["numba", "cuda-graph"])
def test_engines_that_go_step_by_step_are_refused_by_name(magnet, engine, monkeypatch):
    monkeypatch.setenv(choose.ENGINE_VARIABLE, engine)
    device = "cuda" if engine == "cuda-graph" else "cpu"
    with pytest.raises(Refused, match="no MAGNeT"):
        choose.choose("auto", device, magnet.config, supports_fp16=False)


def test_torch_runs_it_where_a_faster_engine_would_run_others(magnet, monkeypatch):
    monkeypatch.delenv(choose.ENGINE_VARIABLE, raising=False)
    chosen = choose.choose("auto", "cpu", magnet.config, supports_fp16=False)
    assert (chosen.engine, chosen.precision) == ("torch", "fp32")
    with pytest.raises(Refused, match="no MAGNeT"):
        choose.choose("int8", "cpu", magnet.config, supports_fp16=False)


def test_conversion_is_refused_and_leaves_nothing(magnet, tmp_path):
    with pytest.raises(Refused, match="the model's way of composing"):
        write_converted(magnet.weights, tmp_path / "there", lambda *_: None)
    assert not any(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_said(magnet):
    broken = Opened(magnet.folder)
    broken.engine.lm.heads.weight.fill_(float("nan"))
    with pytest.raises(Refused, match="codebook 0 of item 1 .*NaN or infinite"):
        broken.piece()


def test_its_settings_are_those_of_its_file(magnet, mono):
    assert magnet.config.magnet is not None
    assert (magnet.config.magnet.span, magnet.config.magnet.reach) == (3, 5)
    assert magnet.config.delays == (0, 0, 0, 0) and magnet.config.window_frames == FRAMES
    plain = replace(magnet.config, magnet=None, own_delays=None, window_frames=1500)
    assert plain == mono.config
    assert SEGMENT_S * magnet.config.frame_rate == FRAMES
