"""Gradio's own named endpoints, for gradio_client and, with --mcp, for assistants: /generate and /run_workflow.

The docstrings are what programs and assistants read. Names and order of the arguments are stable.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from ...workflows.overrides import Override, with_overrides
from ...workflows.problems import refused
from ..studio.calls import CALL_HEADER
from ..studio.choices import MAX_PROMPT_CHARACTERS, model_choices
from ..studio.failures import told
from ..studio.fields import Choice, read_field
from ..studio.settings import AppSettings
from .create import compose, request_from
from .follow import Desk, visitor_of
from .graph import Made, opened, read_upload, run_graph
from .shelf import SUFFIXES, Shelf, Take

GENERATE_DESCRIPTION = "Make instrumental music from a description, and get it as audio files."
RUN_DESCRIPTION = "Run a ComfyUI workflow made of MusicGraph's and ComfyUI's audio nodes, and get the files that it saves."


def build_endpoints(desk: Desk, shelf: Shelf, settings: AppSettings) -> None:
    """To be called inside the page's Blocks. Shows nothing."""

    def generate(
        request: gr.Request, prompt: str, duration: float, seed: float, negative: str, model: str, variations: float,
        guidance: float, temperature: float, top_k: float, top_p: float, file_format: str,
    ) -> Iterator[tuple[list[str], dict]]:  # fmt: skip
        """Make instrumental music from a description, and get it as audio files.

        Args:
            prompt: What the music should be, in English: style, instruments, mood, tempo.
            duration: Length in seconds.
            seed: The same seed and settings give the same music; -1 draws one, and the answer says which.
            negative: What the music should not be; empty for nothing.
            model: The name of a model on this server, such as pocket; empty for its usual one.
            variations: How many takes, 1 to 4.
            guidance: How strongly the words lead; 1 is off, 3 is usual.
            temperature: Lower is safer, higher is wilder.
            top_k: Draw among this many likeliest tokens.
            top_p: Above 0, draw among this share of probability, in place of top_k.
            file_format: flac, wav or mp3.
        """
        kind = Choice("flac", "", tuple(suffix.removeprefix(".") for suffix in SUFFIXES))
        read_field("file_format", kind, file_format)
        named = model or model_choices(settings)[0].name
        wanted = request_from(
            prompt,
            duration,
            named,
            seed,
            variations,
            negative,
            guidance,
            temperature,
            top_k,
            top_p,
            "auto",
            False,
            0.0,
        )
        facts: dict[str, Any] = {"seed": wanted.seed}
        takes: Sequence[Take] = []
        with contextlib.closing(compose(desk, shelf, settings, _visitor(request), wanted)) as run:
            for shown in run:
                takes = shown.takes or takes
                yield [], facts
        files = [path for take in takes for path in take.files if path.suffix == f".{file_format}"]
        facts |= {"seconds": takes[0].duration_s, "engine": takes[0].engine}
        yield [str(path) for path in files], facts

    def run_workflow(request: gr.Request, workflow: str, values: str) -> Iterator[list[str]]:
        """Run a ComfyUI workflow made of MusicGraph's and ComfyUI's audio nodes, and get the files that it saves.

        Args:
            workflow: Workflow JSON in UI or API format, or an audio or PNG file that carries one.
            values: Other values for its inputs as JSON, such as {"3.seed": 42, "2.text": "slow strings"}; a node is named by id, title or class.
        """
        classes = desk.studio.runner.classes
        filled = with_overrides(opened(read_upload(workflow), classes), _overrides(values))
        results: Sequence[Made] = ()
        run = run_graph(desk, shelf, settings, _visitor(request), filled)
        with contextlib.closing(run):
            for shown in run:
                results = shown.made
                yield []
        yield [str(path) for made in results for path in made.files]

    with gr.Row(visible=False):
        button, inputs = gr.Button("generate"), _generate_inputs(settings)
        files, facts = gr.File(label="files", file_count="multiple"), gr.JSON(label="facts")
        gr.on(
            button.click, _told(generate), inputs, [files, facts], api_name="generate", concurrency_limit=None,
        )  # fmt: skip
        run = gr.Button("run_workflow")
        graph = [gr.File(label="workflow"), gr.Textbox("{}", label="values")]
        results = gr.File(label="results", file_count="multiple")
        gr.on(
            run.click, _told(run_workflow), graph, results, api_name="run_workflow", concurrency_limit=None,
        )  # fmt: skip


def _generate_inputs(settings: AppSettings) -> list[Any]:
    """Without limits of their own: `request_from` refuses in words that name the field."""
    longest = settings.max_duration_s
    return [
        gr.Textbox(label="prompt", max_length=MAX_PROMPT_CHARACTERS),
        gr.Number(min(10.0, longest), label="duration"),
        gr.Number(-1, label="seed"),
        gr.Textbox("", label="negative", max_length=MAX_PROMPT_CHARACTERS),
        gr.Textbox("", label="model"),
        gr.Number(1, label="variations"),
        gr.Number(3.0, label="guidance"),
        gr.Number(1.0, label="temperature"),
        gr.Number(250, label="top_k"),
        gr.Number(0.0, label="top_p"),
        gr.Dropdown(
            [suffix.removeprefix(".") for suffix in SUFFIXES],
            value="flac",
            label="file_format",
            allow_custom_value=True,  # or Gradio refuses, without the field's name
        ),
    ]


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
        except Exception as error:  # also what nobody foresaw: see follow.told
            words = told(error)
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
