"""`musicgraph tune`: a LoRA from a folder of sounds with captions.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..models.refused import Refused
from .options import AsJson
from .tune.settings import TuneSettings

if TYPE_CHECKING:
    from tqdm import tqdm

SAID_S = 60.0
"""between two lines that say how far it is, where there is no terminal"""
NEEDED = ("transformers", "peft", "torch")

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Sound files, each with a caption: NAME.txt beside it, or captions.csv or "
        "captions.jsonl for all (file, caption).",
    ),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="pocket, a folder, or a hub id. It is not changed.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Where the adapter goes. The folder of a run that was stopped goes on with it.",
    ),
]
Steps = Annotated[int, typer.Option(help="How long to train.")]
Rank = Annotated[int, typer.Option(help="Of the adapter: how much it can learn.")]
Seconds = Annotated[float, typer.Option(help="Of the pieces that sounds are cut into.")]
Batch = Annotated[int, typer.Option(help="Pieces a step; less needs less memory.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
Guidance = Annotated[
    float,
    typer.Option(help="Each piece is learnt as it is played at a guidance from 1 up to this."),
]
Noise = Annotated[
    float,
    typer.Option(
        help="Share of what is read that is swapped for other music's, so that mistakes of its own "
        "do not lead it astray."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same adapter.")]
Every = Annotated[
    int, typer.Option(help="Steps between two looks: held-out loss, the adapter, and samples.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]

USUAL = TuneSettings(Path(), "", Path())


def tune(
    folder: Folder,
    output: Output,
    model: Model = "pocket",
    steps: Steps = USUAL.steps,
    rank: Rank = USUAL.rank,
    seconds: Seconds = USUAL.seconds,
    batch: Batch = USUAL.batch,
    rate: Rate = USUAL.rate,
    guidance: Guidance = USUAL.guidance,
    noise: Noise = USUAL.noise,
    seed: Seed = USUAL.seed,
    every: Every = USUAL.every,
    device: Device = USUAL.device,
    as_json: AsJson = False,
) -> None:
    """Train a LoRA: teach a model a sound, from a folder of sound files with captions."""
    settings = TuneSettings(
        folder, model, output, steps=steps, rank=rank, seconds=seconds, batch=batch, rate=rate,
        guidance=guidance, noise=noise, seed=seed, every=every, device=device,
    )  # fmt: skip
    settings.check()
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Refused(
            "training",
            got=f"no {' and no '.join(missing)}",
            expected="the libraries that train",
            remedy="pip install 'musicgraph[tune]'",
        )
    from .tune import course

    listener = _Bars() if sys.stderr.isatty() else _Lines()
    try:
        made = course.train(settings, listener)
    finally:
        listener.close()
    gain = f"held-out loss {made.before:.3f} → {made.after:.3f} (step {made.best_step})"
    typer.echo(f"{gain}; hear it: musicgraph generate --lora {made.output} …", err=True)
    outcome = {**vars(made), "output": str(made.output)}
    typer.echo(json.dumps(outcome) if as_json else outcome["output"])


class _Bars:
    """One bar at a time on a terminal, words above it."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._what = ""

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        typer.echo(text, err=True)

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        from tqdm import tqdm

        if self._bar is None or self._what != what:
            self.close()
            self._what = what
            layout = "{desc}{bar} {n_fmt}/{total_fmt}, {remaining} left {postfix}"
            self._bar = tqdm(
                desc=what, total=total, initial=max(0, done - 1), bar_format=layout,
                file=sys.stderr, leave=False,
            )  # fmt: skip
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Lines:
    """Where there is no terminal, as in a log: a line a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._what = clock, ""
        self._began = self._said = 0.0
        self._first = 0

    def say(self, text: str) -> None:
        typer.echo(text, err=True)

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        from .tune.needs import minutes

        now = self._clock()
        if what != self._what:
            self._what, self._first, self._began, self._said = what, done, now, now
        elif now - self._said >= SAID_S and done > self._first:
            self._said = now
            left = (now - self._began) / (done - self._first) * (total - done)
            self.say(f"{what} {done}/{total}, {minutes(left)} left {note}".rstrip())

    def close(self) -> None:
        pass
