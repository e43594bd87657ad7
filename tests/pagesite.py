"""The whole server in this process, on a port of loopback, with a tiny random model: for tests of
the page.
"""

import socket
import threading
import time
from contextlib import contextmanager

import tiny
import uvicorn
from workers import AnyWorker

from musicgraph.app import serve
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
"""sizes of a browser's window"""
CODEBOOK_SIZE = 1024  # larger than the page's default top-k


class Site:
    def __init__(self, address, queue, shelf):
        self.address, self.queue, self.shelf = address, queue, shelf
        self.asked_outside = []

    def wait_until_idle(self, limit_s=10.0):
        started = time.monotonic()
        while self.queue.busy():
            assert time.monotonic() - started < limit_s, "the run goes on"
            time.sleep(0.02)


@contextmanager
def tiny_site(folder, patch, **settings):
    """`patch` is a pytest.MonkeyPatch that lives as long as the site."""
    tiny.write_tiny_checkpoint(folder / "models" / "tiny", codebook_size=CODEBOOK_SIZE)
    patch.setenv("MUSICGRAPH_MODELS", str(folder / "models"))
    patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # music of a page that has gone keeps its place for a while: of the tests before, too
    chosen = AppSettings(port=port, model="tiny", live=64, **settings)
    queue = JobQueue(AnyWorker(), max_waiting=chosen.queue_size)
    shelf = Shelf(folder / "shelf", library=chosen.takes_dir)
    site = Site(f"http://127.0.0.1:{port}/", queue, shelf)
    _watch_sockets(site, patch)
    server = uvicorn.Server(
        uvicorn.Config(
            serve.build_server(chosen, queue, shelf),
            port=port,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield site
    finally:
        queue.close()
        server.should_exit = True
        thread.join(10)


def _watch_sockets(site, patch):
    """Notes every address outside this machine that the server itself turns to."""
    connect = socket.socket.connect

    def noting(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not address[0].startswith(
            ("127.", "::1", "localhost")
        ):
            site.asked_outside.append(address)
        return connect(self, address)

    patch.setattr(socket.socket, "connect", noting)
