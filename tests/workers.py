"""Workers for tests: they run jobs, and plain functions of (worker, stopped) instead of jobs."""

import threading

from musicgraph.app.studio.worker import LocalWorker


class FakeWorker:
    """Runs functions only, so many at once, and notes when it is to forget."""

    def __init__(self, at_once=1):
        self.forgotten, self.at_once = threading.Event(), at_once

    def has_room(self, job, running):
        return len(running) < self.at_once

    def run(self, job, listener, stopped):
        return job(self, stopped)

    def forget(self):
        self.forgotten.set()


class AnyWorker(LocalWorker):
    """Runs real jobs too; one after another, unless it is told to run several at once."""

    def __init__(self, at_once=1):
        super().__init__()
        self.at_once = at_once

    def has_room(self, job, running):
        return len(running) < self.at_once

    def run(self, job, listener, stopped):
        return job(self, stopped) if callable(job) else super().run(job, listener, stopped)
