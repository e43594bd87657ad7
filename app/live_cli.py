"""`musicgraph live`: music on stdout while it is made, steered by lines on stdin.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from ..models.refused import Refused
from .streams import BAD_INPUT, exit_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from .studio.stage import LivePlace, Stage

SAY = (
    "Say: words, or weights: 0.3 0.7, drums: out, cfg: 4, temperature: 0.9, top_k: 100, seed: -1, "
    "undo, end, end: 5 (falls silent in 5 s)."
)

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="pocket, a folder, or a hub id. Default: the best one here."
    ),
]
Seed = Annotated[int, typer.Option(help="-1 draws one, and says which.")]
Blend = Annotated[float, typer.Option(help="Seconds in which other words take over; 0: at once.")]
Parts = Annotated[int, typer.Option(help="How many texts may be mixed at once.")]
Length = Annotated[
    float | None,
    typer.Option("--duration", "-d", help="Seconds after which it ends by itself."),
]
Graph = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="At its end: the workflow that plays it again."),
]
Osc = Annotated[
    int | None, typer.Option(metavar="PORT", help="Is also steered by OSC, on this UDP port.")
]


def live(
    prompt: Annotated[str, typer.Argument(help="What it begins with, or a mix.")],
    model: Model = "",
    seed: Seed = -1,
    blend: Blend = 0.0,
    parts: Parts = 2,
    duration: Length = None,
    graph: Graph = None,
    osc: Osc = None,
) -> None:
    """Play music that follows what you type: musicgraph live "calm piano" | ffplay -nodisp -"""
    from ..models.disk.files import check_file_writable, replace_file
    from .osc import OscDoor
    from .studio.stage import Stage

    if graph is not None:
        check_file_writable(graph)
    if sys.stdout.isatty():
        hint = 'a player behind it, such as: musicgraph live "calm piano" | ffplay -nodisp -'
        exit_with(f"standard output: got a terminal, expected {hint}", BAD_INPUT)
    stage: Stage = Stage(places=1)
    ended: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    with contextlib.ExitStack() as until_the_end:
        until_the_end.callback(stage.close)
        place = _opened(stage, ended.put, prompt, model, seed, blend, parts, duration)
        if osc is not None:
            until_the_end.callback(OscDoor(osc, stage.latest).close)
        place.listen(Player(sys.stdout.buffer, place))
        threading.Thread(target=_follow, args=(sys.stdin, place), daemon=True).start()
        try:
            told = ended.get()
        except KeyboardInterrupt:
            with contextlib.suppress(Refused):  # it ends already
                place.end()
            told = ended.get()
        if told["event"] == "failed":
            raise told["error"]
        if graph is not None:
            replace_file(graph, json.dumps(place.workflow()).encode())


def _opened(
    stage: Stage,
    when_ended: Callable[[dict[str, Any]], None],
    prompt: str,
    model: str,
    seed: int,
    blend: float,
    parts: int,
    duration: float | None,
) -> LivePlace:
    from ..models.config import MAX_DURATION_S
    from ..models.weights.places import default_model
    from ..nodes.host import model_folders
    from ..workflows.request import Request, seed_for

    def hear(told: dict[str, Any]) -> None:
        _tell(told)
        if told["event"] in ("over", "closed", "failed"):
            when_ended(told)

    model = model or default_model(model_folders())[0]
    length = MAX_DURATION_S if duration is None else min(duration, MAX_DURATION_S)
    request = Request(prompt, model=model, seed=seed_for(seed), blend_s=blend, duration_s=length)
    named = {model: model}
    place = stage.open("", request, hear, named_models=named, parts=parts, frames_s=duration)
    typer.echo(f"{model}, seed {request.seed}. {SAY}", err=True)
    return place


class Player:
    """Writes WAV to whoever plays it; the music ends when they go."""

    def __init__(self, out: BinaryIO, place: LivePlace):
        from .studio.encoding import SoundStream

        self._out, self._place, self._sound = out, place, SoundStream(".wav")

    def __call__(self, sound: Tensor | None) -> None:
        rate = self._place.performance.sample_rate
        ready = self._sound.push(sound, rate) if sound is not None else self._rest()
        try:
            self._out.write(ready)
            self._out.flush()
        except OSError:
            self._place.close()

    def _rest(self) -> bytes:
        return self._sound.close() if self._sound.samples else b""


def _follow(lines: Iterable[str], place: LivePlace) -> None:
    for line in lines:
        try:
            do(line.strip(), place)
        except Refused as error:
            typer.echo(f"musicgraph: {error}", err=True)


def do(line: str, place: LivePlace) -> None:
    """What a line asks for; raises Refused."""
    from .studio.said import MAX_END_S, read_said, said_fields

    name, colon, value = (part.strip() for part in line.partition(":"))
    if line == "undo":
        place.undo()
    elif name == "end":
        fade_s = said_fields()["cfg"].narrowed(name="end", minimum=0.0, maximum=MAX_END_S)
        place.end(fade_s=fade_s.read_exactly(fade_s.parse(value)) if colon else 0.0)
    elif colon and name == "weights":
        place.say(read_said({name: [_number(one) for one in value.split()]}))
    elif colon and name in said_fields():
        place.say(read_said({name: said_fields()[name].parse(value)}))
    elif line:
        place.say(read_said({"text": line}))


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _tell(told: dict[str, Any]) -> None:
    match told["event"]:
        case "said":
            settings = ", ".join(f"{name} {value}" for name, value in told["settings"].items())
            typer.echo(f"from {told['second']:.2f} s on: {told['prompt']} ({settings})", err=True)
        case "ends":
            typer.echo(f"ends at {told['second']:.2f} s", err=True)
        case "late":
            typer.echo(f"{told['by_s']:.1f} s too late: this machine is too slow or busy", err=True)
