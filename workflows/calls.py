"""One call of one node: its arguments as lists, the call for each of them, and its results as lists
again.

ComfyUI hands every output on as a list of values. A node that does not ask for lists is called once
for each; shorter lists repeat their last value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.refused import Refused
from ..nodes.host import Run, check_stop
from ..nodes.made_with import MadeWith

Arguments = dict[str, list]


@dataclass(frozen=True)
class Outcome:
    """What a node gave: a list of values for each output, and what it shows."""

    outputs: tuple[list, ...]
    ui: dict[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    scaled_by: dict[Path, float] = field(default_factory=dict)
    """files whose sound was too loud, and the factor"""
    made_with: tuple[MadeWith, ...] = ()
    """of a node that composes: what each call composed with"""


def call_count(node_class: type, arguments: Arguments) -> int:
    """How many times a node is to be called for these arguments."""
    if getattr(node_class, "INPUT_IS_LIST", False) or not arguments:
        return 1
    empty = [name for name, values in arguments.items() if not values]
    if empty:
        raise Refused(
            f"an empty list for the input {', '.join(empty)}", expected="at least one value"
        )
    return max(map(len, arguments.values()))


def argument_sets(node_class: type, arguments: Arguments) -> list[dict[str, Any]]:
    """The keyword arguments of each call."""
    if getattr(node_class, "INPUT_IS_LIST", False):
        return [dict(arguments)]
    count = call_count(node_class, arguments)
    return [
        {name: values[min(i, len(values) - 1)] for name, values in arguments.items()}
        for i in range(count)
    ]


def call_node(node_class: type, arguments: Arguments, run: Run) -> Outcome:
    """Calls the node's function as often as its arguments ask for."""
    instance = node_class()
    function = getattr(instance, node_class.FUNCTION)
    results = []
    for given in argument_sets(node_class, arguments):
        check_stop()
        results.append(function(**given))
    return outcome_of(node_class, results, run)


def made_with(node_class: type, arguments: Arguments) -> tuple[MadeWith, ...]:
    """What the calls will compose with, of a class that says so; else nothing."""
    tell = getattr(node_class, "made_with", None)
    return tuple(tell(**given) for given in argument_sets(node_class, arguments)) if tell else ()


def outcome_of(node_class: type, results: list, run: Run) -> Outcome:
    """Merges what the calls returned: a tuple, or a dict with `result` and `ui`."""
    tuples, shown = [], []
    for result in results:
        if isinstance(result, Mapping):
            if "expand" in result:
                raise Refused(
                    f"{node_class.__name__} expands into other nodes, which only ComfyUI can do",
                    remedy="run it there",
                )
            shown.append(result.get("ui") or {})
            result = result.get("result", ())
        tuples.append(_checked_tuple(node_class, result))
    ui = {
        key: [one for part in shown for one in part.get(key, ())]
        for key in (shown[0] if shown else ())
    }
    files = _files(ui, run)
    scaled = {path: entry["scaled_by"] for path, entry in files if "scaled_by" in entry}
    return Outcome(_as_lists(node_class, tuples), ui, tuple(path for path, _ in files), scaled)


def _checked_tuple(node_class: type, result: Any) -> tuple:
    expected = len(node_class.RETURN_TYPES)
    values = (
        () if result is None else tuple(result) if isinstance(result, (tuple, list)) else (result,)
    )
    if len(values) < expected:
        raise TypeError(
            f"{node_class.__name__} returned {len(values)} values, its RETURN_TYPES name {expected}"
        )
    return values[:expected]


def _as_lists(node_class: type, tuples: list[tuple]) -> tuple[list, ...]:
    are_lists = getattr(node_class, "OUTPUT_IS_LIST", (False,) * len(node_class.RETURN_TYPES))
    return tuple(
        [one for values in tuples for one in values[i]]
        if is_list
        else [values[i] for values in tuples]
        for i, is_list in enumerate(are_lists)
    )


def _files(ui: Mapping[str, list], run: Run) -> list[tuple[Path, Mapping[str, Any]]]:
    """The files that `ui` names by folder type, subfolder and file name, each with its entry."""
    folders = {"output": run.output_dir, "temp": run.temp_dir, "input": run.input_dir}
    return [
        (_place(folders[entry.get("type", "output")], entry), entry)
        for entries in ui.values()
        for entry in entries
        if isinstance(entry, Mapping)
        and "filename" in entry
        and entry.get("type", "output") in folders
    ]


def _place(folder: Path, entry: Mapping[str, Any]) -> Path:
    return (folder / entry.get("subfolder", "") / entry["filename"]).absolute()
