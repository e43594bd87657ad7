"""Fixtures of the page's tests, which name this file in `pytest_plugins`: a tiny model, visitors, a
shelf.
"""

import pytest
import tiny
from page_settings import VISITORS_QUEUE
from workers import AnyWorker

from musicgraph.app.page.shelf import Shelf
from musicgraph.app.page.visitors import Visitors
from musicgraph.app.studio.queue import JobQueue


@pytest.fixture(scope="module")
def one_tiny_model(tmp_path_factory):
    """A tiny random model is the only one there is."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write_tiny_checkpoint(folder / "tiny", codebook_size=1024)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSICGRAPH_MODELS", str(folder))
        yield


@pytest.fixture
def visitors():
    queue = JobQueue(AnyWorker(), max_waiting=VISITORS_QUEUE)
    yield Visitors(queue)
    queue.close()


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "shelf")
