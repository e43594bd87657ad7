"""Folders in audiocraft's layout: where their parts lie, and what lists say of them."""

import shutil

import pytest
import torch
from audiocraft_layout import (
    CODEC,
    STATE,
    exported,
    lm_settings,
    rewrite,
    write_audiocraft,
    write_text_encoder,
)

from musicgraph.models.config import MUSIC, SOUND
from musicgraph.models.refused import Refused
from musicgraph.models.weights import parts, places
from musicgraph.models.weights.checkpoint import open_checkpoint
from musicgraph.models.weights.kinds import ModelKind, kind_of
from musicgraph.nodes import host
from musicgraph.nodes.load import MusicGenModelLoader

pytest_plugins = ["audiocraft_fixtures"]
pytestmark = pytest.mark.usefixtures("bare_machine")


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
