"""`musicgraph generate` around a sound: `--continue`, `--repaint`, and `--loop`.

Quick to import: cli.py reads it whenever it starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..models.refused import Refused
from .options import existing_file

USUAL_CANDIDATES = 4

Continue = Annotated[
    Path | None,
    typer.Option(
        "--continue",
        metavar="FILE",
        help="A recording that the music goes on from; it stays as it is, and --duration counts "
        "it in.",
    ),
]
ContinueFrom = Annotated[
    float | None,
    typer.Option(
        "--continue-from", help="With --continue: the second to go on from; else its end."
    ),
]
Repaint = Annotated[
    str | None,
    typer.Option(
        "--repaint",
        metavar="BEGIN:END",
        help="Make these seconds of --audio FILE anew; what is outside stays as it is.",
    ),
]
Audio = Annotated[
    Path | None, typer.Option("--audio", metavar="FILE", help="The music to --repaint.")
]
Loop = Annotated[
    str | None,
    typer.Option(
        "--loop",
        metavar="BARS",
        help="Make a loop of so many bars, such as 4bars, to the sample; the file has its points.",
    ),
]
Bpm = Annotated[
    float | None, typer.Option(help="With --loop: its tempo; else the prompt's, as in 120 bpm.")
]
Candidates = Annotated[
    int | None,
    typer.Option(
        help="With --repaint or --loop: how many are drawn of the new part, to keep the one that "
        "fits best; 1 to 16, else 4."
    ),
]


@dataclass(frozen=True)
class AroundSound:
    """What was said of a recording or a loop."""

    path: Path | None
    fields: dict[str, Any]
    """of the Request"""


def around_sound(told: dict[str, Any], prompt: str, values: dict[str, Any]) -> AroundSound:
    """From the options by their names. Raises Refused for what cannot be together or is not
    within the recording.
    """
    from ..workflows.request import Request
    from .studio.recordings import (
        check_alone,
        continued,
        looped,
        repainted,
        unheard_beside_repaint,
    )

    _check_companions(told)
    continue_, repaint, loop = told["continue_"], told["repaint"], told["loop"]
    if continue_:
        check_alone("--continue", {"--repaint": bool(repaint), "--loop": bool(loop)})
        path = existing_file("continue", continue_)
        fields = continued(path, told["continue_from"], values["duration_s"])
        return AroundSound(path, fields)
    candidates = {"candidates": told["candidates"] or USUAL_CANDIDATES}
    has_length = {"--duration": values["duration_s"] != Request.duration_s}
    if repaint is not None:
        unheard = {_flag(name): asked for name, asked in unheard_beside_repaint(values).items()}
        check_alone("--repaint", {"--loop": bool(loop), **has_length, **unheard})
        path = existing_file("audio", told["audio"])
        return AroundSound(path, {**repainted(path, repaint), **candidates})
    if loop is not None:
        ends = values["ending"] != "cut"
        fades = bool(values["fade_s"])
        check_alone("--loop", {**has_length, "--fade": fades, "--ending": ends})
        return AroundSound(None, {**looped(loop, told["bpm"], prompt), **candidates})
    return AroundSound(None, {})


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_companions(told: dict[str, Any]) -> None:
    """Raises Refused for an option without the one that it belongs to."""
    for option, name, wanted in (
        ("--continue-from", "continue_from", ("continue_",)),
        ("--audio", "audio", ("repaint",)),
        ("--repaint", "repaint", ("audio",)),
        ("--bpm", "bpm", ("loop",)),
        ("--candidates", "candidates", ("repaint", "loop")),
    ):
        if told[name] is not None and all(told[other] is None for other in wanted):
            flags = " or ".join(f"--{other.rstrip('_')}" for other in wanted)
            raise Refused(
                option, got=f"no {flags}", expected="it beside one", remedy=f"add {flags}"
            )


@contextlib.contextmanager
def input_folder(paths: Sequence[Path]) -> Iterator[str]:
    """A folder in which all of these files lie by their names: their own, or a copy for a while.

    Raises Refused for two of one name from different folders.
    """
    import shutil
    import tempfile

    folders = {path.resolve().parent for path in paths}
    if len(folders) <= 1:
        yield str(folders.pop()) if folders else "input"
        return
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise Refused(names[0], got="two files of that name", expected="two", remedy="rename one")
    with tempfile.TemporaryDirectory(prefix="musicgraph-") as folder:
        for path in paths:
            shutil.copy(path, folder)
        yield folder
