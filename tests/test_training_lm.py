"""The language model's recipe: filling a gap, an older model's body, runs that can be stopped."""

import dataclasses
import json
import random
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_tokenizer
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from codec import CODEC_FILE, CodecSettings, TrainingCodec, codec_config, save_codec  # noqa: E402
from compose import compose, facts_of  # noqa: E402
from contrast import posterior_nats, told_apart  # noqa: E402
from export import assemble, save_model  # noqa: E402
from lm import (  # noqa: E402
    LmSettings,
    build_model,
    codebook_losses,
    delayed,
    embedded,
    ending_columns,
    logits,
    trained_part,
)
from muon import Muon  # noqa: E402
from start_lm import mean_of_old, take_body, take_code_tables  # noqa: E402
from token_pool import Batch, TokenPool  # noqa: E402
from train_lm import Kind, Source, Trainer, TrainSettings, make_model  # noqa: E402

CODEC = CodecSettings(16_000, (2, 5, 2), num_filters=4, hidden_size=8, codebook_size=16)
LM = LmSettings(
    hidden=32, layers=2, head_size=8, text_hidden=16, text_layers=1, text_heads=2, codebook_size=16
)
KINDS = {
    "short": Kind(2, 10),
    "medium": Kind(2, 20),
    "long": Kind(2, 30),
    "fill": Kind(2, 20, ending=(4, 10)),
    "told": Kind(2, 10),
}
TRAIN = TrainSettings(lr=1e-2, warmup_steps=1, average=0.5)
S = LM.special


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save_pretrained(folder)
    return folder


def _model(seed: int = 0, settings: LmSettings = LM):
    torch.manual_seed(seed)
    model = build_model(settings, codec_config(CODEC), 20).eval()
    for p in trained_part(model).values():
        p.data.normal_(0, 0.3)
    return model


def _text(rows: int) -> tuple:
    return (
        torch.ones(rows, 3, dtype=torch.long),
        torch.ones(rows, 3, dtype=torch.long),
        torch.zeros(rows).bool(),
    )


def _tokens(frames: int, rows: int = 1) -> torch.Tensor:
    return torch.randint(16, (rows, 4, frames), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def work_dir(tmp_path):
    """A codec and a shard of tokens whose pieces are not whole frames long."""
    torch.manual_seed(0)
    codec = TrainingCodec(CODEC)
    codec.quantizer.set_codebooks(torch.randn(codec.quantizer.codebooks.shape).half().float())
    save_codec(codec, tmp_path / CODEC_FILE, {"frozen": "True"})
    (tmp_path / "tokens").mkdir()
    samples, frames = 40 * CODEC.hop + 7, 40
    facts = asdict(compose(1).facts)
    lines = [
        {
            "index": i,
            "offset": i * samples,
            "samples": samples,
            "bar_frames": 10,
            "validation": i == 2,
            "facts": facts,
        }
        for i in range(4)
    ]
    tokens = np.concatenate(
        [np.full((4, frames), i) + np.arange(4)[:, None] for i in range(4)], axis=1
    )
    np.save(tmp_path / "tokens" / "shard-0000.npy", tokens.astype(np.int16))
    (tmp_path / "tokens" / "shard-0000.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    return tmp_path


def test_the_ending_is_heard_at_its_own_columns_and_shows_nothing_before_it():
    tokens = (
        torch.arange(1, 8)[None, None] + torch.tensor([0, 10, 20, 30])[None, :, None]
    )  # 7 frames
    columns = ending_columns(tokens, 4, special=99)
    assert columns.shape[-1] == 6  # columns 5 to 10
    assert columns[0, :, 0].tolist() == [5, 99, 99, 99]
    assert columns[0, :, 2].tolist() == [7, 16, 25, 99]
    full = delayed(tokens, 99)[..., 5:]
    assert torch.equal(columns[columns != 99], full[columns != 99])


def test_positions_said_are_positions_heard():
    model, columns = _model(), delayed(_tokens(9), S)
    ordinary = logits(model, columns, *_text(1))
    placed = logits(model, columns, *_text(1), positions=torch.arange(columns.shape[-1]))
    torch.testing.assert_close(placed, ordinary)
    moved = embedded(model, columns, torch.arange(columns.shape[-1]) + 5)
    here = embedded(model, columns, torch.arange(columns.shape[-1]))
    table = model.decoder.model.decoder.embed_positions.weights
    torch.testing.assert_close(
        moved - here, (table[5 : 5 + moved.shape[1]] - table[: moved.shape[1]])[None]
    )


def _gap_logits(model, tokens, ending):
    """What is predicted of each codebook's frames [K, ending, V] when the ending was heard."""
    ahead, columns = ending_columns(tokens, ending, S), delayed(tokens, S)[..., : ending + 3]
    places = torch.cat(
        (torch.arange(ending + 1, ending + 1 + ahead.shape[-1]), torch.arange(ending + 3))
    )
    made = logits(model, torch.cat((ahead, columns), -1), *_text(1), positions=places)[
        0, :, ahead.shape[-1] :
    ]
    return torch.stack([made[k, k : k + ending] for k in range(4)])


def test_a_gap_hears_the_ending_and_never_what_it_is_to_predict():
    model, tokens, ending = _model(), _tokens(12), 8
    before = _gap_logits(model, tokens, ending)
    other_ending = tokens.clone()
    other_ending[..., -1] = (other_ending[..., -1] + 1) % 16
    assert not torch.allclose(_gap_logits(model, other_ending, ending)[:, 0], before[:, 0])
    for k in range(4):
        for frame in range(ending):
            changed = tokens.clone()
            changed[0, k, frame] = (changed[0, k, frame] + 1) % 16
            after = _gap_logits(model, changed, ending)
            torch.testing.assert_close(after[k, : frame + 1], before[k, : frame + 1])


def test_the_loss_of_a_gap_is_that_of_its_frames():
    model, tokens, ending = _model(), _tokens(12), 8
    losses = codebook_losses(model, LM, tokens, *_text(1), ending=ending)
    made = _gap_logits(model, tokens, ending)
    for k in range(4):
        wanted = torch.nn.functional.cross_entropy(made[k], tokens[0, k, :ending])
        torch.testing.assert_close(losses[k], wanted)


def test_crops_lie_within_their_piece_even_when_pieces_are_not_whole_frames(work_dir, tokenizer):
    pool = TokenPool(
        work_dir / "tokens", False, AutoTokenizer.from_pretrained(tokenizer), CODEC.hop
    )
    assert [p.index for p in pool.pieces] == [0, 1, 3]
    tokens = pool.batch(np.random.default_rng(0), 30, 40, 0.5).tokens
    assert set(tokens[:, 0].flatten().tolist()) == {0, 1, 3}
    assert all(len(row.unique()) == 1 for row in tokens[:, 0])


def test_a_crop_longer_than_every_piece_is_refused(work_dir, tokenizer):
    pool = TokenPool(
        work_dir / "tokens", False, AutoTokenizer.from_pretrained(tokenizer), CODEC.hop
    )
    with pytest.raises(ValueError, match="render longer ones"):
        pool.batch(np.random.default_rng(0), 1, 41, 1.0)


class Steps:
    """A clock by which every step takes an hour."""

    trainer = None

    def __call__(self) -> float:
        return 3600.0 * (self.trainer.step if self.trainer else 0)


def _trainer(work_dir, tokenizer, hours: int) -> Trainer:
    clock = Steps()
    trainer = Trainer(
        Source(work_dir, tokenizer), hours, lm=LM, kinds=KINDS, train=TRAIN, clock=clock
    )
    trainer.budget.started, clock.trainer = 3600.0 * trainer.step, trainer
    return trainer


def test_a_resumed_run_equals_an_uninterrupted_one(work_dir, tokenizer):
    whole = _trainer(work_dir, tokenizer, 12)
    whole.run()
    (work_dir / "lm.pt").unlink()
    begun = _trainer(work_dir, tokenizer, 12)
    for step in range(7):
        begun.train_step(step / 12)
    begun.save()
    resumed = _trainer(work_dir, tokenizer, 12)
    resumed.run()
    assert resumed.step == whole.step == 12
    for name, value in whole.weights.items():
        # products of matrices round otherwise where their memory is aligned otherwise
        torch.testing.assert_close(value, resumed.weights[name], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(whole.average[name], resumed.average[name], atol=1e-4, rtol=1e-3)


def test_muon_is_torchs_own_but_for_the_rounding():
    generator = torch.manual_seed(0)
    begun = [torch.randn(shape, generator=generator) for shape in ((6, 9), (12, 5), (6, 9))]
    ours, theirs = ([torch.nn.Parameter(w.clone()) for w in begun] for _ in range(2))
    optimizers = (
        Muon(ours, lr=0.1, weight_decay=0.05),
        torch.optim.Muon(theirs, lr=0.1, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b, start in zip(ours, theirs, begun, strict=True):
        assert (a - start).abs().max() > 0.1
        torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


def test_training_lowers_the_loss_of_filling_too(work_dir, tokenizer):
    scale = np.arange(160) + np.arange(4)[:, None]
    np.save(work_dir / "tokens" / "shard-0000.npy", (scale % 16).astype(np.int16))
    trainer = _trainer(work_dir, tokenizer, 30)
    before = trainer.validate(1)
    trainer.run()
    after = trainer.validate(1)
    assert after["val0"] < before["val0"] and after["fill"] < before["fill"]


def test_a_body_is_taken_and_a_layer_more_adds_nothing():
    source, tokens = _model(1), _tokens(9)
    deeper = _model(2, LmSettings(**{**asdict(LM), "layers": 3}))
    weights = trained_part(deeper)
    old = {name: p.detach() for name, p in trained_part(source).items()}
    left = take_body(weights, old)
    assert all("layers.2." in n or "embed_tokens" in n or "lm_heads" in n for n in left)
    same = torch.arange(16).repeat(4, 1)  # each code stands where it stood
    take_code_tables(weights, old, same, same)
    torch.testing.assert_close(
        logits(deeper, delayed(tokens, S), *_text(1)), logits(source, delayed(tokens, S), *_text(1))
    )


def test_who_starts_from_a_folder_with_the_same_codec_has_its_very_weights(work_dir, tokenizer):
    shutil.copytree(tokenizer, work_dir / "tokenizer")
    (work_dir / "tokenizer" / "special_tokens_map.json").write_text("{}")
    _trainer(work_dir, tokenizer, 1).save()
    model = assemble(work_dir)
    save_model(model, work_dir / "tokenizer", work_dir / "start")
    words = AutoTokenizer.from_pretrained(tokenizer)
    started = make_model(work_dir, LM, words, work_dir / "start", work_dir / "no-audio")
    wanted = trained_part(model.float())
    for name, value in trained_part(started).items():
        assert torch.equal(value, wanted[name]), name


def test_a_new_code_is_the_mean_of_the_old_ones_in_its_place():
    old = torch.tensor([[0.0], [2.0], [6.0]])
    made = mean_of_old(old, torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 1, 1]), 3)
    assert made.flatten().tolist() == [1.0, 6.0, 3.5]  # the last was never seen


def test_a_wrong_caption_differs_in_what_is_heard_and_the_same_codes_are_judged_under_both(
    work_dir, tokenizer
):
    rng = random.Random(0)
    facts = [f for f in map(facts_of, range(300)) if f.lead]
    pairs = [pair for pair in (told_apart(f, rng) for f in facts) if pair]
    assert len(pairs) > 250 and all(right != wrong for right, wrong in pairs)
    words = [{*re.findall(r"\w+", a)} ^ {*re.findall(r"\w+", b)} for a, b in pairs]
    assert sum({"major", "minor"} & some != set() for some in words) > len(pairs) / 4
    pool = TokenPool(
        work_dir / "tokens", False, AutoTokenizer.from_pretrained(tokenizer), CODEC.hop
    )
    batch = pool.pairs(np.random.default_rng(0), 6, 20)
    assert torch.equal(batch.tokens[:6], batch.tokens[6:])
    assert len(batch.text_ids) == 12


def test_what_tells_captions_apart_is_the_posterior_of_bayes():
    right, wrong = torch.rand(3, 4, 5), torch.rand(3, 4, 5)
    likely = torch.stack([-right.sum((1, 2)), -wrong.sum((1, 2))], dim=1)
    torch.testing.assert_close(posterior_nats(right, wrong), -likely.log_softmax(1)[:, 0].mean())


def test_both_captions_hear_the_same_noise(work_dir, tokenizer):
    trainer = _trainer(work_dir, tokenizer, 1)
    pairs = trainer.pool.pairs(np.random.default_rng(0), 8, 10)
    same = Batch(pairs.tokens, pairs.text_ids[:8].repeat(2, 1), pairs.text_mask[:8].repeat(2, 1))
    first, second = trainer._both(same, 0.5)
    assert torch.equal(first, second)
    assert not torch.equal(first, trainer._both(same, 0.5)[0])


def test_late_in_training_captions_are_told_apart(work_dir, tokenizer, monkeypatch):
    """Of a piece whose music is told by its mode: in rising codes major, falling ones minor."""
    lines = (work_dir / "tokens" / "shard-0000.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row, mode in zip(rows, ("major", "minor", "major", "minor"), strict=True):
        row["facts"] |= {"mode": mode}
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (work_dir / "tokens" / "shard-0000.jsonl").write_text(text)
    scale = np.concatenate([(1, -1)[i % 2] * np.arange(40) for i in range(4)])
    np.save(work_dir / "tokens" / "shard-0000.npy", (scale * np.ones((4, 1)) % 16).astype(np.int16))
    said = {"major": ("a", "b"), "minor": ("b", "a")}
    monkeypatch.setattr("token_pool.told_apart", lambda facts, _: said[facts.mode])
    trainer = _trainer(work_dir, tokenizer, 60)
    for p in trainer.weights.values():
        p.data.normal_(0, 0.2)  # words that are heard from the beginning
    pairs = trainer.pool.pairs(np.random.default_rng(0), 8, 10)
    before = posterior_nats(*trainer._both(pairs))
    for _ in range(200):
        trainer.train_step(trainer.settings.late)
    assert posterior_nats(*trainer._both(pairs)) < before / 2


def test_words_that_are_kept_stay_as_they_are(work_dir, tokenizer):
    kept = dataclasses.replace(TRAIN, keep_words=True)
    source = Source(work_dir, tokenizer)
    trainer = Trainer(source, 1, lm=LM, kinds=KINDS, train=kept, clock=Steps())
    before = {name: p.clone() for name, p in trainer.weights.items()}
    trainer.train_step(0.9)
    moved = {name for name, p in trainer.weights.items() if not torch.equal(p, before[name])}
    still = {n for n in before if n.startswith(("text_encoder.", "enc_to_dec_proj."))}
    assert still and moved == set(before) - still
    trainer.save()
    with pytest.raises(ValueError, match="begun with --keep-words: go on with it"):
        Trainer(source, 1, lm=LM, kinds=KINDS, train=TRAIN, clock=Steps())
