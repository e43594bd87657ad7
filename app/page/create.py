"""The Create tab: words in, music out, with the graph out of sight.

What the tab knows of a run it gets from events; every run is the default graph, so every file opens
in ComfyUI.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from ...models.refused import Refused
from ...workflows.registry import node_classes
from ...workflows.request import Request
from ..studio.job import Job
from ..studio.models import check_loras, permitted
from ..studio.music import Music, music_job, music_of
from ..studio.settings import AppSettings
from ..studio.sounds import HEARD, SOUNDS, followed, uploaded
from . import browser
from .form import Form, FormBuilder
from .model_menu import words_of
from .runs import PageRun, Runs
from .shelf import Shelf
from .sound_inputs import build_sounds
from .status import JobStatus, note
from .visitors import Visitors
from .words import trouble_of

TAB = "create"
QUIET: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
"""of what neither waits nor is for programs"""

STAGE = '<div id="mg-start"></div><div id="mg-status"></div><div id="mg-takes"></div>'
STAGE += '<div id="mg-first"></div>'
"""filled by `first.js` and `stage.js`"""
HELP = '<div id="mg-prompt-help"></div>'
"""filled by `first.js`"""


# ---------------------------------------------------------------- a run


@dataclass(frozen=True)
class CreateStep:
    """How a run stands: a line for people, and at its end the music."""

    status: str
    music: Music | None = None


def page_job(
    shelf: Shelf, settings: AppSettings, visitor: str, request: Request
) -> tuple[Request, Job]:
    """The default graph for a visitor's request, and the request with its model's full name.

    Its sounds are paths. Raises ModelNotOffered for a model or a LoRA that is not on the menu,
    Refused for sounds that the model cannot follow, and WorkflowError.
    """
    how, _ = followed(request.melody or None, request.style or None, request.style_guidance)
    offer = permitted(settings, request.model, follows=how, downloads=True)
    check_loras(request.loras)
    request, named = replace(request, model=offer.name), {offer.name: offer.source}
    return request, _job(request, shelf, visitor, named)


def _job(request: Request, shelf: Shelf, visitor: str, named: dict[str, str]) -> Job:
    """With copies of the sounds in the visitor's own folder, until that is swept."""
    paths = {how: path for how in HEARD if (path := getattr(request, how))}
    if not paths:
        return music_job(request, node_classes(), named_models=named, stream=True)
    folder = shelf.folder(visitor, "input")
    names = {how: uploaded(path, folder) for how, path in paths.items()}
    return music_job(
        replace(request, **names), node_classes(), named_models=named,
        input_dir=str(folder), stream=True,
    )  # fmt: skip


def compose(
    visitors: Visitors, shelf: Shelf, settings: AppSettings, visitor: str, request: Request
) -> Generator[CreateStep, None, None]:
    """For programs, which wait. Closing it, or Visitors.stop, ends the run.

    Raises as `page_job` does.
    """
    request, job = page_job(shelf, settings, visitor, request)
    status = JobStatus.of(job)
    with visitors.submitted(visitor, TAB, job) as run:
        for batch in run.stream.batches():
            status.see(batch, run.handle.position())
            yield CreateStep(status.html())
        music = music_of(job, run.handle.result())
    yield CreateStep(note("Done", f"{music.duration_s:.1f} s of music", kind="done"), music)


# ---------------------------------------------------------------- the tab


def build_create(runs: Runs, shelf: Shelf, settings: AppSettings) -> Form:
    """Lays the tab out and connects it."""
    builder = FormBuilder(settings)
    with gr.Column(elem_id="mg-create"):
        with gr.Column(elem_id="mg-ask"):
            _ask(builder)
            with gr.Row(elem_id="mg-go"):
                go = gr.Button("Generate", variant="primary", size="lg", elem_id="mg-generate")
                gr.Button("Stop", size="lg", elem_id="mg-stop")
        with gr.Column(elem_id="mg-stage"):
            gr.HTML(STAGE)
        with gr.Column(elem_id="mg-settings"):
            _settings(builder, settings)
    form = builder.form()
    _connect(form, go, runs, shelf, settings)
    return form


def _ask(builder: FormBuilder) -> None:
    builder.prompt()
    gr.HTML(HELP)
    builder.duration()


def _settings(builder: FormBuilder, settings: AppSettings) -> None:
    model = builder.model()
    build_sounds(builder, settings, model)
    builder.loras()
    with gr.Row(elem_id="mg-seed-row"):
        with gr.Column(elem_id="mg-seed-col"):
            drawn = gr.Checkbox(
                True, label="Random seed", elem_id="mg-random", info="Each press is another take."
            )
            seed = builder.seed()
            again = gr.Button("Use the last seed", size="sm", elem_id="mg-again")
        builder.variations()
    builder.loudness()
    with gr.Accordion("More: what to avoid, guidance, precision …", open=False, elem_id="mg-more"):
        with gr.Column(elem_classes="mg-fields"):
            builder.negative()
            for field in ("cfg", "temperature", "top_k", "top_p", "precision"):
                builder.as_declared(field)
    again.click(None, seed, seed, js="now => MusicGraph.lastSeed(now)", **QUIET)
    seed.change(None, seed, drawn, js="seed => MusicGraph.isRandom(seed)", **QUIET)
    drawn.input(None, [drawn, seed], seed, js="(...now) => MusicGraph.seedFor(...now)", **QUIET)
    model.change(
        lambda name: gr.update(info=words_of(settings, name)), model, model,
        js="name => { MusicGraph.modelChanged(name); return name; }", **QUIET,
    )  # fmt: skip


def _connect(form: Form, go: gr.Button, runs: Runs, shelf: Shelf, settings: AppSettings) -> None:
    """A press starts a run, and nothing more: how it goes, the page asks by itself
    (`stage.js`).
    """

    def start(request: gr.Request, given: dict[Any, Any]) -> dict[str, Any]:
        try:
            wanted = form.request(given)
            _check_negative(wanted)
            owner = browser.of(request)
            wanted, job = page_job(shelf, settings, owner, wanted)
            own = {name: value for name, value in form.values(wanted).items() if name in kept}
            run = PageRun(owner, wanted, job, own, shelf.takes_of(owner))
            return {"run": runs.start(run).id}
        except Exception as error:  # also what nobody foresaw: see failure_of
            trouble = trouble_of(error, set(form.widgets))
            words = {"title": trouble.title, "text": trouble.text, "field": trouble.field}
            return {"trouble": words}

    kept = form.kept()
    started = gr.JSON(elem_id="mg-started", elem_classes="mg-hidden")
    go.click(start, form.inputs(), started, **QUIET).then(
        None, started, None, js="answer => MusicGraph.started(answer)", **QUIET
    )


def remember_form(page: gr.Blocks, form: Form, shelf: Shelf) -> None:
    """What stands in the form outlasts the page, and a take's settings find their way back, with
    the sounds that it follows.
    """

    def sounds_of(request: gr.Request, take_id: str) -> dict[Any, Any]:
        owner = browser.of(request)
        library, folder = shelf.takes_of(owner), shelf.folder(owner, "input")
        found = {how: library.sound(take_id, how) if take_id else None for how in sounds}
        copies = {how: path and folder / uploaded(str(path), folder) for how, path in found.items()}
        return {sounds[how]: gr.update(value=path and given(path)) for how, path in copies.items()}

    def given(path: Path) -> str:
        """Where Gradio keeps it, which the page names when it generates."""
        kept = save_file_to_cache(path, cache_dir=page.GRADIO_CACHE)
        shelf.files.add(kept)
        return kept

    sounds = {how: form.widgets[how] for how in SOUNDS}
    kept = form.kept()
    widgets = [*kept.values()]
    models = [value for _, value in form.widgets["model"].choices]
    page.load(
        None, widgets, widgets,
        js=f"(...values) => MusicGraph.restored({[*kept]!r}, values, {models!r})", **QUIET,
    )  # fmt: skip
    gr.on(
        [widget.change for widget in widgets], None, widgets, None,
        js=f"(...values) => MusicGraph.remember({[*kept]!r}, values)", **QUIET,
    )  # fmt: skip
    take_id = gr.Textbox(elem_classes="mg-hidden", label="Take")
    fill = gr.Button("Fill the form", elem_id="mg-fill", elem_classes="mg-hidden")
    fill.click(
        None, widgets, widgets,
        js=f"(...values) => MusicGraph.filled({[*kept]!r}, values)", **QUIET,
    ).then(
        sounds_of, take_id, [*sounds.values()], js="() => MusicGraph.filledFrom()", **QUIET
    ).then(None, None, None, js="() => MusicGraph.afterFilling()", **QUIET)  # fmt: skip


def _check_negative(request: Request) -> None:
    if request.negative.strip() and request.cfg == 1 and not request.automation:
        raise Refused(
            "negative",
            got="words, with guidance 1, where they have no effect",
            remedy="raise the guidance (3 is usual), or empty this field",
        )
