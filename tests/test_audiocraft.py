"""audiocraft's layout ≡ the Hugging Face layout of the same weights."""

import copy
import re

import pytest
import torch
from audiocraft_layout import (
    CODEC,
    STATE,
    codec_state,
    lm_state,
    rewrite,
    sound_of,
    text_with,
    write_audiocraft,
)

from musicgraph.models.parameters import all_shapes
from musicgraph.models.weights.checkpoint import load_lm, open_checkpoint

pytest_plugins = ["audiocraft_fixtures"]
pytestmark = pytest.mark.usefixtures("bare_machine")

SEGMENTS = {"mono": 30, "stereo": 30, "melody_mono": 4.2, "melody_stereo": 4.2}
"""The tiny melody models hear nine frames of chroma, which is so long."""


@pytest.mark.parametrize("kind", SEGMENTS)
def test_every_tensor_and_setting_is_that_of_its_hugging_face_twin(kind, request, tmp_path):
    twin = request.getfixturevalue(kind)
    write_audiocraft(tmp_path / kind, twin.upstream, segment_s=SEGMENTS[kind])
    opened = open_checkpoint(tmp_path / kind)
    expected = twin.checkpoint.config
    if "melody" in kind:  # its window is as long as its chroma
        assert opened.config.lm.window_frames == 210
        expected = copy.deepcopy(expected)
        object.__setattr__(expected.lm, "window_frames", 210)
    assert opened.config == expected
    for name, shape in all_shapes(opened.config).items():
        ours, theirs = opened.tensor(name), twin.checkpoint.tensor(name)
        assert tuple(ours.shape) == shape and ours.is_contiguous()
        assert torch.equal(ours, theirs), name
    assert opened.tokenizer().encode("a calm piano") == twin.text.tokenizer.encode("a calm piano")


@pytest.mark.parametrize("kind", SEGMENTS)
def test_the_music_is_that_of_its_hugging_face_twin_bit_for_bit(kind, request, tmp_path):
    twin = request.getfixturevalue(kind)
    write_audiocraft(tmp_path / "model", twin.upstream, segment_s=SEGMENTS[kind])
    made = sound_of(tmp_path / "model")
    assert made.shape[1] == twin.config.channels and made.abs().max() > 0
    assert torch.equal(made, sound_of(twin.folder))


def test_half_precision_stays_as_it_is_stored(mono, tmp_path):
    write_audiocraft(tmp_path, mono.upstream, dtype=torch.float16)
    opened = open_checkpoint(tmp_path)
    name = "lm.layers.1.k.weight"
    assert opened.tensor(name).dtype == torch.float16
    assert torch.equal(opened.tensor(name), mono.checkpoint.tensor(name).half())
    lm = load_lm(opened, torch.float32, torch.device("cpu"))
    assert torch.equal(
        lm.layers[1].qkv.weight.chunk(3)[1], mono.checkpoint.tensor(name).half().float()
    )


def test_a_file_is_mapped_anew_when_enough_of_it_was_read(folder, monkeypatch, mono):
    from musicgraph.models.weights import torch_archive

    monkeypatch.setattr(torch_archive, "MAPPED_BYTES", 1000)
    opened = open_checkpoint(folder)
    held = [opened.tensor(name) for name in ("lm.heads.0.weight", "lm.heads.1.weight")]
    assert opened.files["lm"].archive._mapped is None
    assert torch.equal(held[0], mono.checkpoint.tensor("lm.heads.0.weight"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (STATE, lambda c: c | {"best_state": {"model": c["best_state"]}}),
        (STATE, lambda c: {"xp.cfg": c["xp.cfg"], "model": c["best_state"]}),
        (CODEC, lambda c: c | {"best_state": {"model": c["best_state"]}}),
        (STATE, lambda c: c | {"best_state": {
            re.sub(r"self_attn\.(in_proj_weight|out_proj)", r"self_attn.mha.\1", name): one
            for name, one in c["best_state"].items()}}),
        (CODEC, lambda c: c | {"best_state": {
            name.replace("weight_g", "parametrizations.weight.original0").replace(
                "weight_v", "parametrizations.weight.original1"): one
            for name, one in c["best_state"].items()}}),
    ],
    ids=["solver", "Replicate", "codec of a solver", "plain attention", "newer weight norm"],
)  # fmt: skip
def test_fine_tunes_are_read_as_their_tools_write_them(folder, mono, name, change):
    rewrite(folder, name, change)
    opened = open_checkpoint(folder)
    for one in ("lm.layers.2.text_v.weight", "lm.layers.0.out.weight", "codec.decoder.0.weight"):
        assert torch.equal(opened.tensor(one), mono.checkpoint.tensor(one))


def test_text_is_projected_even_where_it_is_as_wide_as_the_model(tmp_path):
    """audiocraft always does; transformers leaves it out."""
    from tiny import write_tiny_checkpoint

    model = write_tiny_checkpoint(tmp_path / "twin", text_size=32)
    write_audiocraft(tmp_path / "model", model)
    before = "condition_provider.conditioners.description.output_proj"
    identity = {f"{before}.weight": torch.eye(32), f"{before}.bias": torch.zeros(32)}
    rewrite(tmp_path / "model", STATE, lambda c: c["best_state"].update(identity))
    assert torch.equal(sound_of(tmp_path / "model"), sound_of(tmp_path / "twin"))


def test_a_layer_without_weight_norm_is_taken_as_it_is(folder, mono):
    name = "encoder.model.0.conv.conv"

    def plain(content):
        state = content["best_state"]
        state[f"{name}.weight"] = mono.checkpoint.tensor("codec.encoder.0.weight")
        del state[f"{name}.weight_g"], state[f"{name}.weight_v"]

    rewrite(folder, CODEC, plain)
    ours = open_checkpoint(folder).tensor("codec.encoder.0.weight")
    assert torch.equal(ours, mono.checkpoint.tensor("codec.encoder.0.weight"))


def test_other_delays_are_those_that_are_used(folder, mono):
    change = text_with(lambda s: s["codebooks_pattern"]["delay"].update(delays=[0, 0, 2, 5]))
    rewrite(folder, STATE, lambda c: change(c, mono.upstream))
    lm = open_checkpoint(folder).config.lm
    assert (lm.delays, lm.max_delay) == ((0, 0, 2, 5), 5)
    made = sound_of(folder)
    assert made.shape == sound_of(mono.folder).shape
    assert not torch.equal(made, sound_of(mono.folder))


def test_the_pattern_of_the_first_releases_is_known_by_its_old_name(folder, mono):
    def old(settings):
        settings["codebooks_pattern"] = {"modeling": None}
        settings["transformer_lm"]["q_modeling"] = "delay"

    rewrite(folder, STATE, lambda c: text_with(old)(c, mono.upstream))
    assert open_checkpoint(folder).config == mono.checkpoint.config


def test_the_helpers_of_this_test_leave_no_tensor_out(mono):
    names = {name for name in mono.upstream.state_dict() if "embed_positions" not in name}
    lm = [n for n in names if not n.startswith(("text_encoder.", "audio_encoder."))]
    merged = sum(bool(re.search(r"\.[qkv]_proj\.", name)) for name in lm)
    assert len(lm_state(mono.upstream)) == len(lm) - merged + merged // 3
    codec = mono.upstream.audio_encoder
    assert len(codec_state(codec)) == len(codec.state_dict())
