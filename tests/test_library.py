"""The library: a folder of sound files that is its own database."""

import json
import time
from dataclasses import replace

import pytest
import torch

from musicgraph.app.page import take_library as module
from musicgraph.app.page.take_library import NOTE_TAG, Library, Note
from musicgraph.models.refused import Refused
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.retag import TAGGED_SUFFIXES, all_tags, copy_with_tags
from musicgraph.workflows.media.tags import read_tags

RATE = 8000
SOUND = torch.rand(1, RATE) - 0.5
NOTE = Note("A calm piano", 1.0, made_at=1e9, settings={"prompt": "a calm piano", "seed": 7})
TAGS = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "Music" / "MusicGraph")


def again(library):
    """As another program, or a restarted server, sees the folder."""
    return Library(library.folder)


def names(library):
    return sorted(path.name for path in library.folder.iterdir() if path.name[0] != ".")


def test_a_take_is_found_again_with_all_that_made_it(library):
    assert library.takes() == []
    take = library.add(SOUND, RATE, NOTE, TAGS)
    assert again(library).takes() == [take]
    assert take.note == NOTE
    assert read_tags(take.path) == TAGS, "it opens in ComfyUI"
    day = time.strftime("%Y-%m-%d", time.localtime(NOTE.made_at))
    assert take.path.name.startswith(f"a-calm-piano-{day}-")


def test_a_name_and_a_star_change_no_sample(library):
    take = library.add(SOUND, RATE, NOTE, TAGS)
    before, _ = read_audio(take.path)
    library.favour(take.id, True)
    library.rename(take.id, "  Nocturne\n in E ")
    (found,) = again(library).takes()
    assert found.note == replace(NOTE, title="Nocturne in E", is_favourite=True)
    assert [found.path.name] == names(library) and found.path.name.startswith("nocturne-in-e-")
    after, rate = read_audio(found.path)
    assert rate == RATE and torch.equal(before, after)
    assert read_tags(found.path) == TAGS and all_tags(found.path)["title"] == "Nocturne in E"


def test_takes_of_one_minute_have_names_of_their_own(library):
    for _ in range(3):
        library.add(SOUND, RATE, replace(NOTE, id=Note("", 0).id), {})
    assert len(set(names(library))) == 3 == len(library.takes())


def test_what_is_deleted_comes_back_until_a_day_has_passed(library, monkeypatch):
    take = library.add(SOUND, RATE, NOTE, TAGS)
    library.remove(take.id)
    assert again(library).takes() == [] and names(library) == []
    assert again(library).restore(take.id).note == NOTE
    library.remove(take.id)
    other = library.add(SOUND, RATE, Note("another", 1.0), {})
    monkeypatch.setattr(module, "KEEP_DELETED_S", -1.0)
    library.remove(other.id)
    with pytest.raises(Refused, match="nothing that was deleted"):
        library.restore(take.id)


@pytest.mark.parametrize("suffix", TAGGED_SUFFIXES)
def test_a_file_of_a_graph_is_taken_in_as_it_is(library, tmp_path, suffix):
    source = tmp_path / f"musicgraph_00001{suffix}"
    write_audio(source, SOUND, RATE, tags=TAGS)
    take = library.take_in(source, "slow strings", {})
    assert take.note.title == "slow strings" and read_tags(take.path) == TAGS
    assert take.note.duration_s == pytest.approx(1.0, abs=0.1)
    assert torch.equal(read_audio(take.path)[0], read_audio(source)[0])
    assert again(library).takes() == [take]


def test_what_others_put_there_is_left_alone(library):
    library.add(SOUND, RATE, NOTE, {})
    write_audio(library.folder / "song.flac", SOUND, RATE, tags={"title": "mine"})
    (library.folder / "broken.flac").write_bytes(b"fLaC")
    (library.folder / "list.txt").write_text("x")
    assert [take.id for take in again(library).takes()] == [NOTE.id]
    assert (library.folder / "broken.flac").read_bytes() == b"fLaC"


def test_a_copy_in_a_file_manager_is_one_take_and_a_moved_file_is_found(library):
    take = library.add(SOUND, RATE, NOTE, {})
    (library.folder / "copy.flac").write_bytes(take.path.read_bytes())
    assert len(library.takes()) == 1
    take.path.rename(library.folder / "moved.flac")
    (library.folder / "copy.flac").unlink()
    assert [one.path.name for one in library.takes()] == ["moved.flac"]


STRANGE = ["", "null", "[]", "{", '{"title": "x"}', "[" * 100_000]
WRONG = [
    {"id": "../../x"},
    {"id": 7},
    {"title": ["x"]},
    {"duration_s": "long"},
    {"made_at": float("nan")},
    {"settings": "x"},
    {"sounds": {"melody": "../x.wav"}},
    {"sounds": {"melody": 1}},
    {"is_favourite": "yes"},
]


@pytest.mark.parametrize("text", STRANGE)
def test_a_tag_that_is_no_note_is_none(text):
    assert Note.parse(text) is None


@pytest.mark.parametrize("change", WRONG)
def test_a_note_of_wrong_types_is_none(change):
    facts = json.loads(NOTE.tags()[NOTE_TAG])
    assert Note.parse(json.dumps(facts)) == NOTE
    assert Note.parse(json.dumps({**facts, **change})) is None


def test_a_take_that_is_not_there_is_refused(library):
    with pytest.raises(Refused, match="this take"):
        library.rename("0" * 16, "x")


def test_the_picture_is_drawn_once(library, monkeypatch):
    take = library.add(SOUND, RATE, NOTE, {})
    path = library.picture(take.id)
    assert path.read_bytes()[:2] == b"\xff\xd8"
    monkeypatch.setattr(module, "draw_picture", lambda *_: pytest.fail("drawn again"))
    assert library.picture(take.id) == path


def test_tags_of_a_text_file_cannot_be_copied(tmp_path):
    (tmp_path / "x.flac").write_text("no sound")
    with pytest.raises(Refused):
        copy_with_tags(tmp_path / "x.flac", tmp_path / "y.flac", {})
    assert not (tmp_path / "y.flac").exists()
