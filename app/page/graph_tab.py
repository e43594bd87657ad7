"""The Graph tab: any workflow becomes an app.

Choose or drop one, set what its nodes let you set, run it.

It knows no particular workflow: pictures, forms and results come from the graph and from the nodes
themselves.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ...models.quoting import shown as quoted
from ...workflows.media.formats import BY_SUFFIX
from ...workflows.overrides import with_overrides
from ...workflows.problems import WorkflowError
from ...workflows.reader import Document
from ...workflows.registry import NodeClasses, node_classes
from ...workflows.workflow import Workflow
from ..studio.settings import AppSettings
from . import browser
from .graph import (
    TAB,
    Made,
    kept,
    opened,
    read_upload,
    run_graph,
    shipped_workflow,
    shipped_workflows,
)
from .graph_form import Field, for_the_form, overrides, sections
from .graph_picture import draw_graph
from .model_menu import model_choices
from .runs import Runs
from .shelf import Shelf
from .status import explain, note
from .visitors import Visitors, visitor_of
from .widgets import widget

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
VIDEO_SUFFIXES = {".mp4", ".webm"}
DROPPABLE = [".json", *BY_SUFFIX, ".png"]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
HOLD = "() => MusicGraph.holdForm()"
"""the form of what was loaded before can no longer be filled in (`graph.js`) …"""
FORM_IS_THERE = '<i class="mg-form-is-there"></i>'
"""… until this stands on the page, whatever could be read"""
MAX_NAMED = 5
"""unknown nodes; of more, their number is said"""


@dataclass(frozen=True)
class Shown:
    """What the form is of; each time that something is loaded it is another one."""

    document: dict[str, Any] | None = field(hash=False)
    """None: of a file that could not be read"""
    number: str = field(default_factory=lambda: secrets.token_hex(8))


def as_state(workflow: Workflow) -> dict[str, Any]:
    return vars(workflow.as_document())


def loaded_line(title: str, whose: str, workflow: Workflow, classes: NodeClasses) -> str:
    """The one line that says what Run would run, and what in it is not known here."""
    graph = workflow.graph
    count = "1 node" if len(graph) == 1 else f"{len(graph)} nodes"
    names = list(dict.fromkeys(one.name for one in graph if one.class_type not in classes))
    line = f"<b>{html.escape(title)}</b> · {html.escape(whose)} · {count}"
    if not names:
        return _line(line)
    listed = ", ".join(names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    said = f"Not known here, and marked: {listed}{more}. Whatever needs them cannot run."
    return _line(f"{line}<span>{html.escape(said)}</span>")


def _nothing(name: str) -> str:
    return _line(f"<b>Nothing is loaded</b> · {html.escape(name)} could not be read")


def _line(content: str) -> str:
    return f'<p class="mg-loaded">{content}</p>'


# ---------------------------------------------------------------- the tab


def build_graph(
    tab: gr.Tab, visitors: Visitors, shelf: Shelf, settings: AppSettings, runs: Runs
) -> None:
    """The tab. Long, since it names what stands there in its order, and what each thing does."""
    classes, shipped = node_classes(), shipped_workflows()
    title, name = shipped[0]
    first = shipped_workflow(name, settings, classes)
    begun, made = gr.State(Shown(as_state(first))), gr.State(())
    shown = gr.State(None)  # what the form is of: nothing until the tab is opened
    with gr.Row(elem_id="mg-choose"):
        chosen = gr.Dropdown(shipped, value=name, label="A workflow that comes along",
                             filterable=False)  # fmt: skip
        dropped = gr.File(
            label="… or drop one: JSON, or a file that carries one", file_types=DROPPABLE,
            height=120, elem_id="mg-drop",
        )  # fmt: skip
    line = gr.HTML(loaded_line(title, "comes along", first, classes), elem_id="mg-loaded")
    trouble = gr.HTML(elem_id="mg-trouble")
    picture = gr.HTML(draw_graph(first.graph, classes), elem_id="mg-graph-picture")
    with gr.Row(elem_id="mg-graph-body"):
        form = gr.Column(scale=5, min_width=0)
        with gr.Column(scale=6, min_width=0, elem_id="mg-graph-run"):
            with gr.Row(elem_id="mg-run-row"):
                run = gr.Button("Run the graph", variant="primary", elem_id="mg-run")
                stop = gr.Button("Stop", elem_id="mg-graph-stop", interactive=False)
            ready = note("Ready", "Set what you like, then run it.")
            status = gr.HTML(ready, elem_id="mg-graph-status")
            heard = gr.HTML(elem_id="mg-graph-heard")
            results = gr.Column()

    with results:

        @gr.render(inputs=[made], triggers=[made.change], show_progress="hidden")
        def show(all_made: tuple[Made, ...]) -> None:
            for one in all_made:
                _result(one)

    def load(title: str, whose: str, read: Callable[[], Workflow]) -> list[Any]:
        """What is loaded from now on; where it cannot be read, nothing is."""
        try:
            found = read()
            said = loaded_line(title, whose, found, classes)
            drawn = draw_graph(found.graph, classes)
            return [
                Shown(as_state(found)), said, drawn, "", (), gr.update(interactive=True), ready
            ]  # fmt: skip
        except Exception as error:  # also what nobody foresaw: see failure_of
            trouble = explain(error, "This cannot be read")
            cannot = gr.update(interactive=False)
            return [Shown(None), _nothing(title), "", trouble, (), cannot, ""]

    def choose(name: str) -> list[Any]:
        titles = {file: title for title, file in shipped}
        read = lambda: shipped_workflow(name, settings, classes)  # noqa: E731
        return [*load(titles[name], "comes along", read), None]

    def drop(path: str) -> list[Any]:
        read = lambda: opened(read_upload(path), classes)  # noqa: E731
        return [*load(quoted(Path(path).name), "yours", read), None]

    tab.select(lambda now, first: now or first, [shown, begun], shown, **QUIET)
    shows = [shown, line, picture, trouble, made, run, status]
    gr.on([chosen.input, dropped.upload], None, None, None, js=HOLD, **QUIET)
    chosen.input(choose, chosen, [*shows, dropped], **QUIET)
    dropped.upload(drop, dropped, [*shows, chosen], **QUIET)

    def end(request: gr.Request) -> None:
        visitors.stop(visitor_of(request.session_hash), TAB)

    stop.click(end, None, None, queue=False, **QUIET)
    with form:

        @gr.render(inputs=[shown], triggers=[shown.change], show_progress="hidden")
        def build_form(now: Shown | None) -> None:
            if now is None:
                return
            gr.HTML(FORM_IS_THERE)
            if now.document is not None:
                graph = _OneGraph(Document(**now.document), visitors, shelf, settings, runs)
                graph.lay_out(run, [status, picture, heard, made, run, stop])


class _OneGraph:
    """The form of what is loaded, and its runs."""

    def __init__(
        self,
        document: Document,
        visitors: Visitors,
        shelf: Shelf,
        settings: AppSettings,
        runs: Runs,
    ):
        self._document, self._classes = document, node_classes()
        self._visitors, self._shelf, self._settings = visitors, shelf, settings
        self._runs = runs
        self._fields: list[Field] = []

    def lay_out(self, run: gr.Button, outputs: Sequence[Any]) -> None:
        """A widget for each value of the graph."""
        widgets = []
        shown = opened(self._document, self._classes)
        models = [choice.name for choice in model_choices(self._settings)]
        for section in sections(shown.graph, shown.specs, models):
            with gr.Accordion(f"{section.title}  ·  {section.node}", open=section.is_open):
                with gr.Column(elem_classes="mg-fields"):
                    for field in section.fields:
                        self._fields.append(field)
                        widgets.append(widget(field.facts, field.label))
        run.click(self._start, widgets, outputs, concurrency_limit=None, **QUIET)

    def _start(self, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """Yields status, picture, live sound, results, and whether Run and Stop may be pressed."""
        visitor = visitor_of(request.session_hash)
        skip, can = gr.skip(), gr.update(interactive=True)
        cannot = gr.update(interactive=False)
        id, live = self._runs.sounds.add()
        hears = f'<div class="mg-grows" data-sound="{id}"></div>'
        yield [note("Starting", busy=True), skip, hears, (), cannot, can]
        marks: Mapping[str, str] = {}
        found = opened(self._document, self._classes)
        graph, folder = found.graph, self._shelf.folder(visitor, "input")
        try:
            changes = overrides(self._fields, values, folder)
            filled = with_overrides(found, changes)
            graph, library = filled.graph, self._shelf.takes_of(browser.of(request))
            results: tuple[Made, ...] = ()
            where = self._visitors, self._shelf, self._settings, visitor
            for step in run_graph(*where, filled, live):
                fresh = [kept(library, one, filled) for one in step.made[len(results) :]]
                is_same = step.marks == marks
                drawn = skip if is_same else draw_graph(graph, self._classes, step.marks)
                marks, results = step.marks, (*results, *fresh)
                yield [step.status, drawn, skip, results if fresh else skip, skip, skip]
        except Exception as error:  # also what nobody foresaw: see failure_of
            drawn = draw_graph(graph, self._classes, {**marks, **_broken(error)})
            if isinstance(error, WorkflowError):
                error = for_the_form(error, graph, self._fields, folder)
            yield [explain(error), drawn, skip, skip, skip, skip]
        finally:
            live.close()
        yield [skip, skip, "", skip, can, cannot]


def _broken(error: Exception) -> dict[str, str]:
    problems = error.problems if isinstance(error, WorkflowError) else ()
    nodes = [node for problem in problems for node in (problem.node, *problem.nodes) if node]
    return dict.fromkeys(nodes, "broken")


def _result(one: Made) -> None:
    with gr.Column(elem_classes="mg-result"):
        gr.HTML(f'<div class="mg-title"><b>{html.escape(one.title)}</b></div>')
        if one.takes:
            gr.HTML(f'<div class="mg-graph-takes" data-takes="{" ".join(one.takes)}"></div>')
        for path in one.files:
            label = f"{one.title}: {path.name}"
            if path.suffix in IMAGE_SUFFIXES:
                gr.Image(str(path), label=label, interactive=False)
            elif path.suffix in VIDEO_SUFFIXES:
                gr.Video(str(path), label=label, interactive=False)
            with gr.Row():
                gr.DownloadButton(path.name, value=path, size="sm")
        if one.text:
            gr.Textbox(one.text, label=one.title, interactive=False)
