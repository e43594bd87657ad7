"""Adapters on a checkpoint: what PEFT computes, in every engine, and exactly nothing at strength 0.

PEFT is the judge: adapters are made and merged by it, on transformers' model.
"""

import json
import shutil
import sys

import pytest
import torch
from adapters import ATTENTION, write_adapter
from fakes import assert_links_sound
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from sessions import opened
from test_parity import tokenized
from tiny import write_tiny_checkpoint
from upstream import musicgen_model

from musicgraph import cli
from musicgraph.app.studio import worker
from musicgraph.app.studio.music import make_music
from musicgraph.models.disk import cache
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.parameters import LM, TEXT, all_shapes
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.adapted import Adapted, adapted, touches
from musicgraph.models.weights.peft_adapter import CONFIG, TENSORS, open_peft
from musicgraph.nodes import host, resident_engine, wires
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.lora import MusicGenLoraLoader
from musicgraph.workflows.default_graph import workflow_for
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.graph import Link
from musicgraph.workflows.registry import NodeSpecs, node_classes
from musicgraph.workflows.request import Lora, Request

TEXTS = ["drums and a flute", "piano"]
KINDS = {
    "attention": {"target_modules": ATTENTION},
    "feed-forward": {"target_modules": ["fc1", "fc2"], "use_rslora": True},
    "heads": {"target_modules": [f"lm_heads.{k}" for k in range(4)]},
    "embeddings": {"target_modules": [f"embed_tokens.{k}" for k in range(4)]},
    "projection": {"target_modules": ["enc_to_dec_proj"]},
    "text encoder": {"target_modules": ["SelfAttention.q", "wi", "wo", "text_encoder.shared"]},
    "patterns": {
        "target_modules": [*ATTENTION, "fc1"],
        "rank_pattern": {"layers.1.self_attn.q_proj": 7, r"encoder_attn\.\w+": 2},
        "alpha_pattern": {"fc1": 32, "^decoder.model.decoder.layers.0.fc1": 3},
        "use_rslora": True,
    },
}


@pytest.fixture(scope="module")
def folders(mono, tmp_path_factory):
    where = tmp_path_factory.mktemp("loras")
    return {
        kind: write_adapter(musicgen_model(mono.folder), where / kind, seed, **config)
        for seed, (kind, config) in enumerate(KINDS.items())
    }


def on(mono, folder, strength=1.0, base=None):
    weights = base or mono.checkpoint
    return adapted(weights, open_peft(folder, weights.config), strength)


def steps_of(config, count=12):
    shape = (len(TEXTS), config.num_codebooks, count)
    return torch.randint(0, config.codebook_size, shape, generator=torch.manual_seed(1))


def our_logits(weights, engine=None):
    """[B, K, V] of the last of some steps."""
    lm = checkpoint.load_lm(weights, torch.float32, torch.device("cpu"))
    heard = checkpoint.load_text_encoder(weights).encode(TEXTS)
    session = opened(engine or TorchEngine(lm), heard, max_steps=12)
    return session.step(steps_of(weights.config.lm))


@torch.inference_mode()
def their_logits(mono, model):
    steps, batch = steps_of(mono.config), tokenized(mono, TEXTS)
    made = model(**batch, decoder_input_ids=steps.flatten(0, 1)).logits
    return made.unflatten(0, (len(TEXTS), -1))[:, :, -1]


@pytest.mark.parametrize("kind", KINDS)
def test_merged_logits_equal_pefts(mono, folders, kind):
    merged = PeftModel.from_pretrained(musicgen_model(mono.folder), folders[kind])
    theirs = their_logits(mono, merged.merge_and_unload())
    ours = our_logits(on(mono, folders[kind]))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    plain = our_logits(mono.checkpoint)
    assert (ours - plain).abs().max() > 1e-2, "an adapter that is not heard shows nothing"


def test_two_adapters_equal_pefts_weighted_sum(mono, folders):
    model = PeftModel.from_pretrained(musicgen_model(mono.folder), folders["attention"], "a")
    model.load_adapter(folders["patterns"], "b")
    for module in (one for one in model.modules() if isinstance(one, LoraLayer)):
        for name, strength in (("a", 0.75), ("b", -0.5)):
            if name in module.scaling:
                module.scaling[name] *= strength
    model.base_model.set_adapter(["a", "b"])
    ours = on(mono, folders["patterns"], -0.5, on(mono, folders["attention"], 0.75))
    torch.testing.assert_close(our_logits(ours), their_logits(mono, model), atol=1e-4, rtol=0)


def test_strength_0_is_the_base_bit_for_bit(mono, folders):
    assert on(mono, folders["attention"], 0.0) is mono.checkpoint
    mixed = on(mono, folders["heads"], 0.0, on(mono, folders["attention"], 1.0))
    assert [one.folder for one, _ in mixed.adapters] == [folders["attention"]]


def test_what_no_adapter_touches_is_the_bases_own(mono, folders):
    weights = on(mono, folders["heads"], 0.5)
    assert (weights.config, weights.folder) == (mono.checkpoint.config, mono.folder)
    changed = {
        name
        for name in all_shapes(weights.config)
        if not torch.equal(weights.tensor(name), mono.checkpoint.tensor(name))
    }
    assert changed == {f"lm.heads.{k}.weight" for k in range(4)}
    assert weights.tokenizer().encode("drums") == mono.checkpoint.tokenizer().encode("drums")
    assert weights.size_bytes > mono.checkpoint.size_bytes


def test_half_precision_is_widened_before_an_adapter_is_added(folders, tmp_path):
    write_tiny_checkpoint(tmp_path / "half", dtype=torch.float16)
    base = checkpoint.open_checkpoint(tmp_path / "half")
    weights = adapted(base, open_peft(folders["heads"], base.config), 1.0)
    name = "lm.heads.0.weight"
    assert base.tensor(name).dtype == torch.float16
    assert torch.equal(
        weights.tensor(name), base.tensor(name).float() + weights.adapters[0][0].delta(name)
    )


def test_the_fingerprint_is_that_of_the_mixture(mono, folders):
    mixtures = [
        mono.checkpoint,
        on(mono, folders["heads"], 1.0),
        on(mono, folders["heads"], 0.5),
        on(mono, folders["attention"], 1.0),
        on(mono, folders["attention"], 0.5, on(mono, folders["heads"], 1.0)),
    ]
    assert len({one.fingerprint for one in mixtures}) == len(mixtures)
    assert on(mono, folders["heads"], 0.5).fingerprint == mixtures[2].fingerprint


def test_the_adapter_knows_what_it_changes(mono, folders):
    heads = open_peft(folders["heads"], mono.checkpoint.config)
    text = open_peft(folders["text encoder"], mono.checkpoint.config)
    assert touches(heads, LM) and not touches(heads, TEXT)
    assert touches(text, TEXT) and not touches(text, LM)


# ---------------------------------------------------------------- engines


@pytest.mark.parametrize("kind", ["attention", "embeddings", "patterns"])
def test_the_fast_engine_plays_the_mixture_in_float32(mono, folders, kind):
    weights = on(mono, folders[kind])
    ours = our_logits(weights, NumbaEngine(weights, "fp32"))
    torch.testing.assert_close(ours, our_logits(weights), atol=1e-3, rtol=0)


def test_int8_is_made_and_kept_for_each_mixture(mono, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path))

    def int8():
        return sum("int8" in one.path.name for one in cache.entries())

    mixture = on(mono, folders["attention"])
    exact = our_logits(mixture)
    near = our_logits(mixture, NumbaEngine(mixture, "int8"))
    plain = our_logits(mono.checkpoint, NumbaEngine(mono.checkpoint, "int8"))
    assert int8() == 2, "one of the base, one of the mixture"
    assert (near - exact).abs().mean() < (plain - exact).abs().mean() / 4
    again = our_logits(mixture, NumbaEngine(on(mono, folders["attention"]), "int8"))
    assert torch.equal(again, near) and int8() == 2


# ---------------------------------------------------------------- refusals


@pytest.fixture
def broken(folders, tmp_path):
    """A copy whose settings or tensors a test changes."""

    def copy(settings=None, tensors=None, kind="attention"):
        folder = shutil.copytree(folders[kind], tmp_path / "broken")
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, **(settings or {})}))
        if tensors is not None:
            save_file(tensors(load_file(folder / TENSORS)), folder / TENSORS)
        return folder

    return copy


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "LOHA"}, 'an adapter of type "LOHA"'),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_heads.0"]}, "whole modules"),
        ({"bias": "all"}, "bias none"),
        ({"init_lora_weights": "pissa"}, "changes the base"),
        ({"r": 0}, "r 0"),
        ({"r": 5}, "for a target of"),
        ({"lora_alpha": float("nan")}, "lora_alpha NaN"),
        ({"alpha_pattern": {"(a+)+$": 1}}, "names of modules"),
        ({"alpha_pattern": {"fc1": "x"}}, "alpha_pattern of fc1"),
        ({"rank_pattern": []}, None),
        ({"rank_pattern": [1]}, "rank_pattern [1]"),
    ],
)
def test_settings_that_are_no_plain_lora_are_refused_by_name(mono, broken, settings, words):
    folder = broken(settings)
    if words is None:  # an empty list says nothing
        assert open_peft(folder, mono.checkpoint.config)
        return
    with pytest.raises(Refused) as refused:
        open_peft(folder, mono.checkpoint.config)
    assert words in str(refused.value) and refused.value.remedy


def renamed(old, new):
    return lambda tensors: {name.replace(old, new): one for name, one in tensors.items()}


def first_with(change):
    def changed(tensors):
        name = min(tensors)
        return {**tensors, name: change(tensors[name])}

    return changed


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (renamed("layers.2.", "layers.9."), "which this model does not have"),
        (renamed("lora_A", "lora_magnitude_vector"), "a tensor named"),
        (renamed("base_model.model.", ""), "a tensor named"),
        (lambda tensors: {}, "no tensors"),
        (lambda tensors: dict(sorted(tensors.items())[1:]), "with only B"),
        (first_with(lambda one: one[:, :-1].contiguous()), "for a target of [32, 32]"),
        (first_with(lambda one: one.to(torch.int8)), "as I8"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(mono, broken, tensors, words):
    with pytest.raises(Refused, match=words.replace("[", r"\[")):
        open_peft(broken(tensors=tensors), mono.checkpoint.config)


def test_an_adapter_of_another_size_is_refused(stereo, folders):
    with pytest.raises(Refused, match="does not have|for a target"):
        open_peft(write_adapter_of_width(folders), stereo.checkpoint.config)


def write_adapter_of_width(folders):
    """Of a model with wider layers."""
    folder = folders["attention"].parent / "wide"
    shutil.copytree(folders["attention"], folder, dirs_exist_ok=True)
    tensors = load_file(folder / TENSORS)
    wide = {name: torch.cat([one, one], dim=-1 if "A" in name else 0) for name, one in
            tensors.items()}  # fmt: skip
    save_file(wide, folder / TENSORS)
    return folder


def test_a_nan_is_refused_when_it_is_read(mono, broken):
    weights = on(mono, broken(tensors=first_with(lambda one: one * float("nan"))))
    with pytest.raises(Refused, match="NaN or infinite"):
        our_logits(weights)


def test_a_file_that_was_replaced_is_refused(mono, broken):
    folder = broken()
    weights = on(mono, folder)
    save_file({"x": torch.zeros(1)}, folder / TENSORS)
    with pytest.raises(Refused, match="another file than a moment ago"):
        our_logits(weights)


def test_a_pickle_and_a_missing_folder_are_refused(mono, broken, tmp_path):
    folder = broken()
    (folder / TENSORS).rename(folder / "adapter_model.bin")
    for place, words in ((folder, "a pickle"), (tmp_path / "nowhere", "nothing there")):
        with pytest.raises(Refused, match=words):
            open_peft(place, mono.checkpoint.config)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 4.5, -4.5])
def test_a_strength_that_is_no_number_in_range_is_refused(mono, folders, strength):
    with pytest.raises(Refused, match="strength"):
        on(mono, folders["heads"], strength)


# ---------------------------------------------------------------- the node


@pytest.fixture
def shelf(mono, folders, tmp_path, monkeypatch):
    """A folder of models with a tiny one and its adapters."""
    shutil.copytree(mono.folder, tmp_path / "tiny")
    for kind in ("attention", "text encoder"):
        shutil.copytree(folders[kind], tmp_path / "loras" / kind)
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path))
    return tmp_path


def test_the_base_is_not_loaded_for_an_adapter(shelf, monkeypatch):
    loaded = []
    plain = resident_engine.load
    monkeypatch.setattr(
        resident_engine,
        "load",
        lambda weights, *rest: loaded.append(weights) or plain(weights, *rest),
    )
    model, text, _ = MusicGenModelLoader().load("tiny", "fp32", "cpu")
    changed, same_text = MusicGenLoraLoader().load(model, text, "attention", 0.5)
    twice, new_text = MusicGenLoraLoader().load(changed, text, "text encoder", 1.0)
    assert same_text is text and twice is changed and new_text is not text
    changed.source.ready(0)
    changed.source.ready(0)
    assert [type(one) for one in loaded] == [Adapted]
    assert changed.name == "tiny + attention" and isinstance(changed, wires.Model)


def test_a_strangers_graph_can_name_only_what_lies_in_loras(shelf, folders, monkeypatch):
    there = str(folders["heads"])
    parts = MusicGenModelLoader().load("tiny", "fp32", "cpu")
    with host.running(host.Run()):
        assert MusicGenLoraLoader.INPUT_TYPES()["required"]["adapter"][0] == [
            "attention", "text encoder",
        ]  # fmt: skip
        assert MusicGenLoraLoader.VALIDATE_INPUTS("attention") is True
        for name in (there, "../tiny", "heads", "", 7, str(shelf / "loras" / "attention")):
            assert "expected one of attention" in MusicGenLoraLoader.VALIDATE_INPUTS(name)
            with pytest.raises(Refused, match="adapter"):
                MusicGenLoraLoader().load(*parts[:2], name, 1.0)
    with host.running(host.Run(named_adapters=(there,))):
        assert MusicGenLoraLoader.VALIDATE_INPUTS(there) is True


def test_an_adapter_that_was_replaced_is_put_on_anew(shelf):
    before = MusicGenLoraLoader.IS_CHANGED(adapter="attention", strength=1.0)
    config = shelf / "loras" / "attention" / CONFIG
    config.write_text(config.read_text() + " ")
    assert MusicGenLoraLoader.IS_CHANGED(adapter="attention", strength=1.0) != before
    assert MusicGenLoraLoader.IS_CHANGED(adapter="nowhere", strength=1.0) == ""


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tango", Lora("tango", 1.0)),
        ("tango:0.5", Lora("tango", 0.5)),
        ("a:b/tango:-1", Lora("a:b/tango", -1.0)),
        (r"C:\loras\tango", Lora(r"C:\loras\tango", 1.0)),
        (r"C:\loras\tango:2", Lora(r"C:\loras\tango", 2.0)),
        (":2", Lora(":2", 1.0)),
    ],
)
def test_only_a_number_behind_the_last_colon_is_a_strength(text, expected):
    assert Lora.parse(text) == expected


def made(mono, **wishes):
    asked = {"model": str(mono.folder), "precision": "fp32", "device": "cpu", "top_k": 50}
    return make_music(Runner(), Request("drums", duration_s=0.5, seed=3, **asked, **wishes))


def test_a_request_with_adapters_is_a_graph_that_opens_in_comfyui(mono, folders):
    """Its nodes stand in a row, and both text nodes hear the last one."""
    loras = (Lora(str(folders["attention"]), 0.5), Lora(str(folders["heads"])))
    request = Request("drums", negative="noise", loras=loras)
    workflow = workflow_for(request, NodeSpecs(node_classes()))
    assert_links_sound(workflow.ui)
    first, second = workflow.graph.of_class("MusicGenLoraLoader")
    assert (first.widgets, second.widgets["adapter"]) == (
        {"adapter": str(folders["attention"]), "strength": 0.5},
        str(folders["heads"]),
    )
    assert second.links == {"model": Link(first.id, 0), "text_encoder": Link(first.id, 1)}
    (sampler,) = workflow.graph.of_class("MusicGenSampler")
    assert sampler.links["model"] == Link(second.id, 0)
    texts = workflow.graph.of_class("MusicGenTextEncode")
    assert [one.links["text_encoder"] for one in texts] == [Link(second.id, 1)] * 2
    (codec,) = workflow.graph.of_class("EnCodecDecode")
    assert codec.links["codec"] == Link("1", 2)


def test_an_adapter_is_heard_and_at_strength_0_it_is_not(mono, folders):
    adapter = str(folders["attention"])
    plain, heard, off = (
        made(mono, loras=loras).waveform for loras in ((), (Lora(adapter),), (Lora(adapter, 0.0),))
    )
    assert torch.equal(plain, off) and not torch.equal(plain, heard)


def test_loading_does_not_count_as_making_music(mono, monkeypatch):
    clock, plain = [0.0], resident_engine.load

    def load(*arguments):
        clock[0] += 1000
        return plain(*arguments)

    monkeypatch.setattr(resident_engine, "load", load)
    monkeypatch.setattr(worker.time, "perf_counter", lambda: clock[0])
    assert made(mono).generation_s == 0 and clock[0] == 1000


@pytest.mark.parametrize(
    ("lora", "words"),
    [
        ("nowhere", "expected a folder in"),
        ("{attention}:5", "too big"),
        ("{attention}:nan", "got NaN, expected a finite number"),
        ("{wide}", "for a target of"),
    ],
)
def test_the_command_refuses_an_adapter_in_one_line(
    mono, folders, tmp_path, capsys, monkeypatch, lora, words
):
    lora = lora.format(attention=folders["attention"], wide=write_adapter_of_width(folders))
    arguments = ["--model", mono.folder, "--lora", lora, "--top-k", 50, "-d", 0.1]
    target = tmp_path / "tune.wav"
    monkeypatch.setattr(
        sys, "argv", ["musicgraph", "generate", "x", *map(str, arguments), "-o", str(target)]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1) and words in err, err
    assert not target.exists()
