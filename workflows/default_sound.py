"""The default graph around a sound: one that is continued, one of which a region is made anew, and
a loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .default_texts import moved, new_node
from .graph import Graph, Link, Node
from .registry import NodeSpecs
from .request import LOADER, SAMPLER, Request
from .ui_writer import NODE_GAP, NODE_WIDTH

SAVER = "SaveAudioAdvanced"
SOUND, ENCODER, DECODER = "LoadAudio", "EnCodecEncode", "EnCodecDecode"
REPAINT, SPLICE, LOOP = "MusicGenRepaint", "AudioSplice", "AudioTokensLoop"
DOWN = 480


def with_recording(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """With the recording that is continued or repainted, and what puts the two together."""
    (loader,), (sampler,) = graph.of_class(LOADER), graph.of_class(SAMPLER)
    (saver,) = graph.of_class(SAVER)
    sound = new_node(graph.fresh_id(), SOUND, specs).with_input("audio", request.recording)
    graph = graph.with_node(replace(sound, pos=moved(sampler, -NODE_WIDTH - NODE_GAP, DOWN)))
    wires = {"codec": Link(loader.id, 2), "audio": Link(sound.id, 0)}
    until = 0.0 if request.repaint else request.continue_from_s
    encoder = _placed(graph, ENCODER, {**wires, "until": until}, moved(sampler, 0, DOWN), specs)
    graph = graph.with_node(encoder)
    encoded = Link(encoder.id, 0)
    if request.repaint:
        graph = graph.with_node(_repaint(sampler, encoded, request, specs))
        begin, end = request.repaint
    else:
        graph = graph.with_input(sampler.id, "audio_prompt", encoded)
        begin, end = request.continue_from_s, 0.0
    wishes = {"original": Link(sound.id, 0), "begin": begin, "end": end}
    splice = _placed(graph, SPLICE, wishes, saver.pos, specs)
    graph = graph.inserted(splice, "changed", saver.id, "audio")
    place = moved(saver, NODE_WIDTH + NODE_GAP, 0)
    return graph.with_node(replace(graph[saver.id], pos=place))


def _repaint(sampler: Node, tokens: Link, request: Request, specs: NodeSpecs) -> Node:
    """In the sampler's place, with its wires and settings."""
    assert request.repaint is not None
    node = new_node(sampler.id, REPAINT, specs)
    kept = {name: value for name, value in sampler.inputs.items() if name in specs[REPAINT].inputs}
    begin, end = request.repaint
    own = {"tokens": tokens, "begin": begin, "end": end, "candidates": request.candidates}
    return replace(node, inputs={**node.inputs, **kept, **own}, pos=sampler.pos)


def with_loop(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """With a node that makes a loop of the music, and its sound, in the decoder's place."""
    assert request.loop is not None
    (loader,), (sampler,) = graph.of_class(LOADER), graph.of_class(SAMPLER)
    (saver,), (decoder,) = graph.of_class(SAVER), graph.of_class(DECODER)
    kept = {name: value for name, value in sampler.inputs.items() if name in specs[LOOP].inputs}
    own = {
        "codec": Link(loader.id, 2),
        "tokens": Link(sampler.id, 0),
        "bars": request.loop.bars,
        "bpm": request.loop.bpm,
        "beats": request.loop.beats,
        "candidates": request.candidates,
    }
    loop = _placed(graph, LOOP, {**kept, **own}, decoder.pos, specs)
    graph = graph.with_node(loop).without([decoder.id])
    return graph.with_input(saver.id, "audio", Link(loop.id, 0))


def _placed(
    graph: Graph, class_type: str, inputs: dict[str, Any], pos: Any, specs: NodeSpecs
) -> Node:
    node = new_node(graph.fresh_id(), class_type, specs)
    return replace(node, inputs={**node.inputs, **inputs}, pos=pos)
