"""`musicgraph again`: does the graph in a sound file still make that sound?

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, InputFolder, Sets
from .progress_bars import node_bar
from .run_cli import made_ready, named_models, overrides_of
from .streams import FAILED, print_line

if TYPE_CHECKING:
    from ..workflows.events import Event, Listener
    from ..workflows.executor import RunResult
    from .studio.again import Remade

MadeSound = Annotated[
    Path, typer.Argument(metavar="FILE", help="A sound that carries the graph that made it.")
]


def again(
    file: MadeSound,
    set_: Sets = [],  # noqa: B006
    input: InputFolder = Path("input"),
    as_json: AsJson = False,
) -> None:
    """Run the graph in a sound file once more, and say whether the same samples come of it, or
    what differs. No file is left behind. Ends with 1 where it is other sound.
    """
    with tempfile.TemporaryDirectory(prefix="musicgraph-") as folder:
        remade = _made_again(file, set_, input, Path(folder))
    if as_json:
        facts = {
            "same": remade.is_same,
            "rounded": remade.is_rounded,
            "largest_difference": remade.apart and remade.apart.most,
            "different_samples": remade.apart and remade.apart.count,
            "samples": remade.apart and remade.apart.samples,
            "different_from_s": remade.apart and remade.apart.from_s,
            "changed": dict(remade.changed),
        }
        print_line(json.dumps(facts))
    else:
        print_line("\n".join(_words(remade)))
    if not (remade.is_same or remade.is_rounded):
        raise SystemExit(FAILED)


def _made_again(file: Path, set_: list[str], input: Path, folder: Path) -> Remade:
    from ..nodes.host import Run
    from ..workflows.executor import Runner
    from .studio.again import made_again

    overrides, runner = overrides_of(set_), Runner()
    named = named_models(overrides)
    terms = Run(input_dir=input, output_dir=folder, named_models=named, named_adapters=named)
    valid, _ = made_ready(file, overrides, runner.classes, terms)
    with node_bar(valid.graph) as bar:

        def run(listener: Listener) -> RunResult:
            return runner.run(
                valid,
                listener=_both(listener, bar),
                input_dir=input,
                output_dir=folder,
                temp_dir=folder,
                named_models=named,
                named_adapters=named,
            )

        return made_again(file, valid, folder, run)


def _both(first: Listener, second: Listener) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell


def _words(remade: Remade) -> list[str]:
    from ..models.quoting import one_line, shown

    said = [_difference(remade)] + [
        one_line(f"{name}: {shown(then)} then, {shown(now)} now")
        for name, (then, now) in remade.changed.items()
    ]
    if not (remade.is_same or remade.is_rounded or remade.says):
        said.append("the file does not say what it was made with")
    return said


def _difference(remade: Remade) -> str:
    if remade.apart is None:
        return "other sound: nothing as long, at this rate, comes of the graph now"
    if remade.is_same:
        return "same samples"
    apart = remade.apart
    where = f"{apart.count} of {apart.samples} samples differ, from {apart.from_s:.3f} s on"
    if remade.is_rounded:
        return f"same music: {where}, by one step of 16 bits, as where it was made in a batch"
    return f"other samples: {where}, by up to {apart.most:.6f} of 1"
