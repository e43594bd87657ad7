"""`musicgraph run`: the graph of a file, with other values where asked for.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.refused import Refused
from .options import AsJson, InputFolder, NoMetadata, OutputFolder, Sets, check_is_text
from .progress_bars import node_bar
from .streams import print_line
from .studio.job import Folders

if TYPE_CHECKING:
    from ..nodes.host import Run
    from ..workflows.executor import RunResult
    from ..workflows.overrides import Override
    from ..workflows.registry import NodeClasses
    from ..workflows.validate import Validation

WorkflowFiles = Annotated[
    list[Path],
    typer.Argument(metavar="WORKFLOW...", help="JSON, or audio or PNG files that carry one."),
]
Servers = Annotated[
    list[str],
    typer.Option(
        "--server",
        metavar="URL",
        help="Let this ComfyUI server run it, such as http://127.0.0.1:8188; several share the "
        "workflows.",
    ),
]


def run(
    workflows: WorkflowFiles,
    set_: Sets = [],  # noqa: B006
    server: Servers = [],  # noqa: B006
    input: InputFolder = Path("input"),
    output: OutputFolder = Path("output"),
    no_metadata: NoMetadata = False,
    as_json: AsJson = False,
) -> None:
    """Run workflows of ComfyUI, in UI or API format: here, or on servers of ComfyUI."""
    from ..models.disk import part_files
    from ..models.disk.files import check_folder_writable

    overrides = overrides_of(set_)
    check_folder_writable(output)
    part_files.sweep(output)
    if server:
        from .remote_cli import run_on_servers

        if no_metadata:
            expected, remedy = "it without --server", "start the server with --disable-metadata"
            raise Refused("--no-metadata", got="--server", expected=expected, remedy=remedy)
        run_on_servers(workflows, server, overrides, Folders(str(input), str(output)), as_json)
        return
    _run_here(workflows, overrides, input, output, not no_metadata, as_json)


def _run_here(
    files: list[Path],
    overrides: list[Override],
    input: Path,
    output: Path,
    metadata: bool,
    as_json: bool,
) -> None:
    """All are checked before the first runs."""
    from ..nodes.host import Run
    from ..workflows.executor import Runner

    runner, named = Runner(), named_models(overrides)
    terms = Run(input_dir=input, output_dir=output, named_models=named, named_adapters=named)
    ready = [made_ready(file, overrides, runner.classes, terms) for file in files]
    for valid, extra in ready:
        started = time.perf_counter()
        with node_bar(valid.graph) as listener:
            result = runner.run(
                valid,
                extra_pnginfo=extra,
                listener=listener,
                input_dir=input,
                output_dir=output,
                named_models=named,
                named_adapters=named,
                metadata=metadata,
            )
        _say_made(result, time.perf_counter() - started, as_json)


def overrides_of(texts: list[str]) -> list[Override]:
    """Of `--set`. Raises Refused."""
    from ..workflows.overrides import Override

    for text in texts:
        check_is_text(**{"--set": text})
    return [Override.parse(text) for text in texts]


def named_models(overrides: list[Override]) -> Mapping[str, str]:
    """What a person has named, and so may be opened: models and adapters."""
    from ..workflows.overrides import named_by

    return named_by(overrides)


def made_ready(
    file: Path, overrides: list[Override], classes: NodeClasses, terms: Run
) -> tuple[Validation, Mapping[str, Any] | None]:
    """The graph of a file with other values, checked, and what goes beside it into tags.

    Raises WorkflowError.
    """
    from ..nodes.host import running
    from ..workflows.overrides import with_overrides
    from ..workflows.reader import read_document
    from ..workflows.registry import NodeSpecs
    from ..workflows.validate import validate
    from ..workflows.workflow import Workflow

    document = read_document(file)
    with running(terms):
        opened = with_overrides(Workflow.of(document, NodeSpecs(classes)), overrides)
        valid = validate(opened.runnable, opened.specs)
    valid.raise_if_refused()
    return valid, opened.extra_pnginfo


def _say_made(result: RunResult, seconds: float, as_json: bool) -> None:
    files = [str(file) for file in result.files]
    if as_json:
        outcome = {
            "ok": True,
            "files": files,
            "outputs": result.ui,
            "seconds": round(seconds, 3),
            "scaled_by": scaled(result.scaled_by),
        }
        print_line(json.dumps(outcome))
    else:
        print_line("\n".join(files))


def scaled(factors: Mapping[Path, float]) -> dict[str, float]:
    """The files whose samples were beyond full scale, with what they were multiplied by."""
    return {str(path): factor for path, factor in factors.items() if factor < 1}
