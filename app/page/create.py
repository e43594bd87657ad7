"""The Create tab: words in, music out, with the graph out of sight.

What the tab knows of a run it gets from events; every run is the default graph, so every file opens
in ComfyUI.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from ...workflows.events import AudioChunk
from ...workflows.registry import node_classes
from ...workflows.request import Request
from ..studio.job import Job
from ..studio.models import check_loras, permitted
from ..studio.music import Music, music_job, music_of
from ..studio.settings import AppSettings
from ..studio.sounds import followed, uploaded
from . import theme
from .form import Form, FormBuilder
from .live import LiveSound, can_stream
from .shelf import Shelf, Take, write_takes
from .sound_inputs import build_sounds
from .status import JobStatus, explain, note
from .take_card import take_card
from .visitors import Visitors, visitor_of

TAB = "create"

# All within what pocket knows, so that a newcomer's first press works with any model.
IDEAS = {
    "Lo-fi evening": "lo-fi beat with mellow piano for a quiet evening",
    "80s pop": "80s pop song with synths and punchy drums",
    "Epic trailer": "epic orchestral trailer music with big drums",
    "Music box": "a music box lullaby",
    "House party": "upbeat house track, 124 bpm",
}


# ---------------------------------------------------------------- a run


@dataclass(frozen=True)
class CreateStep:
    """What the stage shows next."""

    status: str
    chunk: bytes | None = None
    takes: tuple[Take, ...] | None = None


def compose(
    visitors: Visitors, shelf: Shelf, settings: AppSettings, visitor: str, request: Request
) -> Generator[CreateStep, None, None]:
    """Yields steps as the run goes on. Closing it, or Visitors.stop, ends the run.

    A melody or a style is the path of an upload. Raises ModelNotOffered for a model or a LoRA that
    is not on the menu, Refused for sounds that the model cannot follow.
    """
    how, _ = followed(request.melody or None, request.style or None, request.style_guidance)
    offer = permitted(settings, request.model, follows=how, downloads=True)
    check_loras(request.loras)
    request, named = replace(request, model=offer.name), {offer.name: offer.source}
    job = _job(request, how, shelf, visitor, named)
    status, live, streams = JobStatus(request.duration_s), LiveSound(), can_stream()
    with visitors.submitted(visitor, TAB, job) as run:
        for batch in run.stream.batches():
            status.see(batch, run.handle.position())
            for event in batch:
                if isinstance(event, AudioChunk):
                    live.push(event)
            chunk = live.take(rest=run.stream.over) if streams else None
            yield CreateStep(status.html(), chunk=chunk)
        music = music_of(job, run.handle.result())
    takes = write_takes(shelf.folder(visitor, "takes"), request, music)
    shelf.add(visitor, takes)
    yield CreateStep(_finished(music, request, streams), takes=takes)


def _job(request: Request, how: str, shelf: Shelf, visitor: str, named: dict[str, str]) -> Job:
    """With a copy of the sound to follow in the visitor's own folder, until that is swept."""
    if not how:
        return music_job(request, node_classes(), named_models=named, stream=True)
    folder = shelf.folder(visitor, "input")
    name = uploaded(getattr(request, how), folder)
    return music_job(
        replace(request, **{how: name}), node_classes(), named_models=named,
        input_dir=str(folder), stream=True,
    )  # fmt: skip


def _finished(music: Music, request: Request, streams: bool) -> str:
    figures = (
        f"{music.duration_s:.1f} s of music in {music.generation_s:.1f} s"
        f" · {music.x_real_time:.1f} × real time"
    )
    if not streams:
        figures += " · without ffmpeg on this machine, music plays only when it is done"
    return note("Done", f"{figures} · seed {request.seed}", kind="done")


# ---------------------------------------------------------------- the tab


@dataclass(frozen=True)
class CreateTab:
    """The parts that handlers read or change."""

    form: Form
    takes: gr.State
    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    live: gr.Audio


def build_create(
    visitors: Visitors, shelf: Shelf, settings: AppSettings, shelf_changed: gr.State
) -> CreateTab:
    """Lays the tab out and connects it. `shelf_changed` tells the Takes tab to look again."""
    builder = FormBuilder(settings)
    with gr.Column(elem_id="mg-create"):
        with gr.Column(elem_id="mg-ask"):
            _ask(builder)
            with gr.Row(elem_id="mg-go"):
                go = gr.Button("Generate", variant="primary", size="lg", elem_id="mg-generate")
                stop = gr.Button("Stop", size="lg", elem_id="mg-stop", interactive=False)
        with gr.Column(elem_id="mg-stage"):
            status = gr.HTML(theme.empty_stage(), elem_id="mg-status")
            live = gr.Audio(
                label="Playing while it is made", streaming=True, autoplay=True,
                interactive=False, visible="hidden", show_label=False, container=False,
                elem_id="mg-live", buttons=[],
            )  # fmt: skip
            takes = gr.State(())
            results = gr.Column()
        with gr.Column(elem_id="mg-settings"):
            _settings(builder, takes, settings)
    tab = CreateTab(builder.form(), takes, go, stop, status, live)

    with results:

        @gr.render(inputs=[takes], show_progress="hidden")
        def show(made: tuple[Take, ...]) -> None:
            for take in made:
                take_card(take, tab.form, restore_label="Make another with this seed", is_new=True)

    _connect(tab, visitors, shelf, settings, shelf_changed)
    return tab


def _ask(builder: FormBuilder) -> None:
    prompt = builder.prompt()
    with gr.Row(elem_id="mg-ideas"):
        for name, text in IDEAS.items():
            idea = gr.Button(name, size="sm")
            idea.click(None, None, prompt, js=f"() => {text!r}", api_visibility="private")
    builder.duration()


def _settings(builder: FormBuilder, takes: gr.State, settings: AppSettings) -> None:
    build_sounds(builder, settings, builder.model())
    builder.loras()
    with gr.Row(elem_id="mg-seed-row"):
        seed = builder.seed()
        with gr.Column(elem_id="mg-dice-col"):
            dice = gr.Button("Roll a seed", size="sm", elem_id="mg-dice")
            again = gr.Button("Reuse last", size="sm", elem_id="mg-again")
        builder.variations()
    with gr.Accordion("More: what to avoid, guidance, loudness …", open=False, elem_id="mg-more"):
        with gr.Column(elem_classes="mg-fields"):
            builder.negative()
            for field in ("cfg", "temperature", "top_k", "top_p", "precision"):
                builder.as_declared(field)
            builder.loudness()
    draw = f"() => Math.floor(Math.random() * {2**32})"
    dice.click(None, None, seed, js=draw, api_visibility="private")
    again.click(_last_seed, takes, seed, api_visibility="private", queue=False)


def _last_seed(takes: tuple[Take, ...]) -> Any:
    return takes[0].request.seed if takes else gr.skip()


def _connect(
    tab: CreateTab,
    visitors: Visitors,
    shelf: Shelf,
    settings: AppSettings,
    shelf_changed: gr.State,
) -> None:
    def make(request: gr.Request, given: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        has_sounded = False
        silent = {tab.live: _silence()}
        starting = {tab.status: note("Starting", busy=True), tab.takes: ()}
        yield {**silent, **starting, **_running(tab, True)}
        try:
            wanted, visitor = tab.form.request(given), visitor_of(request.session_hash)
            for step in compose(visitors, shelf, settings, visitor, wanted):
                if step.chunk is not None and not has_sounded:
                    has_sounded = True
                    yield {tab.live: gr.update(visible=True)}
                shown: dict[Any, Any] = {tab.status: step.status}
                if step.chunk is not None:
                    shown[tab.live] = step.chunk
                elif step.takes is not None and not has_sounded:
                    shown |= silent
                if step.takes is not None:
                    shown |= {tab.takes: step.takes, shelf_changed: step.takes[0].id}
                yield shown
        except Exception as error:  # also what nobody foresaw: see failure_of
            yield {**silent, tab.status: explain(error)}

    def stop(request: gr.Request) -> None:
        visitors.stop(visitor_of(request.session_hash), TAB)

    outputs = [tab.live, tab.status, tab.takes, tab.go, tab.stop, shelf_changed]
    gr.on(
        [tab.go.click, tab.form.widgets["prompt"].submit], make, tab.form.inputs(), outputs,
        show_progress="hidden", concurrency_limit=None, api_visibility="private",
    ).then(
        lambda: _running(tab, False), None, [tab.go, tab.stop],
        api_visibility="private", queue=False,
    )  # fmt: skip
    quiet = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    tab.live.stop(_silence, None, tab.live, **quiet)
    tab.stop.click(stop, None, None, queue=False, api_visibility="private")


def _silence() -> Any:
    """Ends what the live player plays, and takes it out of sight."""
    return gr.update(value=None, visible="hidden")


def _running(tab: CreateTab, now: bool) -> dict[Any, Any]:
    return {tab.go: gr.update(interactive=not now), tab.stop: gr.update(interactive=now)}
