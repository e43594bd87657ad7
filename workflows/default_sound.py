"""The default graph around a sound: one that is continued, one of which a region is made anew, a
loop, and a recording that is only cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .default_texts import moved, new_node
from .graph import Graph, Link, Node
from .registry import NodeSpecs
from .request import LOADER, SAMPLER, TEXT, Request
from .ui_writer import NODE_GAP, NODE_WIDTH

SAVER = "SaveAudioAdvanced"
SOUND, ENCODER, DECODER = "LoadAudio", "EnCodecEncode", "EnCodecDecode"
REPAINT, SPLICE, LOOP = "MusicGenRepaint", "AudioSplice", "AudioTokensLoop"
TRIM = "TrimAudioDuration"
DOWN = 480


def with_recording(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """With the recording that is continued or repainted, and what puts the two together."""
    (sampler,), (saver,) = graph.of_class(SAMPLER), graph.of_class(SAVER)
    until = 0.0 if request.repaint else request.continue_from_s
    graph, sound, encoded = _encoded(graph, request.recording, until, specs)
    if request.repaint:
        graph = graph.with_node(_repaint(sampler, encoded, request, specs))
        begin, end = request.repaint
    else:
        graph = graph.with_input(sampler.id, "audio_prompt", encoded)
        begin, end = request.continue_from_s, 0.0
    wishes = {"original": sound, "begin": begin, "end": end}
    splice = _placed(graph, SPLICE, wishes, saver.pos, specs)
    graph = graph.inserted(splice, "changed", saver.id, "audio")
    place = moved(saver, NODE_WIDTH + NODE_GAP, 0)
    return graph.with_node(replace(graph[saver.id], pos=place))


def _encoded(
    graph: Graph, recording: str, until_s: float, specs: NodeSpecs
) -> tuple[Graph, Link, Link]:
    """With a recording and its tokens, below the sampler; and where both come from."""
    (loader,), (sampler,) = graph.of_class(LOADER), graph.of_class(SAMPLER)
    sound = new_node(graph.fresh_id(), SOUND, specs).with_input("audio", recording)
    graph = graph.with_node(replace(sound, pos=moved(sampler, -NODE_WIDTH - NODE_GAP, DOWN)))
    wires = {"codec": Link(loader.id, 2), "audio": Link(sound.id, 0), "until": until_s}
    encoder = _placed(graph, ENCODER, wires, moved(sampler, 0, DOWN), specs)
    return graph.with_node(encoder), Link(sound.id, 0), Link(encoder.id, 0)


def _repaint(sampler: Node, tokens: Link, request: Request, specs: NodeSpecs) -> Node:
    """In the sampler's place, with its wires and settings."""
    assert request.repaint is not None
    node = new_node(sampler.id, REPAINT, specs)
    kept = {name: value for name, value in sampler.inputs.items() if name in specs[REPAINT].inputs}
    begin, end = request.repaint
    own = {"tokens": tokens, "begin": begin, "end": end, "candidates": request.candidates}
    return replace(node, inputs={**node.inputs, **kept, **own}, pos=sampler.pos)


def with_loop(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """With a node that makes a loop, and its sound, in the decoder's place: of the recording, if
    there is one, else of new music.
    """
    assert request.loop is not None
    (loader,), (sampler,) = graph.of_class(LOADER), graph.of_class(SAMPLER)
    (saver,), (decoder,) = graph.of_class(SAVER), graph.of_class(DECODER)
    kept = {name: value for name, value in sampler.inputs.items() if name in specs[LOOP].inputs}
    tokens, gone = Link(sampler.id, 0), [decoder.id]
    if request.recording:
        graph, _, tokens = _encoded(graph, request.recording, 0.0, specs)
        gone.append(sampler.id)
    own = {
        "codec": Link(loader.id, 2),
        "tokens": tokens,
        "begin": request.loop_from_s,
        "bars": request.loop.bars,
        "bpm": request.loop.bpm,
        "beats": request.loop.beats,
        "candidates": request.candidates,
    }
    loop = _placed(graph, LOOP, {**kept, **own}, decoder.pos, specs)
    graph = graph.with_node(loop).without(gone)
    return graph.with_input(saver.id, "audio", Link(loop.id, 0))


def with_cut(graph: Graph, request: Request, specs: NodeSpecs) -> Graph:
    """With the recording and a piece of it, in the place of all that makes music."""
    assert request.kept is not None
    (loader,), (text,) = graph.of_class(LOADER), graph.of_class(TEXT)
    (sampler,), (decoder,) = graph.of_class(SAMPLER), graph.of_class(DECODER)
    (saver,) = graph.of_class(SAVER)
    sound = _placed(graph, SOUND, {"audio": request.recording}, loader.pos, specs)
    graph = graph.with_node(sound)
    begin, end = request.kept
    wishes = {"audio": Link(sound.id, 0), "start_index": begin, "duration": end - begin}
    trim = _placed(graph, TRIM, wishes, text.pos, specs)
    graph = graph.with_node(trim).without([loader.id, text.id, sampler.id, decoder.id])
    saver = replace(saver.with_input("audio", Link(trim.id, 0)), pos=sampler.pos)
    return graph.with_node(saver)


def _placed(
    graph: Graph, class_type: str, inputs: dict[str, Any], pos: Any, specs: NodeSpecs
) -> Node:
    node = new_node(graph.fresh_id(), class_type, specs)
    return replace(node, inputs={**node.inputs, **inputs}, pos=pos)
