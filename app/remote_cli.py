"""`musicgraph run --server`: workflows on other people's servers."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..models.refused import Refused
from .progress_bars import node_bar
from .stopping import ENDED_BY, leave_signals
from .streams import BAD_INPUT, FAILED, exit_with, print_line
from .studio.job import Folders, Job, JobResult

if TYPE_CHECKING:
    from ..workflows.events import Event
    from ..workflows.overrides import Override
    from .remote.comfyui import ComfyServer


def run_on_servers(
    files: Sequence[Path],
    urls: Sequence[str],
    overrides: list[Override],
    folders: Folders,
    as_json: bool,
) -> None:
    """Ends with the exit code of what was worst. Ctrl-C stops what runs on the servers."""
    from ..workflows import api_format

    try:
        from .remote.comfyui import ComfyServer
        from .remote.shared_list import SharedList
        from .remote.worker import ComfyUIWorker, FreeNames
    except ModuleNotFoundError as error:
        remedy = "install them with: pip install 'musicgraph[remote]'"
        got = f"a Python without {error.name}"
        raise Refused("--server", got=got, expected="httpx and websockets", remedy=remedy) from None

    servers = [ComfyServer(url) for url in dict.fromkeys(urls)]
    jobs = [_job(file, overrides, folders, servers) for file in files]
    began, told, names = time.perf_counter(), _Told(files, as_json), FreeNames()
    with node_bar(api_format.read(jobs[0].graph)) as bar:
        listeners = [bar if len(jobs) == 1 else _ignore for _ in jobs]
        leave_signals()
        try:
            workers = [ComfyUIWorker(one, names) for one in servers]
            SharedList(jobs, listeners, told).work(workers)
        except KeyboardInterrupt:
            exit_with(f"stopped, also there, after {time.perf_counter() - began:.1f} s",
                      ENDED_BY + signal.SIGINT)  # fmt: skip
    if told.bug is not None:
        raise told.bug
    if told.code:
        raise SystemExit(told.code)


def _ignore(_: Event) -> None:
    """Of several workflows it is said when each is done."""


class _Told:
    """Says what came of each job, when it came, and keeps the worst exit code, and what was no
    refusal.
    """

    def __init__(self, files: Sequence[Path], as_json: bool):
        self._files, self._as_json = files, as_json
        self.code, self.bug = 0, None

    def __call__(self, number: int, outcome: JobResult | Exception) -> None:
        if isinstance(outcome, JobResult):
            self._made(number, outcome)
        else:
            self._failed(number, outcome)

    def _made(self, number: int, result: JobResult) -> None:
        files = [str(file) for file in result.files]
        if self._as_json:
            facts = {"ok": True, "workflow": str(self._files[number]), "server": result.engine}
            facts |= {"files": files, "seconds": round(result.generation_s, 3)}
            print_line(json.dumps(facts))
        else:
            print_line("\n".join(files))

    def _failed(self, number: int, error: Exception) -> None:
        from ..models.quoting import one_line
        from ..nodes.host import Interrupted
        from ..workflows.problems import NodeError

        is_refusal = isinstance(error, Refused) or getattr(error, "is_refusal", False)
        if not is_refusal and not isinstance(error, (NodeError, Interrupted)):
            self.bug = error
            return
        self.code = max(self.code, BAD_INPUT if is_refusal else FAILED)
        if self._as_json:
            facts = {"ok": False, "workflow": str(self._files[number]), "error": str(error)}
            print_line(json.dumps(facts))
        typer.echo(one_line(f"musicgraph: {self._files[number]}: {error}"), err=True)


def _job(
    file: Path, overrides: list[Override], folders: Folders, servers: Sequence[ComfyServer]
) -> Job:
    """The graph of a file with other values; the server is the judge of it. Raises Refused."""
    from ..nodes.host import Run, running
    from ..workflows.overrides import with_overrides
    from ..workflows.reader import read_document
    from ..workflows.registry import NodeSpecs, node_classes
    from ..workflows.workflow import Workflow
    from .remote.document_classes import classes_of, needs_more

    document, classes = read_document(file), node_classes()
    if needs_more(document, classes):
        classes = {**classes_of(_first_answer(servers)), **classes}
    with running(Run(input_dir=Path(folders.input), output_dir=Path(folders.output))):
        opened = with_overrides(Workflow.of(document, NodeSpecs(classes)), overrides)
        return Job(opened.prompt, opened.extra_pnginfo, folders=folders)


def _first_answer(servers: Sequence[ComfyServer]) -> Mapping[str, Any]:
    """What the first server that is there says of its classes. Raises ServerLost."""
    from .remote.comfyui import ServerLost

    for server in servers[:-1]:
        try:
            return server.classes()
        except ServerLost:
            continue
    return servers[-1].classes()
