"""`musicgraph batch`: a list of prompts, and a file for each.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..models.refused import Refused
from .options import AsJson
from .streams import FAILED, print_line

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..workflows.registry import NodeClasses
    from .batch.course import BatchResult
    from .batch.crew import Crew
    from .batch.jobs import BatchJob
    from .batch.manifest import ManifestLine
    from .batch.server_crew import ServerCrew
    from .batch.table import TableRow

SAID_EVERY_S = 30
MAX_WORKERS = 256

List = Annotated[
    Path,
    typer.Argument(
        metavar="LIST",
        help="A row for each piece: .csv, .jsonl or .parquet. Columns: prompt, and what generate "
        "takes (duration, seed, model …); id names the files, else the row's number does.",
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Where files and manifest.jsonl go: a folder, or a place such as s3://bucket/pieces. "
        "That of a batch that was stopped goes on with it.",
    ),
]
WorkflowFile = Annotated[
    Path | None,
    typer.Option(
        "--workflow",
        metavar="FILE",
        help="Run this workflow for each row; the columns are its inputs, NODE.INPUT, such as "
        "3.seed. Each row gets a folder.",
    ),
]
Workers = Annotated[int, typer.Option(help="Processes, each with the model in memory.")]
Together = Annotated[
    int,
    typer.Option(
        help="Pieces that a worker makes side by side, where each stays the same: 1 to 16."
    ),
]
Common = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="COLUMN=VALUE",
        help="A value for all rows that say nothing of it. Repeatable.",
    ),
]
Input = Annotated[
    Path,
    typer.Option(
        "--input", metavar="DIR", help="Where LoadAudio finds its files, with --workflow."
    ),
]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Have the workers on a Ray cluster: local, auto, or its address.",
    ),
]
Servers = Annotated[
    list[str],
    typer.Option(
        "--server",
        metavar="URL",
        help="Have this ComfyUI server make them, such as http://127.0.0.1:8188; several share "
        "the list.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, time a trial, and say the cost.")
]


def batch(
    list_: List,
    output: Output,
    workflow: WorkflowFile = None,
    workers: Workers = 1,
    together: Together = 8,
    set_: Common = [],  # noqa: B006
    input: Input = Path("input"),
    ray: OnRay = None,
    server: Servers = [],  # noqa: B006
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make music for every row of a list, and go on where it was stopped."""
    from ..models.config import MAX_BATCH
    from .batch.course import run_batch
    from .batch.destination import check_output
    from .batch.table import read_table

    check_output(output)
    _check_count("--workers", workers, MAX_WORKERS)
    _check_count("--together", together, MAX_BATCH)
    common = dict(_common(text) for text in set_)
    rows = read_table(list_)
    place, servers = "" if dry_run else output, None
    if server:
        servers = _servers(server, place, workers, ray)
        workers, together = len(servers), 1
    jobs = _jobs(list_, rows, common, workflow, input, None if servers is None else servers.classes)
    if dry_run:
        _say_cost(jobs, output, workers, together, servers, ray, as_json)
        return
    began, told = time.monotonic(), _Told()
    try:
        crew = servers or _crew(ray, workers, place)
        result = run_batch(jobs, output, crew, together, workers, told)
    finally:
        told.close()
    _say_result(result, output, time.monotonic() - began, as_json)
    if result.failed:
        raise SystemExit(FAILED)


def _say_result(result: BatchResult, output: str, seconds: float, as_json: bool) -> None:
    hourly = result.done / seconds * 3600 if result.done else 0
    earlier = f", {result.earlier} earlier" if result.earlier else ""
    typer.echo(
        f"{result.done} done{earlier}, {result.failed} failed, in {_time(seconds)} "
        f"({hourly:,.0f} an hour)",
        err=True,
    )
    manifest = f"{output.rstrip('/')}/manifest.jsonl"
    outcome = {**vars(result), "manifest": manifest, "seconds": round(seconds, 3)}
    print_line(json.dumps({"ok": not result.failed, **outcome}) if as_json else manifest)


def _check_count(name: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise Refused(name, got=count, expected=f"1 to {most}")


def _common(text: str) -> tuple[str, str]:
    from ..models.quoting import has_surrogates, shown

    column, equals, value = text.partition("=")
    if not (equals and column.strip()) or has_surrogates(text):
        raise Refused("--set", got=shown(text), expected="COLUMN=VALUE, such as duration=30")
    return column.strip(), value


def _jobs(
    path: Path,
    rows: Sequence[TableRow],
    common: dict[str, str],
    workflow: Path | None,
    input_dir: Path,
    elsewhere: NodeClasses | None,
) -> list[BatchJob]:
    if workflow is None:
        from .batch.rows import jobs_of

        return jobs_of(path, rows, common, elsewhere)
    from .batch.workflow_rows import workflow_jobs_of

    return workflow_jobs_of(path, rows, common, workflow, input_dir, elsewhere)


def _crew(ray: str | None, workers: int, output: str) -> Crew:
    """`output`: nothing for a trial."""
    from .batch.crew import LocalCrew

    if ray is None:
        return LocalCrew(workers, _absolute(output))
    from .batch.ray_crew import RayCrew

    return RayCrew(ray, workers, _absolute(output))


def _servers(urls: Sequence[str], output: str, workers: int, ray: str | None) -> ServerCrew:
    """Raises Refused for what goes with no servers, and where none answers."""
    if ray is not None or workers != 1:
        got = "--ray, too" if ray is not None else "--workers, too"
        remedy = "leave it out: each server is a worker"
        raise Refused("--server", got=got, expected="servers alone", remedy=remedy)
    try:
        from .batch.server_crew import ServerCrew
    except ModuleNotFoundError as error:
        remedy = "install them with: pip install 'musicgraph[remote]'"
        got = f"a Python without {error.name}"
        raise Refused("--server", got=got, expected="httpx and websockets", remedy=remedy) from None
    return ServerCrew(urls, _absolute(output))


def _absolute(output: str) -> str:
    from .batch.destination import MARK

    return output if MARK in output or not output else str(Path(output).absolute())


def _say_cost(
    jobs: Sequence[BatchJob],
    output: str,
    workers: int,
    together: int,
    servers: ServerCrew | None,
    ray: str | None,
    as_json: bool,
) -> None:
    from .batch.cost import cost_of

    typer.echo("timing a trial, which is not kept", err=True)
    cost = cost_of(jobs, output, lambda: servers or _crew(ray, workers, ""), together, workers)
    print_line(json.dumps(cost.as_json()) if as_json else cost.words())


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Told:
    """A bar on a terminal; elsewhere a line now and then. Failures in words."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._jobs = self._done = self._failed = 0
        self._music_s = self._made_s = self._first_s = 0.0
        self._began = self._said = time.monotonic()

    def begun(self, left: Sequence[BatchJob], earlier: int) -> None:
        from tqdm import tqdm

        self._jobs, self._music_s = len(left), sum(job.music_s for job in left)
        if earlier:
            typer.echo(f"{earlier} done earlier, {len(left)} to do", err=True)
        layout = "{desc}{bar} {postfix}"
        self._bar = tqdm(
            total=self._music_s or 1, bar_format=layout, file=sys.stderr, disable=None, leave=False
        )

    def made(self, music_s: float) -> None:
        if not self._made_s:  # the workers have started; rates are of what comes from now on
            self._began, self._first_s = time.monotonic(), music_s
        self._made_s += music_s
        self._show(music_s)

    def finished(self, entry: ManifestLine) -> None:
        self._done += not entry.error
        self._failed += bool(entry.error)
        if entry.error:
            if self._bar is not None:
                self._bar.clear()
            typer.echo(f"{entry.id}: {entry.error}", err=True)
        self._show(0)

    def _show(self, music_s: float) -> None:
        assert self._bar is not None
        now = time.monotonic()
        if not self._bar.disable:
            self._bar.set_postfix_str(self._words(now), refresh=False)
            self._bar.update(music_s)
        elif now - self._said > SAID_EVERY_S:
            self._said = now
            typer.echo(self._words(now), err=True)

    def _words(self, now: float) -> str:
        took, finished = now - self._began, self._done + self._failed
        words = f"{finished}/{self._jobs} jobs"
        if finished and took > 0:
            words += f", {finished / took * 3600:,.0f} an hour"
        if self._music_s and self._made_s > self._first_s:
            rate = (self._made_s - self._first_s) / took
            left = max(0.0, self._music_s - self._made_s) / rate
            words += f", {rate:.1f} × real time, {_time(left)} left"
        return words

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
