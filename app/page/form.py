"""The form of a request: a widget for each field, made from what the nodes declare, and read by
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ...models.refused import Refused
from ...models.weights.adapter_places import known_adapters
from ...nodes.host import model_folders
from ...workflows.inputs import InputSpec
from ...workflows.registry import NodeSpecs, node_classes
from ...workflows.request import INPUTS, MAX_LORAS, MAX_PROMPT_CHARACTERS, Request
from ..studio.fields import Fields, page_fields, read_fields, request_of
from ..studio.models import permitted
from ..studio.settings import AppSettings
from ..studio.sounds import SOUNDS
from .model_menu import model_choices, words_of
from .widgets import widget

LOUD = "loud"
"""the box that says whether the loudness counts"""
USUAL_LUFS = -16.0
PLACEHOLDER = (
    "Style, instruments, mood, tempo … in English. Enter generates, Shift+Enter begins a new line."
)
LABELS = {
    "prompt": "What do you want to hear?",
    "duration": "Length in seconds",
    "negative": "What it should not be",
    "top_k": "Top-k",
    "top_p": "Top-p",
    "loudness": "Loudness in LUFS",
    "loras": "LoRA",
    "melody": "A tune to follow: upload or hum it",
    "style": "A sound to sound like: upload or record it",
    "style_guidance": "How much the words count beside it",
}
"""where the field's name is not word enough"""


def request_from(fields: Fields, values: Mapping[str, Any]) -> Request:
    """A request from values by the page's names; those that are not there have their defaults.
    Sounds are paths of uploads; without a style its guidance does not count.

    Raises Refused, by the field's name, for a number that is none, is out of range, or should be
    whole; nothing is rounded or replaced. Draws the seed if it is to be drawn.
    """
    given = {
        **values,
        "prompt": values.get("prompt") or "",
        "negative": values.get("negative") or "",
    }
    if "loras" in given:
        given["loras"] = given["loras"] or []
    if not given["prompt"].strip():
        remedy = "say what you want to hear, or take one of the ideas"
        raise Refused("prompt", got="nothing", expected="a few words", remedy=remedy)
    if not given.pop(LOUD, False):
        given.pop("loudness", None)
    if given.get("seed", -1) is None:
        given["seed"] = -1
    sounds = {how: given.pop(how, None) or "" for how in SOUNDS}
    if not sounds["style"]:
        given.pop("style_guidance", None)
    for spec in fields.values():
        if spec.name in given and given[spec.name] is None:
            raise spec.missing("type one")
    return request_of({**read_fields(fields, given), **sounds})


def values_of(fields: Fields, request: Request) -> dict[str, Any]:
    """What the form shows for a request: the other way round."""
    values = {spec.name: getattr(request, name) for name, spec in fields.items()}
    is_loud = request.loudness_lufs is not None
    values |= {LOUD: is_loud, "loudness": request.loudness_lufs if is_loud else USUAL_LUFS}
    guidance = request.style_guidance
    values |= {"style_guidance": usual_style_guidance() if guidance is None else guidance}
    values |= {how: _if_there(getattr(request, how)) for how in SOUNDS}
    return values | {"loras": [*map(str, request.loras)]}


def _if_there(sound: str) -> str | None:
    """A file that was uploaded; None once it was swept away."""
    return sound if sound and Path(sound).is_file() else None


def usual_style_guidance() -> float:
    """A fresh node's."""
    node, name = INPUTS["style_guidance"]
    return NodeSpecs(node_classes())[node].inputs[name].default


# ---------------------------------------------------------------- as widgets


@dataclass(frozen=True)
class Form:
    """The fields of the Create tab, and a widget for each, by the page's names."""

    fields: Fields
    widgets: Mapping[str, Any]

    def inputs(self) -> set[Any]:
        """For a handler, which then gets a dict of all values."""
        return set(self.widgets.values())

    def request(self, given: Mapping[Any, Any]) -> Request:
        """Of what such a handler got. Raises as `request_from` does."""
        values = {name: given[widget] for name, widget in self.widgets.items()}
        return request_from(self.fields, values)

    def values(self, request: Request) -> dict[str, Any]:
        """What stands in the form for a request, by the page's names."""
        values = values_of(self.fields, request)
        return {name: values[name] for name in self.widgets if name in values}

    def kept(self) -> dict[str, Any]:
        """The widgets whose values outlast the page: all but sounds and files."""
        files = (gr.Audio, gr.File)
        return {name: one for name, one in self.widgets.items() if not isinstance(one, files)}


class FormBuilder:
    """Lays out the widgets of a form one by one, wherever the page wants them."""

    def __init__(self, settings: AppSettings):
        self._settings, self._fields = settings, page_fields(settings)
        self._first = permitted(settings, "")
        self._widgets: dict[str, Any] = {}

    def form(self) -> Form:
        """The fields that were laid out; the others have their defaults."""
        fields = {key: spec for key, spec in self._fields.items() if spec.name in self._widgets}
        return Form(fields, self._widgets)

    def _keep(self, name: str, widget: Any) -> Any:
        widget.elem_id = widget.elem_id or f"mg-{name.replace('_', '-')}"
        self._widgets[name] = widget
        return widget

    def prompt(self) -> gr.Textbox:
        return self._keep("prompt", gr.Textbox(
            label=LABELS["prompt"], placeholder=PLACEHOLDER, lines=3, max_lines=6,
            max_length=MAX_PROMPT_CHARACTERS, elem_id="mg-prompt",
        ))  # fmt: skip

    def duration(self) -> gr.Slider:
        spec = self._fields["duration_s"]
        return self._keep("duration", gr.Slider(
            1, spec.maximum or 1, value=spec.default, step=1, label=LABELS["duration"],
            elem_id="mg-duration", buttons=[],
        ))  # fmt: skip

    def model(self) -> gr.Dropdown:
        choices = [(choice.label, choice.name) for choice in model_choices(self._settings)]
        return self._keep("model", gr.Dropdown(
            choices, value=choices[0][1], label="Model", filterable=False, elem_id="mg-model",
            info=words_of(self._settings, choices[0][1]),
        ))  # fmt: skip

    def sound(self, how: str) -> gr.Audio:
        """In sight where the model can follow it."""
        return self._keep(how, gr.Audio(
            label=LABELS[how], type="filepath", sources=["upload", "microphone"],
            interactive=True, visible=self._first.follows(how), elem_id=f"mg-{how}", buttons=[],
        ))  # fmt: skip

    def style_guidance(self) -> gr.Slider:
        spec = self._fields["style_guidance"].narrowed(default=usual_style_guidance())
        slider = _widget(spec)
        slider.visible = self._first.follows("style")
        return self._keep(spec.name, slider)

    def loras(self) -> gr.Dropdown | None:
        """Where there are any in `loras/` when the page is made."""
        names = known_adapters(model_folders())
        if not names:
            return None
        return self._keep("loras", gr.Dropdown(
            names, value=[], multiselect=True, max_choices=MAX_LORAS, allow_custom_value=True,
            label=LABELS["loras"], info=self._fields["loras"].tooltip, elem_id="mg-loras",
        ))  # fmt: skip

    def seed(self) -> gr.Number:
        """−1 stands for a random one; the page's switch sets it."""
        return self._keep("seed", gr.Number(-1, label="Seed", elem_id="mg-seed"))

    def variations(self) -> gr.Radio:
        spec = self._fields["variations"]
        takes = list(range(int(spec.minimum or 1), int(spec.maximum or 1) + 1))
        radio = gr.Radio(takes, value=spec.default, label="Variations", elem_id="mg-variations")
        return self._keep("variations", radio)

    def negative(self) -> gr.Textbox:
        return self._keep("negative", gr.Textbox(
            label=LABELS["negative"], elem_classes="mg-wide", placeholder="vocals, noise …",
            max_length=MAX_PROMPT_CHARACTERS,
        ))  # fmt: skip

    def as_declared(self, field: str) -> Any:
        """Whatever suits what the node declares."""
        spec = self._fields[field]
        return self._keep(spec.name, _widget(spec))

    def loudness(self) -> gr.Slider:
        with gr.Row(elem_id="mg-loudness-row"):
            words = "All takes equally loud, peaks at most −1 dBTP."
            self._keep(LOUD, gr.Checkbox(True, label="Even loudness", info=words))
            spec = self._fields["loudness_lufs"].narrowed(
                default=USUAL_LUFS, tooltip="−14 is usual for streaming."
            )
            return self._keep("loudness", _widget(spec))


def _widget(spec: InputSpec) -> Any:
    label = LABELS.get(spec.name, spec.name.replace("_", " ").capitalize())
    return widget(spec.widget(spec.default), label)
