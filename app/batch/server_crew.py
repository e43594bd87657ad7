"""Servers of ComfyUI as workers of a batch: each runs one job after another, as `run --server` has
it.

A server that is lost gives its job back to the others and is not asked again; where none is left,
the batch stops there, and goes on when the command is started again.
"""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...models.refused import Refused
from ...nodes.host import Interrupted, Run, running
from ...workflows.default_graph import workflow_for
from ...workflows.events import Event
from ...workflows.overrides import named_by, with_overrides
from ...workflows.problems import NodeError
from ...workflows.reader import read_document
from ...workflows.registry import CORE, NodeClasses, NodeSpecs, node_classes, pack_of
from ...workflows.workflow import Workflow
from ..remote.comfyui import ComfyServer, ServerLost
from ..remote.document_classes import classes_of
from ..remote.worker import ComfyUIWorker
from ..studio.job import Folders, Job
from .crew import Group, Retries
from .destination import destination_at
from .jobs import BatchJob, JobOutcome, OnMusic, RequestWork

log = logging.getLogger("musicgraph")

Told = tuple[ComfyUIWorker, "list[JobOutcome] | BaseException"]


class ServerCrew:
    """Raises Refused for what is no address, ServerLost where no server answers."""

    def __init__(self, urls: Sequence[str], destination: str):
        """`destination`: as `destination_at` takes it."""
        self._place = destination_at(destination)
        self._servers, told = _answering(urls)
        self.classes = _classes_there(told)
        """of nodes: the first server is the judge of a list"""

    def __len__(self) -> int:
        return len(self._servers)

    def outcomes(self, groups: Iterable[Group], on_music: OnMusic) -> Iterator[JobOutcome]:
        """Raises ServerLost when no server is left for what is still to do."""
        work, told = Retries(groups), queue.SimpleQueue[Told]()
        free, busy = deque(map(ComfyUIWorker, self._servers)), dict[ComfyUIWorker, Group]()
        stop = threading.Event()
        with ThreadPoolExecutor(len(free), "musicgraph-server") as threads:
            try:
                while True:
                    while free and (group := work.next()) is not None:
                        worker = free.popleft()
                        busy[worker] = group
                        threads.submit(self._make_all, worker, group, told, stop)
                    if not busy:
                        return
                    worker, came = told.get()
                    group = busy.pop(worker)
                    if isinstance(came, ServerLost):
                        log.warning("%s: not asked any more", came)
                        yield from work.lost(group, str(came))
                        if not (free or busy):
                            raise came
                        continue
                    if isinstance(came, BaseException):
                        raise came
                    free.append(worker)
                    on_music(sum(job.music_s for job in group))
                    yield from came
            finally:
                stop.set()

    # ------------------------------------------------------------ in a server's thread

    def _make_all(
        self,
        worker: ComfyUIWorker,
        group: Group,
        told: queue.SimpleQueue[Told],
        stop: threading.Event,
    ) -> None:
        try:
            told.put((worker, [self._outcome(worker, job, stop) for job in group]))
        except BaseException as error:  # not handled: handed to who waits for the outcomes
            told.put((worker, error))

    def _outcome(self, worker: ComfyUIWorker, job: BatchJob, stop: threading.Event) -> JobOutcome:
        """Raises ServerLost, and what is nobody's refusal and no node's failure."""
        began, error = time.perf_counter(), ""
        try:
            self._make(worker, job, stop)
        except ServerLost:
            raise
        except (Refused, NodeError) as refusal:
            error = str(refusal)
        except Interrupted as stopped:
            if stop.is_set():
                raise
            error = str(stopped)  # by somebody there
        seconds = round(time.perf_counter() - began, 3)
        return JobOutcome(job.id, () if error else job.files, error, seconds)

    def _make(self, worker: ComfyUIWorker, job: BatchJob, stop: threading.Event) -> None:
        if isinstance(job.work, RequestWork):
            with tempfile.TemporaryDirectory(prefix="musicgraph-") as folder:
                files = self._run(worker, job, Path(folder), stop)
                _check_count(job, files)
                for name, file in zip(job.files, files, strict=True):
                    self._place.write(name, file.read_bytes())
        else:
            with self._place.folder(job.files[0]) as folder:
                self._run(worker, job, folder, stop)

    def _run(
        self, worker: ComfyUIWorker, job: BatchJob, folder: Path, stop: threading.Event
    ) -> Sequence[Path]:
        folders = Folders(input=job.work.input_dir, output=str(folder), temp=str(folder))
        graph, extra = _graph_of(job, NodeSpecs(self.classes))
        return worker.run(Job(graph, extra, folders=folders), _ignore, stop.is_set).files


def _ignore(_: Event) -> None:
    """A batch says when a job is done."""


def _answering(urls: Sequence[str]) -> tuple[list[ComfyServer], Mapping[str, Any]]:
    """Those that are there, and what the first of them says of its classes."""
    servers, lost, told = [], [], None
    for server in map(ComfyServer, dict.fromkeys(urls)):
        try:
            said = server.classes()
        except ServerLost as error:
            log.warning("%s: not asked any more", error)
            lost.append(error)
        else:
            servers.append(server)
            told = said if told is None else told
    if told is None:
        raise lost[-1]
    return servers, told


def _classes_there(told: Mapping[str, Any]) -> NodeClasses:
    """Ours as the server declares them, with the models that it has; ComfyUI's own as the twins
    read them, whose widgets depend on others'.
    """
    there = classes_of(told)
    known = {
        name: kind
        for name, kind in node_classes().items()
        if name not in there or pack_of(name) == CORE
    }
    return {**there, **known}


def _graph_of(
    job: BatchJob, specs: NodeSpecs
) -> tuple[Mapping[str, dict[str, Any]], Mapping[str, Any] | None]:
    work = job.work
    if isinstance(work, RequestWork):
        workflow = workflow_for(work.request, specs)
    else:
        named = named_by(work.overrides)
        with running(Run(input_dir=Path(work.input_dir), named_models=named)):
            read = Workflow.of(read_document(Path(work.file)), specs)
            workflow = with_overrides(read, work.overrides)
    return workflow.prompt, workflow.extra_pnginfo


def _check_count(job: BatchJob, files: Sequence[Path]) -> None:
    if len(files) != len(job.files):
        expected = str(len(job.files))
        raise Refused(f"{job.id}: files of the server", got=len(files), expected=expected)
