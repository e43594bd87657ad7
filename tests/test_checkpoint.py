"""Reading checkpoints: every layout that transformers writes, and every way in which a folder can be wrong."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_checkpoint

from musicgraph.models import checkpoint
from musicgraph.models.checkpoint import lm_sources, load_lm, open_checkpoint
from musicgraph.models.refused import Refused

CPU = torch.device("cpu")


@pytest.fixture
def broken(mono, tmp_path):
    """A copy of a good checkpoint, to be broken."""
    return shutil.copytree(mono.folder, tmp_path / "checkpoint")


def edit_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def same_weights(a, b):
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


def test_every_tensor_of_the_lm_is_used_exactly_once(tiny):
    sources = [name for names in lm_sources(tiny.config).values() for name in names]
    on_disk = [
        name for name in tiny.checkpoint.files if name.startswith(("decoder.", "enc_to_dec_proj."))
    ]
    assert sorted(sources) == sorted(on_disk)
    assert set(lm_sources(tiny.config)) == set(tiny.lm.state_dict())


def test_shapes_and_rates_are_read_from_the_configuration(tiny):
    channels = tiny.upstream.config.decoder.audio_channels
    assert (tiny.config.num_codebooks, tiny.config.channels) == (4 * channels, channels)
    assert (tiny.config.frame_rate, tiny.config.sample_rate, tiny.config.window_frames) == (
        50.0,
        8000,
        1500,
    )
    assert tiny.config.delays == ((0, 1, 2, 3) if channels == 1 else (0, 0, 1, 1, 2, 2, 3, 3))


def test_shards_load_like_one_file(mono, tmp_path):
    write_tiny_checkpoint(tmp_path, max_shard_size="300KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    sharded = open_checkpoint(tmp_path)
    assert same_weights(load_lm(sharded, torch.float32, CPU), mono.lm)
    assert same_weights(checkpoint.load_codec(sharded), mono.codec)


def test_half_precision_files_load_in_any_precision(mono, tmp_path):
    write_tiny_checkpoint(tmp_path, dtype=torch.float16)
    half = open_checkpoint(tmp_path)
    for dtype in checkpoint.DTYPES.values():
        lm = load_lm(half, dtype, CPU)
        assert {parameter.dtype for parameter in lm.parameters()} == {dtype}
        torch.testing.assert_close(
            lm.heads.weight.float(), mono.lm.heads.weight, atol=0.02, rtol=0.02
        )
    assert checkpoint.load_codec(half).decoder.layers[0].conv.weight.dtype == torch.float32


def test_text_states_as_wide_as_the_lm_need_no_projection(tmp_path):
    write_tiny_checkpoint(tmp_path, text_size=32)
    lm = load_lm(open_checkpoint(tmp_path), torch.float32, CPU)
    assert isinstance(lm.text_projection, torch.nn.Identity)


def test_the_window_comes_from_the_generation_config(broken):
    (broken / "generation_config.json").write_text(json.dumps({"max_length": 500}))
    assert open_checkpoint(broken).lm.window_frames == 500


def remove_tensor(folder, name):
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


BREAKAGES = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "got no config.json"),
    "configuration is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        "not readable as JSON",
    ),
    "configuration is a list": (lambda f: (f / "config.json").write_text("[]"), "got a JSON list"),
    "a BERT": (
        lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
        "got a model of type 'bert'",
    ),
    "a melody model": (
        lambda f: edit_config(f, lambda c: c.update(model_type="musicgen_melody")),
        "musicgen_melody",
    ),
    "no decoder": (lambda f: edit_config(f, lambda c: c.pop("decoder")), "'decoder' is missing"),
    "another activation": (
        lambda f: edit_config(f, lambda c: c["decoder"].update(activation_function="relu")),
        "activation_function='relu'",
    ),
    "decoder is a list": (lambda f: edit_config(f, lambda c: c.update(decoder=[])), "wrong type"),
    "a number as text": (
        lambda f: edit_config(f, lambda c: c["decoder"].update(num_hidden_layers="3")),
        "num_layers '3'",
    ),
    "a stride of zero": (
        lambda f: edit_config(f, lambda c: c["audio_encoder"].update(upsampling_ratios=[8, 0])),
        "config.json",
    ),
    "heads that do not divide": (
        lambda f: edit_config(f, lambda c: c["decoder"].update(num_attention_heads=5)),
        "32 for 5 heads",
    ),
    "a window in words": (
        lambda f: (f / "generation_config.json").write_text('{"max_length": "x"}'),
        "max_length 'x'",
    ),
    "an index that is a list": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": [1]}'),
        "weight_map",
    ),
    "shards outside the folder": (
        lambda f: (f / "model.safetensors.index.json").write_text(
            '{"weight_map": {"x": "../../etc/passwd"}}'
        ),
        "weight_map",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "got no model.safetensors"),
    "truncated weights": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:5000]
        ),
        "cut short",
    ),
    "a missing tensor": (
        lambda f: remove_tensor(f, "decoder.lm_heads.2.weight"),
        "first is decoder.lm_heads.2.weight",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_folder_that_is_not_a_checkpoint_is_refused_with_the_reason(broken, breakage):
    change, message = BREAKAGES[breakage]
    change(broken)
    with pytest.raises(Refused, match=message) as caught:
        open_checkpoint(broken)
    assert str(broken) in str(caught.value)


def test_weights_that_contradict_the_configuration_are_refused(broken):
    edit_config(broken, lambda c: c["decoder"].update(ffn_dim=128))
    with pytest.raises(Refused, match="does not fit"):
        load_lm(open_checkpoint(broken), torch.float32, CPU)


@pytest.mark.parametrize(
    ("tensor", "load"),
    [
        (
            "text_encoder.encoder.block.1.layer.0.SelfAttention.q.weight",
            checkpoint.load_text_encoder,
        ),
        ("audio_encoder.quantizer.layers.0.codebook.embed", checkpoint.load_codec),
    ],
)
def test_a_part_with_a_missing_tensor_is_refused_rather_than_made_up(broken, tensor, load):
    remove_tensor(broken, tensor)
    with pytest.raises(Refused, match="missing"):
        load(open_checkpoint(broken))


def test_a_checkpoint_without_tokenizer_is_refused(broken):
    for path in broken.glob("*token*"):
        path.unlink()
    with pytest.raises(Refused, match="tokenizer"):
        checkpoint.load_text_encoder(open_checkpoint(broken))


def test_a_codec_of_another_shape_is_refused(broken):
    edit_config(broken, lambda c: c["audio_encoder"].update(num_filters=8))
    with pytest.raises(Refused, match="audio_encoder"):
        checkpoint.load_codec(open_checkpoint(broken))
