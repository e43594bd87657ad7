"""The Graph tab: any workflow becomes an app.

Choose or drop one, set what its nodes let you set, run it.

It knows no particular workflow: pictures, forms and results come from the graph and from the nodes
themselves.
"""

from __future__ import annotations

import html
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from ...models.limits import Limits
from ...models.quoting import shown as quoted
from ...models.refused import Refused
from ...models.weights.places import POCKET
from ...nodes.host import Run, running
from ...workflows import default_graph
from ...workflows.events import NodeCached, NodeFailed, NodeOutput, NodeStarted
from ...workflows.graph import Graph, Node
from ...workflows.media.formats import BY_SUFFIX
from ...workflows.media.retag import TAGGED_SUFFIXES
from ...workflows.overrides import Override, with_overrides
from ...workflows.problems import Problem, WorkflowError
from ...workflows.reader import Document, read_document
from ...workflows.registry import NodeClasses, NodeSpecs, node_classes
from ...workflows.request import LOADER, SAMPLER, TEXT
from ...workflows.validate import Validation, validate
from ...workflows.workflow import Workflow
from ..studio.fields import MAX_VARIATIONS, page_fields
from ..studio.job import Folders, Job
from ..studio.models import offers
from ..studio.settings import AppSettings
from . import browser
from .graph_form import LOADER_INPUT, Field, overrides, sections
from .graph_picture import draw_graph
from .model_menu import model_choices
from .shelf import Shelf
from .status import JobStatus, explain, note
from .take_library import Library
from .visitors import Visitors, visitor_of
from .widgets import widget

TAB = "graph"
SHIPPED = default_graph.DEFAULT_GRAPH.parent
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
DROPPABLE = [".json", *BY_SUFFIX, ".png"]


def shipped_workflows() -> list[tuple[str, str]]:
    """(title, file name) of the graphs in UI format that come along: the same ones in API format
    would be twins.
    """
    names = [path.stem for path in SHIPPED.glob("*.json")]
    names.sort(key=lambda name: (name != default_graph.DEFAULT_GRAPH.stem, name))
    return [(name.replace("_", " ").capitalize(), f"{name}.json") for name in names]


def shipped_workflow(file_name: str, settings: AppSettings, classes: NodeClasses) -> Workflow:
    """A graph that comes along, with this server's model in it, where any model will do."""
    workflow = opened(read_document(SHIPPED / Path(file_name).name), classes)
    model = model_choices(settings)[0].name
    loaders = [one for one in workflow.graph.of_class(LOADER) if one.inputs[LOADER_INPUT] == POCKET]
    return with_overrides(workflow, [Override(node.id, LOADER_INPUT, model) for node in loaders])


def opened(document: Document, classes: NodeClasses) -> Workflow:
    """A document as a graph, with what the nodes declare now. Raises WorkflowError."""
    return Workflow.of(document, NodeSpecs(classes))


# ---------------------------------------------------------------- a run


@dataclass(frozen=True)
class Made:
    """What one output node gave."""

    title: str
    files: tuple[Path, ...]
    text: str = ""
    takes: tuple[str, ...] = ()
    """of those files that are in the library by now"""


@dataclass(frozen=True)
class GraphStep:
    """What the tab shows next. `marks`: node → at-work, done or broken."""

    status: str
    marks: Mapping[str, str]
    made: tuple[Made, ...]


def run_graph(
    visitors: Visitors, shelf: Shelf, settings: AppSettings, visitor: str, workflow: Workflow
) -> Generator[GraphStep, None, None]:
    """Yields steps as the run goes on. Closing it, or Visitors.stop, ends the run."""
    own = [shelf.folder(visitor, name) for name in ("input", "output", "temp")]
    folders = Folders(*map(str, own))
    limits = Limits(music_s=MAX_VARIATIONS * settings.max_duration_s)
    named = {offer.name: offer.source for offer in offers(settings, downloads=True)}
    run = Run(
        input_dir=own[0], output_dir=own[1], temp_dir=own[2], named_models=named, limits=limits
    )
    with running(run):
        valid = _allowed(workflow, settings)
    graph = valid.graph
    job = Job(
        workflow.prompt,
        workflow.extra_pnginfo,
        limits=limits,
        folders=folders,
        named_models=named,
        stream=True,
        music_s=settings.max_duration_s,
        checked=valid,
    )
    status, marks = JobStatus(0.0), {}
    made: list[Made] = []
    with visitors.submitted(visitor, TAB, job) as run:
        for batch in run.stream.batches():
            status.see(batch, run.handle.position())
            for event in batch:
                _mark(marks, event)
                if isinstance(event, NodeOutput):
                    made.append(_made(graph[event.node].name, event, shelf.folder(visitor, "made")))
            yield GraphStep(_status(status, graph), dict(marks), tuple(made))
        run.handle.result()
    yield GraphStep(note("Done", _counted(made), kind="done"), dict(marks), tuple(made))


def read_upload(path: str) -> Document:
    """A visitor's file. What is said of it names it as they do, not where it lies here."""
    try:
        return read_document(path)
    except WorkflowError as error:
        here, theirs = quoted(path), quoted(Path(path).name)
        problems = [
            replace(one, details=one.details.replace(here, theirs)) for one in error.problems
        ]
        raise WorkflowError(problems) from error


def _counted(made: Sequence[Made]) -> str:
    files = sum(len(one.files) for one in made)
    return "1 file" if files == 1 else f"{files} files"


def _allowed(workflow: Workflow, settings: AppSettings) -> Validation:
    """The graph, checked, with no piece of music longer than this server makes for strangers.

    Raises WorkflowError with all that is wrong, before anything waits in line.
    """
    valid = validate(workflow.runnable, workflow.specs)
    valid.raise_if_refused()
    for node_id in valid.graph.needed(valid.outputs):
        node = valid.graph[node_id]
        duration = node.inputs.get("duration") if node.class_type == SAMPLER else None
        if isinstance(duration, float):
            _check_duration(node, duration, settings)
    return valid


def _check_duration(node: Node, duration: float, settings: AppSettings) -> None:
    try:
        page_fields(settings)["duration_s"].read_exactly(duration)
    except Refused as error:
        words = "value_not_allowed", "not on this server", str(error)
        raise WorkflowError([Problem(*words, node.id, node.name)]) from error


def _mark(marks: dict[str, str], event: Any) -> None:
    if isinstance(event, NodeStarted):
        marks.update({node: "done" for node, mark in marks.items() if mark == "at-work"})
        marks[event.node] = "at-work"
    elif isinstance(event, (NodeCached, NodeOutput)):
        marks[event.node] = "done"
    elif isinstance(event, NodeFailed):
        marks[event.node] = "broken"


def _made(title: str, event: NodeOutput, folder: Path) -> Made:
    """The files are copied: the next run may reuse a result, and the visitor may still hold the
    last one.
    """
    own = folder / secrets.token_hex(8)
    own.mkdir(parents=True)
    files = tuple(Path(shutil.copy2(path, own / path.name)) for path in event.files)
    texts = event.ui.get("text", ()) if not files else ()
    return Made(title, files, "\n".join(map(str, texts)))


def _kept(library: Library, made: Made, graph: Graph) -> Made:
    """With the sounds in the library, named by the words that the graph has encoded."""
    texts = [str(node.inputs.get("text", "")).strip() for node in graph.of_class(TEXT)]
    title = next(filter(None, texts), made.title)
    sounds = [path for path in made.files if path.suffix.lower() in TAGGED_SUFFIXES]
    return replace(made, takes=tuple(library.take_in(path, title).id for path in sounds))


def _status(status: JobStatus, graph: Graph) -> str:
    if status.position > 0 or status.node is None:
        return status.html()
    return note(graph[status.node].name, "at work", share=status.node_share, busy=True)


# ---------------------------------------------------------------- the tab


def as_state(workflow: Workflow) -> dict[str, Any]:
    return vars(workflow.as_document())


def build_graph(visitors: Visitors, shelf: Shelf, settings: AppSettings) -> None:
    """The tab. Long, since it names what stands there in its order, and what each thing does."""
    classes = node_classes()
    shipped = shipped_workflows()
    first = shipped_workflow(shipped[0][1], settings, classes)
    document = gr.State(as_state(first))
    made = gr.State(())
    with gr.Row(elem_id="mg-choose"):
        chosen = gr.Dropdown(
            shipped, value=shipped[0][1], label="A workflow that comes along", filterable=False
        )
        dropped = gr.File(
            label="… or drop one: JSON, or a file that carries one",
            file_types=DROPPABLE,
            height=120,
            elem_id="mg-drop",
        )
    trouble = gr.HTML(elem_id="mg-trouble")
    picture = gr.HTML(draw_graph(first.graph, classes), elem_id="mg-graph-picture")
    with gr.Row(elem_id="mg-graph-body"):
        form = gr.Column(scale=5, min_width=0)
        with gr.Column(scale=6, min_width=0, elem_id="mg-graph-run"):
            with gr.Row(elem_id="mg-run-row"):
                run = gr.Button("Run the graph", variant="primary", elem_id="mg-run")
                stop = gr.Button("Stop", elem_id="mg-graph-stop", interactive=False)
            status = gr.HTML(
                note("Ready", "Set what you like, then run it."), elem_id="mg-graph-status"
            )
            outputs = gr.Column()

    with outputs:

        @gr.render(inputs=[made], show_progress="hidden")
        def show(results: tuple[Made, ...]) -> None:
            for one in results:
                _result(one)

    def load(read: Callable[[str], Workflow], name: str | None) -> list[Any]:
        if not name:
            return [gr.skip()] * 4
        try:
            found = read(name)
            return [as_state(found), draw_graph(found.graph, classes), "", ()]
        except Exception as error:  # also what nobody foresaw: see failure_of
            return [gr.skip(), gr.skip(), explain(error), gr.skip()]

    shows = [document, picture, trouble, made]
    chosen.change(
        lambda name: load(lambda one: shipped_workflow(one, settings, classes), name),
        chosen,
        shows,
        show_progress="hidden",
        api_visibility="private",
    )
    dropped.upload(
        lambda path: load(lambda one: opened(read_upload(one), classes), path),
        dropped,
        shows,
        show_progress="hidden",
        api_visibility="private",
    )

    def end(request: gr.Request) -> None:
        visitors.stop(visitor_of(request.session_hash), TAB)

    stop.click(end, None, None, queue=False, show_progress="hidden", api_visibility="private")

    with form:

        @gr.render(inputs=[document], show_progress="hidden")
        def build_form(found: dict[str, Any]) -> None:
            _form(
                Document(**found),
                visitors,
                shelf,
                settings,
                run,
                [status, picture, made, run, stop],
            )


def _form(
    document: Document,
    visitors: Visitors,
    shelf: Shelf,
    settings: AppSettings,
    run: gr.Button,
    outputs: Sequence[Any],
) -> None:
    """A widget for each value of the graph. Long, for its handlers share what it has laid out."""
    classes = node_classes()
    fields: list[Field] = []
    widgets = []
    shown_now = opened(document, classes)
    models = [choice.name for choice in model_choices(settings)]
    for section in sections(shown_now.graph, shown_now.specs, models):
        with gr.Accordion(f"{section.title}  ·  {section.node}", open=section.is_open):
            with gr.Column(elem_classes="mg-fields"):
                for field in section.fields:
                    fields.append(field)
                    widgets.append(widget(field.facts))

    def start(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        visitor = visitor_of(request.session_hash)
        library = shelf.takes_of(browser.of(request))
        yield [
            note("Starting", busy=True),
            gr.skip(),
            (),
            gr.update(interactive=False),
            gr.update(interactive=True),
        ]
        marks: Mapping[str, str] = {}
        results: tuple[Made, ...] = ()
        graph = shown_now.graph
        try:
            changes = overrides(fields, values, shelf.folder(visitor, "input"))
            filled = with_overrides(opened(document, classes), changes)
            graph = filled.graph
            for shown in run_graph(visitors, shelf, settings, visitor, filled):
                fresh = [_kept(library, one, graph) for one in shown.made[len(results) :]]
                drawn = (
                    gr.skip() if shown.marks == marks else draw_graph(graph, classes, shown.marks)
                )
                marks, results = shown.marks, (*results, *fresh)
                listed = results if fresh else gr.skip()
                yield [shown.status, drawn, listed, gr.skip(), gr.skip()]
        except Exception as error:  # also what nobody foresaw: see failure_of
            yield [
                explain(error),
                draw_graph(graph, classes, {**marks, **_broken(error)}),
                *[gr.skip()] * 3,
            ]
        yield [
            gr.skip(),
            gr.skip(),
            gr.skip(),
            gr.update(interactive=True),
            gr.update(interactive=False),
        ]

    run.click(
        start,
        widgets,
        outputs,
        show_progress="hidden",
        concurrency_limit=None,
        api_visibility="private",
    )


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
            with gr.Row():
                gr.DownloadButton(path.name, value=path, size="sm")
        if one.text:
            gr.Textbox(one.text, label=one.title, interactive=False)
