"""The cache: bounded, its owner's only, and whatever is wrong with it costs time and no more."""

import os
import subprocess
import sys

import pytest

from musicgraph.models.disk import cache, part_files

ENTRY, OTHER = (cache.name("compiled", facts) for facts in ("one", "another"))
DEAD_PROCESS = 2**22 + 1  # above Linux's highest number


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_kept_is_read_again(folder):
    cache.write(ENTRY, b"something")
    assert cache.read(ENTRY) == b"something"
    assert [path.name for path in folder.iterdir()] == [ENTRY], "nothing is left beside it"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache.read(OTHER) is None


def test_a_damaged_entry_is_not_there(folder, caplog):
    cache.write(ENTRY, b"something")
    whole = (folder / ENTRY).read_bytes()
    for place in range(len(whole)):
        (folder / ENTRY).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cache.read(ENTRY) is None
        (folder / ENTRY).write_bytes(whole[:place])
        assert cache.read(ENTRY) is None
    assert len(caplog.records) == 2 * len(whole), "and it is said"


def test_an_entry_under_another_name_is_not_there(folder):
    cache.write(ENTRY, b"something")
    (folder / ENTRY).rename(folder / OTHER)
    assert cache.read(OTHER) is None


def test_nothing_is_read_that_others_could_have_written(folder):
    cache.write(ENTRY, b"something")
    (folder / ENTRY).chmod(0o666)
    with pytest.raises(cache.Unusable, match="chmod"):
        cache.read(ENTRY)
    (folder / ENTRY).chmod(0o600)
    folder.chmod(0o777)
    with pytest.raises(cache.Unusable, match="chmod"):
        cache.read(ENTRY)
    with pytest.raises(cache.Unusable, match="chmod"):
        cache.write(OTHER, b"something")


def test_nothing_is_read_that_belongs_to_another_user(folder, monkeypatch):
    cache.write(ENTRY, b"something")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    owner = folder.stat().st_uid
    if owner == 0:  # the system's own files are trusted
        assert cache.read(ENTRY) == b"something"
        os.chown(folder / ENTRY, 54321, -1)
    with pytest.raises(cache.Unusable, match="another user"):
        cache.read(ENTRY)


def test_what_was_least_recently_used_makes_room(monkeypatch):
    monkeypatch.setattr(cache, "MAX_BYTES", 3 * (100 + cache.DIGEST_BYTES))
    names = [cache.name("int8", str(number)) for number in range(5)]
    for age, name in enumerate(names[:3]):
        cache.write(name, bytes(100))
        os.utime(cache.folder() / name, (1000 + age,) * 2)
    assert cache.read(names[0]) is not None, "used now"
    cache.write(names[3], bytes(100))
    assert [cache.read(name) is not None for name in names] == [True, False, True, True, False]
    cache.write(names[4], bytes(1000))
    assert cache.read(names[4]) is not None, "what is too large by itself is kept all the same"


def test_only_entries_of_ours_are_counted_and_removed(folder):
    cache.write(ENTRY, bytes(100))
    (folder / "letter.txt").write_text("mine")
    (folder / part_files.part_name("00000000", DEAD_PROCESS)).write_bytes(bytes(10))
    assert [entry.size_bytes for entry in cache.entries()] == [100 + cache.DIGEST_BYTES]
    assert cache.clean() == 110 + cache.DIGEST_BYTES
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_what_a_killed_process_left_is_swept_and_a_living_ones_is_not(folder):
    folder.mkdir(mode=0o700)
    left, living = (
        folder / part_files.part_name("00000000", one) for one in (DEAD_PROCESS, os.getppid())
    )
    for path in (left, living):
        path.touch()
    cache.write(ENTRY, b"")
    assert not left.exists() and living.exists()


def test_what_another_machine_writes_in_a_shared_folder_is_left_to_it(folder, monkeypatch):
    """Its processes cannot be asked: only what is old is taken for left."""
    folder.mkdir(mode=0o700)
    with monkeypatch.context() as there:
        there.setattr(part_files.platform, "node", lambda: "another")
        part_files._machine.cache_clear()
        there.setattr(part_files.os, "getpid", lambda: DEAD_PROCESS)
        with part_files.written(folder / ENTRY) as part:
            there.undo()
            part_files._machine.cache_clear()
            old = folder / part.name.replace(".mg-", ".mg-0")
            old.touch()
            os.utime(old, (0, 0))
            part_files.sweep(folder)
            part.write_bytes(b"whole")
    assert (folder / ENTRY).read_bytes() == b"whole" and not old.exists()


def test_a_full_disk_leaves_nothing(folder):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError):
            cache.write(ENTRY, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []


def test_a_host_can_have_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_chosen", [])
    cache.use(tmp_path / "host")
    assert cache.folder() == tmp_path / "cache", "the user's word comes first"
    monkeypatch.delenv("MUSICGRAPH_CACHE")
    assert cache.folder() == tmp_path / "host"


def test_after_giving_up_nothing_half_is_left_and_nothing_begins(tmp_path):
    """In a process of its own, whose end this is."""
    script = (
        "import importlib.util, sys, threading, pathlib\n"
        f"spec = importlib.util.spec_from_file_location('part_files', {part_files.__file__!r})\n"
        "part_files = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(part_files)\n"
        "target = pathlib.Path(sys.argv[1]) / ('n' * 250)\n"
        "with part_files.written(target) as part:\n"
        "    part.write_text('half')\n"
        "    part_files.give_up()\n"
        "    late = threading.Thread(target=lambda: part_files.written(target).__enter__())\n"
        "    late.daemon = True\n"
        "    late.start()\n"
        "    late.join(0.2)\n"
        "    import os; os._exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert done.returncode == 7
    assert list(tmp_path.iterdir()) == []


def test_a_planted_entry_is_not_taken(folder):
    """Written by somebody who does not know which entry's name the checksum is keyed with."""
    cache.write(ENTRY, b"")
    (folder / OTHER).write_bytes((folder / ENTRY).read_bytes() + b"machine code")
    assert cache.read(OTHER) is None
