"""A form for any graph: what a person may set, read from the nodes' own INPUT_TYPES.

`sections` says it as data; `widget` makes the matching Gradio component; `overrides` turns what came back into changes.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ...models.quoting import shown
from ...models.refused import Refused
from ...workflows.overrides import Override
from ...workflows.registry import InputSpec, NodeClasses, declared_inputs, title_of
from .shelf import file_name

EXACT = 2**53
"""beyond it a browser's numbers are not exact: such values are edited as text"""
MAX_SLIDER_STEPS = 1000
LOADER, LOADER_INPUT = "MusicGenModelLoader", "model"


@dataclass(frozen=True)
class Field:
    """One input that a person may set. `kind`: line, text, whole, number, slider, check, choice or audio."""

    node: str
    input: str
    kind: str
    label: str
    info: str
    value: Any
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Section:
    """The fields of one node."""

    node: str
    title: str
    description: str
    fields: tuple[Field, ...]

    @property
    def is_open(self) -> bool:
        """Nodes with words, a sound or a seed are what people come for."""
        return any(
            field.kind in ("text", "audio") or field.input in ("seed", "noise_seed")
            for field in self.fields
        )


def sections(
    prompt: Mapping[str, dict], classes: NodeClasses, models: Sequence[str] = ()
) -> list[Section]:
    """What can be set in each node; linked inputs and unknown nodes have nothing to set."""
    found = []
    for node_id, node in prompt.items():
        if (node_class := classes.get(node["class_type"])) is None:
            continue
        fields = tuple(
            _field(node_id, node, spec, models)
            for spec in declared_inputs(node_class).values()
            if spec.is_widget and not isinstance(node["inputs"].get(spec.name), (list, dict, tuple))
        )
        if fields:
            found.append(
                Section(node_id, title_of(node), getattr(node_class, "DESCRIPTION", ""), fields)
            )
    return found


def _field(node_id: str, node: Mapping[str, Any], spec: InputSpec, models: Sequence[str]) -> Field:
    options = spec.options
    value = node["inputs"].get(spec.name, spec.default)
    choices = tuple(spec.choices or ())
    if node["class_type"] == LOADER and spec.name == LOADER_INPUT:
        choices = tuple(models) or choices
    return Field(
        node=node_id, input=spec.name, kind=_kind(spec, value), label=spec.name.replace("_", " "),
        info=str(options.get("tooltip", "")), value=value, minimum=options.get("min"), maximum=options.get("max"),
        step=options.get("step"), choices=choices,
    )  # fmt: skip


def _kind(spec: InputSpec, value: Any) -> str:
    if spec.options.get("audio_upload"):
        return "audio"
    if spec.choices is not None:
        return "choice"
    if spec.type == "BOOLEAN":
        return "check"
    if spec.type == "STRING":
        return "text" if spec.options.get("multiline") else "line"
    if not isinstance(value, (int, float)) or abs(value) > EXACT:
        return "line"
    low, high = spec.options.get("min"), spec.options.get("max")
    step = spec.options.get("step") or (1 if spec.type == "INT" else 0.01)
    if (
        low is not None
        and high is not None
        and (high - low) / step <= MAX_SLIDER_STEPS
        and low <= value <= high
    ):
        return "slider"
    return "whole" if spec.type == "INT" else "number"


# ---------------------------------------------------------------- as components


def widget(field: Field) -> Any:
    """The Gradio component. Ranges are the node's; the runner checks them again."""
    common = {"label": field.label, "info": field.info or None, "interactive": True}
    if field.kind == "audio":
        return gr.Audio(
            label=f"{field.label}: upload or record (the graph names {field.value})", type="filepath",
            sources=["upload", "microphone"], interactive=True, elem_classes="mg-wide",
        )  # fmt: skip
    if field.kind == "choice":
        choices = list(dict.fromkeys([*field.choices, field.value]))
        return gr.Dropdown(choices, value=field.value, filterable=len(choices) > 12, **common)
    if field.kind == "check":
        return gr.Checkbox(bool(field.value), **common)
    if field.kind == "slider":
        assert field.minimum is not None and field.maximum is not None, "else it is no slider"
        whole = isinstance(field.minimum, int) and isinstance(field.maximum, int) and not field.step
        return gr.Slider(
            field.minimum,
            field.maximum,
            value=field.value,
            step=field.step or (1 if whole else 0.01),
            buttons=[],
            **common,
        )
    if field.kind in ("whole", "number"):
        return gr.Number(field.value, **common)
    return gr.Textbox(
        str(field.value), lines=3 if field.kind == "text" else 1, elem_classes="mg-wide", **common
    )


# ---------------------------------------------------------------- and back


def overrides(fields: Sequence[Field], values: Sequence[Any], input_folder: Path) -> list[Override]:
    """The changes that a filled-in form means. Sounds are copied into the visitor's own input folder."""
    changes = []
    for field, value in zip(fields, values, strict=True):
        if field.kind == "audio":
            if value:
                changes.append(
                    Override(field.node, field.input, _taken_in(Path(value), input_folder))
                )
        elif value is None and field.kind in ("whole", "number", "slider"):
            raise Refused(field.label, got="nothing", expected="a number", remedy="type one")
        elif _differs(field, value):
            changes.append(Override(field.node, field.input, _typed(field, value)))
    return changes


def _differs(field: Field, value: Any) -> bool:
    return value != (str(field.value) if field.kind in ("line", "text") else field.value)


def _typed(field: Field, value: Any) -> Any:
    """Whole numbers come from a browser as they may: 3.0 is 3, and 3.5 is none of them.

    Raises Refused.
    """
    is_whole = isinstance(value, (int, float)) and math.isfinite(value) and value == int(value)
    if field.kind == "whole" and not is_whole:
        raise Refused(field.label, got=shown(value), expected="a whole number", remedy="type one")
    if field.kind == "whole" or (field.kind == "slider" and isinstance(field.value, int)):
        return int(value) if is_whole else value
    return value


def _taken_in(source: Path, folder: Path) -> str:
    name = f"{file_name(source.stem)}{source.suffix.lower()[:8]}"
    shutil.copyfile(source, folder / name)
    return name
