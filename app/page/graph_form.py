"""A form for any graph: what a person may set, read from the nodes' own INPUT_TYPES.

`sections` says it as data, of which `widgets.py` makes components; `overrides` turns what came back
into changes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...models.quoting import shown as quoted
from ...models.refused import Refused
from ...workflows.graph import BrokenLink, Graph, Link, Node
from ...workflows.inputs import InputSpec, WidgetFacts
from ...workflows.overrides import Override
from ...workflows.problems import Problem, WorkflowError
from ...workflows.registry import NodeSpecs
from ...workflows.request import LOADER
from ...workflows.widget_values import settled
from ..studio.sounds import uploaded

LOADER_INPUT = "model"
CHOOSE = "choose or record one in the form"
HUMAN = {
    "cfg": "Guidance", "duration": "Length in seconds", "seed": "Seed", "noise_seed": "Seed",
    "text": "Words", "filename_prefix": "File name", "target": "Level", "audio": "Sound",
    "blend": "Seconds to change over", "top_k": "Top-k", "top_p": "Top-p", "bpm": "Beats a minute",
    "start_index": "From second",
}  # fmt: skip
"""names on nodes that do not speak for themselves"""


@dataclass(frozen=True)
class Field:
    """One input that a person may set."""

    node: str
    spec: InputSpec
    facts: WidgetFacts
    """how the form shows it, with the value that it has in the graph"""

    @property
    def input(self) -> str:
        return self.spec.name

    @property
    def kind(self) -> str:
        return self.facts.kind

    @property
    def label(self) -> str:
        """What people call it, and its name on the node where that is another one."""
        name = self.input
        plain = HUMAN.get(name) or name.replace("_", " ").capitalize()
        return plain if plain.lower() == name else f"{plain} · {name}"


@dataclass(frozen=True)
class Section:
    """The fields of one node."""

    node: str
    title: str
    fields: tuple[Field, ...]

    @property
    def is_open(self) -> bool:
        """Nodes with words, a sound or a seed are what people come for."""
        return any(
            field.kind in ("text", "audio") or field.input in ("seed", "noise_seed")
            for field in self.fields
        )


def sections(graph: Graph, specs: NodeSpecs, models: Sequence[str] = ()) -> list[Section]:
    """What can be set in each node; linked inputs and unknown nodes have nothing to set."""
    found = []
    for node in graph:
        if node.class_type not in specs:
            continue
        spec = specs[node.class_type]
        shown = settled(spec.inputs, node.inputs)
        fields = tuple(
            _field(node, one, models)
            for one in spec.widgets
            if one.name in shown
            and not isinstance(node.inputs.get(one.name), (Link, BrokenLink, dict, tuple))
        )
        if fields:
            found.append(Section(node.id, node.name, fields))
    return found


def _field(node: Node, spec: InputSpec, models: Sequence[str]) -> Field:
    facts = spec.widget(node.inputs.get(spec.name, spec.default))
    if node.class_type == LOADER and spec.name == LOADER_INPUT and models:
        facts = replace(facts, choices=tuple(models))
    return Field(node.id, spec, facts)


# ---------------------------------------------------------------- and back


def overrides(fields: Sequence[Field], values: Sequence[Any], input_folder: Path) -> list[Override]:
    """The changes that a filled-in form means.

    Sounds are copied into the visitor's own input folder.
    """
    changes = []
    for field, value in zip(fields, values, strict=True):
        if field.kind == "audio":
            if value:
                changes.append(Override(field.node, field.input, uploaded(value, input_folder)))
        elif value is None and field.kind in ("whole", "number", "slider"):
            raise field.spec.missing("type one")
        elif _differs(field, value):
            changes.append(Override(field.node, field.input, _typed(field, value)))
    return changes


def _differs(field: Field, value: Any) -> bool:
    shown = field.facts.value
    return value != (str(shown) if field.kind in ("line", "text") else shown)


def _typed(field: Field, value: Any) -> Any:
    """Whole numbers come from a browser as they may: 3.0 is 3, and 3.5 is none of them.

    Raises Refused.
    """
    if field.spec.type == "INT" and field.kind in ("whole", "slider"):
        return field.spec.read_exactly(value)
    return value


def for_the_form(
    error: WorkflowError, graph: Graph, fields: Sequence[Field], input_folder: Path
) -> WorkflowError:
    """The same problems; where a sound is not here, with the field that takes another one. The
    node would have it put into a folder, which visitors do not have.
    """
    sounds = {(one.node, one.input) for one in fields if one.kind == "audio"}
    here = {path.name for path in input_folder.iterdir()}

    def said(problem: Problem) -> Problem:
        if (problem.node, problem.input) not in sounds:
            return problem
        name = str(graph[str(problem.node)].inputs.get(str(problem.input)))
        if name in here:
            return problem
        words = Refused(f"cannot open {quoted(name)}", got=os.strerror(errno.ENOENT), remedy=CHOOSE)
        return replace(problem, details=str(words))

    return WorkflowError(map(said, error.problems))
