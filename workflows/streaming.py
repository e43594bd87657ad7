"""Streams through the graph: nodes that work on blocks of tokens while the node above them still
makes more.

A node class takes part with `STREAM_INPUT = "tokens"` (the input that streams) and
`open_stream(self, **other_inputs)`, whose result has `push(AUDIO_TOKENS) -> AUDIO | None` and
`close() -> tuple` (the node's outputs, once all is pushed). The runner then does not call the node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..nodes.host import TokenBlock
from .events import AudioChunk, Listener
from .graph import Graph
from .registry import NodeSpecs


def plan_streams(
    graph: Graph, specs: NodeSpecs, order: Iterable[str], cached: set[str]
) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """For each node above: the nodes that stream from it, and what must be computed before it for
    their sake.
    """
    waits_for = {node_id: set(graph.upstream(node_id)) for node_id in order}
    consumers: dict[str, list[str]] = {}
    earlier: dict[str, set[str]] = {}
    for node_id in order:
        node_class = specs.classes[graph[node_id].class_type]
        links = graph[node_id].links
        source = links.pop(getattr(node_class, "STREAM_INPUT", ""), None)
        if source is None or cached & {node_id, source.node}:
            continue
        others = {link.node for link in links.values() if link.node in graph}
        if hasattr(node_class, "check_lazy_status") or source.node in _ancestors(others, waits_for):
            continue  # its other inputs come from the same node: nothing to stream with before it
        waits_for[source.node] |= others
        consumers.setdefault(source.node, []).append(node_id)
        earlier.setdefault(source.node, set()).update(others)
    return consumers, earlier


def _ancestors(nodes: set[str], waits_for: Mapping[str, set[str]]) -> set[str]:
    found, waiting = set(nodes), list(nodes)
    while waiting:
        new = waits_for[waiting.pop()] - found
        found |= new
        waiting += new
    return found


class NodeStream:
    """One node's stream: opened by the first block, good for its result if every frame came, in
    order and once.
    """

    def __init__(self, node: str, open_stream: Callable[[], Any], emit: Listener):
        self._node, self._open, self._emit = node, open_stream, emit
        self._stream: Any = None
        self._frames = self._total = self._samples = 0
        self._in_order = True

    @property
    def is_complete(self) -> bool:
        return self._stream is not None and self._in_order and self._frames == self._total

    def push(self, block: TokenBlock) -> None:
        self._in_order &= block.start_frame == self._frames
        if not self._in_order:  # the node above runs several times: its parts make no single stream
            return
        if self._stream is None:
            self._stream = self._open()
        self._frames += block.tokens.shape[-1]
        self._total = block.total_frames
        self._send(self._stream.push(block.audio_tokens))

    def close(self) -> tuple:
        """The node's outputs. What the stream had kept back until the end is sent first."""
        outputs = self._stream.close()
        audio = outputs[0] if outputs else None
        if isinstance(audio, Mapping) and "waveform" in audio:
            self._send({**audio, "waveform": audio["waveform"][..., self._samples :]})
        return outputs

    def _send(self, audio: Mapping[str, Any] | None) -> None:
        if audio is None or not audio["waveform"].shape[-1]:
            return
        self._emit(AudioChunk(self._node, audio["waveform"], audio["sample_rate"], self._samples))
        self._samples += audio["waveform"].shape[-1]
