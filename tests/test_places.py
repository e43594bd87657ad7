"""Finding models: folders, the Hugging Face cache, the default; no test asks the network."""

import json

import pytest

from musicgraph.models.refused import Refused
from musicgraph.models.weights import places


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
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
    assert places.default_model([tmp_path / "models"])[0] == "facebook/musicgen-medium"
    monkeypatch.setenv("MUSICGRAPH_MODEL", "my-tune")
    assert places.default_model([tmp_path / "models"]) == ("my-tune", "MUSICGRAPH_MODEL names it")


def test_an_unknown_model_is_refused_with_the_names_that_are_known(tmp_path):
    with pytest.raises(Refused, match="facebook/musicgen-small") as caught:
        places.locate("muzak", [tmp_path / "models"])
    assert str(tmp_path / "models" / "muzak") in str(caught.value), "says where it may be put"


def test_what_is_downloaded_lies_in_the_first_folder_that_can_be_written(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(places, "download", lambda *given: asked.append(given) or given[1])
    (tmp_path / "file").touch()
    folders = [tmp_path / "file" / "below", tmp_path / "models", tmp_path / "later"]
    progress = print
    for name, folder in (
        ("facebook/musicgen-small", "musicgen-small"),
        ("somebody/musicgen-small", "somebody--musicgen-small"),
    ):
        assert places.fetch(name, folders, progress) == tmp_path / "models" / folder
        assert asked.pop() == (name, tmp_path / "models" / folder, progress)


def test_without_a_folder_that_can_be_written_a_download_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "download", lambda *_: pytest.fail("downloaded"))
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="no folder for models can be written"):
        places.fetch("facebook/musicgen-small", [tmp_path / "file" / "below"])


def test_a_downloaded_model_is_found_by_its_hub_id_and_listed(tmp_path):
    small = put(tmp_path / "models" / "musicgen-small")
    other = put(tmp_path / "models" / "somebody--musicgen-small")
    folders = [tmp_path / "models"]
    assert places.locate("facebook/musicgen-small", folders) == small
    assert places.locate("somebody/musicgen-small", folders) == other
    known = {model.name: model for model in places.known_models(folders)}
    assert known["facebook/musicgen-small"].folder == known["musicgen-small"].folder == small


def test_a_half_model_put_there_by_hand_is_not_taken_for_the_hubs(tmp_path):
    (put(tmp_path / "models" / "musicgen-small") / "model.safetensors").unlink()
    assert places.on_disk("facebook/musicgen-small", [tmp_path / "models"]) is None


def test_a_folder_that_cannot_be_read_costs_no_other(tmp_path, monkeypatch):
    put(tmp_path / "models" / "my-tune")
    (tmp_path / "file").touch()
    names = [m.name for m in places.known_models([tmp_path / "file", tmp_path / "models"])]
    assert "my-tune" in names


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a\0b", "~nobody-here/x", "\udcff"])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(Refused, match="is not on this machine") as refusal:
        places.locate(name)
    assert len(str(refusal.value)) < 1500


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
    monkeypatch.setattr(places, "download", lambda *_: pytest.fail("asked the hub"))
    if name == "pocket":
        assert places.fetch(name) == places.POCKET_FOLDER
    else:
        with pytest.raises(Refused, match="is not on this machine"):
            places.fetch(name)


def test_offline_by_the_users_word_nothing_is_asked_and_the_error_says_what_to_do(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(places, "download", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(Refused, match="HF_HUB_OFFLINE") as refusal:
        places.fetch("facebook/musicgen-small", [tmp_path / "models"])
    assert str(tmp_path / "models" / "musicgen-small") in str(refusal.value)


def test_a_name_is_known_if_the_list_has_it_and_never_a_path(tmp_path):
    folder = tmp_path / "models"
    for name in ("mine", "broken"):
        (folder / name).mkdir(parents=True)
    (folder / "mine" / "config.json").write_text('{"model_type": "musicgen"}')
    (folder / "config.json").write_text('{"model_type": "musicgen"}')
    listed = {model.name for model in places.known_models([folder])}
    names = {
        *listed,
        "broken",
        "",
        ".",
        "..",
        "mine/",
        "../models/mine",
        str(folder / "mine"),
        "a\0",
    }
    assert {name for name in names if places.is_known(name, [folder])} == listed
