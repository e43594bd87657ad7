"""Workers for tests: they run jobs, and plain functions of (worker, stopped) instead of jobs."""

import threading

from musicgraph.app.studio.worker import LocalWorker


class FakeWorker:
    """Runs functions only, and notes when it is to forget."""

    def __init__(self):
        self.forgotten = threading.Event()

    def run(self, job, listener, stopped):
        return job(self, stopped)

    def forget(self):
        self.forgotten.set()


class AnyWorker(LocalWorker):
    """Runs real jobs too."""

    def run(self, job, listener, stopped):
        return job(self, stopped) if callable(job) else super().run(job, listener, stopped)
