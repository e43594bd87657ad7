"""`musicgraph convert`: any layout becomes Hugging Face's, with the same model in it."""

import json
import shutil
import sys

import pytest
import torch
from audiocraft_layout import exported, lm_settings, write_audiocraft
from transformers import AutoProcessor
from upstream import musicgen_model

from musicgraph import cli
from musicgraph.models.compose.composition import stream
from musicgraph.models.config import SOUND, Generation, LongForm, Sampling
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.parameters import all_shapes
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint, convert
from musicgraph.models.weights.checkpoint import open_checkpoint
from musicgraph.models.weights.contract import normed

FRAMES = 12
TEXTS = ["a calm piano", "drums, fast"]


def converted(weights, target, **options):
    return convert.write_converted(weights, target, lambda done, total: None, **options)


def assert_same(ours, theirs):
    assert ours.config == theirs.config
    for name in all_shapes(ours.config):
        assert torch.equal(ours.tensor(name), theirs.tensor(name)), name
    assert ours.tokenizer().encode(TEXTS[0]) == theirs.tokenizer().encode(TEXTS[0])


@pytest.mark.parametrize("kind", ["mono", "stereo", "melody_stereo"])
def test_to_and_fro_every_weight_is_the_same_bit_for_bit(kind, request, tmp_path):
    """Hugging Face → audiocraft (as the tests write it) → Hugging Face."""
    twin = request.getfixturevalue(kind)
    segment_s = 4.2 if "melody" in kind else 30
    write_audiocraft(tmp_path / "audiocraft", twin.upstream, segment_s=segment_s)
    opened = open_checkpoint(tmp_path / "audiocraft")
    assert_same(opened, open_checkpoint(converted(opened, tmp_path / "converted")))


def test_a_hugging_face_folder_converts_to_itself(mono, tmp_path):
    assert_same(mono.checkpoint, open_checkpoint(converted(mono.checkpoint, tmp_path / "new")))


def test_transformers_composes_the_same_from_a_converted_folder(tiny, tmp_path):
    """Greedy tokens, and nothing missing, left over or of another shape."""
    write_audiocraft(tmp_path / "audiocraft", tiny.upstream)
    folder = converted(open_checkpoint(tmp_path / "audiocraft"), tmp_path / "new")
    processor, model = AutoProcessor.from_pretrained(folder), musicgen_model(folder)
    _, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    ours = open_checkpoint(folder)
    inputs = processor(text=TEXTS, padding=True, return_tensors="pt")
    theirs = model.generate(
        **inputs,
        do_sample=False,
        guidance_scale=3.0,
        max_length=FRAMES + ours.config.lm.max_delay + 1,
    )

    heard = checkpoint.load_text_encoder(ours).encode(TEXTS)
    lm = checkpoint.load_lm(ours, torch.float32, torch.device("cpu"))
    settings = Generation(FRAMES, sampling=Sampling(temperature=0.0, top_k=1))
    tokens = torch.cat(list(stream(TorchEngine(lm), settings, heard)), dim=2)
    sound = checkpoint.load_codec(ours).decode(tokens, ours.config.lm.channels)
    torch.testing.assert_close(sound, theirs, atol=1e-5, rtol=0)


def test_large_models_are_written_in_shards_with_an_index(mono, tmp_path):
    folder = converted(mono.checkpoint, tmp_path / "new", shard_bytes=200_000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1, "who may read one file may read all"
    assert len(shards) > 2 and set(index["weight_map"].values()) == set(shards)
    assert_same(mono.checkpoint, open_checkpoint(folder))


def test_half_precision_stays_half(mono, tmp_path):
    write_audiocraft(tmp_path / "audiocraft", mono.upstream, dtype=torch.float16)
    opened = open_checkpoint(tmp_path / "audiocraft")
    ours = open_checkpoint(converted(opened, tmp_path / "new"))
    assert ours.tensor("lm.heads.0.weight").dtype == torch.float16
    assert_same(opened, ours)


def test_a_long_form_stays(mono, tmp_path):
    folder = shutil.copytree(mono.folder, tmp_path / "long")
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["long_form_frames"] = [500, 75, 125]
    (folder / "config.json").write_text(json.dumps(config))
    ours = open_checkpoint(converted(open_checkpoint(folder), tmp_path / "new"))
    assert ours.config.lm.long_form == LongForm(500, 75, 125)


def test_a_model_of_sound_effects_stays_one_with_its_window(mono, tmp_path):
    write_audiocraft(tmp_path / "audiocraft", mono.upstream)
    settings = lm_settings(mono.upstream, segment_s=10) | {"solver": "audiogen"}
    path = tmp_path / "audiocraft" / "state_dict.bin"
    content = torch.load(path, weights_only=True)
    torch.save(exported(content["best_state"], settings), path)
    ours = open_checkpoint(converted(open_checkpoint(path.parent), tmp_path / "new"))
    assert (ours.config.makes, ours.config.lm.window_frames) == (SOUND, 500)


def test_what_a_configuration_cannot_say_is_refused_before_anything_is_written(mono, tmp_path):
    write_audiocraft(tmp_path / "audiocraft", mono.upstream)
    path = tmp_path / "audiocraft" / "state_dict.bin"
    settings = lm_settings(mono.upstream)
    settings["codebooks_pattern"]["delay"]["delays"] = [0, 0, 1, 1]
    content = torch.load(path, weights_only=True)
    torch.save(exported(content["best_state"], settings), path)
    with pytest.raises(Refused, match="delays of the codebooks: got .0, 0, 1, 1."):
        converted(open_checkpoint(path.parent), tmp_path / "new")
    assert not (tmp_path / "new").exists()


class Stopped(Exception):
    pass


def test_a_conversion_that_is_stopped_leaves_nothing(mono, tmp_path):
    def stop(done, total):
        if done > total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        convert.write_converted(mono.checkpoint, tmp_path / "new", stop)
    assert not list(tmp_path.iterdir())


def test_a_target_that_holds_something_is_left_as_it_is(mono, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").touch()
    with pytest.raises(Refused, match="something that lies there already"):
        converted(mono.checkpoint, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


def test_without_room_nothing_is_begun(mono, tmp_path, monkeypatch):
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 10}))
    with pytest.raises(Refused, match="no room for"):
        converted(mono.checkpoint, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_row_of_zeros_stays_one():
    weight = torch.randn(3, 2, 2)
    weight[1] = 0
    assert torch.equal(normed(*convert._length_and_direction(weight)), weight)


def test_the_command_says_where_it_wrote(mono, tmp_path, capsys, monkeypatch):
    write_audiocraft(tmp_path / "audiocraft", mono.upstream)
    (tmp_path / "new").mkdir()
    arguments = ["convert", str(tmp_path / "audiocraft"), str(tmp_path / "new")]
    monkeypatch.setattr(sys, "argv", ["musicgraph", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert capsys.readouterr().out.strip() == str(tmp_path / "new")
    assert_same(mono.checkpoint, open_checkpoint(tmp_path / "new"))


def test_a_source_that_is_no_model_is_bad_input(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["musicgraph", "convert", str(tmp_path), str(tmp_path / "x")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "an empty folder" in capsys.readouterr().err
