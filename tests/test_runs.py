"""Runs of the Create tab: they go on by themselves and end as a take, stopped ones too."""

import time
from dataclasses import replace

import pytest
import torch
from page_settings import REQUEST, SETTINGS
from workers import AnyWorker

from musicgraph.app.page import runs as module
from musicgraph.app.page.create import page_job
from musicgraph.app.page.form import values_of
from musicgraph.app.page.runs import PageRun, Runs
from musicgraph.app.studio.fields import page_fields
from musicgraph.app.studio.queue import JobQueue
from musicgraph.models.dsp import loudness_lufs
from musicgraph.models.refused import Refused
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import read_document

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")

LONG = replace(REQUEST, duration_s=120.0)


@pytest.fixture
def queue():
    queue = JobQueue(AnyWorker(), max_waiting=2)
    yield queue
    queue.close()


@pytest.fixture
def start(queue, shelf):
    runs = Runs(queue)

    def start(request=REQUEST, owner="anna"):
        wanted, job = page_job(shelf, SETTINGS, owner, request)
        settings = values_of(page_fields(SETTINGS), wanted)
        return runs.start(PageRun(owner, wanted, job, settings, shelf.takes_of(owner)))

    start.runs = runs
    return start


def until(is_so, limit_s=120.0):
    started = time.monotonic()
    while not (answer := is_so()):
        assert time.monotonic() - started < limit_s
        time.sleep(0.02)
    return answer


def ended(run):
    assert run.over.wait(60)
    return run.look()


def sounding(run):
    until(lambda: len(run.look()["peaks"]) > 30)


def test_a_run_whose_end_cannot_be_kept_is_over_all_the_same(start, monkeypatch):
    def fail(*_, **__):
        raise OSError("the disk is gone")

    monkeypatch.setattr(module, "keep", fail)
    run = start(LONG)
    sounding(run)
    run.stop()
    assert run.over.wait(60)
    assert run.look()["state"] == "failed" and start.runs.going_on("anna") is None


def test_a_run_ends_as_a_take_though_nobody_looks(start, shelf):
    run = start()
    assert run.over.wait(60)
    (take,) = shelf.takes_of("anna").takes()
    now = run.look()
    assert now["state"] == "done" and [one["id"] for one in now["takes"]] == [take.id]
    assert take.note.duration_s == REQUEST.duration_s
    assert take.note.settings["prompt"] == REQUEST.prompt
    document = read_document(take.path)
    assert document.ui is not None and document.api is not None


def test_each_variation_is_a_take_that_can_be_made_again_by_itself(start):
    both = ended(start(replace(REQUEST, duration_s=1.0, variations=2)))["takes"]
    assert [one["settings"]["seed"] for one in both] == [5, 6]
    assert [one["settings"]["variations"] for one in both] == [1, 1]
    alone = start(replace(REQUEST, duration_s=1.0, seed=6))
    (again,) = ended(alone)["takes"]
    sounds = [read_audio(alone.kept_in.take(one["id"]).path)[0] for one in (again, both[1])]
    torch.testing.assert_close(*sounds, atol=1e-4, rtol=0)


def test_what_was_made_before_a_stop_is_kept_and_is_the_beginning_of_the_whole(start):
    run = start(LONG)
    sounding(run)
    run.stop()
    now = ended(run)
    assert now["state"] == "stopped" and "are kept" in now["status"]
    (take,) = run.kept_in.takes()
    assert take.note.was_stopped and take.note.duration_s >= 3.0
    stopped, rate = read_audio(take.path)
    whole = start(replace(LONG, duration_s=4.0))
    (full,) = ended(whole)["takes"]
    same = int(1.5 * rate)
    torch.testing.assert_close(
        read_audio(whole.kept_in.take(full["id"]).path)[0][:, :same], stopped[:, :same],
        atol=1e-3, rtol=0,
    )  # fmt: skip


def test_a_stop_before_the_first_sound_keeps_nothing(start):
    run = start()
    run.stop()
    now = ended(run)
    assert now["state"] == "stopped" and now["takes"] == [] and run.kept_in.takes() == []


def test_the_end_of_the_server_keeps_what_was_made(start, queue):
    run = start(LONG)
    sounding(run)
    queue.close()
    assert ended(run)["state"] == "stopped" and run.kept_in.takes()


def test_a_loudness_is_met_by_the_file_and_by_a_stopped_one(start):
    whole = start(replace(REQUEST, loudness_lufs=-16.0))
    ended(whole)
    stopped = start(replace(LONG, loudness_lufs=-16.0))
    sounding(stopped)
    stopped.stop()
    ended(stopped)
    for take in whole.kept_in.takes():
        assert loudness_lufs(*read_audio(take.path)) == pytest.approx(-16.0, abs=1.5)


@pytest.mark.parametrize("how", ["lost", "left"])
def test_a_run_that_no_page_looks_at_is_ended_after_a_while(start, monkeypatch, how):
    monkeypatch.setattr(module, "LOST_S" if how == "lost" else "LEFT_S", 0.3)
    run = start(LONG)
    if how == "lost":
        run.look()
    else:
        run.leave()
    assert run.over.wait(20)
    until(lambda: not start.runs._queue.busy())


def test_a_page_that_comes_back_finds_its_run_and_others_do_not(start, monkeypatch):
    monkeypatch.setattr(module, "LEFT_S", 3.0)
    run = start(LONG)
    run.leave()
    assert start.runs.going_on("anna") is run and start.runs.of("anna", run.id) is run
    run.look()
    time.sleep(3.5)
    assert not run.over.is_set(), "it was looked at again"
    assert start.runs.going_on("ben") is None and start.runs.of("ben", run.id) is None
    run.stop()
    ended(run)
    assert start.runs.going_on("anna") is None and start.runs.of("anna", run.id) is run


def test_a_refusal_is_said_in_the_pages_words_at_its_field(start):
    now = ended(start(replace(REQUEST, prompt="word " * 1500)))
    assert now["state"] == "failed" and now["field"] == "prompt"
    assert "fewer words" in now["status"] and "MusicGen" not in now["status"]


def test_music_that_cannot_be_written_is_said(start, monkeypatch):
    def full(*_, **__):
        raise Refused("cannot write x.flac", got="No space left on device")

    monkeypatch.setattr("musicgraph.app.page.take_library.write_audio", full)
    now = ended(start())
    assert now["state"] == "failed" and "No space left" in now["status"]


def test_runs_that_ended_long_ago_are_forgotten(start, monkeypatch):
    old = start(replace(REQUEST, duration_s=1.0))
    ended(old)
    monkeypatch.setattr(module, "KEEP_ENDED_S", -1.0)
    start(replace(REQUEST, duration_s=1.0))
    assert start.runs.of("anna", old.id) is None
