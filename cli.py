"""The command line.

Each command is thin: it reads its arguments, calls the package, and says what happened.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a failure while working,
2 bad input.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app.again_cli import again
from .app.batch_cli import batch
from .app.convert_cli import convert
from .app.http.keys_cli import keys
from .app.info_cli import info
from .app.live_cli import live
from .app.models_cli import clean_cache, models
from .app.options import (
    AsJson,
    InputFolder,
    Loras,
    Melody,
    NoMetadata,
    Style,
    check_is_text,
    give_options,
    sound_to_follow,
)
from .app.progress_bars import music_bar
from .app.recording_cli import (
    Audio,
    Bpm,
    Candidates,
    Continue,
    ContinueFrom,
    Loop,
    Repaint,
    around_sound,
    input_folder,
)
from .app.run_cli import run, scaled
from .app.serve_cli import demo
from .app.streams import BAD_INPUT, FAILED, exit_with, print_line
from .app.tune_cli import tune
from .app.until_cli import Terms, Tries, Until, kept_take, terms_of
from .app.workflow_cli import workflow
from .models.engines.processors import prepare_threads
from .models.refused import Refused
from .workflows.media.formats import BY_SUFFIX

if TYPE_CHECKING:
    from .app.studio.music import Music
    from .workflows.inputs import InputSpec
    from .workflows.problems import Problem
    from .workflows.registry import NodeClasses
    from .workflows.request import Lora, Request

ISSUES = "https://github.com/musicgraph/musicgraph/issues"

LETTERS = {"duration": "-d", "model": "-m"}
UNSAID = "\0"  # no argument can hold it; an empty prompt is one

app = typer.Typer(
    help="MusicGen as a graph of nodes: text to music.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help cost a tenth of a second
)

app.add_typer(keys, name="keys")
app.command()(demo)
app.command()(convert)
app.command()(run)
app.command()(tune)
app.command()(batch)
app.command()(info)
app.command()(live)
app.command()(again)
app.add_typer(workflow, name="workflow")
app.command()(models)
app.command("clean")(clean_cache)


def main(arguments: list[str] | None = None) -> None:
    """With the arguments of the process, or with these."""
    prepare_threads()
    asked = sys.argv[1:] if arguments is None else arguments
    give_options(generate, _generate_fields() if asked[:1] == ["generate"] else {}, LETTERS)
    with explained_errors():
        raise SystemExit(app(arguments, standalone_mode=False) or 0)


def _generate_fields() -> Mapping[str, InputSpec]:
    """Of the nodes, which only this command needs to know."""
    from .app.studio.fields import terminal_fields

    return terminal_fields()


@contextlib.contextmanager
def explained_errors() -> Iterator[None]:
    """Bad input ends in one line on stderr and exit code 2.

    Whatever else is raised is a bug, and is shown as one.
    """
    from .workflows.problems import NodeError

    try:
        yield
    except Refused as error:
        exit_with(str(error), BAD_INPUT)
    # typer's usage errors, whose class has no public name
    except typer.BadParameter.__base__ as error:  # pyright: ignore[reportGeneralTypeIssues]
        _exit_for_usage(error)
    except NodeError as error:
        if error.is_refusal:
            exit_with(str(error), BAD_INPUT)
        _exit_for_bug()
    except Exception:
        _exit_for_bug()


def _exit_for_usage(error: Any) -> None:
    command = error.ctx.command_path if error.ctx else "musicgraph"
    message = error.format_message()
    if not message or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        raise SystemExit(BAD_INPUT)
    hint = f"see {command} --help"
    if type(error).__name__ == "NoSuchOption" and command.endswith("generate"):
        hint = f'a prompt that begins with "-" goes last, behind --: {command} -- "{sys.argv[-1]}"'
    exit_with(f"{message.rstrip('.')}; {hint}", BAD_INPUT)


def _exit_for_bug() -> None:
    import platform
    import traceback

    from . import __version__

    traceback.print_exc()
    here = f"musicgraph {__version__}, Python {platform.python_version()}, {platform.platform()}"
    exit_with(
        "this is our fault, not yours; please send us the lines above, the command and the file "
        f"that it read, and this: {here} ({ISSUES})",
        FAILED,
    )


# ---------------------------------------------------------------- generate


@app.command()
def generate(
    prompt: Annotated[
        str,
        typer.Argument(
            help="What the music should be, or a mix: pads 0.7 + drums 0.3. Empty: unconditional. "
            "Left out where a schedule begins at 0.",
            show_default=False,
        ),
    ] = UNSAID,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help=f"The suffix chooses the format: {' '.join(BY_SUFFIX)}"
        ),
    ] = Path("music.wav"),
    melody: Melody = None,
    style: Style = None,
    continue_: Continue = None,
    continue_from: ContinueFrom = None,
    audio: Audio = None,
    repaint: Repaint = None,
    loop: Loop = None,
    bpm: Bpm = None,
    candidates: Candidates = None,
    lora: Loras = [],  # noqa: B006
    until: Until = None,
    tries: Tries = None,
    no_metadata: NoMetadata = False,
    as_json: AsJson = False,
    **values: Any,
) -> None:
    """Make music from a sentence."""
    told_of_sound = dict(
        continue_=continue_, continue_from=continue_from, audio=audio, repaint=repaint,
        loop=loop, bpm=bpm, candidates=candidates,
    )  # fmt: skip
    told = {name: values[name] for name in ("negative", "model", "schedule", "automation")}
    check_is_text(prompt=prompt, lora="".join(lora), **told)
    asked = {**values, "prompt": _begun(prompt, values["schedule"])}
    terms = terms_of(until, tries, values["variations"])
    how, sound = sound_to_follow(melody, style, values["style_guidance"])
    around = around_sound(told_of_sound, f"{asked['prompt']} {values['schedule']}", values)
    takes = _take_paths(output, values["variations"])
    _check_places(takes)
    asked |= {"loras": _loras(lora), "save_as": BY_SUFFIX[output.suffix.lower()].save_as}
    asked["model"] = _model(values["model"], how)
    if not (asked["prompt"].strip() or values["schedule"].strip()):
        typer.echo("empty prompt: the music will be unconditional", err=True)
    heard = {how: sound.name} if sound else {}
    made = _make({**asked, **around.fields, **heard}, [sound, around.path], terms)
    _write(takes, made, no_metadata)
    _tell(takes, made, as_json)


@dataclass(frozen=True)
class _Made:
    """What came of it, and what every take measures where there are several tries."""

    request: Request
    music: Music
    tried: list[dict[str, Any]]


def _make(asked: dict[str, Any], sounds: list[Path | None], terms: Terms | None) -> _Made:
    from .app.studio.fields import request_of
    from .app.studio.music import make_music
    from .workflows.executor import Runner

    request, runner = request_of(asked), Runner()

    def make(one: Request) -> Music:
        with music_bar(one.duration_s) as listener:
            return make_music(runner, one, listener=listener, input_dir=folder)

    with input_folder([path for path in sounds if path]) as folder:
        if terms is None:
            return _Made(request, make(request), [])
        kept, tried = kept_take(make, request, terms)
        return _Made(kept.request, kept.music, tried)


def _check_places(takes: list[Path]) -> None:
    """Before anything is made for them. Raises Refused."""
    from .models.disk import part_files
    from .workflows.media.audio import check_writable

    for path in takes:
        check_writable(path)
    part_files.sweep(takes[0].parent)


def _loras(said: list[str]) -> tuple[Lora, ...]:
    """Raises Refused for one that cannot be read."""
    from .models.weights.adapter_places import locate_adapter
    from .models.weights.peft_adapter import read_lora_config
    from .nodes.host import model_folders
    from .workflows.request import Lora

    loras = tuple(map(Lora.parse, said))
    for one in loras:
        read_lora_config(locate_adapter(one.adapter, model_folders()))
    return loras


def _model(said: str, follows: str) -> str:
    """What was said, else the usual one, which is told."""
    from .models.weights.places import default_model
    from .nodes.host import model_folders

    if said:
        return said
    chosen, reason = default_model(model_folders(), follows=follows)
    typer.echo(f"model: {chosen} ({reason})", err=True)
    return chosen


def _write(takes: list[Path], made: _Made, no_metadata: bool) -> None:
    from .workflows.media.audio import write_audio

    music, loop = made.music, made.request.loop
    for path, item, tags in zip(takes, music.waveform, music.tags, strict=True):
        shown_tags = {} if no_metadata else tags
        write_audio(path, item, music.sample_rate, tags=shown_tags, loop=loop)


def _begun(prompt: str, schedule: str) -> str:
    if prompt == UNSAID and not schedule.strip():
        raise Refused(
            "prompt",
            got="nothing",
            expected="what the music should be",
            remedy='say it: musicgraph generate "calm piano"',
        )
    return "" if prompt == UNSAID else prompt


def _tell(takes: list[Path], made: _Made, as_json: bool) -> None:
    """What was made, and how; with --until, also what every take measures."""
    request, music, tried = made.request, made.music, made.tried
    outcome = {
        "files": [str(path) for path in takes],
        "seconds": music.duration_s,
        "seed": request.seed,
        "model": request.model,
        "engine": music.engine,
        "generation_seconds": round(music.generation_s, 3),
        "x_real_time": round(music.x_real_time, 3),
        "scaled_by": scaled(dict(zip(takes, music.scaled_by, strict=True))),
    }
    if tried:
        fulfilled = any(one["fulfilled"] for one in tried)
        outcome |= {"fulfilled": fulfilled, "tries": tried}
    if as_json:
        print_line(json.dumps(outcome))
    else:
        print_line("\n".join(outcome["files"]))
        typer.echo(
            f"{music.duration_s:g} s by {request.model} ({music.engine}), seed {request.seed}, "
            f"{music.x_real_time:.2f} × real time",
            err=True,
        )


def _take_paths(output: Path, variations: int) -> list[Path]:
    """music.wav, or music_1.wav … for several takes."""
    if variations <= 1:
        return [output]
    return [output.with_stem(f"{output.stem}_{take}") for take in range(1, variations + 1)]


# ---------------------------------------------------------------- check


@app.command()
def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Workflows: JSON, audio or PNG files.")
    ],
    input: InputFolder = Path("input"),
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with workflows, without running them."""
    from .models.quoting import one_line
    from .nodes.host import Run, running
    from .workflows.registry import node_classes

    classes = node_classes()
    reports = []
    for file in files:
        with running(Run(input_dir=input)):
            problems = _problems(file, classes)
        reports.append(
            {"file": str(file), "ok": not problems, "errors": [one.as_dict() for one in problems]}
        )
        if not as_json:
            for outcome in problems or ("ok",):
                print_line(one_line(f"{file}: {outcome}"))
    if as_json:
        print_line(json.dumps(reports))
    if not all(report["ok"] for report in reports):
        raise SystemExit(BAD_INPUT)


def _problems(file: Path, classes: NodeClasses) -> tuple[Problem, ...]:
    from .workflows.problems import WorkflowError
    from .workflows.reader import read_document
    from .workflows.registry import NodeSpecs
    from .workflows.validate import validate
    from .workflows.workflow import Workflow

    try:
        found = Workflow.of(read_document(file), NodeSpecs(classes))
        return validate(found.runnable, found.specs).problems
    except WorkflowError as error:
        return error.problems


if __name__ == "__main__":  # as `python -m musicgraph.cli`, too
    main()
