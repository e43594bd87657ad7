"""The default graph, text_to_music.json, filled in for one request.

The front doors (command line, app, API) do not know the nodes: they say what they want with a
`Request` and run the graph that comes back. It is the shipped graph with other values, plus a node
for each wish that the shipped graph has no node for, so whatever is made from it opens in ComfyUI.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..nodes.fade import CUT
from .default_sound import SAVER, with_cut, with_loop, with_recording
from .default_texts import Wanted, moved, new_node, with_texts
from .graph import Graph, Link, Node
from .reader import Document
from .registry import NodeSpecs
from .request import FADE, INPUTS, LOADER, LORA, SAMPLER, STYLE, TEXT, Lora, Request
from .ui_writer import NODE_GAP, NODE_WIDTH, size_of
from .widget_values import settled
from .workflow import Workflow

DEFAULT_GRAPH = Path(__file__).with_name("text_to_music.json")
SHIPPED, FURTHER_TEXTS = (LOADER, TEXT, SAMPLER), ("negative", "schedule")
MELODY, SOUND = "MusicGenMelody", "LoadAudio"
RING_OUT_S = 1.5


def workflow_for(request: Request, specs: NodeSpecs) -> Workflow:
    """The default graph for this request.

    Unlike the shipped one it may have more texts, a melody, a style, a sound that it continues,
    adapters, a fade, a loudness; or it only cuts a recording.
    """
    wanted = Wanted.of(request)
    shipped = Document(ui=json.loads(DEFAULT_GRAPH.read_text(encoding="utf-8")))
    workflow = Workflow.of(shipped, specs)
    if request.kept is not None:
        return _cut(workflow, request, specs)
    graph = workflow.graph
    graph = _saved_as(graph, request.save_as, specs)
    graph = _filled_in(graph, replace(request, prompt=wanted.prompt[0][0]))
    if wanted.negative[0][0]:
        graph = _with_negative(graph, wanted.negative[0][0], specs)
    graph = with_texts(graph, wanted, specs)
    if request.melody:
        graph = _with_sound(graph, MELODY, request.melody, {}, specs)
    if request.style:
        guidance = request.style_guidance
        wishes = {"seed": request.seed} | ({} if guidance is None else {"style_guidance": guidance})
        graph = _with_sound(graph, STYLE, request.style, wishes, specs)
    if request.loop:
        graph = with_loop(graph, request, specs)
    elif request.recording:
        graph = with_recording(graph, request, specs)
    for place, lora in enumerate(request.loras):
        graph = _with_lora(graph, lora, place, specs)
    return workflow.with_graph(_finished(graph, request, specs))


def _cut(workflow: Workflow, request: Request, specs: NodeSpecs) -> Workflow:
    """No model is asked: the graph has no other nodes than those for the recording."""
    graph = _saved_as(workflow.graph, request.save_as, specs)
    return workflow.with_graph(_finished(with_cut(graph, request, specs), request, specs))


def _finished(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """With what is done to the sound of any graph before it is saved."""
    if request.fade_in_s or request.fade_s or request.ending != CUT:
        graph = _with_fade(graph, request, specs)
    if request.excerpt_s is not None:
        graph = _with_excerpt(graph, request.excerpt_s, specs)
    if request.loudness_lufs is not None:
        graph = _with_loudness(graph, request.loudness_lufs, specs)
    return graph


def _filled_in(graph: Graph, request: Request) -> Graph:
    """With what the request says for each node that the shipped graph has."""
    for name, (class_type, input) in INPUTS.items():
        if class_type in SHIPPED and name not in FURTHER_TEXTS:
            (node,) = graph.of_class(class_type)
            graph = graph.with_input(node.id, input, getattr(request, name))
    return graph


def _saved_as(graph: Graph, format: str, specs: NodeSpecs) -> Graph:
    """With this format, and the quality that a fresh node has for it."""
    (saver,) = graph.of_class(SAVER)
    chosen = settled(specs[SAVER].inputs, {**saver.widgets, "format": format})
    return graph.with_node(replace(saver, inputs={**chosen, **saver.links}))


def _with_negative(graph: Graph, text: str, specs: NodeSpecs) -> Graph:
    """With a second text below the first."""
    (loader,), (positive,) = graph.of_class(LOADER), graph.of_class(TEXT)
    (sampler,) = graph.of_class(SAMPLER)
    height = size_of(specs[TEXT])[1]
    node = new_node(graph.fresh_id(), TEXT, specs)
    node = replace(
        node,
        title=f"{node.title} (negative)",
        inputs={**node.inputs, "text": text, "text_encoder": Link(loader.id, 1)},
        pos=moved(positive, 0, height + 2 * NODE_GAP),
    )
    return graph.with_node(node).with_input(sampler.id, "negative", Link(node.id, 0))


def _with_sound(
    graph: Graph, class_type: str, file_name: str, wishes: Mapping[str, Any], specs: NodeSpecs
) -> Graph:
    """With a sound and a node for what the model hears of it, below the texts."""
    (loader,), (sampler,) = graph.of_class(LOADER), graph.of_class(SAMPLER)
    positive = sampler.links["positive"]
    down = 2 * (size_of(specs[TEXT])[1] + 2 * NODE_GAP)
    sound = new_node(graph.fresh_id(), SOUND, specs).with_input("audio", file_name)
    graph = graph.with_node(replace(sound, pos=moved(loader, 0, down)))
    heard = new_node(graph.fresh_id(), class_type, specs)
    links = {"model": Link(loader.id, 0), "conditioning": positive, "audio": Link(sound.id, 0)}
    place = moved(graph[positive.node], 0, down)
    graph = graph.with_node(replace(heard, inputs={**links, **heard.inputs, **wishes}, pos=place))
    return graph.with_input(sampler.id, "positive", Link(heard.id, 0))


def _with_lora(graph: Graph, lora: Lora, place: int, specs: NodeSpecs) -> Graph:
    """With an adapter on the model, behind the ones before it, below the loader."""
    (loader,), before = graph.of_class(LOADER), graph.of_class(LORA)
    source = before[-1] if before else loader
    node = new_node(graph.fresh_id(), LORA, specs)
    own = {"adapter": lora.adapter, "strength": lora.strength}
    wires = {"model": Link(source.id, 0), "text_encoder": Link(source.id, 1)}
    ends = [
        (one.id, name, link.slot)
        for one in graph
        for name, link in one.links.items()
        if link in wires.values()
    ]
    down = size_of(specs[LOADER])[1] + place * size_of(specs[LORA])[1] + (2 + place) * NODE_GAP
    graph = graph.with_node(replace(node, inputs={**own, **wires}, pos=moved(loader, 0, down)))
    for target, name, slot in ends:
        graph = graph.with_input(target, name, Link(node.id, slot))
    return graph


def _with_loudness(graph: Graph, target_lufs: float, specs: NodeSpecs) -> Graph:
    node = new_node(graph.fresh_id(), "AudioLoudness", specs).with_input("target", target_lufs)
    return _before_saver(graph, node)


def _with_fade(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """An ending at a bar line without a fade rings out for a moment all the same."""
    request.check_fades()
    ringing_s = min(RING_OUT_S, request.duration_s / 2) if request.ending != CUT else 0.0
    node = new_node(graph.fresh_id(), FADE, specs).with_input("ending", request.ending)
    node = node.with_input("fade_in", request.fade_in_s)
    return _before_saver(graph, node.with_input("fade_out", request.fade_s or ringing_s))


def _with_excerpt(graph: Graph, excerpt_s: tuple[float, float], specs: NodeSpecs) -> Graph:
    begin_s, end_s = excerpt_s
    node = new_node(graph.fresh_id(), "TrimAudioDuration", specs)
    node = node.with_input("start_index", begin_s).with_input("duration", end_s - begin_s)
    return _before_saver(graph, node)


def _before_saver(graph: Graph, node: Node) -> Graph:
    """With a node where the saver was, which moves on to the right."""
    (saver,) = graph.of_class(SAVER)
    graph = graph.inserted(replace(node, pos=saver.pos), "audio", saver.id, "audio")
    place = moved(saver, NODE_WIDTH + NODE_GAP, 0)
    return graph.with_node(replace(graph[saver.id], pos=place))
