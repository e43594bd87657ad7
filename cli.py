"""The command line.

Each command is thin: it reads its arguments, calls the package, and says what happened.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a failure while working,
2 bad input.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app.convert_cli import convert
from .app.http.keys_cli import keys
from .app.options import Loras, Melody, Style, StyleGuidance, give_options, sound_to_follow
from .app.serve_cli import demo
from .app.tune_cli import tune
from .models.engines.processors import prepare_threads
from .models.quoting import has_surrogates
from .models.refused import Refused
from .workflows.media.formats import BY_SUFFIX

if TYPE_CHECKING:
    from .app.studio.music import Music
    from .nodes.host import Run
    from .workflows.executor import RunResult
    from .workflows.graph import Graph
    from .workflows.inputs import InputSpec
    from .workflows.overrides import Override
    from .workflows.problems import Problem
    from .workflows.registry import NodeClasses
    from .workflows.request import Request
    from .workflows.validate import Validation

FAILED, BAD_INPUT = 1, 2
ISSUES = "https://github.com/musicgraph/musicgraph/issues"

LETTERS = {"duration": "-d", "model": "-m"}

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
app.command()(tune)

InputFolder = Annotated[
    Path, typer.Option("--input", metavar="DIR", help="Where LoadAudio finds its files.")
]
OutputFolder = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Where results are written.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, last on stdout.")]


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
        _exit(str(error), BAD_INPUT)
    # typer's usage errors, whose class has no public name
    except typer.BadParameter.__base__ as error:  # pyright: ignore[reportGeneralTypeIssues]
        _exit_for_usage(error)
    except NodeError as error:
        if error.is_refusal:
            _exit(str(error), BAD_INPUT)
        _exit_for_bug()
    except Exception:
        _exit_for_bug()


def _exit(message: str, code: int) -> None:
    from .models.quoting import one_line

    typer.echo(one_line(f"musicgraph: {message}"), err=True)
    raise SystemExit(code)


def _exit_for_usage(error: Any) -> None:
    command = error.ctx.command_path if error.ctx else "musicgraph"
    message = error.format_message()
    if not message or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        raise SystemExit(BAD_INPUT)
    hint = f"see {command} --help"
    if type(error).__name__ == "NoSuchOption" and command.endswith("generate"):
        hint = f'a prompt that begins with "-" goes last, behind --: {command} -- "{sys.argv[-1]}"'
    _exit(f"{message.rstrip('.')}; {hint}", BAD_INPUT)


def _exit_for_bug() -> None:
    import platform
    import traceback

    from . import __version__

    traceback.print_exc()
    here = f"musicgraph {__version__}, Python {platform.python_version()}, {platform.platform()}"
    _exit(
        "this is our fault, not yours; please send us the lines above, the command and the file "
        f"that it read, and this: {here} ({ISSUES})",
        FAILED,
    )


def _say(text: str) -> None:
    """On stdout. What was made is made, so that a reader who has gone is a failure, but no bug."""
    try:
        typer.echo(text)
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (to the end of the process)
        _exit(f"standard output: {error.strerror}; the work is done, but nobody was told", FAILED)


def _check_is_text(**values: str) -> None:
    """Arguments come as bytes; Python keeps those that are no UTF-8 as lone surrogates."""
    for name, value in values.items():
        if has_surrogates(value):
            raise Refused(name, got=ascii(value), expected="text in UTF-8", remedy="type it again")


# ---------------------------------------------------------------- generate


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What the music should be. Empty: unconditional.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help=f"The suffix chooses the format: {' '.join(BY_SUFFIX)}"
        ),
    ] = Path("music.wav"),
    melody: Melody = None,
    style: Style = None,
    style_guidance: StyleGuidance = None,
    lora: Loras = [],  # noqa: B006
    as_json: AsJson = False,
    **values: Any,
) -> None:
    """Make music from a sentence."""
    from .app.studio.fields import request_of
    from .app.studio.music import make_music
    from .models.disk import part_files
    from .models.weights.places import default_model
    from .nodes.host import model_folders
    from .workflows.executor import Runner
    from .workflows.media.audio import check_writable, write_audio
    from .workflows.request import Lora

    told = {"negative": values["negative"], "model": values["model"], "lora": "".join(lora)}
    _check_is_text(prompt=prompt, **told)
    how, sound = sound_to_follow(melody, style, style_guidance)
    takes = _take_paths(output, values["variations"])
    for path in takes:
        check_writable(path)
    part_files.sweep(output.parent)
    if not values["model"]:
        values["model"], reason = default_model(model_folders(), follows=how)
        typer.echo(f"model: {values['model']} ({reason})", err=True)
    if not prompt.strip():
        typer.echo("empty prompt: the music will be unconditional", err=True)
    save_as = BY_SUFFIX[output.suffix.lower()].save_as
    loras = tuple(map(Lora.parse, lora))
    asked = {**values, "prompt": prompt, "loras": loras, "save_as": save_as}
    heard = {how: sound.name, "style_guidance": style_guidance} if sound else {}
    request = request_of(asked, **heard)
    folder = str(sound.parent) if sound else "input"
    with _music_bar(request.duration_s) as listener:
        music = make_music(Runner(), request, listener=listener, input_dir=folder)
    for path, sound in zip(takes, music.waveform, strict=True):
        write_audio(path, sound, music.sample_rate, tags=music.tags)
    _tell(takes, request, music, as_json)


def _tell(takes: list[Path], request: Request, music: Music, as_json: bool) -> None:
    """What was made, and how."""
    outcome = {
        "files": [str(path) for path in takes],
        "seconds": music.duration_s,
        "seed": request.seed,
        "model": request.model,
        "engine": music.engine,
        "generation_seconds": round(music.generation_s, 3),
        "x_real_time": round(music.x_real_time, 3),
        "scaled_by": _scaled(dict(zip(takes, music.scaled_by, strict=True))),
    }
    if as_json:
        _say(json.dumps(outcome))
    else:
        _say("\n".join(outcome["files"]))
        typer.echo(
            f"{music.duration_s:g} s by {request.model} ({music.engine}), seed {request.seed}, "
            f"{music.x_real_time:.2f} × real time",
            err=True,
        )


def _scaled(factors: Mapping[Path, float]) -> dict[str, float]:
    """The files whose samples were beyond full scale, with what they were multiplied by."""
    return {str(path): factor for path, factor in factors.items() if factor < 1}


def _take_paths(output: Path, variations: int) -> list[Path]:
    """music.wav, or music_1.wav … for several takes."""
    if variations <= 1:
        return [output]
    return [output.with_stem(f"{output.stem}_{take}") for take in range(1, variations + 1)]


@contextlib.contextmanager
def _music_bar(duration_s: float) -> Iterator:
    """A listener that shows seconds of music done and how that compares to real time."""
    from tqdm import tqdm

    from .workflows.events import NodeProgress, NodeStarted, TokensFinished

    layout = "{desc} {bar} {n:.1f}/{total:.1f} s of music, {rate_fmt} real time, {remaining} left"
    with tqdm(
        desc="loading",
        total=duration_s,
        bar_format=layout,
        file=sys.stderr,
        disable=None,
        unit="",
        leave=False,
    ) as bar:
        composing = ""

        def show(event: object) -> None:
            nonlocal composing
            if isinstance(event, NodeStarted):
                bar.set_description("decoding" if composing else "loading")
            elif isinstance(event, TokensFinished) and not composing:
                composing = event.node
                bar.set_description("composing")
            if isinstance(event, NodeProgress) and (not composing or event.node == composing):
                if event.done <= 1:
                    bar.reset()
                bar.update(event.done / event.total * duration_s - bar.n)

        yield show


# ---------------------------------------------------------------- models


@app.command()
def models(as_json: AsJson = False) -> None:
    """Every model that is known or found: where it lies, its size, its licence, what it makes and
    needs; and what the cache takes.
    """
    from .models.disk import cache
    from .models.weights.kinds import kind_of
    from .models.weights.places import known_models
    from .nodes.host import model_folders

    found = known_models(model_folders())
    kinds = {one.name: kind_of(one) for one in found}
    if as_json:
        rows = [
            {**vars(one), "folder": str(one.folder) if one.folder else None, "on_disk": one.on_disk}
            | vars(kinds[one.name])
            for one in found
        ]
        _say(json.dumps(rows))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        place = str(one.folder) if one.on_disk else "not on disk"
        size = f"{one.size_bytes / 1e9:6.2f} GB"
        _say(f"{one.name:<{width}}  {size}  {one.licence:<12}  {place}  ({kinds[one.name]})")

    kept = cache.entries()
    size = sum(one.size_bytes for one in kept)
    _say(
        f"cache: {size / 1e9:.2f} GB of at most {cache.MAX_BYTES / 1e9:.0f} GB in {cache.folder()} "
        "(compiled code and int8 weights; musicgraph clean empties it)"
    )


@app.command("clean")
def clean_cache(as_json: AsJson = False) -> None:
    """Empty the cache of compiled code and int8 weights: the next start makes anew what it
    needs.
    """
    from .models.disk import cache

    try:
        freed = cache.clean()
    except OSError as error:
        raise Refused(
            "the cache cannot be emptied",
            got=error,
            expected="files that you may remove",
            remedy=f"remove {cache.folder()} yourself",
        ) from error
    if as_json:
        _say(json.dumps({"ok": True, "folder": str(cache.folder()), "freed_bytes": freed}))
    else:
        _say(f"{freed / 1e9:.2f} GB freed in {cache.folder()}")


# ---------------------------------------------------------------- run


@app.command()
def run(
    workflow: Annotated[
        Path,
        typer.Argument(metavar="WORKFLOW", help="JSON, or an audio or PNG file that carries one."),
    ],
    set_: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="NODE.INPUT=VALUE", help="Another value; NODE is an id or a title."
        ),
    ] = [],  # noqa: B006
    input: InputFolder = Path("input"),
    output: OutputFolder = Path("output"),
    as_json: AsJson = False,
) -> None:
    """Run a workflow of ComfyUI, in UI or API format."""
    from .models.disk import part_files
    from .nodes.host import Run
    from .workflows.executor import Runner
    from .workflows.media.files import check_folder_writable
    from .workflows.overrides import Override, named_by

    started = time.perf_counter()
    for text in set_:
        _check_is_text(**{"--set": text})
    check_folder_writable(output)
    part_files.sweep(output)
    runner, overrides = Runner(), [Override.parse(text) for text in set_]
    named = named_by(overrides)
    terms = Run(input_dir=input, output_dir=output, named_models=named, named_adapters=named)
    valid, extra = _made_ready(workflow, overrides, runner.classes, terms)
    with _progress(valid.graph) as listener:
        result = runner.run(
            valid,
            extra_pnginfo=extra,
            listener=listener,
            input_dir=input,
            output_dir=output,
            named_models=named,
            named_adapters=named,
        )
    _say_made(result, time.perf_counter() - started, as_json)


def _made_ready(
    file: Path, overrides: list[Override], classes: NodeClasses, terms: Run
) -> tuple[Validation, Mapping[str, Any] | None]:
    """The graph of a file with other values, checked, and what goes beside it into tags."""
    from .nodes.host import running
    from .workflows.overrides import with_overrides
    from .workflows.reader import read_document
    from .workflows.registry import NodeSpecs
    from .workflows.validate import validate
    from .workflows.workflow import Workflow

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
            "scaled_by": _scaled(result.scaled_by),
        }
        _say(json.dumps(outcome))
    else:
        _say("\n".join(files))


@contextlib.contextmanager
def _progress(graph: Graph) -> Iterator:
    """A listener that shows, on a terminal, which node is at work and how far it is."""
    from tqdm import tqdm

    from .workflows.events import NodeProgress, NodeStarted

    with tqdm(total=1, file=sys.stderr, disable=None, leave=False) as bar:

        def show(event: object) -> None:
            if isinstance(event, NodeStarted):
                bar.reset(total=1)
                bar.set_description(graph[event.node].name)
            elif isinstance(event, NodeProgress):
                bar.total = event.total
                bar.update(event.done - bar.n)

        yield show


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
                _say(one_line(f"{file}: {outcome}"))
    if as_json:
        _say(json.dumps(reports))
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
