"""The graph that made a file, as ComfyUI keeps it in the file's tags: for nodes that save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.disk.json_file import strict_json
from . import host

HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
"""what a node asks its host for"""


def workflow_tags(prompt: object, extra_pnginfo: Mapping[str, Any] | None) -> dict[str, str]:
    """The tags by which ComfyUI finds the graph again: each value as strict JSON text, NaN as null,
    as a page writes.
    """
    tags = {} if prompt is None else {"prompt": prompt}
    return {name: strict_json(value) for name, value in {**tags, **(extra_pnginfo or {})}.items()}


def item_tags(
    prompt: Mapping[str, Any] | None,
    extra_pnginfo: Mapping[str, Any] | None,
    item: int = 0,
    items: int = 1,
) -> dict[str, str]:
    """Of the file of one item, which has a graph of its own if it was made beside others; none
    where the host wants none.
    """
    if not host.keeps_graphs():
        return {}
    own = host.current_run().take(item, items) if prompt is not None and items > 1 else None
    return workflow_tags(*(own or (prompt, extra_pnginfo)))
