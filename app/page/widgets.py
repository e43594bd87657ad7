"""What an input is set with on the page: Gradio's component for what the node declares of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from ...workflows.inputs import WidgetFacts

MANY = 12
"""choices, from which on typing finds one sooner than looking"""


def widget(facts: WidgetFacts, label: str = "") -> Any:
    """The component. Ranges are the node's; whoever reads the values checks them again."""
    common = {"label": label or facts.label, "info": facts.info or None, "interactive": True}
    if facts.kind == "audio":
        return _audio(facts, common["label"])
    if facts.kind == "choice":
        choices = list(dict.fromkeys([*facts.choices, facts.value]))
        return gr.Dropdown(choices, value=facts.value, filterable=len(choices) > MANY, **common)
    if facts.kind == "check":
        return gr.Checkbox(bool(facts.value), **common)
    if facts.kind == "slider":
        return _slider(facts, common)
    if facts.kind in ("whole", "number"):
        return gr.Number(facts.value, **common)
    return gr.Textbox(str(facts.value), lines=facts.lines, elem_classes="mg-wide", **common)


def _audio(facts: WidgetFacts, label: str) -> gr.Audio:
    return gr.Audio(
        label=f"{label}: upload or record (the graph names {facts.value})",
        type="filepath",
        sources=["upload", "microphone"],
        interactive=True,
        elem_classes="mg-wide",
    )


def _slider(facts: WidgetFacts, common: Mapping[str, Any]) -> gr.Slider:
    assert facts.minimum is not None and facts.maximum is not None, "else it is no slider"
    whole = isinstance(facts.minimum, int) and isinstance(facts.maximum, int) and not facts.step
    step = facts.step or (1 if whole else 0.01)
    return gr.Slider(
        facts.minimum, facts.maximum, value=facts.value, step=step, buttons=[], **common
    )
