"""Finding models: folders, the Hugging Face cache, the default; no test asks the network."""

import json

import pytest
from huggingface_hub import errors

from musicgraph.models import places
from musicgraph.models.refused import Refused


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MUSICGRAPH_MODEL", raising=False)
    return tmp_path / "cache"


def put(folder, text='{"model_type": "musicgen"}'):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(text)
    (folder / "model.safetensors").write_bytes(b"x" * 1000)
    return folder


def put_in_cache(cache, hub_id):
    root = cache / ("models--" + hub_id.replace("/", "--"))
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("abc")
    return put(root / "snapshots" / "abc")


def test_a_model_is_found_by_folder_by_name_and_in_the_cache(tmp_path, empty_cache):
    mine = put(tmp_path / "models" / "my-tune")
    cached = put_in_cache(empty_cache, "facebook/musicgen-small")
    assert places.locate(str(mine)) == mine
    assert places.locate("my-tune", [tmp_path / "models"]) == mine
    assert places.locate("facebook/musicgen-small") == cached


def test_the_list_says_what_is_on_disk_how_large_and_under_which_licence(tmp_path, empty_cache):
    put(tmp_path / "models" / "my-tune")
    put(tmp_path / "models" / "bert", '{"model_type": "bert"}')
    put(tmp_path / "models" / "broken", "{")
    put_in_cache(empty_cache, "facebook/musicgen-large")
    known = {
        model.name: model
        for model in places.known_models([tmp_path / "models", tmp_path / "nowhere"])
    }
    assert known["my-tune"].on_disk and known["my-tune"].size_bytes == 1000
    assert "bert" not in known and "broken" not in known
    assert known["facebook/musicgen-large"].on_disk
    assert known["facebook/musicgen-large"].licence == "CC-BY-NC-4.0"
    assert not known["facebook/musicgen-small"].on_disk
    assert known["facebook/musicgen-small"].size_bytes > 2e9


def test_the_default_is_the_environment_then_the_largest_official_then_pocket(
    tmp_path, empty_cache, monkeypatch
):
    assert places.default_model()[0] == "pocket"
    put_in_cache(empty_cache, "facebook/musicgen-small")
    assert places.default_model()[0] == "facebook/musicgen-small"
    put(tmp_path / "models" / "musicgen-medium")
    assert places.default_model([tmp_path / "models"])[0] == "musicgen-medium"
    monkeypatch.setenv("MUSICGRAPH_MODEL", "my-tune")
    assert places.default_model([tmp_path / "models"]) == ("my-tune", "MUSICGRAPH_MODEL names it")


def test_an_unknown_model_is_refused_with_the_names_that_are_known(tmp_path):
    with pytest.raises(Refused, match="facebook/musicgen-small") as caught:
        places.locate("muzak", [tmp_path / "models"])
    assert str(tmp_path / "models" / "muzak") in str(caught.value), "says where it may be put"


def test_only_the_needed_files_of_a_named_model_are_downloaded(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda repo, **kw: asked.update(repo=repo, **kw) or str(tmp_path),
    )
    assert places.fetch("facebook/musicgen-small") == tmp_path
    assert asked == {
        "repo": "facebook/musicgen-small",
        "allow_patterns": ["*.json", "*.safetensors", "spiece.model"],
    }


def test_a_download_that_was_cut_off_does_not_count_as_on_disk(empty_cache):
    folder = put_in_cache(empty_cache, "facebook/musicgen-large")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(Refused, match="not on this machine"):
        places.locate("facebook/musicgen-large")


@pytest.mark.parametrize(
    "name", ["", " ", "pocket", "muzak", "../somewhere", "/abs/olute", "a/b/c", "./x", "x/"]
)
def test_nothing_but_a_hub_id_is_ever_downloaded(name, monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("asked the hub")
    )
    if name == "pocket":
        assert places.fetch(name) == places.POCKET_FOLDER
    else:
        with pytest.raises(Refused, match="is not on this machine"):
            places.fetch(name)


def test_offline_the_error_says_where_to_put_the_files(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(Refused, match="could not be downloaded") as caught:
        places.fetch("facebook/musicgen-small", [tmp_path / "models"])
    assert str(tmp_path / "models" / "musicgen-small") in str(caught.value)
