"""Graphs of visitors: those that come along and those that are dropped, checked and run."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...models.limits import Limits
from ...models.quoting import shown as quoted
from ...models.refused import Refused
from ...models.weights.adapter_places import known_adapters
from ...models.weights.places import POCKET
from ...nodes.host import Run, model_folders, running
from ...workflows import default_graph
from ...workflows.events import AudioChunk, NodeCached, NodeFailed, NodeOutput, NodeStarted
from ...workflows.graph import Graph, Node
from ...workflows.media.formats import BY_SUFFIX
from ...workflows.overrides import Override, with_overrides
from ...workflows.problems import Problem, WorkflowError
from ...workflows.reader import Document, read_document
from ...workflows.registry import NodeClasses, NodeSpecs
from ...workflows.request import LOADER, LORA, SAMPLER, TEXT
from ...workflows.validate import Validation, validate
from ...workflows.workflow import Workflow
from ..studio.fields import MAX_VARIATIONS, page_fields
from ..studio.job import Folders, Job
from ..studio.models import offers
from ..studio.settings import AppSettings
from .graph_form import LOADER_INPUT
from .live import LiveSound
from .model_menu import model_choices
from .shelf import Shelf
from .status import JobStatus, note
from .take_library import Library
from .visitors import Visitors

TAB = "graph"
OWN_VIDEO = "LoadVideo"
SHIPPED = default_graph.DEFAULT_GRAPH.parent
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
DROPPABLE = [".json", *BY_SUFFIX, ".png"]


def shipped_workflows() -> list[tuple[str, str]]:
    """(title, file name) of the graphs in UI format that come along and run as they are: the same
    ones in API format would be twins.
    """
    names = [path.stem for path in SHIPPED.glob("*.json") if _has_all_files(path)]
    names.sort(key=lambda name: (name != default_graph.DEFAULT_GRAPH.stem, name))
    return [(name.replace("_", " ").capitalize(), f"{name}.json") for name in names]


def _has_all_files(path: Path) -> bool:
    """Not those around a video or an adapter of the visitor's own, which the page cannot take."""
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
    adapters = known_adapters(model_folders())
    return all(
        node["type"] != OWN_VIDEO
        and (node["type"] != LORA or node["widgets_values"][0] in adapters)
        for node in nodes
    )


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
    visitors: Visitors,
    shelf: Shelf,
    settings: AppSettings,
    visitor: str,
    workflow: Workflow,
    live: LiveSound | None = None,
) -> Generator[GraphStep, None, None]:
    """Yields steps as the run goes on. Closing it, or Visitors.stop, ends the run. The first node
    that gives sound while it is made is heard in `live`.
    """
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
    status, marks, made = JobStatus(0.0), {}, list[Made]()
    sounding = None
    with visitors.submitted(visitor, TAB, job) as run:
        for batch in run.stream.batches():
            status.see(batch, run.handle.position())
            for event in batch:
                _mark(marks, event)
                if live is not None and isinstance(event, AudioChunk):
                    sounding = sounding or event.node
                    if event.node == sounding:
                        live.push(event)
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
    texts = event.ui.get("text", ())
    return Made(title, files, "\n".join(map(str, texts)))


def kept(library: Library, made: Made, workflow: Workflow) -> Made:
    """With the sounds in the library, named by the words that the graph has encoded."""
    texts = [str(node.inputs.get("text", "")).strip() for node in workflow.graph.of_class(TEXT)]
    title = next(filter(None, texts), made.title)
    sounds = [path for path in made.files if path.suffix.lower() in BY_SUFFIX]
    takes = tuple(library.take_in(path, title, workflow.tags).id for path in sounds)
    return replace(made, takes=takes)


def _status(status: JobStatus, graph: Graph) -> str:
    if status.position > 0 or status.node is None:
        return status.html()
    return note(graph[status.node].name, "at work", share=status.node_share, busy=True)
