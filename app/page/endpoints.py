"""Gradio's own named endpoints, for gradio_client and, with --mcp, for assistants: /generate and
/run_workflow.

Programs and assistants read the docstrings; that of /generate is made of the declared fields.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ...workflows.inputs import InputSpec
from ...workflows.media.audio import write_audio
from ...workflows.overrides import Override, with_overrides
from ...workflows.problems import refused
from ...workflows.registry import node_classes
from ...workflows.request import LorasInput, Request
from ..studio.calls import CALL_HEADER
from ..studio.failures import failure_of
from ..studio.fields import Fields, choice, page_fields
from ..studio.music import Music
from ..studio.settings import AppSettings
from ..studio.sounds import SOUNDS, WORDS, followed, plain
from .create import compose
from .form import request_from
from .graph import Made, opened, read_upload, run_graph
from .routes import FORMATS_GIVEN
from .shelf import Shelf
from .visitors import Visitors, visitor_of

ARGUMENTS = (
    "prompt", "duration", "seed", "negative", "model", "variations", "guidance", "temperature",
    "top_k", "top_p", "file_format", "loras", "melody", "style", "style_guidance",
)  # fmt: skip
"""of /generate, in an order that stays"""
LEFT_OUT = ("melody", "style", "style_guidance")
"""the last of them, which need not be given; of the others Gradio takes what their widgets hold"""
GENERATE_DESCRIPTION = "Make instrumental music from a description, and get it as audio files."


def build_endpoints(visitors: Visitors, shelf: Shelf, settings: AppSettings) -> None:
    """To be called inside the page's Blocks. Shows nothing.

    Long, for it holds the functions whose words and names Gradio shows to programs.
    """
    fields = _generate_fields(settings)

    def generate(request: gr.Request, *values: Any) -> Iterator[tuple[list[str], dict]]:
        given: dict[str, Any] = dict(zip(ARGUMENTS, values, strict=True))
        file_format = fields["file_format"].read_exactly(given.pop("file_format"))
        followed(given["melody"], given["style"], given["style_guidance"])
        if given["style_guidance"] is None:
            del given["style_guidance"]
        beside = ("file_format", *SOUNDS)
        asked = {name: spec for name, spec in fields.items() if name not in beside}
        wanted = request_from(asked, given)
        facts: dict[str, Any] = {"seed": wanted.seed}
        visitor, music = _visitor(request), None
        run = compose(visitors, shelf, settings, visitor, wanted)
        with contextlib.closing(run):
            for step in run:
                music = step.music
                yield [], facts
        assert music is not None, "a run that ends without an error gives music"
        folder = shelf.folder(visitor, "takes") / secrets.token_hex(8)
        facts |= {"seconds": music.duration_s, "engine": music.engine}
        yield [str(path) for path in _written(folder, wanted, music, f".{file_format}")], facts

    _describe(generate, fields)

    def run_workflow(request: gr.Request, workflow: str, values: str) -> Iterator[list[str]]:
        """Run a ComfyUI workflow made of MusicGraph's and ComfyUI's audio nodes, and get the files
        that it saves.

        Args:
            workflow: Workflow JSON in UI or API format, or an audio or PNG file that carries one.
            values: Other values for its inputs, such as {"3.seed": 42}; a node by id, title or
                class.
        """
        classes = node_classes()
        filled = with_overrides(opened(read_upload(workflow), classes), _overrides(values))
        results: Sequence[Made] = ()
        run = run_graph(visitors, shelf, settings, _visitor(request), filled)
        with contextlib.closing(run):
            for shown in run:
                results = shown.made
                yield []
        yield [str(path) for made in results for path in made.files]

    with gr.Row(visible=False):
        button, inputs = gr.Button("generate"), [_input(spec) for spec in fields.values()]
        files, facts = gr.File(label="files", file_count="multiple"), gr.JSON(label="facts")
        gr.on(
            button.click, _told(generate), inputs, [files, facts], api_name="generate",
            concurrency_limit=None,
        )  # fmt: skip
        run = gr.Button("run_workflow")
        graph = [gr.File(label="workflow"), gr.Textbox("{}", label="values")]
        results = gr.File(label="results", file_count="multiple")
        gr.on(
            run.click, _told(run_workflow), graph, results, api_name="run_workflow",
            concurrency_limit=None,
        )  # fmt: skip


def _written(folder: Path, request: Request, music: Music, suffix: str) -> Iterator[Path]:
    """A file for each item; item i is what seed + i makes by itself."""
    for index, (sound, tags) in enumerate(zip(music.waveform, music.tags, strict=True)):
        path = folder / f"{plain(request.prompt, 'music')}-{request.seed + index}{suffix}"
        write_audio(path, sound, music.sample_rate, tags=tags)
        yield path


def _format_field() -> InputSpec:
    words = f"{', '.join(FORMATS_GIVEN)}."
    return choice("file_format", FORMATS_GIVEN, words, default=FORMATS_GIVEN[0])


def _generate_fields(settings: AppSettings) -> dict[str, InputSpec]:
    """By field of a Request, in the order of ARGUMENTS."""
    format = _format_field()
    sounds = {how: _sound_field(how) for how in SOUNDS}
    known = {**page_fields(settings), "file_format": format, **sounds}
    named = {spec.name: (field, spec) for field, spec in known.items()}
    ordered: list[tuple[str, InputSpec]] = [named[name] for name in ARGUMENTS]
    return dict(ordered)


def _sound_field(how: str) -> InputSpec:
    return InputSpec(how, "AUDIO", required=False, has_default=True, tooltip=WORDS[how])


def _describe(function: Callable[..., Any], fields: Fields) -> None:
    """Gives the function the names and words that programs and assistants read."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    request = inspect.Parameter("request", kind, annotation=gr.Request)
    parameters = [request, *(inspect.Parameter(spec.name, kind) for spec in fields.values())]
    parameters[-len(LEFT_OUT) :] = [
        inspect.Parameter(name, kind, default=None) for name in LEFT_OUT
    ]
    setattr(function, "__signature__", inspect.Signature(parameters))  # noqa: B010
    function.__annotations__ = {"request": gr.Request}
    words = "\n".join(f"    {spec.name}: {spec.tooltip}" for spec in fields.values())
    function.__doc__ = f"{GENERATE_DESCRIPTION}\n\nArgs:\n{words}\n"


def _input(spec: InputSpec) -> Any:
    """Without limits of its own: `request_from` refuses in words that name the field."""
    if spec.choices is not None:  # custom values, or Gradio refuses without the field's name
        return gr.Dropdown(
            list(spec.choices), value=spec.default, label=spec.name, allow_custom_value=True
        )
    if spec.name in SOUNDS:
        return gr.File(label=spec.name, type="filepath")
    if isinstance(spec, LorasInput):
        return gr.Dropdown([], value=[], multiselect=True, label=spec.name, allow_custom_value=True)
    if spec.type_name == "STRING":
        value = None if spec.required else spec.default
        return gr.Textbox(value, label=spec.name, max_length=spec.max_characters)
    return gr.Number(spec.default, label=spec.name)


def _visitor(request: gr.Request) -> str:
    """A call's own name, where the door gave it one; a session's; else one for this call."""
    return request.headers.get(CALL_HEADER) or visitor_of(request.session_hash)


def _told(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Errors as Gradio's own, in words; a client shows them, a page puts them up as a notice.

    A generator, which Gradio closes when the client cancels or leaves; that ends the work.
    """

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except Exception as error:  # also what nobody foresaw: see failure_of
            words = failure_of(error)
            message = f"{words.title}: {words.text}"
            raise gr.Error(message, print_exception=False) from error

    return wrapped


def _overrides(values: str) -> Iterator[Override]:
    try:
        given = json.loads(values or "{}")
    except ValueError as error:
        raise refused("values are not JSON", str(error)) from error
    if not isinstance(given, dict):
        raise refused("values are not an object", 'expected something like {"3.seed": 42}')
    for target, value in given.items():
        node, dot, name = target.rpartition(".")
        if not dot:
            raise refused(
                "this value cannot be set", f"got {target!r}, expected NODE.INPUT, such as 3.seed"
            )
        yield Override(node, name, value)
