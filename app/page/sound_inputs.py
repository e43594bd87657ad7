"""Sounds that the music may follow: an input for each kind, in sight where the chosen model follows
it, and a picture of the tune that a melody model hears.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gradio as gr

from ...models.refused import Refused
from ..studio.models import permitted
from ..studio.settings import AppSettings
from ..studio.sounds import SOUNDS
from .form import FormBuilder

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("musicgraph")

QUIET = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}


def build_sounds(builder: FormBuilder, settings: AppSettings, model: gr.Dropdown) -> None:
    """Below the menu of models, whose choice decides what is in sight."""
    inputs = [builder.sound(how) for how in SOUNDS]
    guidance = builder.style_guidance()
    picture = gr.Image(
        visible=False, interactive=False, show_label=False, buttons=[], height=120,
        elem_id="mg-tune", container=False,
    )  # fmt: skip

    def show(name: str) -> list[Any]:
        seen = dict(zip(SOUNDS, followed_by(settings, name), strict=True))
        drawn = gr.skip() if seen["melody"] else gr.update(value=None, visible=False)
        return [*map(_in_sight, seen.values()), gr.update(visible=seen["style"]), drawn]

    def hear(path: str | None, name: str) -> Any:
        drawn = None if path is None else draw_tune(path, settings, name)
        return gr.update(value=drawn, visible=drawn is not None)

    model.change(show, model, [*inputs, guidance, picture], **QUIET)
    melody = inputs[SOUNDS.index("melody")]
    melody.change(hear, [melody, model], picture, **{**QUIET, "queue": True})


def followed_by(settings: AppSettings, name: str) -> list[bool]:
    """Whether a model of the menu follows each of SOUNDS."""
    try:
        offer = permitted(settings, name, downloads=True)
    except Refused:  # it has gone since the menu was made; Generate says so
        return [False for _ in SOUNDS]
    return [offer.follows(how) for how in SOUNDS]


def _in_sight(seen: bool) -> Any:
    """What is out of sight holds nothing that would be sent all the same."""
    return gr.update(visible=True) if seen else gr.update(visible=False, value=None)


def draw_tune(path: str, settings: AppSettings, name: str) -> np.ndarray | None:
    """`[height, width, 3]` of bytes: what that model hears of a sound; None where it cannot be told
    before Generate: a sound that is none, a model that is not here yet.
    """
    from ...models.chroma import melody_of, piano_roll
    from ...models.weights.checkpoint import open_checkpoint
    from ...workflows.media.audio import read_audio

    try:
        offer = permitted(settings, name, follows="melody", downloads=True)
        if offer.folder is None:
            return None
        config = open_checkpoint(offer.folder).config.lm
        waveform, rate = read_audio(path)
    except Refused as error:
        log.debug("no picture of the tune: %s", error)
        return None
    melody = melody_of(waveform.unsqueeze(0), rate, config)
    return (piano_roll(melody.chroma[0]) * 255).byte().numpy()
