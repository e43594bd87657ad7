"""The node classes that a graph needs and nobody here has, named once for the whole graph."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ..models.quoting import one_line, shown
from .graph import Graph, Node
from .problems import MAX_NAMED, Problem
from .registry import CORE, NodeSpecs

OTHER_MODELS = {
    "AceStep": "an ACE-Step graph",
    "YuE2": "a YuE graph",
    "MiniMaxMusic": "a MiniMax Music graph",
    "StableAudio": "a Stable Audio graph",
    "EmptyLatentAudio": "a Stable Audio graph",
    "LTXV": "an LTX video graph",
    "WanImageToVideo": "a Wan video graph",
    "KSampler": "a diffusion graph",
    "SamplerCustom": "a diffusion graph",
}
"""part of a class's name → what a graph with it is; the first that fits counts"""
UNDEFINED = "a subgraph that the file does not define"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def missing_classes(graph: Graph, specs: NodeSpecs) -> list[Problem]:
    """One problem, or none."""
    nodes = [node for node in graph if node.class_type not in specs]
    if not nodes:
        return []
    kind = other_model(graph, specs)
    remedy = (
        "MusicGraph runs MusicGen, sound and pictures; run it in ComfyUI"
        if kind
        else "expected nodes of MusicGraph, or ComfyUI's for sound and pictures; run it in "
        "ComfyUI, or take them out"
    )
    problem = Problem(
        "invalid_prompt",
        f"this is {kind}" if kind else "unknown node class",
        one_line(f"it needs {_by_pack(nodes)}; {remedy}"),
        nodes=tuple(node.id for node in nodes),
    )
    (first, *others) = nodes
    return [problem if others else replace(problem, node=first.id, title=first.name)]


def other_model(graph: Graph, specs: NodeSpecs) -> str:
    """What a graph is that is made for another model; "" if that is not known."""
    names = " ".join(node.class_type for node in graph if node.class_type not in specs)
    return next((kind for part, kind in OTHER_MODELS.items() if part in names), "")


def _by_pack(nodes: Iterable[Node]) -> str:
    """ "these 2 nodes of ComfyUI (A, B) and this node of the pack "x" (C)": each class once."""
    packs: dict[str, dict[str, None]] = {}
    for node in nodes:
        name = UNDEFINED if _UUID.fullmatch(node.class_type) else node.class_type
        packs.setdefault("" if node.pack == CORE else node.pack, {})[name] = None
    are_core = all(node.pack for node in nodes)
    return " and ".join(
        _counted(list(names), f" of the pack {shown(pack)}" if pack else " of ComfyUI" * are_core)
        for pack, names in sorted(packs.items())
    )


def _counted(names: list[str], whose: str) -> str:
    what = "this node" if len(names) == 1 else f"these {len(names)} nodes"
    named = [shown(name)[1:-1] for name in names[:MAX_NAMED]]
    more = [f"and {len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return f"{what}{whose} ({', '.join([*named, *more])})"
