"""The default graph, text_to_music.json, filled in for one request.

The front doors (command line, app, API) do not know the nodes: they say what they want with a `Request` and run the
graph that comes back. It is the shipped graph with other values, plus a node for each wish that the shipped graph
has no node for, so whatever is made from it opens in ComfyUI.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.refused import Refused
from ..nodes.host import Run, running
from .events import Event, Listener, NodeStarted
from .graph import Graph, Link, Node
from .media.audio import full_scale_factor
from .reader import Document
from .registry import NodeClasses, NodeSpecs
from .ui_writer import NODE_GAP, NODE_WIDTH, size_of
from .validate import Validation, validate
from .workflow import Workflow

if TYPE_CHECKING:
    from torch import Tensor

    from .executor import Runner

DEFAULT_GRAPH = Path(__file__).with_name("text_to_music.json")
LOADER, TEXT, SAMPLER = "MusicGenModelLoader", "MusicGenTextEncode", "MusicGenSampler"
DECODER, SAVER = "EnCodecDecode", "SaveAudio"


@dataclass(frozen=True)
class Request:
    """What somebody wants to hear. Ranges are checked by the nodes."""

    prompt: str
    negative: str = ""
    model: str = "pocket"
    precision: str = "auto"
    device: str = "auto"
    duration_s: float = 10.0
    seed: int = 0
    cfg: float = 3.0
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    variations: int = 1
    loudness_lufs: float | None = None
    """None: as decoded"""
    save_as: str = "SaveAudio"
    """the class of the last node: SaveAudio, SaveAudioMP3 or SaveAudioOpus"""


@dataclass(frozen=True)
class Music:
    """What came of a request."""

    waveform: Tensor  # float32 [B, C, samples] on the CPU
    sample_rate: int
    tags: dict[str, str]
    """the graph that made it, as ComfyUI keeps it in a file"""
    engine: str
    """what ran the model: engine, precision and device"""
    generation_s: float
    """time spent on composing and decoding, without loading"""

    @property
    def duration_s(self) -> float:
        return self.waveform.shape[-1] / self.sample_rate

    @property
    def scaled_by(self) -> tuple[float, ...]:
        """What each item will be multiplied by when it is written: less than 1.0 where it is above full scale."""
        return tuple(full_scale_factor(item) for item in self.waveform)

    @property
    def x_real_time(self) -> float:
        """Seconds of music made a second, all items together."""
        return self.waveform.shape[0] * self.duration_s / self.generation_s


@dataclass(frozen=True)
class Prepared:
    """The graph of a request, checked and ready to run; its tags are known before any sound is."""

    request: Request
    valid: Validation
    tags: dict[str, str]


def prepare(request: Request, classes: NodeClasses) -> Prepared:
    """Fills in the default graph and checks it. Raises WorkflowError with all that is wrong."""
    with running(Run(named_models=(request.model,))):
        specs = NodeSpecs(classes)
        workflow = workflow_for(request, specs)
        valid = validate(workflow.runnable, specs)
        valid.raise_if_refused()
    return Prepared(request, valid, workflow.tags)


def make_music(
    runner: Runner,
    request: Request | Prepared,
    *,
    listener: Listener | None = None,
    stopped: Callable[[], bool] = lambda: False,
    stream: bool = False,
) -> Music:
    """Runs the default graph up to its sound; saving is left to the caller.

    Raises what `Runner.run` raises: WorkflowError, NodeError, host.Interrupted.
    """
    ready = request if isinstance(request, Prepared) else prepare(request, runner.classes)
    graph = ready.valid.graph
    (loader,), (sampler,) = graph.of_class(LOADER), graph.of_class(SAMPLER)
    (saver,) = graph.of_class(ready.request.save_as)
    sound = saver.links["audio"].node
    watch = _Stopwatch(sampler.id, listener)
    result = runner.run(
        ready.valid,
        listener=watch,
        stopped=stopped,
        stream=stream,
        targets=(sound,),
        named_models=(ready.request.model,),
    )
    audio = result.value(sound)
    return Music(
        audio["waveform"],
        audio["sample_rate"],
        ready.tags,
        str(result.value(loader.id).choice),
        watch.seconds(),
    )


class _Stopwatch:
    """Passes events on, and measures from the sampler's start."""

    def __init__(self, sampler: str, listener: Listener | None):
        self._sampler, self._listener = sampler, listener
        self._started = time.perf_counter()

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted) and event.node == self._sampler:
            self._started = time.perf_counter()
        if self._listener is not None:
            self._listener(event)

    def seconds(self) -> float:
        return time.perf_counter() - self._started


def seed_for(seed: int) -> int:
    """−1: one drawn now. Raises Refused for any other seed that no sampler takes."""
    if seed == -1:
        return secrets.randbelow(2**32)
    if not 0 <= seed < 2**64:
        raise Refused("seed", got=seed, expected=f"0 to {2**64 - 1}, or -1 to draw one")
    return seed


# ---------------------------------------------------------------- the graph of a request


def workflow_for(request: Request, specs: NodeSpecs) -> Workflow:
    """The default graph for this request. Unlike the shipped one it may have a negative text or a loudness."""
    shipped = Document(ui=json.loads(DEFAULT_GRAPH.read_text(encoding="utf-8")))
    workflow = Workflow.of(shipped, specs)
    graph = workflow.graph
    if request.save_as != SAVER:
        graph = _with_saver(graph, request.save_as, specs)
    graph = _filled_in(graph, request)
    if request.negative.strip():
        graph = _with_negative(graph, _one_line(request.negative), specs)
    if request.loudness_lufs is not None:
        graph = _with_loudness(graph, request.loudness_lufs, request.save_as, specs)
    return workflow.with_graph(graph)


def _filled_in(graph: Graph, request: Request) -> Graph:
    sampling = ("seed", "cfg", "temperature", "top_k", "top_p", "variations")
    values: dict[str, dict[str, Any]] = {
        LOADER: {name: getattr(request, name) for name in ("model", "precision", "device")},
        TEXT: {"text": _one_line(request.prompt)},
        SAMPLER: {
            "duration": request.duration_s,
            **{name: getattr(request, name) for name in sampling},
        },
    }
    for class_type, inputs in values.items():
        (node,) = graph.of_class(class_type)
        graph = graph.with_node(replace(node, inputs={**node.inputs, **inputs}))
    return graph


def _one_line(text: str) -> str:
    """The text node makes an item of every line; a front door's prompt is one item however it is broken."""
    return " ".join(text.split())


def _with_saver(graph: Graph, class_type: str, specs: NodeSpecs) -> Graph:
    """With another saver in the place of the old one, under its name for files."""
    (old,) = graph.of_class(SAVER)
    inputs = {name: old.inputs[name] for name in ("filename_prefix", "audio")}
    fresh = _fresh(old.id, class_type, specs)
    return graph.with_node(replace(fresh, inputs={**fresh.inputs, **inputs}, pos=old.pos))


def _with_negative(graph: Graph, text: str, specs: NodeSpecs) -> Graph:
    """With a second text below the first."""
    (loader,), (positive,) = graph.of_class(LOADER), graph.of_class(TEXT)
    (sampler,) = graph.of_class(SAMPLER)
    height = size_of(specs[TEXT])[1]
    node = _fresh(graph.fresh_id(), TEXT, specs)
    node = replace(
        node,
        title=f"{node.title} (negative)",
        inputs={**node.inputs, "text": text, "text_encoder": Link(loader.id, 1)},
        pos=_moved(positive, 0, height + 2 * NODE_GAP),
    )
    return graph.with_node(node).with_input(sampler.id, "negative", Link(node.id, 0))


def _with_loudness(graph: Graph, target_lufs: float, saver_class: str, specs: NodeSpecs) -> Graph:
    """With a loudness node where the saver was, which moves on to the right."""
    (saver,) = graph.of_class(saver_class)
    node = _fresh(graph.fresh_id(), "AudioLoudness", specs).with_input("target", target_lufs)
    graph = graph.inserted(replace(node, pos=saver.pos), "audio", saver.id, "audio")
    moved = replace(graph[saver.id], pos=_moved(saver, NODE_WIDTH + NODE_GAP, 0))
    return graph.with_node(moved)


def _fresh(node_id: str, class_type: str, specs: NodeSpecs) -> Node:
    """A node as ComfyUI's page makes it: every widget has its default."""
    spec = specs[class_type]
    values = {one.name: one.default for one in spec.widgets}
    return Node(node_id, class_type, values, title=spec.title)


def _moved(node: Node, right: float, down: float) -> tuple[float, float] | None:
    return None if node.pos is None else (node.pos[0] + right, node.pos[1] + down)
