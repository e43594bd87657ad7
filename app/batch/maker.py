"""Makes groups of jobs, with the model of the last group still loaded; results go to a place.

The same in a process of this machine and in an actor on another one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...models.refused import Refused
from ...nodes.host import Run, running
from ...workflows.events import Event, Listener, TokensFinished
from ...workflows.executor import Runner
from ...workflows.media.audio import audio_bytes
from ...workflows.overrides import named_by, with_overrides
from ...workflows.problems import NodeError
from ...workflows.reader import read_document
from ...workflows.registry import NodeSpecs
from ...workflows.validate import validate
from ...workflows.workflow import Workflow
from ..studio.music import make_music
from ..studio.worker import shares_steps
from .destination import Destination
from .jobs import BatchJob, JobOutcome, OnMusic, RequestWork, WorkflowWork

log = logging.getLogger("musicgraph")


class Maker:
    def __init__(self, place: Destination):
        self._place = place
        self._runner = Runner()

    def make(self, jobs: Sequence[BatchJob], on_music: OnMusic) -> list[JobOutcome]:
        """Side by side, where that is quicker, and each with the result that it has by itself.

        A job's failure is said in its outcome, and harms no other.
        """
        began, tell = time.perf_counter(), _Told(on_music)
        with ThreadPoolExecutor(len(jobs) if shares_steps() else 1, "musicgraph-job") as threads:
            errors = list(threads.map(lambda job: self._error_of(job, tell), jobs))
        each = round((time.perf_counter() - began) / len(jobs), 3)
        return [
            JobOutcome(job.id, () if error else job.files, _words(error), each)
            for job, error in zip(jobs, errors, strict=True)
        ]

    def _error_of(self, job: BatchJob, listener: Listener) -> Refused | NodeError | None:
        """Makes it. Raises what is nobody's refusal, and no node's failure."""
        try:
            if isinstance(job.work, RequestWork):
                self._make_request(job, job.work, listener)
            else:
                self._run_workflow(job, job.work, listener)
        except (Refused, NodeError) as error:
            return error
        return None

    def _make_request(self, job: BatchJob, work: RequestWork, listener: Listener) -> None:
        music = make_music(self._runner, work.request, listener=listener, input_dir=work.input_dir)
        for name, sound, tags in zip(job.files, music.waveform, music.tags, strict=True):
            content = audio_bytes(Path(name).suffix, sound, music.sample_rate, tags)
            self._place.write(name, content)

    def _run_workflow(self, job: BatchJob, work: WorkflowWork, listener: Listener) -> None:
        named, input_dir = named_by(work.overrides), Path(work.input_dir)
        terms = Run(input_dir=input_dir, named_models=named, named_adapters=named)
        with running(terms):
            read = Workflow.of(read_document(Path(work.file)), NodeSpecs(self._runner.classes))
            opened = with_overrides(read, work.overrides)
            valid = validate(opened.runnable, opened.specs)
        with self._place.folder(job.files[0]) as folder:
            self._runner.run(
                valid,
                extra_pnginfo=opened.extra_pnginfo,
                listener=listener,
                input_dir=input_dir,
                output_dir=folder,
                named_models=named,
                named_adapters=named,
            )


class _Told:
    """Tells how much music was just made, of all jobs together; one thread at a time."""

    def __init__(self, on_music: OnMusic):
        self._on_music, self._lock = on_music, threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TokensFinished):
            items, _, frames = event.block.tokens.shape
            with self._lock:
                self._on_music(items * frames / event.block.audio_tokens["frame_rate"])


def _words(error: Exception | None) -> str:
    if isinstance(error, NodeError) and not error.is_refusal:
        log.error("%s", error, exc_info=error)
    return "" if error is None else str(error)
