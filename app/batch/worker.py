"""A process that makes music for a batch, with its model loaded between groups of jobs.

It is told by lines of JSON on stdin and answers on stdout:

    → {"jobs": [...]}            a group
    ← {"ready": true}            once, when it has started
    ← {"music_s": 0.5}           so much was made since the last such line
    ← {"outcomes": [...]}        of the group

It ends when its stdin does: with whoever started it, however that ended.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from ...models.disk import part_files
from ...models.engines.processors import prepare_threads
from ..studio.own_process import answers_on_stdout

REPORT_S = 0.5


def main(place: str) -> None:
    """Call it first thing in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    answers = os.fdopen(answers_on_stdout(), "w", encoding="utf-8")
    prepare_threads()
    groups = _Groups()
    from .destination import destination_at
    from .jobs import BatchJob
    from .maker import Maker

    def answer(**facts: Any) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    maker = Maker(destination_at(place))
    answer(ready=True)
    for group in groups:
        report = _Report(lambda music_s: answer(music_s=music_s))
        outcomes = maker.make([BatchJob.read(one) for one in group], report.add)
        answer(outcomes=[one.as_json() for one in outcomes])


class _Groups:
    """What comes on stdin. A thread waits for its end, whatever the others do then."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="musicgraph-orders", daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._waiting.put(json.loads(line)["jobs"])
        part_files.give_up()
        os._exit(0)

    def __iter__(self) -> Iterator[list[Any]]:
        while True:
            yield self._waiting.get()


class _Report:
    """Gathers seconds of music, and tells of them now and then."""

    def __init__(self, tell: Any):
        self._tell, self._music_s, self._told = tell, 0.0, time.monotonic()

    def add(self, music_s: float) -> None:
        self._music_s += music_s
        if time.monotonic() - self._told > REPORT_S:
            self._tell(self._music_s)
            self._music_s, self._told = 0.0, time.monotonic()
