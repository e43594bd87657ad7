"""audiocraft's layout ≡ the Hugging Face layout of the same weights, and what is refused of it."""

import copy
import re
import shutil

import pytest
import torch
from audiocraft_layout import (
    codec_settings,
    codec_state,
    exported,
    lm_settings,
    lm_state,
    write_audiocraft,
    write_text_encoder,
)

from musicgraph.app.studio.music import make_music
from musicgraph.models.config import MUSIC, SOUND
from musicgraph.models.parameters import all_shapes
from musicgraph.models.refused import Refused
from musicgraph.models.weights import parts, places
from musicgraph.models.weights.checkpoint import load_lm, open_checkpoint
from musicgraph.models.weights.kinds import ModelKind, kind_of
from musicgraph.nodes import host
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

STATE, CODEC = "state_dict.bin", "compression_state_dict.bin"
SEGMENTS = {"mono": 30, "stereo": 30, "melody_mono": 4.2, "melody_stereo": 4.2}
"""The tiny melody models hear nine frames of chroma, which is so long."""


def no_network(*_, **__):
    pytest.fail("asked the hub")


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(parts, "download", no_network)
    monkeypatch.setattr(places, "download", no_network)


@pytest.fixture(scope="module")
def whole(mono, tmp_path_factory):
    """A folder to copy from."""
    folder = tmp_path_factory.mktemp("audiocraft") / "whole"
    write_audiocraft(folder, mono.upstream)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "models" / "mine")


def rewrite(folder, name, change):
    """The same archive after `change(content)`."""
    content = torch.load(folder / name, weights_only=True)
    torch.save(change(content) or content, folder / name)


# ---------------------------------------------------------------- the same model


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


def sound_of(folder):
    request = Request("a calm piano", model=str(folder), duration_s=0.5, seed=3, top_k=50)
    return make_music(Runner(), request).waveform


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


# ---------------------------------------------------------------- where its parts lie


@pytest.mark.parametrize(
    "place",
    ["models/mine/t5-base", "models/mine", "models/t5-base", "models/google-t5--t5-base",
     "cache/models--t5-base/snapshots/abc", "cache/models--google-t5--t5-base/snapshots/abc"],
)  # fmt: skip
def test_the_text_encoder_is_found_inside_beside_among_the_models_and_in_the_cache(
    folder, tmp_path, place, mono
):
    shutil.rmtree(folder / "t5-base")
    with pytest.raises(Refused, match="text encoder"):
        open_checkpoint(folder, [tmp_path / "models"])
    write_text_encoder(tmp_path / place, mono.upstream)
    if place.startswith("cache"):
        refs = (tmp_path / place).parents[1] / "refs"
        refs.mkdir()
        (refs / "main").write_text("abc")
    opened = open_checkpoint(folder, [tmp_path / "models"])
    assert opened.tokenizer_folder == tmp_path / place
    name = "text.layers.1.q.weight"
    assert torch.equal(opened.tensor(name), mono.checkpoint.tensor(name))


def test_a_text_encoder_that_is_not_here_is_named_with_what_to_do(folder, tmp_path):
    shutil.rmtree(folder / "t5-base")
    with pytest.raises(parts.PartMissing) as caught:
        open_checkpoint(folder, [tmp_path / "models"])
    assert caught.value.hub_id == "google-t5/t5-base"
    assert '"t5-base" is not on this machine' in str(caught.value)
    assert str(tmp_path / "models" / "t5-base") in caught.value.remedy


def test_a_codec_that_is_only_named_is_found_like_the_text_encoder(mono, tmp_path):
    write_audiocraft(tmp_path / "mine", mono.upstream, pointer=parts.ENCODEC_32KHZ)
    with pytest.raises(parts.PartMissing, match="the codec .*encodec_32khz") as caught:
        open_checkpoint(tmp_path / "mine", [tmp_path / "models"])
    assert caught.value.hub_id == parts.ENCODEC_32KHZ
    mono.upstream.audio_encoder.save_pretrained(tmp_path / "models" / "encodec_32khz")
    opened = open_checkpoint(tmp_path / "mine", [tmp_path / "models"])
    assert opened.config == mono.checkpoint.config
    for name in ("codec.decoder.3.weight", "codec.codebooks.3"):
        assert torch.equal(opened.tensor(name), mono.checkpoint.tensor(name))


def test_without_a_codec_it_is_the_one_of_every_musicgen(folder, tmp_path, mono):
    (folder / CODEC).unlink()
    with pytest.raises(parts.PartMissing, match="encodec_32khz"):
        open_checkpoint(folder, [tmp_path / "models"])


@pytest.mark.parametrize("name", ["../../etc", "/etc", "..", "dac_44khz", "somebody/else"])
def test_a_name_in_a_file_leads_to_no_path_and_to_no_download(mono, tmp_path, name):
    write_audiocraft(tmp_path / "models" / "mine", mono.upstream, pointer=name)
    with pytest.raises(parts.PartMissing) as caught:
        open_checkpoint(tmp_path / "models" / "mine", [tmp_path / "models"])
    assert caught.value.hub_id == ""
    assert str(tmp_path / "models") in caught.value.remedy


def test_a_part_is_downloaded_when_the_model_was_named_and_only_then(
    folder, tmp_path, monkeypatch, mono
):
    shutil.rmtree(folder / "t5-base")
    asked = []

    def download(repository, target, on_progress, kinds, archives):
        assert archives == ()
        asked.append((repository, target, kinds))
        write_text_encoder(target, mono.upstream)
        return target

    monkeypatch.setattr(parts, "download", download)
    with host.running(host.Run()):
        assert "is not on this machine" in MusicGenModelLoader.VALIDATE_INPUTS(
            "mine", "auto", "cpu"
        )
    assert not asked
    with host.running(host.Run(named_models={"mine": "mine"})):
        assert MusicGenModelLoader.VALIDATE_INPUTS("mine", "auto", "cpu") is True
        assert not asked, "nothing is fetched before the run"
        model, *_ = MusicGenModelLoader().load("mine", "fp32", "cpu")
    assert model.config == mono.config
    target = tmp_path / "models" / "google-t5--t5-base"
    assert asked == [("google-t5/t5-base", target, ("t5",))]


def test_offline_a_missing_part_is_said_before_the_run(folder, monkeypatch):
    shutil.rmtree(folder / "t5-base")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with host.running(host.Run(named_models={"mine": "mine"})):
        said = MusicGenModelLoader.VALIDATE_INPUTS("mine", "auto", "cpu")
    assert "HF_HUB_OFFLINE" in said and "google-t5/t5-base" in said


# ---------------------------------------------------------------- lists


def test_such_folders_are_listed_with_what_they_make_and_need(folder, tmp_path, mono):
    settings = lm_settings(mono.upstream, "t5-large") | {"solver": "audiogen"}
    rewrite(folder, STATE, lambda c: exported(c["best_state"], settings))
    write_audiocraft(tmp_path / "models" / "tune", mono.upstream, pointer=parts.ENCODEC_32KHZ)
    found = {one.name: one for one in places.known_models([tmp_path / "models"])}
    assert found["mine"].size_bytes > (folder / STATE).stat().st_size
    assert kind_of(found["mine"]) == ModelKind(SOUND, needs=("t5-large",))
    assert str(kind_of(found["mine"])) == "sound effects, needs t5-large"
    assert kind_of(found["tune"]) == ModelKind(MUSIC, needs=("t5-base", parts.ENCODEC_32KHZ))
    assert kind_of(found["facebook/audiogen-medium"]) == ModelKind(SOUND)
    assert kind_of(found["facebook/musicgen-melody"]) == ModelKind(MUSIC, melody=True)
    assert places.locate("mine", [tmp_path / "models"]) == folder


def test_a_broken_folder_in_a_list_breaks_no_list(folder, tmp_path):
    (folder / STATE).write_bytes(b"PK\x03\x04")
    found = {one.name: one for one in places.known_models([tmp_path / "models"])}
    assert str(kind_of(found["mine"])).startswith("unknown")


def test_sound_effects_are_said_and_are_nobodys_default(folder, tmp_path, mono, monkeypatch):
    settings = lm_settings(mono.upstream) | {"solver": "audiogen"}
    rewrite(folder, STATE, lambda c: exported(c["best_state"], settings))
    shown = []
    monkeypatch.setattr(host, "show", shown.append)
    with host.running(host.Run(named_models={"mine": "mine"})):
        MusicGenModelLoader().load("mine", "fp32", "cpu")
    assert "sound effects model (AudioGen), 8 kHz" in shown[-1]
    folder.rename(tmp_path / "models" / "audiogen-medium")
    monkeypatch.delenv("MUSICGRAPH_MODEL", raising=False)
    assert places.default_model([tmp_path / "models"])[0] == places.POCKET


def test_a_replaced_file_is_noticed(folder):
    opened = open_checkpoint(folder)
    with host.running(host.Run()):
        before = MusicGenModelLoader.IS_CHANGED("mine")
        rewrite(folder, STATE, lambda c: None)
        assert (changed := MusicGenModelLoader.IS_CHANGED("mine")) != before
        (folder / "t5-base" / "config.json").open("a").write(" ")  # of a part
        assert MusicGenModelLoader.IS_CHANGED("mine") != changed
    assert open_checkpoint(folder).fingerprint != opened.fingerprint
    with pytest.raises(Refused, match="another file than a moment ago"):
        opened.tensor("lm.norm.weight")


# ---------------------------------------------------------------- what is refused


def text_with(change, settings=None):
    """Changes xp.cfg."""

    def rewritten(content, model):
        tree = (settings or lm_settings)(model)
        change(tree)
        return exported(content["best_state"], tree)

    return rewritten


LM_CHANGES = {
    "MAGNeT": (lambda s: s.update(lm_model="transformer_lm_magnet"), "a MAGNeT model"),
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
