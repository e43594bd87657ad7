"""What is refused of audiocraft's files: by name, and before anything is run of it."""

import pytest
import torch
from audiocraft_layout import CODEC, STATE, codec_settings, exported, rewrite, text_with

from musicgraph.models.refused import Refused
from musicgraph.models.weights.checkpoint import open_checkpoint

pytest_plugins = ["audiocraft_fixtures"]
pytestmark = pytest.mark.usefixtures("bare_machine")


def magnet_with(**changes):
    def change(settings):
        settings["transformer_lm"]["causal"] = False
        settings.update(solver="magnet", lm_model="transformer_lm_magnet", **changes)

    return change


LM_CHANGES = {
    "a MAGNeT that looks back only": (
        lambda s: s.update(lm_model="transformer_lm_magnet", solver="magnet"),
        "causal: got true, expected False",
    ),
    "a MAGNeT whose codebooks lag": (magnet_with(), '"delay", expected .parallel'),
    "a MAGNeT of spans of nothing": (
        magnet_with(codebooks_pattern={"modeling": "parallel"}, masking={"span_len": 0}),
        "span_len: got 0",
    ),
    "a stereo MAGNeT": (
        magnet_with(
            codebooks_pattern={"modeling": "parallel"},
            masking={"span_len": 3},
            interleave_stereo_codebooks={"use": True},
        ),
        "interleave_stereo_codebooks.use: got true",
    ),
    "JASCO": (lambda s: s.update(solver="jasco"), "a JASCO model"),
    "unrolled": (lambda s: s["codebooks_pattern"].update(modeling="unroll"), '"unroll".*delay'),
    "parallel": (lambda s: s["codebooks_pattern"].update(modeling="parallel"), '"parallel"'),
    "delays fall": (
        lambda s: s["codebooks_pattern"]["delay"].update(delays=[0, 2, 1, 3]),
        "delays: got .*never fall",
    ),
    "too few delays": (
        lambda s: s["codebooks_pattern"]["delay"].update(delays=[0, 1]),
        "expected 4 numbers",
    ),
    "flattened": (lambda s: s["codebooks_pattern"]["delay"].update(flatten_first=2), "flatten"),
    "post-norm": (lambda s: s["transformer_lm"].update(norm_first=False), "norm_first: got false"),
    "biases": (lambda s: s["transformer_lm"].update(bias_ff=True), "bias_ff"),
    "rope": (lambda s: s["transformer_lm"].update(positional_embedding="rope"), '"rope"'),
    "a width of text": (lambda s: s["transformer_lm"].update(dim="wide"), "dim: got"),
    "no width": (lambda s: s["transformer_lm"].pop("dim"), "dim: got nothing"),
    "other width": (lambda s: s["transformer_lm"].update(dim=64), "does not fit xp.cfg"),
    "NaN seconds": (lambda s: s["dataset"].update(segment_duration=float("nan")), "segment_dur"),
    "a style in layers of its own": (
        lambda s: s["conditioners"].update(self_wav={"model": "style"}),
        "fuser: got .*cross",
    ),
    "chords": (
        lambda s: s["conditioners"].update(chords={"model": "chords_emb"}),
        "conditioners: got .*chords_emb",
    ),
    "no text": (lambda s: s["conditioners"].pop("description"), "a text that a T5 reads"),
    "a trained T5": (
        lambda s: s["conditioners"]["description"]["t5"].update(finetune=True),
        "finetune: got true",
    ),
    "summed": (lambda s: s["fuser"].update(cross=[], sum=["description"]), "fuser"),
    "another codec's rate": (
        lambda s: s.update(sample_rate=16000),
        "sample_rate: got 16000, expected 8000, the codec's",
    ),
    "a circle": (
        lambda s: s["transformer_lm"].update(dim="${transformer_lm.dim}"),
        "references without end",
    ),
    "stereo of steps": (
        lambda s: s["interleave_stereo_codebooks"].update(use=True, per_timestep=True),
        "per_timestep",
    ),
    "codebooks of another size": (lambda s: s["transformer_lm"].update(card=128), "codebook_size"),
}


@pytest.mark.parametrize("kind", LM_CHANGES)
def test_settings_that_cannot_be_followed_are_refused_by_name(folder, mono, kind):
    change, message = LM_CHANGES[kind]
    rewrite(folder, STATE, lambda c: text_with(change)(c, mono.upstream))
    with pytest.raises(Refused, match=message) as caught:
        open_checkpoint(folder)
    assert str(folder) in str(caught.value) and caught.value.remedy


CODEC_CHANGES = {
    "another kind": (lambda s: s.update(compression_model="dac"), "compression_model"),
    "renormalised": (lambda s: s["encodec"].update(renormalize=True), "renormalize"),
    "two channels": (lambda s: s.update(channels=2), "channels: got 2"),
    "group norm": (lambda s: s["seanet"].update(norm="time_group_norm"), "norm: got"),
    "tanh": (lambda s: s["seanet"]["decoder"].update(final_activation="Tanh"), "final_activation"),
    "a wider decoder": (lambda s: s["seanet"]["decoder"].update(n_filters=64), "n_filters"),
    "no LSTM": (lambda s: s["seanet"].update(lstm=0), "lstm: got 0"),
    "too few levels": (lambda s: s["rvq"].update(n_q=2), "at most 2 a channel"),
}


@pytest.mark.parametrize("kind", CODEC_CHANGES)
def test_a_codec_that_cannot_be_built_is_refused_by_name(folder, mono, kind):
    change, message = CODEC_CHANGES[kind]
    settings = codec_settings(mono.upstream.audio_encoder)
    change(settings)
    rewrite(folder, CODEC, lambda c: exported(c["best_state"], settings))
    with pytest.raises(Refused, match=message):
        open_checkpoint(folder)


YAML = {
    "no text": (3, "got int"),
    "no YAML": ("a: [1, 2", "not readable as YAML"),
    "a list": ("- 1\n- 2", r"got \[1, 2\]"),
    "an object": ("a: !!python/object/apply:os.system ['true']", "not readable as YAML"),
    "a bomb": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a repetition by reference",
    ),
    "too long": ("a: " + "x" * 2**17, "131075 characters"),
    "too deep": ("[" * 5000, "more than 32 levels"),
    "a number without end": ("a: " + "9" * 5000, "not readable as YAML|lm_model|transformer_lm"),
}


@pytest.mark.parametrize("kind", YAML)
def test_settings_that_are_no_plain_yaml_are_refused(folder, kind):
    text, message = YAML[kind]
    rewrite(folder, STATE, lambda c: c | {"xp.cfg": text})
    with pytest.raises(Refused, match=message):
        open_checkpoint(folder)


def missing(content):
    del content["best_state"]["transformer.layers.1.cross_attention.in_proj_weight"]


TENSORS = {
    "missing": (missing, "got no transformer.layers.1.cross_attention.in_proj_weight"),
    "of whole numbers": (
        lambda c: c["best_state"].update({"out_norm.bias": torch.zeros(32, dtype=torch.int64)}),
        r"got int64 \[32\]",
    ),
    "sparse": (
        lambda c: c["best_state"].update({"emb.0.weight": torch.zeros(65, 32).to_sparse()}),
        "does not fit|more than tensors|besides tensors",
    ),
    "a number": (lambda c: c["best_state"].update({"emb.0.weight": 3}), "which is no tensor"),
    "none": (lambda c: {"xp.cfg": c["xp.cfg"]}, "nothing under"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_are_not_those_of_the_model_are_refused(folder, kind):
    change, message = TENSORS[kind]
    rewrite(folder, STATE, change)
    with pytest.raises(Refused, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused_when_it_is_read(folder, bad):
    def spoil(content):
        content["best_state"]["transformer.layers.0.self_attn.in_proj_weight"][40, 3] = bad

    rewrite(folder, STATE, spoil)
    opened = open_checkpoint(folder)
    opened.tensor("lm.layers.0.q.weight")
    with pytest.raises(Refused, match="in_proj_weight: got weights that are NaN or infinite"):
        opened.tensor("lm.layers.0.k.weight")
