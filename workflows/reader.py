"""From a file to a document: JSON text, or the tags of an audio, video or PNG file.

What a stranger's file holds is bounded here (size, depth, number of nodes), so that nothing behind
this file needs to fear it. `Workflow.of` makes a graph of it; whether that makes sense is
`validate`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ..models.disk.files import open_file
from ..models.quoting import has_surrogates, shown
from ..models.refused import Refused
from .media.tags import WORKFLOW_TAGS, read_tags
from .problems import WorkflowError, refused

MAX_JSON_BYTES = 16 * 2**20
MAX_PARTS = 1_000_000
"""values in lists and objects, of which 10,000 nodes have about that many"""
MAX_DEPTH = 100
MAX_NODES = 10_000
HEAD_BYTES = 4096


@dataclass(frozen=True)
class Document:
    """A workflow as it was found: in API format, in UI format, or (in the tags of a file) both."""

    api: Mapping[str, Any] | None = None
    ui: Mapping[str, Any] | None = None


def read_document(path: str | Path) -> Document:
    """A JSON file in any encoding that JSON may have, or any file in whose tags ComfyUI (or we)
    left the graph.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            start = file.read(HEAD_BYTES)
            if _looks_like_json(start):
                return parse_document(_text(path, start + file.read(MAX_JSON_BYTES)))
    except Refused as error:
        if isinstance(error, WorkflowError):
            raise
        raise refused("cannot read the workflow", str(error)) from error
    try:
        tags = read_tags(path)
    except Refused as error:
        expected = "expected workflow JSON, or an audio or PNG file that carries a workflow"
        raise refused("not a workflow", f"got {shown(str(path))}, {expected} ({error})") from error
    return _document_in_tags(tags, path)


def parse_document(text: str) -> Document:
    """Workflow JSON in either format, told apart by its `nodes` list, and in the wrappings that
    programs send it in.

    What is parsed is bounded first, by size and by a count of its parts, which costs a look at each
    letter. Raises WorkflowError.
    """
    if len(text) > MAX_JSON_BYTES:
        raise _too_large(f"{len(text) >> 20} MB", f"{MAX_JSON_BYTES >> 20} MB")
    if not text.strip("\ufeff \t\r\n"):
        raise refused("empty workflow", "the file is empty; save the workflow again", "no_prompt")
    parts = sum(map(text.count, "[{,"))
    if parts > MAX_PARTS:
        raise _too_large(f"{parts} values", f"{MAX_PARTS}")
    data = _json(text)
    if not isinstance(data, dict):
        kind = "null" if data is None else f"JSON of type {type(data).__name__}"
        raise refused("not a workflow", f"got {kind}, expected an object of nodes")
    _check_depth(data)
    if has_surrogates(text) or "\\ud" in text.lower():
        _check_text(data)
    if not data:
        raise refused("empty workflow", "got {}, expected an object of nodes", "no_prompt")
    document = _unwrapped(data)
    for nodes in (document.api, document.ui and document.ui["nodes"]):
        if nodes is not None and len(nodes) > MAX_NODES:
            raise _too_large(f"{len(nodes)} nodes", f"{MAX_NODES}")
    return document


def _unwrapped(data: dict[str, Any]) -> Document:
    """A graph as it is; or in {"prompt": API} as it is posted; {"output": API, "workflow": UI} as
    the page holds it; or as the server keeps it: in an entry of its history, its queue or its jobs.
    """
    if _is_ui(data):
        return Document(ui=data)
    if _is_node(data):
        return Document(api=data)
    runs = _runs(data)
    if len(runs) > 1:
        detail = f"got {len(runs)} runs, expected one; save the one that is meant"
        raise refused("more than one workflow in the file", detail)
    if runs:
        _, _, api, sent, *_ = runs[0]
        return _unwrapped({"prompt": api, "extra_data": sent})
    for name in ("prompt", "output"):
        inner = data.get(name)
        if isinstance(inner, dict) and inner and not _is_node(inner):
            ui = data.get("workflow") or _posted_ui(data)
            return Document(api=inner, ui=ui if _is_sound(ui) else None)
    inner = data.get("workflow")
    if isinstance(inner, dict) and inner and not _is_node(inner):
        return _unwrapped(inner)
    return Document(api=data)


def _runs(data: dict[str, Any]) -> list[list]:
    """The runs [number, id, API, what was sent along, …] that an answer of the server is about."""
    queued = [data.get("queue_running"), data.get("queue_pending")]
    entries = [one for part in queued if isinstance(part, list) for one in part]
    for entry in (data, *data.values()):
        entries.append(entry.get("prompt") if isinstance(entry, dict) else None)
    return [one for one in entries if _is_run(one)]


def _is_run(entry: object) -> TypeGuard[list]:
    return isinstance(entry, list) and len(entry) > 3 and isinstance(entry[2], dict)


def _is_ui(data: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(data, dict) and isinstance(data.get("nodes"), list)


def _is_sound(ui: object) -> TypeGuard[dict[str, Any]]:
    """Whether a picture of the graph that comes with it can go along: the graph runs without it,
    too.
    """
    return _is_ui(ui) and all(
        isinstance(node, dict)
        and all(_are_objects(node.get(name)) for name in ("inputs", "outputs"))
        for node in ui["nodes"]
    )


def _are_objects(found: object) -> bool:
    return found is None or (isinstance(found, list) and all(isinstance(o, dict) for o in found))


def _is_node(data: dict[str, Any]) -> bool:
    return "class_type" in data


def _posted_ui(data: dict[str, Any]) -> object:
    """Where ComfyUI's page puts the UI format when it posts a prompt."""
    inner: object = data
    for name in ("extra_data", "extra_pnginfo", "workflow"):
        inner = inner.get(name) if isinstance(inner, dict) else None
    return inner


def _document_in_tags(tags: Mapping[str, str], path: Path) -> Document:
    found = {name: parse_document(tags[name]) for name in WORKFLOW_TAGS if tags.get(name)}
    if not found:
        remedy = "save the workflow as JSON instead"
        detail = f"{shown(str(path))} has no tag named prompt or workflow; {remedy}"
        raise refused("no workflow in the file", detail, "no_prompt")
    documents = list(found.values())
    api = next((one.api for one in documents if one.api is not None), None)
    ui = next((one.ui for one in reversed(documents) if one.ui is not None), None)
    return Document(api=api, ui=ui if api is None or _is_sound(ui) else None)


def _looks_like_json(start: bytes) -> bool:
    """By its first letter that is no blank; a file of blanks only counts, too, so that it can be
    named for it.
    """
    text = start.decode(json.detect_encoding(start), "ignore").lstrip("\ufeff \t\r\n")
    return not text or text[0] in '{["-0123456789' or text.startswith(("null", "true", "false"))


def _text(path: Path, content: bytes) -> str:
    if len(content) > MAX_JSON_BYTES:
        raise _too_large(f"more than {MAX_JSON_BYTES >> 20} MB", f"{MAX_JSON_BYTES >> 20} MB")
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        detail = f"{shown(str(path))} is not {name} text (byte {error.start}); save it as UTF-8"
        raise refused("not JSON", detail) from error


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


def _too_large(got: str, most: str) -> WorkflowError:
    return refused("workflow too large", f"got {got}, expected at most {most}")


def _check_text(data: Any) -> None:
    """Refuses halves of letters (lone surrogates) anywhere, which no tokenizer, file name or tag
    can hold.
    """
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and has_surrogates(value):
            detail = f"got {shown(value)}, expected whole letters; type it anew and save again"
            raise refused("a text that is not Unicode", detail)
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
