"""The default graph, text_to_music.json, filled in for one request.

The front doors (command line, app, API) do not know the nodes: they say what they want with a `Request` and run the
document that comes back. It is the shipped graph with other values, plus a node for each wish that the shipped graph
has no node for, so whatever is made from it opens in ComfyUI.
"""

from __future__ import annotations

import copy
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..models.refused import Refused
from ..nodes import NODE_CLASS_MAPPINGS
from .events import Event, Listener, NodeStarted
from .executor import Runner
from .inputs import InputSpec
from .media.audio import full_scale_factor
from .media.tags import workflow_tags
from .overrides import Override, with_overrides
from .reader import Document
from .registry import NodeClasses, declared_inputs

DEFAULT_GRAPH = Path(__file__).with_name("text_to_music.json")
NODE_WIDTH, NODE_GAP = 320, 40


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


def make_music(
    runner: Runner,
    request: Request,
    *,
    listener: Listener | None = None,
    stopped: Callable[[], bool] = lambda: False,
    stream: bool = False,
) -> Music:
    """Runs the default graph up to its sound; saving is left to the caller.

    Raises what `Runner.run` raises: WorkflowError, NodeError, host.Interrupted.
    """
    document = document_for(request, runner.classes)
    prompt, ui = document.prompt(runner.classes), document.ui
    assert ui is not None, "the default graph is in UI format"
    saver = next(node for node in prompt.values() if node["class_type"] == request.save_as)
    sound, _ = saver["inputs"]["audio"]
    watch = _Stopwatch(str(node_of(ui, "MusicGenSampler")["id"]), listener)
    result = runner.run(
        prompt,
        listener=watch,
        stopped=stopped,
        stream=stream,
        targets=(sound,),
        named_models=(request.model,),
    )
    audio = result.value(sound)
    model = result.value(str(node_of(ui, "MusicGenModelLoader")["id"]))
    return Music(
        audio["waveform"],
        audio["sample_rate"],
        workflow_tags(prompt, document.extra_pnginfo),
        str(model.choice),
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


def document_for(request: Request, classes: NodeClasses) -> Document:
    """The default graph in UI format, for this request."""
    ui = json.loads(DEFAULT_GRAPH.read_text(encoding="utf-8"))
    if request.save_as != "SaveAudio":
        _replace_saver(ui, request.save_as, classes)
    if request.negative.strip():
        _add_negative(ui, classes)
    if request.loudness_lufs is not None:
        _add_loudness(ui, request.loudness_lufs, classes)
    return with_overrides(Document(ui=ui), _overrides(request, ui), classes)


def node_of(ui: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The first node of a class."""
    return next(node for node in ui["nodes"] if node["type"] == kind)


def _overrides(request: Request, ui: dict[str, Any]) -> list[Override]:
    loader, text, sampler = (
        str(node_of(ui, kind)["id"])
        for kind in ("MusicGenModelLoader", "MusicGenTextEncode", "MusicGenSampler")
    )
    values = [(loader, name, getattr(request, name)) for name in ("model", "precision", "device")]
    values += [(text, "text", _one_line(request.prompt)), (sampler, "duration", request.duration_s)]
    values += [
        (sampler, name, getattr(request, name))
        for name in ("seed", "cfg", "temperature", "top_k", "top_p", "variations")
    ]
    if request.negative.strip():
        negative = [node for node in ui["nodes"] if node["type"] == "MusicGenTextEncode"][1]
        values.append((str(negative["id"]), "text", _one_line(request.negative)))
    return [Override(*value) for value in values]


def _one_line(text: str) -> str:
    """The text node makes an item of every line; a front door's prompt is one item however it is broken."""
    return " ".join(text.split())


def _replace_saver(ui: dict[str, Any], kind: str, classes: NodeClasses) -> None:
    old = node_of(ui, "SaveAudio")
    new = new_node(ui, kind, old["pos"], classes)
    new |= {"id": old["id"], "order": old["order"], "inputs": old["inputs"]}
    new["widgets_values"][0] = old["widgets_values"][0]
    ui["nodes"][ui["nodes"].index(old)] = new


def _add_negative(ui: dict[str, Any], classes: NodeClasses) -> None:
    positive = node_of(ui, "MusicGenTextEncode")
    x, y = positive["pos"]
    node = add_node(ui, "MusicGenTextEncode", [x, y + positive["size"][1] + 2 * NODE_GAP], classes)
    node["title"] = "MusicGen Text Encode (negative)"
    link(ui, node_of(ui, "MusicGenModelLoader"), 1, node, "text_encoder")
    link(ui, node, 0, node_of(ui, "MusicGenSampler"), "negative")


def _add_loudness(ui: dict[str, Any], target_lufs: float, classes: NodeClasses) -> None:
    decode = node_of(ui, "EnCodecDecode")
    saver = next(node for node in ui["nodes"] if node["type"].startswith("SaveAudio"))
    x, y = saver["pos"]
    saver["pos"] = [x + NODE_WIDTH + NODE_GAP, y]
    node = add_node(ui, "AudioLoudness", [x, y], classes)
    node["widgets_values"][1] = target_lufs
    unlink(ui, saver, "audio")
    link(ui, decode, 0, node, "audio")
    link(ui, node, 0, saver, "audio")


# ---------------------------------------------------------------- editing the UI format


def add_node(
    ui: dict[str, Any], kind: str, pos: list[float], classes: NodeClasses
) -> dict[str, Any]:
    """Appends a node with its defaults and without links, and returns it."""
    ui["last_node_id"] += 1
    node = new_node(ui, kind, pos, classes)
    ui["nodes"].append(node)
    return node


def new_node(
    ui: dict[str, Any], kind: str, pos: list[float], classes: NodeClasses
) -> dict[str, Any]:
    node_class = classes[kind]
    specs = declared_inputs(node_class).values()
    names = getattr(node_class, "RETURN_NAMES", node_class.RETURN_TYPES)
    return {
        "id": ui["last_node_id"],
        "type": kind,
        "pos": copy.copy(pos),
        "size": [NODE_WIDTH, 60 + 26 * len(specs)],
        "flags": {},
        "order": len(ui["nodes"]),
        "mode": 0,
        "inputs": [_socket(spec) for spec in specs if not spec.is_widget],
        "outputs": [
            {"name": name, "type": wire, "links": []}
            for name, wire in zip(names, node_class.RETURN_TYPES, strict=True)
        ],
        "properties": {
            "Node name for S&R": kind,
            "cnr_id": "musicgraph" if kind in NODE_CLASS_MAPPINGS else "comfy-core",
        },
        "widgets_values": [value for spec in specs if spec.is_widget for value in _fresh(spec)],
    }


def _socket(spec: InputSpec) -> dict[str, Any]:
    socket = {"name": spec.name, "type": spec.type, "link": None}
    return socket if spec.required else {**socket, "shape": 7}


def _fresh(spec: InputSpec) -> list[Any]:
    return [spec.default, "fixed"] if spec.has_seed_control else [spec.default]


def link(
    ui: dict[str, Any], source: dict[str, Any], slot: int, target: dict[str, Any], name: str
) -> None:
    """Connects an output to an input socket; both nodes and the list of links say so."""
    place = next(i for i, socket in enumerate(target["inputs"]) if socket["name"] == name)
    ui["last_link_id"] += 1
    output = source["outputs"][slot]
    output["links"] = [*(output["links"] or ()), ui["last_link_id"]]
    target["inputs"][place]["link"] = ui["last_link_id"]
    ui["links"].append(
        [ui["last_link_id"], source["id"], slot, target["id"], place, output["type"]]
    )


def unlink(ui: dict[str, Any], target: dict[str, Any], name: str) -> None:
    socket = next(socket for socket in target["inputs"] if socket["name"] == name)
    gone, socket["link"] = socket["link"], None
    ui["links"] = [one for one in ui["links"] if one[0] != gone]
    for node in ui["nodes"]:
        for output in node["outputs"]:
            output["links"] = [one for one in output["links"] or () if one != gone]
