"""The codec's recipe: one stage more around trained layers, its file, runs that can be stopped."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import EncodecModel
from upstream import our_codec

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import evaluate_codec  # noqa: E402
from codec import (  # noqa: E402
    CODEC_FILE,
    CodecSettings,
    TrainingCodec,
    codec_config,
    load_codec,
    save_codec,
    to_transformers,
)
from common import AudioPool  # noqa: E402
from encode_audio import encode_all  # noqa: E402
from extend_codec import extend, outer_stage, read_codec  # noqa: E402
from train_codec import Trainer, TrainSettings, start_codec  # noqa: E402

INNER = CodecSettings(16_000, (2, 5), num_filters=8, hidden_size=8, codebooks=2, codebook_size=16)
OUTER = replace(INNER, sample_rate=32_000, upsampling_ratios=(2, 5, 2), num_filters=4)
TRAIN = TrainSettings(batch=2, detail_batch=2, crop_s=0.2, warmup_steps=1)


def _codec(settings: CodecSettings, seed: int = 0) -> TrainingCodec:
    torch.manual_seed(seed)
    codec = TrainingCodec(settings)
    codec.quantizer.set_codebooks(torch.randn(codec.quantizer.codebooks.shape))
    return codec.eval()


@pytest.fixture
def work_dir(tmp_path):
    """Two rendered pieces of a second, one of them for validation."""
    audio = np.random.default_rng(0).normal(0, 3000, 2 * 96_000).astype(np.int16)
    (tmp_path / "audio").mkdir()
    np.save(tmp_path / "audio" / "shard-0000.npy", audio)
    lines = [
        {
            "index": i,
            "offset": i * 96_000,
            "samples": 96_000,
            "bar_frames": 4,
            "validation": i == 0,
            "facts": {},
        }
        for i in range(2)
    ]
    text = "".join(json.dumps({**line, "new_key": 1}) + "\n" for line in lines)
    (tmp_path / "audio" / "shard-0000.jsonl").write_text(text)
    return tmp_path


@pytest.fixture
def started(work_dir):
    save_codec(_codec(OUTER), work_dir / CODEC_FILE, {"frozen": "False"})
    return work_dir


class Steps:
    """A clock by which every step takes an hour."""

    def __init__(self, trainer: Trainer | None = None) -> None:
        self.trainer = trainer

    def __call__(self) -> float:
        return 3600.0 * (self.trainer.step if self.trainer else 0)


def _train(work_dir: Path, hours: int, detail_hours: int) -> Trainer:
    clock = Steps()
    trainer = Trainer(work_dir, hours, detail_hours, train=TRAIN, clock=clock)
    trainer.budget.started, clock.trainer = 3600.0 * trainer.step, trainer
    trainer.run()
    return trainer


def test_extension_keeps_every_inner_weight_and_the_length_of_a_frame():
    inner = _codec(INNER)
    outer = extend(inner, OUTER).eval()
    assert outer.settings.hop == 2 * inner.settings.hop
    inner_layers = [*inner.encoder.layers[1:], *inner.decoder.layers[:-2]]
    known = {
        value.numpy().tobytes() for layer in inner_layers for value in layer.state_dict().values()
    }
    random = {id(p) for layer in outer_stage(outer) for p in layer.parameters()}
    kept = [
        p
        for half in (outer.encoder, outer.decoder)
        for p in half.parameters()
        if id(p) not in random
    ]
    assert len(kept) == sum(len(list(layer.parameters())) for layer in inner_layers)
    assert all(p.detach().numpy().tobytes() in known for p in kept)


def test_an_extended_codec_makes_as_many_frames_and_samples_as_it_should():
    outer = extend(_codec(INNER), OUTER).eval()
    audio = torch.randn(1, 1, 12 * OUTER.hop)
    assert outer.encoder(audio).shape == (1, OUTER.hidden_size, 12)
    assert outer(audio)[0].shape == audio.shape


def test_what_is_not_one_stage_more_is_refused():
    with pytest.raises(ValueError, match="one more stage"):
        extend(_codec(INNER), replace(OUTER, num_filters=8))


def test_transformers_and_the_product_make_the_same_of_the_extended_layout():
    codec = extend(_codec(INNER), OUTER).eval()
    codec.quantizer.set_codebooks(torch.randn(codec.quantizer.codebooks.shape))
    model = EncodecModel(codec_config(OUTER)).eval()
    model.load_state_dict(to_transformers(codec).state_dict())
    audio = torch.randn(1, 1, 20 * OUTER.hop)
    codes = codec.encode(audio)
    assert torch.equal(model.encode(audio).audio_codes[0], codes)
    with torch.no_grad():
        ours, theirs = codec(audio)[0], model.decode(codes[None], [None]).audio_values
    torch.testing.assert_close(ours, theirs[..., : ours.shape[-1]], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(our_codec(model).decode(codes, 1), ours, atol=1e-5, rtol=1e-4)


def test_the_shipped_shape_is_pockets_with_one_stage_more():
    extended, inner = CodecSettings(), CodecSettings(16_000, (2, 4, 5, 8), num_filters=16)
    with torch.device("meta"):
        shapes = {tuple(p.shape) for p in TrainingCodec(extended).encoder.layers[4:].parameters()}
        assert shapes == {
            tuple(p.shape) for p in TrainingCodec(inner).encoder.layers[1:].parameters()
        }
    assert extended.hop / extended.sample_rate == inner.hop / inner.sample_rate == 0.02


def test_the_codec_of_a_sharded_folder_is_read(tmp_path):
    codec = _codec(INNER)
    model = to_transformers(codec)
    (tmp_path / "config.json").write_text(json.dumps({"audio_encoder": model.config.to_dict()}))
    names = sorted(model.state_dict())
    from safetensors.torch import save_file

    for part in (0, 1):
        some = {f"audio_encoder.{n}": model.state_dict()[n].contiguous() for n in names[part::2]}
        save_file(some, tmp_path / f"model-0000{part + 1}-of-00002.safetensors")
    audio = torch.randn(1, 1, 20 * INNER.hop)
    read = read_codec(tmp_path).eval()
    assert read.settings == INNER
    assert torch.equal(read.encode(audio), codec.encode(audio))


def test_a_file_holds_the_codec_in_half_precision(tmp_path):
    codec = _codec(OUTER)
    for p in codec.parameters():
        p.data = p.data.half().float()
    codec.quantizer.set_codebooks(codec.quantizer.codebooks.half().float())
    save_codec(codec, tmp_path / CODEC_FILE, {"frozen": "True"})
    read, audio = load_codec(tmp_path / CODEC_FILE), torch.randn(1, 1, 20 * OUTER.hop)
    assert torch.equal(read.encode(audio), codec.encode(audio))
    assert torch.equal(read(audio)[0], codec(audio)[0])


def test_a_resumed_run_equals_an_uninterrupted_one(started, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for path in started.rglob("*.*"):
        target = other / path.relative_to(started)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    whole = _train(started, 3, 3)
    trainer = Trainer(other, 3, 3, train=TRAIN, clock=(clock := Steps()))
    clock.trainer = trainer
    for _ in range(2):
        trainer.train_step()
    trainer.save()
    resumed = _train(other, 3, 3)
    assert resumed.step == whole.step == 6
    for name, value in whole.codec.state_dict().items():
        assert torch.equal(value, resumed.codec.state_dict()[name]), name


def test_encoder_and_codebooks_stay_in_the_detail_stage(started):
    trainer = _train(started, 1, 0)
    audio = trainer.pool.crops(np.random.default_rng(0), 1, 40 * OUTER.hop)
    before, decoder = trainer.codec.encode(audio), trainer._decoder_weights()
    trainer = _train(started, 1, 2)
    assert torch.equal(trainer.codec.encode(audio), before)
    assert torch.equal(load_codec(started / CODEC_FILE).encode(audio), before)
    assert any(
        not torch.equal(value, decoder[name]) for name, value in trainer._decoder_weights().items()
    )


def test_who_gives_a_final_body_more_hours_is_told_and_detail_goes_on(started, capsys):
    _train(started, 1, 0)
    _train(started, 1, 1)
    assert "final" not in capsys.readouterr().out
    trainer = _train(started, 3, 2)
    assert "the codec's body is final after 1 h: 3 h change nothing" in capsys.readouterr().out
    assert trainer.frozen and trainer.step == 3


def test_pieces_are_encoded_only_when_the_encoder_is_final(started):
    with pytest.raises(ValueError, match="still changes"):
        encode_all(started, started / "audio", "cpu", 1, again=False)


def test_pools_hold_what_belongs_to_their_split(work_dir):
    assert [
        p.index for validation in (False, True) for p in AudioPool(work_dir, validation).pieces
    ] == [1, 0]


def test_a_codec_that_keeps_everything_measures_perfect():
    tone = np.sin(np.arange(64_000) * 0.05).astype(np.float32) * 0.3
    perfect = evaluate_codec.figures(tone, tone)
    assert perfect["mel_0_8k_db"] == perfect["mel_8_16k_db"] == perfect["hiss_db"] == 0
    assert perfect["si_sdr_db"] > 60
    noisy = tone + np.random.default_rng(0).normal(0, 0.01, len(tone)).astype(np.float32)
    assert evaluate_codec.figures(noisy, tone)["hiss_db"] > 10
    assert evaluate_codec.figures(evaluate_codec.lower_half(noisy), noisy)["mel_8_16k_db"] > 5


def test_the_body_of_a_final_codec_can_be_trained_further(tmp_path):
    save_codec(_codec(OUTER), tmp_path / "final.safetensors", {"frozen": "True"})
    codec, schedule, done = start_codec(tmp_path, tmp_path / "final.safetensors", OUTER)
    assert not done and schedule.outer_until == 0 and codec.quantizer.ready
    save_codec(codec, tmp_path / CODEC_FILE, {"frozen": "True"})
    assert start_codec(tmp_path, None, OUTER)[2]


def test_the_codec_of_a_folder_of_the_same_shape_is_final(tmp_path):
    config = {"audio_encoder": codec_config(OUTER).to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = to_transformers(_codec(OUTER)).state_dict()
    save_file({f"audio_encoder.{n}": w for n, w in weights.items()}, tmp_path / "a.safetensors")
    assert start_codec(tmp_path, tmp_path, OUTER)[2]
