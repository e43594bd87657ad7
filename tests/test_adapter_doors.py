"""Adapters at the doors: on every kind of base, merged by convert, listed by models."""

import copy
import json
import shutil
import sys

import pytest
import torch
from adapters import ATTENTION, write_adapter
from audiocraft_layout import write_audiocraft
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from test_parity import tokenized
from upstream import musicgen_model

from musicgraph import cli
from musicgraph.models.parameters import all_shapes
from musicgraph.models.weights import adapter_places
from musicgraph.models.weights.adapted import adapted
from musicgraph.models.weights.checkpoint import open_checkpoint
from musicgraph.models.weights.peft_adapter import CONFIG, open_peft

TARGETS = [*ATTENTION, "fc1", "lm_heads.0", "embed_tokens.1", "audio_enc_to_dec_proj"]


@pytest.fixture(scope="module")
def tango(mono, tmp_path_factory):
    model = musicgen_model(mono.folder)
    return write_adapter(model, tmp_path_factory.mktemp("loras") / "tango", target_modules=TARGETS)


@pytest.fixture(scope="module")
def radio(mono, tmp_path_factory):
    model, where = musicgen_model(mono.folder), tmp_path_factory.mktemp("loras") / "radio"
    return write_adapter(model, where, seed=1, target_modules=["lm_heads.1", "wo"])


def called(capsys, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


# ---------------------------------------------------------------- on every base


@pytest.mark.parametrize("kind", ["melody_mono", "melody_stereo", "stereo"])
def test_on_other_kinds_of_models_it_is_what_peft_merges(kind, request, tmp_path):
    """Every tensor, against a folder that PEFT merged and transformers wrote."""
    twin = request.getfixturevalue(kind)
    write_adapter(copy.deepcopy(twin.upstream), tmp_path / "lora", target_modules=TARGETS)
    model = PeftModel.from_pretrained(copy.deepcopy(twin.upstream), tmp_path / "lora")
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    for file in twin.folder.glob("*token*"):
        shutil.copy(file, tmp_path / "merged")
    theirs = open_checkpoint(tmp_path / "merged")
    opened = open_peft(tmp_path / "lora", twin.checkpoint.config)
    ours = adapted(twin.checkpoint, opened, 1.0)
    for name in all_shapes(ours.config):
        torch.testing.assert_close(ours.tensor(name), theirs.tensor(name), atol=1e-6, rtol=0)
    changed = {name.rpartition(".")[0].rpartition(".")[2] for name in opened.targets}
    assert changed >= {"q", "out", "fc1"}
    assert ("sound_projection" in "".join(opened.targets)) == ("melody" in kind)


def test_on_audiocrafts_files_it_is_what_it_is_on_their_twin(mono, tango, tmp_path):
    write_audiocraft(tmp_path / "base", mono.upstream)
    base = open_checkpoint(tmp_path / "base")
    ours, twin = (
        adapted(one, open_peft(tango, one.config), 0.7) for one in (base, mono.checkpoint)
    )
    for name in all_shapes(twin.config):
        assert torch.equal(ours.tensor(name), twin.tensor(name)), name


# ---------------------------------------------------------------- convert


@torch.inference_mode()
def logits(mono, model):
    shape = (1, mono.config.num_codebooks, 12)
    steps = torch.randint(0, mono.config.codebook_size, shape, generator=torch.manual_seed(1))
    return model(**tokenized(mono, ["drums"]), decoder_input_ids=steps.flatten(0, 1)).logits


def test_convert_writes_one_model_in_which_transformers_hears_what_peft_merges(
    mono, tango, radio, tmp_path, capsys, monkeypatch
):
    write_audiocraft(tmp_path / "base", mono.upstream)
    loras = ["--lora", f"{tango}:0.5", "--lora", radio]
    words = ["convert", tmp_path / "base", tmp_path / "new", *loras]
    assert called(capsys, monkeypatch, *words)[:2] == (0, f"{tmp_path / 'new'}\n")
    model = PeftModel.from_pretrained(musicgen_model(mono.folder), tango, "tango")
    for module in (one for one in model.modules() if isinstance(one, LoraLayer)):
        if "tango" in module.scaling:
            module.scaling["tango"] *= 0.5
    both = PeftModel.from_pretrained(model.merge_and_unload(), radio).merge_and_unload()
    theirs = logits(mono, both)
    torch.testing.assert_close(
        logits(mono, musicgen_model(tmp_path / "new")), theirs, atol=1e-4, rtol=0
    )
    assert (logits(mono, musicgen_model(mono.folder)) - theirs).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("lora", "words"),
    [
        ("nowhere", "adapter: got"),
        ("{tango}:nan", "strength: got nan"),
        ("{tango}:5", "expected a number from -4 to 4"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_one_line_and_nothing_is_written(
    mono, tango, tmp_path, capsys, monkeypatch, lora, words
):
    asked = ["--lora", lora.format(tango=tango)]
    ended = called(capsys, monkeypatch, "convert", mono.folder, tmp_path / "new", *asked)
    assert ended[0] == 2 and words in ended[2] and ended[2].count("\n") == 1, ended
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lora", ["./nothere", "empty"])
def test_generate_refuses_an_adapter_that_is_none_in_one_plain_line(
    mono, tmp_path, capsys, monkeypatch, lora
):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, err = called(capsys, monkeypatch, "generate", "x", "-m", mono.folder, "--lora", lora)
    assert (code, out, err.count("\n")) == (2, "", 1) and "custom_validation_failed" not in err
    assert lora in err and ", expected " in err


def test_an_adapter_of_another_model_is_not_merged(mono, stereo, tmp_path, capsys, monkeypatch):
    model = musicgen_model(stereo.folder)
    wide = write_adapter(model, tmp_path / "wide", target_modules=["lm_heads.7"])
    asked = ["convert", mono.folder, tmp_path / "new", "--lora", wide]
    code, _, err = called(capsys, monkeypatch, *asked)
    assert code == 2 and "decoder.lm_heads.7, which this model does not have" in err
    assert not (tmp_path / "new").exists()


# ---------------------------------------------------------------- models


@pytest.fixture
def shelf(tango, tmp_path, monkeypatch):
    """A folder of models whose `loras/` holds an adapter that names its base, and a broken one."""
    there = shutil.copytree(tango, tmp_path / "loras" / "tango")
    config = json.loads((there / CONFIG).read_text())
    config["base_model_name_or_path"] = "facebook/musicgen-small"
    (there / CONFIG).write_text(json.dumps(config))
    (tmp_path / "loras" / "broken").mkdir()
    (tmp_path / "loras" / "broken" / CONFIG).write_text("{")
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path))
    return tmp_path / "loras"


def test_models_lists_adapters_with_their_base_and_size(shelf, capsys, monkeypatch):
    size = (shelf / "tango" / "adapter_model.safetensors").stat().st_size
    code, out, _ = called(capsys, monkeypatch, "models", "--json")
    listed = json.loads(out)
    assert code == 0 and listed["models"][0]["name"] == "pocket"
    assert listed["loras"] == [
        {"name": "broken", "folder": str(shelf / "broken"), "size_bytes": 0, "base": ""},
        {"name": "tango", "folder": str(shelf / "tango"), "size_bytes": size,
         "base": "facebook/musicgen-small"},
    ]  # fmt: skip
    lines = called(capsys, monkeypatch, "models")[1].splitlines()
    (line,) = (line for line in lines if line.startswith("tango "))
    assert f"{size / 1e6:.2f} MB" in line and "(of facebook/musicgen-small)" in line
    assert any("a model that it does not name" in line for line in lines)


def test_a_base_is_shown_as_one_line_however_it_is_written(shelf, tmp_path):
    config = shelf / "tango" / CONFIG
    for base, shown in (("a\n\x1b[2Jb", "a \\x1b[2Jb"), ("x" * 5000, "x" * 200), (7, "")):
        config.write_text(json.dumps({"base_model_name_or_path": base}))
        (found,) = (one for one in adapter_places.found_adapters([tmp_path]) if one.name == "tango")
        assert found.base == shown
