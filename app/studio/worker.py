"""The worker of this process: one runner, which keeps the model between jobs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...nodes import wires
from ...workflows import api_format
from ...workflows.bounds import LENGTHS
from ...workflows.events import Event, Listener, NodeProgress, NodeStarted
from .job import Job, JobResult

if TYPE_CHECKING:
    from ...workflows.executor import Runner, RunResult


class LocalWorker:
    """Runs jobs here."""

    def __init__(self, runner: Runner | None = None):
        self._runner = runner

    @property
    def runner(self) -> Runner:
        """Made when it is first needed: with it comes torch."""
        from ...workflows.executor import Runner

        if self._runner is None:
            self._runner = Runner()
        return self._runner

    def run(self, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
        return run_job(self.runner, job, listener, stopped)

    def forget(self) -> None:
        if self._runner is None:
            return
        self._runner.forget()
        gc.collect()
        import torch

        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def run_job(runner: Runner, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
    """Raises what `Runner.run` raises: WorkflowError, NodeError, Interrupted."""
    watch = _Stopwatch(job, runner, listener)
    result = runner.run(
        job.checked or api_format.read(job.graph),
        extra_pnginfo=job.extra_pnginfo,
        listener=watch,
        stopped=stopped,
        stream=job.stream,
        targets=job.targets,
        named_models=job.named_models,
        named_adapters=job.named_adapters,
        limits=job.limits,
        input_dir=job.folders.input,
        output_dir=job.folders.output,
        temp_dir=job.folders.temp,
    )
    sounds = {node: result.value(node) for node in job.targets or ()}
    return JobResult(sounds, result.files, _engine_of(result), watch.seconds(), result.made_with)


def _engine_of(result: RunResult) -> str:
    values = (value for slots in result.outputs.values() for slot in slots for value in slot)
    return next((str(value.choice) for value in values if isinstance(value, wires.Model)), "")


class _Stopwatch:
    """Passes events on, and measures from when the first node that composes has its model."""

    def __init__(self, job: Job, runner: Runner, listener: Listener):
        self._job, self._classes, self._listener = job, runner.classes, listener
        self._began = time.perf_counter()
        self._composer = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted) and not self._composer and self._is_composer(event.node):
            self._began, self._composer = time.perf_counter(), event.node
        if isinstance(event, NodeProgress) and (event.node, event.done) == (self._composer, 0):
            self._began = time.perf_counter()
        self._listener(event)

    def _is_composer(self, node: str) -> bool:
        """By what stands in the graph: to ask the class for its inputs may look into folders."""
        told = self._job.graph[node]
        is_sampler = wires.TOKENS in self._classes[told["class_type"]].RETURN_TYPES
        return is_sampler and not LENGTHS.isdisjoint(told["inputs"])

    def seconds(self) -> float:
        return time.perf_counter() - self._began
