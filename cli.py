"""The command line. Each command is thin: it reads its arguments, calls the package, and says what happened.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a failure while working, 2 bad input.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .workflows.problems import Problem
    from .workflows.registry import NodeClasses

FAILED, BAD_INPUT, STOPPED = 1, 2, 130

app = typer.Typer(
    help="MusicGen as a graph of nodes: text to music.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

InputFolder = Annotated[Path, typer.Option("--input", metavar="DIR", help="Where LoadAudio finds its files.")]
OutputFolder = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where results are written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, last on stdout.")]


def main() -> None:
    with explained_errors():
        app()


@contextlib.contextmanager
def explained_errors() -> Iterator[None]:
    """Bad input, a failing node and Ctrl-C end in one line on stderr and an exit code, not in a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        _exit("stopped", STOPPED)
    except ValueError as error:
        _exit(str(error), BAD_INPUT)


def _exit(message: str, code: int) -> None:
    typer.echo(f"musicgraph: {' '.join(message.split())}", err=True)
    raise SystemExit(code)


# ---------------------------------------------------------------- run


@app.command()
def run(
    workflow: Annotated[
        Path, typer.Argument(metavar="WORKFLOW", help="JSON, or an audio or PNG file that carries one.")
    ],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NODE.INPUT=VALUE", help="Another value; NODE is an id or a title.")
    ] = [],  # noqa: B006
    input: InputFolder = Path("input"),
    output: OutputFolder = Path("output"),
    as_json: AsJson = False,
) -> None:
    """Run a workflow of ComfyUI, in UI or API format."""
    from .workflows.executor import Runner
    from .workflows.media import check_folder_writable
    from .workflows.overrides import Override, with_overrides
    from .workflows.problems import NodeError
    from .workflows.reader import read_document

    started = time.perf_counter()
    check_folder_writable(output)
    runner = Runner()
    document = with_overrides(read_document(workflow), map(Override.parse, set_), runner.classes)
    prompt = document.prompt(runner.classes)
    try:
        with _progress(prompt) as listener:
            result = runner.run(
                prompt,
                extra_pnginfo=document.extra_pnginfo,
                listener=listener,
                input_dir=input,
                output_dir=output,
            )
    except NodeError as error:
        _exit(str(error), BAD_INPUT if isinstance(error.__cause__, ValueError) else FAILED)
    files = [str(file) for file in result.files]
    if as_json:
        outcome = {"ok": True, "files": files, "outputs": result.ui, "seconds": round(time.perf_counter() - started, 3)}
        typer.echo(json.dumps(outcome))
    else:
        typer.echo("\n".join(files))


@contextlib.contextmanager
def _progress(prompt: dict) -> Iterator:
    """A listener that shows, on a terminal, which node is at work and how far it is."""
    from tqdm import tqdm

    from .workflows.events import NodeStarted, Progress
    from .workflows.registry import title_of

    with tqdm(file=sys.stderr, disable=None, leave=False) as bar:

        def show(event: object) -> None:
            if isinstance(event, NodeStarted):
                bar.reset(total=1)
                bar.set_description(title_of(prompt[event.node]))
            elif isinstance(event, Progress):
                bar.total = event.total
                bar.update(event.done - bar.n)

        yield show


# ---------------------------------------------------------------- check


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Workflows: JSON, audio or PNG files.")],
    input: InputFolder = Path("input"),
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with workflows, without running them."""
    from .nodes.host import Run, running
    from .workflows.registry import node_classes

    classes = node_classes()
    reports = []
    for file in files:
        with running(Run(input_dir=input)):
            problems = _problems(file, classes)
        reports.append({"file": str(file), "ok": not problems, "errors": [one.as_dict() for one in problems]})
        if not as_json:
            typer.echo("\n".join(f"{file}: {one}" for one in problems) or f"{file}: ok")
    if as_json:
        typer.echo(json.dumps(reports))
    if not all(report["ok"] for report in reports):
        raise SystemExit(BAD_INPUT)


def _problems(file: Path, classes: NodeClasses) -> tuple[Problem, ...]:
    from .workflows.problems import WorkflowError
    from .workflows.reader import read_document
    from .workflows.validate import validate

    try:
        return validate(read_document(file).prompt(classes), classes).problems
    except WorkflowError as error:
        return error.problems
