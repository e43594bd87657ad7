"""An exported checkpoint: small shards, one for the words, read by transformers and by us."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_tokenizer, write_tiny_checkpoint
from transformers import MusicgenForConditionalGeneration

from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from export import in_shards, save_model, write_shards  # noqa: E402

WORDS = ("text_encoder.", "enc_to_dec_proj.")
MAX_SHARD_BYTES = 10**7  # what a hub takes as a plain file


def _names(path: Path) -> set[str]:
    with safe_open(path, "pt") as file:
        return set(file.keys())


def test_every_tensor_is_in_one_shard_and_no_shard_holds_two_parts():
    parts = ("text_encoder.", "audio_encoder.", "decoder.")
    tensors = {f"{part}{i}": torch.zeros(10) for part in parts for i in range(7)}
    shards = in_shards(tensors, max_bytes=100)
    assert sorted(name for shard in shards for name in shard) == sorted(tensors)
    assert len(shards) == 9
    for shard in shards:
        assert len({name.split(".")[0] for name in shard}) == 1
        assert sum(t.nbytes for t in shard.values()) <= 120


def test_a_tensor_of_an_unknown_part_is_an_error():
    with pytest.raises(ValueError, match="no known part"):
        in_shards({"melody_encoder.weight": torch.zeros(1)})


def test_old_weights_do_not_stay_beside_new_shards(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"old")
    write_shards({"decoder.weight": torch.zeros(2)}, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
    ]


def test_transformers_and_our_loader_read_the_same_from_an_exported_folder(tmp_path):
    written = write_tiny_checkpoint(tmp_path / "plain")
    tokenizer = tmp_path / "tokenizer"
    tiny_tokenizer().save_pretrained(tokenizer)
    (tokenizer / "special_tokens_map.json").write_text("{}")
    save_model(written, tokenizer, tmp_path / "made")
    upstream = MusicgenForConditionalGeneration.from_pretrained(
        tmp_path / "made", dtype=torch.float32
    )
    opened = checkpoint.open_checkpoint(tmp_path / "made")
    ours = checkpoint.load_lm(opened, torch.float32, torch.device("cpu"))
    for k, head in enumerate(upstream.decoder.lm_heads):
        assert torch.equal(ours.heads.weight[64 * k : 64 * (k + 1)], head.weight)
    assert len({one.file.name for one in opened.files.stored.values()}) == 3


def test_a_model_proposes_no_temperature_but_the_one_that_everybody_takes(tmp_path):
    tokenizer = tmp_path / "tokenizer"
    tiny_tokenizer().save_pretrained(tokenizer)
    (tokenizer / "special_tokens_map.json").write_text("{}")
    save_model(write_tiny_checkpoint(tmp_path / "plain"), tokenizer, tmp_path / "made")
    said = json.loads((tmp_path / "made" / "generation_config.json").read_text())
    assert said.get("temperature", 1.0) == 1.0 and said["max_length"] == 1500


def test_the_shipped_model_is_in_shards_that_hubs_take_and_its_words_have_one_of_their_own():
    index = json.loads((POCKET_FOLDER / "model.safetensors.index.json").read_text())["weight_map"]
    shards = sorted(POCKET_FOLDER.glob("*.safetensors"))
    assert {path.name for path in shards} == set(index.values())
    assert all(path.stat().st_size < MAX_SHARD_BYTES for path in shards)
    words = {name for name in index if name.startswith(WORDS)}
    assert _names(POCKET_FOLDER / index["enc_to_dec_proj.weight"]) == words
