"""How many processors a container's quota pays for."""

import os

import pytest

from musicgraph.models.engines import processors


@pytest.fixture
def groups(tmp_path, monkeypatch):
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_quota_all_count(groups):
    write(groups / "cpu.max", "max 100000\n")
    assert processors.quota_processors() is None
    assert processors.usable_processors() == 32


@pytest.mark.parametrize(
    "text, usable", [("200000 100000", 2), ("350000 100000", 3), ("50000 100000", 1)]
)
def test_a_quota_of_version_2(groups, text, usable):
    write(groups / "cpu.max", text)
    assert processors.usable_processors() == usable


def test_the_tightest_of_nested_groups_binds(groups):
    write(groups / "own", "0::/pod/container\n")
    write(groups / "pod/cpu.max", "300000 100000")
    write(groups / "pod/container/cpu.max", "800000 100000")
    assert processors.usable_processors() == 3


def test_a_quota_of_version_1(groups):
    write(groups / "own", "5:memory:/x\n4:cpu,cpuacct:/docker/abc\n")
    for name, text in (("quota", "400000"), ("period", "100000")):
        write(groups / f"cpu/docker/abc/cpu.cfs_{name}_us", text)
    assert processors.usable_processors() == 4
    write(groups / "cpu/docker/abc/cpu.cfs_quota_us", "-1")
    assert processors.usable_processors() == 32


def test_openmp_gets_no_more_threads_than_the_quota_pays_for(groups, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # noted even if it is not there, so that it goes again
        monkeypatch.delenv(name)
    processors.prepare_threads()
    assert "OMP_NUM_THREADS" not in os.environ
    write(groups / "cpu.max", "200000 100000")
    processors.prepare_threads()
    assert os.environ["OMP_NUM_THREADS"] == "2" and os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    processors.prepare_threads()
    assert os.environ["OMP_NUM_THREADS"] == "5", "the user's word comes first"


@pytest.mark.parametrize(("share", "own"), [("2", 2), ("0", 1), ("99", 8), ("", 8), ("many", 8)])
def test_a_process_beside_others_has_a_share(monkeypatch, share, own):
    monkeypatch.setattr(processors, "usable_processors", lambda: 8)
    monkeypatch.setenv(processors.SHARE, share)
    assert processors.own_processors() == own
