"""What a file says of how it was made: its graph, and what the samplers in it composed with.

The graph of a take is its own: where several items were made side by side, each file carries the
graph that makes this item alone, as far as one can be told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..nodes.made_with import MadeWith, versions
from . import api_format
from .graph import Graph
from .reader import Document
from .registry import NodeSpecs
from .request import COMBINE, LOADER, LORA, SCHEDULE, TEXT
from .workflow import Workflow

TAG = "musicgraph"
MadeWiths = Mapping[str, tuple[MadeWith, ...]]
"""sampler → what each of its calls composed with"""
ONE_BY_ONE = {
    "EnCodecDecode": "tokens",
    "AudioTokensCrop": "tokens",
    "AudioTokensRepeat": "tokens",
    "AudioFade": "audio",
    "AudioLoudness": "audio",
    "AudioAnalyse": "audio",
    "AudioAdjustVolume": "audio",
    "AudioEqualizer3Band": "audio",
    "TrimAudioDuration": "audio",
    "SaveAudio": "audio",
    "SaveAudioMP3": "audio",
    "SaveAudioOpus": "audio",
    "SaveAudioAdvanced": "audio",
    "AudioLoopSave": "audio",
    "PreviewAudio": "audio",
    "AudioSpectrogram": "audio",
    "SaveImage": "images",
    "PreviewImage": "images",
}
"""classes that make of item i of this input item i of their first output, whatever the others are
"""
TEXTS_ONLY = {TEXT, COMBINE, SCHEDULE, LOADER, LORA}
"""classes behind whose conditionings an item is a line of a text"""


@dataclass(frozen=True)
class Provenance:
    """Of a run."""

    graph: Graph
    extra_pnginfo: Mapping[str, Any] | None
    """what goes beside the graph into tags: under `workflow` the picture of it"""
    specs: NodeSpecs
    made_with: MadeWiths = field(default_factory=dict)

    def of(self, sink: str, item: int = 0, items: int = 1) -> tuple[dict, dict[str, Any]]:
        """What a file with one item of what reaches the node `sink` carries: the graph in API
        format, and what goes beside it.
        """
        above = set(self.graph.needed([sink]))
        made_with = {node: calls for node, calls in self.made_with.items() if node in above}
        own = alone(self.graph, sink, item, items, made_with) if items > 1 else None
        said: dict[str, Any] = {"versions": versions(), "made_with": []}
        if items > 1:
            said |= {"take": item + 1, "takes": items}
        shift = item if own is not None else 0
        for node, calls in made_with.items():
            said["made_with"] += [
                {"node": node, **one.model, "seed": one.seed_of(shift)} for one in calls
            ]
        extra = dict(self.extra_pnginfo or {}) if own is None else self._beside(own)
        return api_format.write(own or self.graph), {**extra, TAG: said}

    def _beside(self, own: Graph) -> dict[str, Any]:
        """What goes beside another graph: the picture as far as it can follow."""
        rest = dict(self.extra_pnginfo or {})
        ui = rest.pop("workflow", None)
        if not isinstance(ui, Mapping):
            return rest
        document = Document(api=api_format.write(self.graph), ui=ui)
        drawn = Workflow(self.graph, self.specs, document, self.graph).with_graph(own)
        return {**rest, **(drawn.extra_pnginfo or {})}


def told_in(tag: str | None) -> dict[str, Any]:
    """What `Provenance.of` said, out of a stranger's tag: a value by its name, with the node's
    before it where several samplers speak; nothing where there is no such tag.
    """
    try:
        said = json.loads(tag or "{}")
    except (ValueError, RecursionError):
        return {}
    said = said if isinstance(said, dict) else {}
    calls = [one for one in _list(said.get("made_with")) if isinstance(one, dict)]
    told = {name: said[name] for name in ("take", "takes") if name in said}
    for call in calls:
        before = f"node {call.get('node')} " if len(calls) > 1 else ""
        told |= {before + name: value for name, value in call.items() if name != "node"}
    used = said.get("versions")
    return told | (dict(used) if isinstance(used, dict) else {})


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def alone(graph: Graph, sink: str, item: int, items: int, made_with: MadeWiths) -> Graph | None:
    """The graph that makes one of the items that reach the node `sink`, and no other; None where
    that cannot be told from the graph.
    """
    sampler = _sampler_before(graph, sink, made_with)
    if sampler is None:
        return None
    (one,) = made_with[sampler]
    if one.items != items or one.continued > 1:
        return None
    lines = _own_lines(graph, sampler, item // one.variations, one.prompts)
    if lines is None:
        return None
    for node_id, line in lines.items():
        graph = graph.with_input(node_id, "text", line)
    graph = graph.with_input(sampler, "seed", one.seed_of(item))
    return graph.with_input(sampler, "variations", 1)


def _sampler_before(graph: Graph, sink: str, made_with: MadeWiths) -> str | None:
    """The sampler, called once, whose items reach a node one by one."""
    node_id = sink
    while node_id not in made_with:
        node = graph.nodes.get(node_id)
        link = node and node.links.get(ONE_BY_ONE.get(node.class_type, ""))
        if not link or link.slot:
            return None
        node_id = link.node
    return node_id if len(made_with[node_id]) == 1 else None


def _own_lines(graph: Graph, sampler: str, prompt: int, prompts: int) -> dict[str, str] | None:
    """For each text with a line for each prompt, this prompt's."""
    if prompts == 1:
        return {}
    links = graph[sampler].links
    heads = [links[name].node for name in ("positive", "negative") if name in links]
    found = {}
    for node_id in graph.needed(heads):
        node = graph[node_id]
        if node.class_type not in TEXTS_ONLY:
            return None
        if node.class_type == TEXT:
            text = node.widgets.get("text")
            lines = text.splitlines() if isinstance(text, str) else []
            lines = [line.strip() for line in lines if line.strip()]
            if len(lines) not in (1, prompts):
                return None
            if len(lines) == prompts:
                found[node_id] = lines[prompt]
    return found
