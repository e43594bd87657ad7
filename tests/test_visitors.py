"""Visitors and their jobs: everybody stops their own, and hears of it at once."""

import threading
import time
from pathlib import Path

import pytest
from page_settings import REQUEST, SETTINGS

from musicgraph.app.page.create import compose
from musicgraph.app.studio.failures import failure_of
from musicgraph.app.studio.queue import QueueFull
from musicgraph.nodes.host import Interrupted

ROOT = Path(__file__).parents[1]


pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.usefixtures("one_tiny_model")


def test_stopping_ends_ones_own_work_on_one_tab_only(visitors):
    def wait(_worker, stopped):
        while not stopped():
            time.sleep(0.01)

    with (
        visitors.submitted("anna", "create", wait) as hers,
        visitors.submitted("anna", "graph", wait) as her_graph,
        visitors.submitted("ben", "create", wait) as his,
    ):
        visitors.stop("anna", "create")
        with pytest.raises(Interrupted):
            hers.handle.result(2)
        assert not her_graph.handle.done() and not his.handle.done()
        visitors.stop("anna")
        with pytest.raises(Interrupted):
            her_graph.handle.result(2)
        assert not his.handle.done()


def test_a_stop_is_heard_at_once_even_where_the_work_cannot_be_stopped(visitors):
    over = threading.Event()
    with visitors.submitted("anna", "create", lambda *_: over.wait(10)) as run:
        batches = run.stream.batches()
        next(batches)
        visitors.stop("anna", "create")
        assert list(batches) == [[]]
        with pytest.raises(Interrupted):
            run.handle.result(0)
    over.set()


def test_who_has_left_for_good_makes_no_more_work(visitors):
    done = []
    visitors.leave("anna")
    with (
        pytest.raises(Interrupted),
        visitors.submitted("anna", "create", lambda *_: done.append(1)),
    ):
        raise AssertionError
    with visitors.submitted("ben", "create", lambda *_: 7) as his:
        assert his.handle.result(5) == 7


def test_a_full_queue_is_said(visitors, shelf):
    def wait(_worker, stopped):
        while not stopped():
            time.sleep(0.01)

    with visitors.submitted("a", "x", wait) as first:
        while not visitors.queue.busy():
            time.sleep(0.01)
        with visitors.submitted("b", "x", wait), visitors.submitted("c", "x", wait):
            assert first.handle.position() == 0
            with pytest.raises(QueueFull) as full:
                next(compose(visitors, shelf, SETTINGS, "anna", REQUEST))
    assert "2 are waiting already" in failure_of(full.value).text
