"""From a file to a workflow document: JSON text, or the tags of an audio, video or PNG file.

What a stranger's file holds is bounded here (size, depth, number of nodes), so that nothing behind this file needs to
fear it; whether the graph makes sense is `validate`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models.refused import Refused
from .media import read_tags
from .problems import refused, shown
from .registry import NodeClasses
from .ui_format import to_api
from .validate import plain_prompt

MAX_JSON_BYTES = 16 * 2**20
MAX_DEPTH = 100
MAX_NODES = 10_000


@dataclass(frozen=True)
class Document:
    """A workflow as it was found: in API format, in UI format, or (in the tags of a file) both."""

    api: Mapping[str, Any] | None = None
    ui: Mapping[str, Any] | None = None

    def prompt(self, classes: NodeClasses) -> dict[str, dict]:
        """The graph in API format. Where both are there, the API format is what really ran."""
        if self.api is not None:
            return plain_prompt(self.api)
        return to_api(self.ui, classes)

    @property
    def extra_pnginfo(self) -> dict[str, Any] | None:
        """What ComfyUI's page sends along, to be kept in the tags of the results."""
        return {"workflow": self.ui} if self.ui is not None else None


def read_document(path: str | Path) -> Document:
    """A JSON file, or any file in whose tags ComfyUI (or we) left the graph."""
    path = Path(path)
    start = _first_bytes(path)
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return parse_document(_text(path))
    try:
        tags = read_tags(path)
    except Refused as error:
        expected = "expected workflow JSON, or an audio or PNG file that carries a workflow"
        raise refused("not a workflow", f"got {shown(str(path))}, {expected} ({error})") from error
    return _document_in_tags(tags, path)


def parse_document(text: str) -> Document:
    """Workflow JSON in either format, told apart by its `nodes` list."""
    if len(text) > MAX_JSON_BYTES:
        raise refused(
            "workflow too large",
            f"got {len(text) >> 20} MB, expected at most {MAX_JSON_BYTES >> 20} MB",
        )
    data = _json(text)
    if not isinstance(data, dict):
        raise refused(
            "not a workflow", f"got JSON of type {type(data).__name__}, expected an object of nodes"
        )
    _check_depth(data)
    nodes = data.get("nodes")
    _check_count(nodes if isinstance(nodes, list) else data)
    if isinstance(nodes, list):
        return Document(ui=data)
    if not data:
        raise refused("empty workflow", "got {}, expected an object of nodes", "no_prompt")
    return Document(api=data)


def _document_in_tags(tags: Mapping[str, str], path: Path) -> Document:
    found = {name: parse_document(tags[name]) for name in ("prompt", "workflow") if tags.get(name)}
    if not found:
        detail = f"{shown(str(path))} has no tag named prompt or workflow; save the workflow as JSON instead"
        raise refused("no workflow in the file", detail, "no_prompt")
    prompt, workflow = found.get("prompt"), found.get("workflow")
    return Document(api=prompt.api if prompt else None, ui=workflow.ui if workflow else None)


def _first_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(64)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise refused(
            "cannot read the workflow", f"{shown(str(path))}: {reason}; name an existing file"
        ) from error


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise refused(
            "workflow too large", f"got {size >> 20} MB, expected at most {MAX_JSON_BYTES >> 20} MB"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(
            "not JSON",
            f"{shown(str(path))} is not UTF-8 text (byte {error.start}); save it as UTF-8",
        ) from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise refused(
            "not JSON", f"{error.msg} at {place}; save the workflow again from ComfyUI"
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise refused("not JSON that can be read", f"{error}") from error


def _check_depth(data: Any) -> None:
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        inner = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]


def _too_deep() -> Exception:
    return refused(
        "workflow nested too deeply", f"expected at most {MAX_DEPTH} levels of lists and objects"
    )


def _check_count(nodes: Any) -> None:
    if len(nodes) > MAX_NODES:
        raise refused("workflow too large", f"got {len(nodes)} nodes, expected at most {MAX_NODES}")
