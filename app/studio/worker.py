"""The worker of this process: one runner, which keeps the model between jobs and for those that
run at once.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...models.engines.choose import NUMBA, choose
from ...models.refused import Refused
from ...nodes import wires
from ...workflows import api_format
from ...workflows.bounds import LENGTHS
from ...workflows.events import Event, Listener, NodeProgress, NodeStarted
from .job import Job, JobResult
from .pace import Pace

if TYPE_CHECKING:
    from ...workflows.executor import Runner, RunResult


OnMusic = Callable[[float], None]


def _ignore(_: float) -> None:
    pass


class LocalWorker:
    """Runs jobs here: side by side where the engine has their rows share its steps, and so one
    another's results to the last bit; elsewhere one after the other.
    """

    def __init__(self, runner: Runner | None = None):
        self._lock = threading.Lock()  # guards the four that follow
        self._runner = runner
        self._is_kept_for_jobs, self._borrowers = False, 0
        self._shares_steps = False
        self._pace = Pace()

    @property
    def runner(self) -> Runner:
        """Made when it is first needed: with it comes torch."""
        from ...workflows.executor import Runner

        with self._lock:
            if self._runner is None:
                self._runner = Runner()
            return self._runner

    def borrow(self) -> Runner:
        """The runner, whose model is kept until `give_back`, too: for who plays without jobs."""
        runner = self.runner
        with self._lock:
            self._borrowers += 1
        return runner

    def give_back(self) -> None:
        with self._lock:
            self._borrowers -= 1
        self._forget_unless_kept()

    def run(
        self,
        job: Job,
        listener: Listener,
        stopped: Callable[[], bool],
        on_music: OnMusic = _ignore,
    ) -> JobResult:
        """`on_music` is told how many seconds of its music are made by now."""
        shares = shares_steps()
        with self._lock:
            self._is_kept_for_jobs, self._shares_steps = True, shares
        progress = self._pace.join(job.stream)

        def note(music_s: float) -> None:
            self._pace.note(progress, music_s)
            on_music(music_s)

        try:
            return run_job(self.runner, job, listener, stopped, note)
        finally:
            self._pace.leave(progress)

    def has_room(self, job: Job, running: Sequence[Job]) -> bool:
        return self._shares_steps and self._pace.has_room(job.stream)

    def forget(self) -> None:
        with self._lock:
            self._is_kept_for_jobs = False
        self._forget_unless_kept()

    def _forget_unless_kept(self) -> None:
        with self._lock:
            if self._runner is None or self._is_kept_for_jobs or self._borrowers:
                return
            self._runner.forget()
        gc.collect()
        import torch

        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def shares_steps() -> bool:
    """Whether pieces that are composed at once take little more than one, on this machine's
    usual engine.
    """
    from ...nodes.host import default_device

    try:
        return choose("auto", default_device().type, None, supports_fp16=False).engine == NUMBA
    except Refused:  # an engine was named that there is not; the loader says so
        return False


def run_job(
    runner: Runner,
    job: Job,
    listener: Listener,
    stopped: Callable[[], bool],
    on_music: OnMusic = _ignore,
) -> JobResult:
    """`on_music` is told how many seconds of its music are made by now.

    Raises what `Runner.run` raises: WorkflowError, NodeError, Interrupted.
    """
    watch = _Stopwatch(job, runner, listener, on_music)
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

    def __init__(self, job: Job, runner: Runner, listener: Listener, on_music: OnMusic):
        self._job, self._classes, self._listener = job, runner.classes, listener
        self._on_music = on_music
        self._began = time.perf_counter()
        self._composer = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted) and not self._composer and self._is_composer(event.node):
            self._began, self._composer = time.perf_counter(), event.node
        if isinstance(event, NodeProgress) and event.node == self._composer:
            if not event.done:
                self._began = time.perf_counter()
            self._on_music(event.done / max(1, event.total) * self._job.music_s)
        self._listener(event)

    def _is_composer(self, node: str) -> bool:
        """By what stands in the graph: to ask the class for its inputs may look into folders."""
        told = self._job.graph[node]
        is_sampler = wires.TOKENS in self._classes[told["class_type"]].RETURN_TYPES
        return is_sampler and not LENGTHS.isdisjoint(told["inputs"])

    def seconds(self) -> float:
        return time.perf_counter() - self._began
