"""Reading checkpoints: every layout that transformers writes, and every way in which a folder can
be wrong.
"""

import copy
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors.torch import load_file, save_file
from tiny import write_tiny_checkpoint

from musicgraph.models import parameters
from musicgraph.models.config import LongForm
from musicgraph.models.lm import tensors_of
from musicgraph.models.precision import DTYPES
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.checkpoint import load_lm, open_checkpoint
from musicgraph.models.weights.checkpoint_config import SECTIONS, read_config
from musicgraph.models.weights.contract import fingerprint
from musicgraph.models.weights.places import POCKET_FOLDER

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


UNUSED = (
    "codebook.inited",
    "codebook.cluster_size",
    "codebook.embed_avg",
    "embed_positions.weights",
)
"""What upstream keeps for training, or makes by itself; and codebooks that the LM does not use."""


def test_every_tensor_of_the_files_is_used_exactly_once(tiny):
    used = [source for sources in tiny.checkpoint.files.sources.values() for source in sources]
    levels = range(tiny.checkpoint.config.codec.num_codebooks, 64)
    spare = tuple(f"quantizer.layers.{level}.codebook.embed" for level in levels)
    on_disk = [name for name in tiny.checkpoint.files.stored if not name.endswith(UNUSED + spare)]
    assert sorted(used) == sorted(on_disk)


def test_every_parameter_of_a_network_has_a_tensor_of_its_shape(tiny):
    text, codec = tiny.checkpoint.config.text, tiny.checkpoint.config.codec
    for module, shapes in (
        (tiny.text.t5, parameters.text_shapes(text)),
        (tiny.codec, parameters.codec_shapes(codec)),
    ):
        assert {name: tuple(one.shape) for name, one in module.state_dict().items()} == shapes
    shapes, used = parameters.lm_shapes(tiny.config), []
    for name, parameter in tiny.lm.state_dict().items():
        names = tensors_of(name, tiny.config.num_codebooks)
        used += names
        rows = sum(shapes[one][0] for one in names)
        assert {(rows, *shapes[one][1:]) for one in names} == {tuple(parameter.shape)}
    assert sorted(used) == sorted(shapes)


def mapped_file(address):
    """What lies at an address of this process, as Linux tells it."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= address < end:
            return line.split(maxsplit=5)[-1]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells what is mapped")
def test_a_tensor_lies_where_its_file_is_mapped(mono):
    for name in ("lm.layers.0.q.weight", "lm.heads.3.weight", "text.embedding.weight"):
        tensor = mono.checkpoint.tensor(name)  # the mapping lives as long as it does
        assert mapped_file(tensor.data_ptr()) == str(mono.folder / "model.safetensors")


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
    for dtype in DTYPES.values():
        lm = load_lm(half, dtype, CPU)
        assert {parameter.dtype for parameter in lm.parameters()} == {dtype}
        torch.testing.assert_close(
            lm.heads.weight.float(), mono.lm.heads.weight, atol=0.02, rtol=0.02
        )
    assert checkpoint.load_codec(half).decoder[0].weight.dtype == torch.float32


def test_text_states_as_wide_as_the_lm_need_no_projection(tmp_path):
    write_tiny_checkpoint(tmp_path, text_size=32)
    lm = load_lm(open_checkpoint(tmp_path), torch.float32, CPU)
    assert isinstance(lm.text_projection, torch.nn.Identity)


def test_max_length_is_no_window(broken):
    """It is how much one call of transformers' `generate` makes."""
    (broken / "generation_config.json").write_text(json.dumps({"max_length": 400}))
    assert open_checkpoint(broken).config.lm.window_frames == 1500


@pytest.mark.parametrize(("positions", "frames"), [(2048, 1500), (512, 509), (10**5, 1500)])
def test_a_window_has_no_more_steps_than_the_model_has_positions(broken, positions, frames):
    """2048 is what the official files say of models that were trained on 1500 frames."""
    edit_config(broken, lambda c: c["decoder"].update(max_position_embeddings=positions))
    assert open_checkpoint(broken).config.lm.window_frames == frames


def test_a_long_form_is_read_from_the_decoders_configuration(broken):
    edit_config(broken, lambda c: c["decoder"].update(long_form_frames=[500, 75, 125]))
    assert open_checkpoint(broken).config.lm.long_form == LongForm(500, 75, 125)


@pytest.mark.parametrize(
    "frames", [[500, 75], [1501, 75, 125], [500, 3, 125], [500, 1400, 101], [500, 75, 0], 500]
)
def test_a_long_form_that_no_window_holds_is_refused(broken, frames):
    edit_config(broken, lambda c: c["decoder"].update(long_form_frames=frames))
    with pytest.raises(Refused, match="decoder.long_form_frames"):
        open_checkpoint(broken)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_configuration_is_read_in_any_encoding_that_editors_write(mono, broken, encoding):
    path = broken / "config.json"
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    assert open_checkpoint(broken).config == mono.checkpoint.config


def test_official_names_of_weight_norm_are_read(mono, broken):
    tensors = load_file(broken / "model.safetensors")
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        ending = f"parametrizations.weight.{new}"
        for name in [name for name in tensors if name.endswith(ending)]:
            tensors[name.removesuffix(ending) + old] = tensors.pop(name)
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    assert same_weights(checkpoint.load_codec(open_checkpoint(broken)), mono.codec)


def remove_tensor(folder, name):
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit_tensor(folder, name, change):
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = change(tensors[name])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def set_in(section, **values):
    return lambda f: edit_config(f, lambda c: c[section].update(values))


def write_index(text):
    return lambda f: (f / "model.safetensors.index.json").write_text(text)


HEAD = "decoder.lm_heads.2.weight"
BREAKAGES = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "got no config.json"),
    "configuration is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        "not readable as JSON",
    ),
    "a number of 5000 digits": (
        lambda f: (f / "config.json").write_text('{"model_type": ' + "9" * 5000 + "}"),
        "not readable as JSON",
    ),
    "configuration is a list": (lambda f: (f / "config.json").write_text("[]"), "got a JSON list"),
    "a BERT": (
        lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
        'got a model of type "bert"',
    ),
    "weights that hear no melody": (
        lambda f: edit_config(f, lambda c: c.update(model_type="musicgen_melody")),
        "got no audio_enc_to_dec_proj.weight and 1 more",
    ),
    "a melody of no pitch classes": (
        lambda f: edit_config(f, lambda c: c.update(model_type="musicgen_melody", num_chroma=0)),
        "num_chroma: got 0",
    ),
    "a melody as wide as the model": (
        lambda f: edit_config(f, lambda c: c.update(model_type="musicgen_melody", num_chroma=32)),
        "num_chroma: got 32, expected another number than decoder.hidden_size",
    ),
    "no decoder": (lambda f: edit_config(f, lambda c: c.pop("decoder")), "decoder: got nothing"),
    "decoder is a list": (
        lambda f: edit_config(f, lambda c: c.update(decoder=[])),
        "decoder: got a JSON list",
    ),
    "another activation": (
        set_in("decoder", activation_function="relu"),
        'activation_function: got "relu"',
    ),
    "a number as text": (
        set_in("decoder", num_hidden_layers="3"),
        'num_hidden_layers: got "3", expected a whole number from 1 to 256',
    ),
    "a million layers": (set_in("decoder", num_hidden_layers=10**6), "got 1000000"),
    "a million layers of text": (set_in("text_encoder", num_layers=10**6), "got 1000000"),
    "a gigahertz": (set_in("audio_encoder", sampling_rate=10**9), "got 1000000000"),
    "true is no number": (set_in("decoder", num_hidden_layers=True), "got true"),
    "NaN": (set_in("text_encoder", layer_norm_epsilon=float("nan")), "got NaN"),
    "a stride of zero": (
        set_in("audio_encoder", upsampling_ratios=[8, 0]),
        "upsampling_ratios: got \\[8, 0\\]",
    ),
    "as many strides as one likes": (
        set_in("audio_encoder", upsampling_ratios=[2] * 10**5),
        "expected 1 to 8 numbers",
    ),
    "compressed to nothing": (set_in("audio_encoder", compress=0), "compress: got 0"),
    "compressed more than there is": (set_in("audio_encoder", compress=5), "compress: got 5"),
    "a dilation beyond every sound": (
        set_in("audio_encoder", num_residual_layers=16, dilation_growth_rate=16),
        "reach of a residual layer",
    ),
    "no codebook fits the bandwidth": (
        set_in("audio_encoder", target_bandwidths=[0.01]),
        "codebooks by target_bandwidths",
    ),
    "more codebooks than the codec has": (
        set_in("audio_encoder", target_bandwidths=[0.6]),
        "num_codebooks: got 4, expected at most 2 a channel",
    ),
    "a codec of another vocabulary": (
        set_in("audio_encoder", codebook_size=32, target_bandwidths=[2.4]),
        "vocab_size: got 64",
    ),
    "distances without buckets": (
        set_in("text_encoder", relative_attention_max_distance=8),
        "expected more than 8",
    ),
    "heads that do not divide": (
        set_in("decoder", num_attention_heads=5),
        "32, expected a multiple of 5 heads",
    ),
    "an odd width": (set_in("decoder", hidden_size=33, num_attention_heads=1), "an even number"),
    "no room for a window": (
        set_in("decoder", num_codebooks=16, max_position_embeddings=16),
        "got 16, expected at",
    ),
    "an index that is a list": (write_index('{"weight_map": [1]}'), "weight_map"),
    "an empty index": (write_index('{"weight_map": {}}'), "weight_map"),
    "shards outside the folder": (
        write_index('{"weight_map": {"x": "../../etc/passwd"}}'),
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
        lambda f: remove_tensor(f, HEAD),
        f"got no {HEAD}",
    ),
    "a tensor of another shape": (
        lambda f: edit_tensor(f, HEAD, lambda t: t[:, 1:].contiguous()),
        f"{HEAD} does not fit config.json: got F32 .64, 31.",
    ),
    "a tensor of whole numbers": (
        lambda f: edit_tensor(f, HEAD, lambda t: t.to(torch.int8)),
        "got I8",
    ),
    "weights that contradict the configuration": (set_in("decoder", ffn_dim=128), "does not fit"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_folder_that_is_not_a_checkpoint_is_refused_with_the_reason(broken, breakage):
    change, message = BREAKAGES[breakage]
    change(broken)
    with pytest.raises(Refused, match=message) as caught:
        open_checkpoint(broken)
    assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


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
    with pytest.raises(Refused, match=f"got no {tensor}"):
        load(open_checkpoint(broken))


def test_a_codec_of_another_shape_is_refused(broken):
    set_in("audio_encoder", num_filters=8)(broken)
    with pytest.raises(Refused, match="audio_encoder.*does not fit"):
        checkpoint.load_codec(open_checkpoint(broken))


PARTS = {
    "decoder.model.decoder.layers.1.fc1.weight": lambda c: load_lm(c, torch.float32, CPU),
    "text_encoder.shared.weight": checkpoint.load_text_encoder,
    "audio_encoder.quantizer.layers.0.codebook.embed": checkpoint.load_codec,
}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", PARTS)
def test_a_weight_that_is_no_number_is_refused_by_name(broken, name, value):
    def spoil(tensor):
        tensor.view(-1)[-1] = value
        return tensor

    edit_tensor(broken, name, spoil)
    with pytest.raises(Refused, match=f"{name}: got weights that are NaN or infinite"):
        PARTS[name](open_checkpoint(broken))


def test_a_direction_of_zero_length_is_refused(broken):
    name = "audio_encoder.decoder.layers.0.conv.parametrizations.weight.original1"
    edit_tensor(broken, name, lambda t: t * 0)
    with pytest.raises(Refused, match=f"{name}: got weights that are NaN"):
        checkpoint.load_codec(open_checkpoint(broken))


def test_a_weight_too_large_for_half_precision_is_refused_with_the_precisions_that_hold_it(broken):
    name = "decoder.model.decoder.layers.1.fc2.weight"
    edit_tensor(broken, name, lambda t: t * 0 + 70_000.0)
    opened = open_checkpoint(broken)
    with pytest.raises(Refused, match="70000, expected at most 65504.*choose precision bf16"):
        load_lm(opened, torch.float16, CPU)
    for fine in (torch.bfloat16, torch.float32):
        assert load_lm(opened, fine, CPU).layers[1].fc2.weight.isfinite().all()


def test_a_file_replaced_between_opening_and_reading_is_refused(broken):
    opened = open_checkpoint(broken)
    edit_tensor(broken, HEAD, lambda t: t + 1)
    with pytest.raises(Refused, match="another file than a moment ago"):
        opened.tensor("lm.heads.2.weight")
    (broken / "model.safetensors").unlink()
    with pytest.raises(Refused, match="another file than a moment ago"):
        opened.tensor("lm.heads.2.weight")


def test_an_upsampling_convolution_of_another_kernel_than_two_strides_is_refused(broken):
    name = "audio_encoder.decoder.layers.3.conv.parametrizations.weight.original1"
    edit_tensor(broken, name, lambda t: torch.cat([t, t[:, :, :1]], dim=2))
    with pytest.raises(Refused, match=f"{name} does not fit config.json"):
        open_checkpoint(broken)


def test_a_fingerprint_follows_every_change_of_the_files(broken):
    seen = {fingerprint(broken)}

    def changed():
        now = fingerprint(broken)
        assert now == fingerprint(broken), "and nothing else"
        fresh = now not in seen
        seen.add(now)
        return fresh

    weights = broken / "model.safetensors"
    assert not changed()
    os.utime(weights, ns=(1, 1))
    assert changed(), "written to"
    shutil.copy2(weights, broken / "copy")
    (broken / "copy").replace(weights)
    assert changed(), "replaced by a file of the same size and time"
    weights.rename(broken / "model-1.safetensors")
    assert changed(), "renamed"
    (broken / "dangling").symlink_to(broken / "nowhere")
    assert not changed(), "a link to nowhere holds nothing"


CONFIG = json.loads((POCKET_FOLDER / "config.json").read_text())
PLACES = [(s, key) for s in SECTIONS for key in CONFIG[s]] + [(s, None) for s in CONFIG]
ODD = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.floats(),
    some.text(max_size=9),
    some.lists(some.integers(-3, 99), max_size=12),
    some.dictionaries(some.text(max_size=3), some.integers(), max_size=2),
)


@given(some.lists(some.tuples(some.sampled_from(PLACES), ODD), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_a_configuration_of_any_content_is_read_within_bounds_or_refused(changes):
    config = copy.deepcopy(CONFIG)
    for (section, key), value in changes:
        if key is None:
            config[section] = value
        elif isinstance(config.get(section), dict):
            config[section][key] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config))
        try:
            read = read_config(path)
        except Refused as refusal:
            assert refusal.expected and refusal.remedy and len(str(refusal)) < 600
        else:
            assert read.lm.num_layers <= 256 and read.lm.hidden_size % read.lm.num_heads == 0
            assert read.lm.window_frames > 2 * read.lm.max_delay


@pytest.mark.parametrize("depth", [3, 99, 900])
def test_values_nested_in_each_other_are_refused_as_others_are(tmp_path, depth):
    write_tiny_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    text = json.dumps({**config, "model_type": 0}).replace(
        '"model_type": 0', f'"model_type": {"[" * depth}{"]" * depth}', 1
    )
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Refused, match="model_type|a model of type|nested|levels"):
        open_checkpoint(tmp_path)
