"""The shelf: everybody has folders of their own, and what is old leaves no file; a library that was
named stays.
"""

import os
import time

import torch

from musicgraph.app.page.shelf import Shelf
from musicgraph.app.page.take_library import Note

SOUND = torch.rand(1, 800) - 0.5


def added(library, title="a piano", **facts):
    return library.add(SOUND, 8000, Note(title, 0.1, **facts), {})


def test_everybody_sees_their_own_takes_newest_first(tmp_path):
    shelf = Shelf(tmp_path / "shelf")
    old = added(shelf.takes_of("anna"), made_at=1000.0)
    new = added(shelf.takes_of("anna"), made_at=2000.0)
    assert shelf.takes_of("anna").takes() == [new, old]
    assert shelf.takes_of("ben").takes() == []
    assert "anna" not in str(shelf.folder("anna", "takes"))
    assert shelf.takes_of("anna").keep_s == shelf.keep_s


def test_old_takes_leave_no_file(tmp_path):
    shelf = Shelf(tmp_path / "shelf", keep_s=60, now=time.time)
    library = shelf.takes_of("anna")
    old, young = added(library), added(library)
    os.utime(old.path, (time.time() - 61,) * 2)
    shelf.sweep()
    assert library.takes() == [young]
    assert [path.name for path in library.folder.iterdir()] == [young.path.name]
    shelf.close()
    assert not (tmp_path / "shelf").exists()


def test_a_library_that_was_named_is_everybodys_and_stays(tmp_path):
    shelf = Shelf(tmp_path / "shelf", keep_s=0, library=tmp_path / "Music")
    take = added(shelf.takes_of("anna"))
    shelf.sweep()
    shelf.close()
    assert Shelf(library=tmp_path / "Music").takes_of("ben").takes() == [take]
