"""The shelf: everybody sees their own takes, and what is old or removed leaves no file."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from page_settings import REQUEST

from musicgraph.app.page.shelf import Shelf, Take

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "shelf")


def a_take(folder, made_at, seed=1):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed}{suffix}" for suffix in (".flac", ".jpg")]
    for path in paths:
        path.write_bytes(b"x")
    return Take(
        f"t{seed}", replace(REQUEST, seed=seed), (paths[0],), paths[1], 1.0, "torch", 1.0, made_at
    )


def test_everybody_sees_their_own_takes_newest_first(shelf):
    shelf.add("anna", (a_take(shelf.folder("anna", "takes"), 0.0, 1),))
    shelf.add("anna", (a_take(shelf.folder("anna", "takes"), 0.0, 2),))
    assert [take.id for take in shelf.takes("anna")] == ["t2", "t1"]
    assert shelf.takes("ben") == ()
    shelf.remove("ben", "t1")
    assert len(shelf.takes("anna")) == 2
    assert "anna" not in str(shelf.folder("anna", "takes"))


def test_removed_and_old_takes_leave_no_file(tmp_path):
    shelf = Shelf(tmp_path, keep_s=60, now=time.time)
    folder = shelf.folder("anna", "takes")
    old, young = a_take(folder, time.time() - 61, 1), a_take(folder, time.time(), 2)
    for path in (*old.files, old.picture):
        os.utime(path, (old.made_at, old.made_at))
    shelf.add("anna", (old, young))
    shelf.sweep()
    assert shelf.takes("anna") == (young,)
    assert sorted(path.name for path in folder.iterdir()) == ["2.flac", "2.jpg"]
    shelf.remove("anna", "t2")
    assert list(folder.rglob("*")) == []
    shelf.close()
    assert not tmp_path.exists()
