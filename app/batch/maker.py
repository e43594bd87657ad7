"""Makes groups of jobs, with the model of the last group still loaded; results go to a place.

The same in a process of this machine and in an actor on another one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...nodes.host import Run, running
from ...workflows.events import Listener
from ...workflows.executor import Runner
from ...workflows.media.audio import audio_bytes
from ...workflows.overrides import named_by, with_overrides
from ...workflows.problems import NodeError
from ...workflows.reader import read_document
from ...workflows.registry import NodeSpecs
from ...workflows.validate import validate
from ...workflows.workflow import Workflow
from ..studio.music import make_music
from .destination import Destination
from .jobs import BatchJob, JobOutcome, OnMusic, RequestWork, WorkflowWork
from .together import run_together

log = logging.getLogger("musicgraph")


class Maker:
    def __init__(self, place: Destination):
        self._place = place
        self._runner = Runner()

    def make(self, jobs: Sequence[BatchJob], on_music: OnMusic) -> list[JobOutcome]:
        """Side by side what may be, and each with the result that it has by itself.

        A job's failure is said in its outcome, and harms no other.
        """
        began = time.perf_counter()
        attempts = [partial(self._attempt, job) for job in jobs]
        self._runner, members = run_together(self._runner, attempts, on_music)
        each = round((time.perf_counter() - began) / len(jobs), 3)
        return [
            JobOutcome(job.id, () if member.error else job.files, _words(member.error), each)
            for job, member in zip(jobs, members, strict=True)
        ]

    def _attempt(self, job: BatchJob, runner: Runner, listener: Listener) -> bool:
        if isinstance(job.work, RequestWork):
            self._make_request(job, job.work, runner, listener)
        else:
            self._run_workflow(job, job.work, runner, listener)
        return True

    def _make_request(
        self, job: BatchJob, work: RequestWork, runner: Runner, listener: Listener
    ) -> None:
        music = make_music(runner, work.request, listener=listener, input_dir=work.input_dir)
        for name, sound, tags in zip(job.files, music.waveform, music.tags, strict=True):
            content = audio_bytes(Path(name).suffix, sound, music.sample_rate, tags)
            self._place.write(name, content)

    def _run_workflow(
        self, job: BatchJob, work: WorkflowWork, runner: Runner, listener: Listener
    ) -> None:
        named, input_dir = named_by(work.overrides), Path(work.input_dir)
        terms = Run(input_dir=input_dir, named_models=named, named_adapters=named)
        with running(terms):
            read = Workflow.of(read_document(Path(work.file)), NodeSpecs(runner.classes))
            opened = with_overrides(read, work.overrides)
            valid = validate(opened.runnable, opened.specs)
        with self._place.folder(job.files[0]) as folder:
            runner.run(
                valid,
                extra_pnginfo=opened.extra_pnginfo,
                listener=listener,
                input_dir=input_dir,
                output_dir=folder,
                named_models=named,
                named_adapters=named,
            )


def _words(error: Exception | None) -> str:
    if isinstance(error, NodeError) and not error.is_refusal:
        log.error("%s", error, exc_info=error)
    return "" if error is None else str(error)
