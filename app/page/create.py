"""The Create tab: words in, music out, with the graph out of sight.

What the tab knows of a run it gets from events; every run is the default graph, so every file opens in ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from ...models.weights.places import POCKET_WORLD
from ...workflows.default_graph import Music, Request, make_music, seed_for
from ...workflows.events import AudioChunk, Listener
from ...workflows.executor import Runner
from ..studio.choices import (
    MAX_PROMPT_CHARACTERS,
    MAX_VARIATIONS,
    check_request,
    model_choices,
    model_source,
)
from ..studio.fields import read_page_numbers
from ..studio.queue import PageWork
from ..studio.settings import AppSettings
from ..studio.zero_gpu import is_zero_gpu, on_lent_gpu
from . import theme
from .follow import Desk, Watch, explain, note, visitor_of
from .live import LiveSound, can_stream
from .shelf import Shelf, Take, write_takes
from .take_card import take_card

PLACE = "create"

# All within what pocket knows, so that a newcomer's first press works with any model.
IDEAS = {
    "Lo-fi evening": "lo-fi beat with mellow piano for a quiet evening",
    "80s pop": "80s pop song with synths and punchy drums",
    "Epic trailer": "epic orchestral trailer music with big drums",
    "Music box": "a music box lullaby",
    "House party": "upbeat house track, 124 bpm",
}
PRECISIONS = ["auto", "fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class Form:
    """The widgets of a request, in the order of `request_from`'s arguments."""

    prompt: gr.Textbox
    duration: gr.Slider
    model: gr.Dropdown
    seed: gr.Number
    variations: gr.Radio
    negative: gr.Textbox
    cfg: gr.Slider
    temperature: gr.Slider
    top_k: gr.Slider
    top_p: gr.Slider
    precision: gr.Dropdown
    loud: gr.Checkbox
    loudness: gr.Slider

    def widgets(self) -> list[Any]:
        return list(vars(self).values())


def request_from(
    prompt: str | None, duration: float, model: str, seed: float | None, variations: float, negative: str | None,
    cfg: float, temperature: float, top_k: float, top_p: float, precision: str, loud: bool, loudness: float,
) -> Request:  # fmt: skip
    """A request from what stands in the widgets. Draws the seed if it is to be drawn.

    Raises BadField for a number that is none, is out of range, or should be whole.
    """
    numbers = read_page_numbers(
        {
            "duration": duration, "seed": -1 if seed is None else seed, "variations": variations,
            "guidance": cfg, "temperature": temperature, "top_k": top_k, "top_p": top_p,
            **({"loudness": loudness} if loud else {}),
        }
    )  # fmt: skip
    return Request(
        prompt=prompt or "",
        negative=negative or "",
        model=model,
        precision=precision,
        duration_s=numbers["duration"],
        seed=seed_for(numbers["seed"]),
        cfg=numbers["guidance"],
        temperature=numbers["temperature"],
        top_k=numbers["top_k"],
        top_p=numbers["top_p"],
        variations=numbers["variations"],
        loudness_lufs=numbers.get("loudness"),
    )


def values_of(request: Request) -> list[Any]:
    """What the widgets show for a request: the other way round."""
    return [
        request.prompt, request.duration_s, request.model, request.seed, request.variations, request.negative,
        request.cfg, request.temperature, request.top_k, request.top_p, request.precision,
        request.loudness_lufs is not None, -14.0 if request.loudness_lufs is None else request.loudness_lufs,
    ]  # fmt: skip


# ---------------------------------------------------------------- a run


def compose(
    desk: Desk, shelf: Shelf, settings: AppSettings, visitor: str, request: Request
) -> Generator[Shown, None, None]:
    """Yields Shown as the run goes on. Closing it, or Desk.stop, ends the run."""
    check_request(request, settings)
    named = replace(request, model=model_source(request.model, settings))

    work: PageWork = partial(_make, named)
    if is_zero_gpu():
        work = on_lent_gpu(work, 2 * request.duration_s)
    watch, live = Watch(request.duration_s), LiveSound()
    streams = can_stream()
    with desk.submitted(visitor, PLACE, work) as following:
        for batch in following.batches():
            watch.see(batch, following.ticket.position())
            for event in batch:
                if isinstance(event, AudioChunk):
                    live.push(event)
            rest = following.ticket.done()
            yield Shown(watch.html(), chunk=live.take(rest=rest) if streams else None)
        music = following.ticket.result()
    takes = write_takes(shelf.folder(visitor, "takes"), request, music)
    shelf.add(visitor, takes)
    yield Shown(_finished(music, request, streams), takes=takes)


def _make(
    request: Request, runner: Runner, stopped: Callable[[], bool], listener: Listener
) -> Music:
    return make_music(runner, request, listener=listener, stopped=stopped, stream=True)


@dataclass(frozen=True)
class Shown:
    """What the stage shows next."""

    status: str
    chunk: bytes | None = None
    takes: tuple[Take, ...] | None = None


def _finished(music: Music, request: Request, streams: bool) -> str:
    figures = f"{music.duration_s:.1f} s of music in {music.generation_s:.1f} s · {music.x_real_time:.1f} × real time"
    if not streams:
        figures += " · without ffmpeg on this machine, music plays only when it is done"
    return note("Done", f"{figures} · seed {request.seed}", kind="done")


# ---------------------------------------------------------------- the tab


@dataclass(frozen=True)
class CreateTab:
    form: Form
    takes: gr.State


def build_create(
    desk: Desk, shelf: Shelf, settings: AppSettings, shelf_changed: gr.State
) -> CreateTab:
    """Lays the tab out and connects it. `shelf_changed` tells the library to look again."""
    with gr.Column(elem_id="mg-create"):
        with gr.Column(elem_id="mg-ask"):
            prompt, duration = _ask(settings)
            with gr.Row(elem_id="mg-go"):
                go = gr.Button("Generate", variant="primary", size="lg", elem_id="mg-generate")
                stop = gr.Button(
                    "Stop", variant="secondary", size="lg", elem_id="mg-stop", interactive=False
                )
        with gr.Column(elem_id="mg-stage"):
            status = gr.HTML(theme.empty_stage(), elem_id="mg-status")
            live = gr.Audio(
                label="Playing while it is made", streaming=True, autoplay=True, interactive=False, visible="hidden",
                show_label=False, container=False, elem_id="mg-live", buttons=[],
            )  # fmt: skip
            takes = gr.State(())
            results = gr.Column()
        with gr.Column(elem_id="mg-settings"):
            form = _settings_form(prompt, duration, settings, takes)
    tab = CreateTab(form, takes)

    with results:

        @gr.render(inputs=[takes], show_progress="hidden")
        def show(made: tuple[Take, ...]) -> None:
            for take in made:
                take_card(
                    take,
                    form.widgets(),
                    values_of,
                    restore_label="Make another with this seed",
                    is_new=True,
                )

    _connect(tab, desk, shelf, settings, _Buttons(go, stop), status, live, shelf_changed)
    return tab


@dataclass(frozen=True)
class _Buttons:
    go: gr.Button
    stop: gr.Button


def _ask(settings: AppSettings) -> tuple[gr.Textbox, gr.Slider]:
    prompt = gr.Textbox(
        label="What do you want to hear?", placeholder="Style, instruments, mood, tempo … in English", lines=3, max_lines=6,
        max_length=MAX_PROMPT_CHARACTERS, autofocus=True, elem_id="mg-prompt",
    )  # fmt: skip
    with gr.Row(elem_id="mg-ideas"):
        for name, text in IDEAS.items():
            idea = gr.Button(name, size="sm")
            idea.click(None, None, prompt, js=f"() => {text!r}", api_visibility="private")
    longest = settings.max_duration_s
    duration = gr.Slider(
        1,
        longest,
        value=min(10.0, longest),
        step=1,
        label="Length in seconds",
        elem_id="mg-duration",
        buttons=[],
    )
    return prompt, duration


def _settings_form(
    prompt: gr.Textbox, duration: gr.Slider, settings: AppSettings, takes: gr.State
) -> Form:
    choices = [(choice.label, choice.name) for choice in model_choices(settings)]
    model = gr.Dropdown(
        choices, value=choices[0][1], label="Model", info=f"pocket knows {POCKET_WORLD}.", filterable=False,
        elem_id="mg-model",
    )  # fmt: skip
    with gr.Row(elem_id="mg-seed-row"):
        seed = gr.Number(
            -1,
            label="Seed",
            placeholder="−1 draws one",
            elem_id="mg-seed",
        )
        with gr.Column(elem_id="mg-dice-col"):
            dice = gr.Button("Roll a seed", size="sm", elem_id="mg-dice")
            again = gr.Button("Reuse last", size="sm", elem_id="mg-again")
        variations = gr.Radio(
            list(range(1, MAX_VARIATIONS + 1)), value=1, label="Variations", elem_id="mg-variations"
        )
    with gr.Accordion("More: what to avoid, guidance, loudness …", open=False, elem_id="mg-more"):
        with gr.Column(elem_classes="mg-fields"):
            negative = gr.Textbox(
                label="What it should not be",
                elem_classes="mg-wide",
                placeholder="vocals, noise …",
                max_length=MAX_PROMPT_CHARACTERS,
            )
            cfg = gr.Slider(
                1,
                10,
                value=3.0,
                step=0.1,
                label="Guidance",
                buttons=[],
                info="How strongly the words lead. 1 is off and twice as fast.",
            )
            temperature = gr.Slider(
                0,
                2,
                value=1.0,
                step=0.05,
                label="Temperature",
                buttons=[],
                info="Lower is safer, higher is wilder.",
            )
            top_k = gr.Slider(
                1,
                2048,
                value=250,
                step=1,
                label="Top-k",
                buttons=[],
                info="Draw among this many likeliest tokens.",
            )
            top_p = gr.Slider(
                0,
                1,
                value=0.0,
                step=0.01,
                label="Top-p",
                buttons=[],
                info="Above 0 it takes the place of top-k.",
            )
            precision = gr.Dropdown(
                PRECISIONS,
                value="auto",
                label="Precision",
                info="auto: fp16 on a GPU, fp32 on a CPU.",
            )
            loud = gr.Checkbox(False, label="Bring it to a loudness")
            loudness = gr.Slider(
                -30,
                -6,
                value=-14.0,
                step=0.5,
                label="Loudness in LUFS",
                buttons=[],
                info="−14 is usual for streaming.",
            )
    draw = f"() => Math.floor(Math.random() * {2**32})"
    dice.click(None, None, seed, js=draw, api_visibility="private")
    again.click(_last_seed, takes, seed, api_visibility="private", queue=False)
    return Form(
        prompt,
        duration,
        model,
        seed,
        variations,
        negative,
        cfg,
        temperature,
        top_k,
        top_p,
        precision,
        loud,
        loudness,
    )


def _last_seed(takes: tuple[Take, ...]) -> Any:
    return takes[0].request.seed if takes else gr.skip()


def _connect(
    tab: CreateTab, desk: Desk, shelf: Shelf, settings: AppSettings, buttons: _Buttons,
    status: gr.HTML, live: gr.Audio, shelf_changed: gr.State,
) -> None:  # fmt: skip
    outputs = [live, status, tab.takes, buttons.go, buttons.stop, shelf_changed]

    def make(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        heard = False
        yield [_silence(), note("Starting", busy=True), (), *_running(True), gr.skip()]
        try:
            visitor = visitor_of(request.session_hash)
            for shown in compose(desk, shelf, settings, visitor, request_from(*values)):
                if shown.chunk is not None and not heard:
                    heard = True
                    yield [gr.update(visible=True), *[gr.skip()] * 5]
                sound = shown.chunk or (gr.skip() if heard or shown.takes is None else _silence())
                if shown.takes is None:
                    yield [sound, shown.status, *[gr.skip()] * 4]
                else:
                    yield [
                        sound,
                        shown.status,
                        shown.takes,
                        gr.skip(),
                        gr.skip(),
                        shown.takes[0].id,
                    ]
        except Exception as error:  # also what nobody foresaw: see follow.told
            yield [_silence(), explain(error), *[gr.skip()] * 4]

    def stop(request: gr.Request) -> None:
        desk.stop(visitor_of(request.session_hash), PLACE)

    widgets = tab.form.widgets()
    gr.on(
        [buttons.go.click, tab.form.prompt.submit], make, widgets, outputs,
        show_progress="hidden", concurrency_limit=None, api_visibility="private",
    ).then(lambda: _running(False), None, [buttons.go, buttons.stop], api_visibility="private", queue=False)  # fmt: skip
    live.stop(_silence, None, live, queue=False, api_visibility="private", show_progress="hidden")
    buttons.stop.click(stop, None, None, queue=False, api_visibility="private")


def _silence() -> Any:
    """Ends what the live player plays, and takes it out of sight."""
    return gr.update(value=None, visible="hidden")


def _running(now: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not now), gr.update(interactive=now)
