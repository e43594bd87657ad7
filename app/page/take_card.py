"""One finished piece of music on the page: player, picture, downloads, and its settings back into
the form.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ..studio.sounds import SOUNDS
from .form import Form
from .shelf import Take

WAVE, WAVE_PLAYED = "#c9bcd4", "#cf3f7c"


def player(path: Path, label: str) -> gr.Audio:
    return gr.Audio(
        path, label=label, show_label=False, interactive=False, buttons=[], container=False,
        waveform_options=gr.WaveformOptions(
            waveform_color=WAVE, waveform_progress_color=WAVE_PLAYED
        ),
    )  # fmt: skip


def take_card(
    take: Take,
    form: Form,
    *,
    restore_label: str,
    is_new: bool = False,
    on_delete: Callable[..., Any] | None = None,
    deleted: list[Any] | None = None,
) -> None:
    """To be called inside gr.render.

    `form` gets the settings back; `on_delete` is told of the press.
    """
    with gr.Column(elem_classes="mg-take", key=f"take-{take.id}"):
        gr.HTML(_heading(take, settings_too=not is_new))
        player(take.files[0], f"Player: {take.title[:60]}")
        gr.HTML(_picture(take))
        with gr.Row(elem_classes="mg-actions"):
            for path in take.files:
                gr.DownloadButton(path.suffix.removeprefix(".").upper(), value=path, size="sm")
            restore = gr.Button(restore_label, size="sm", elem_classes="mg-restore")
            restore.click(
                lambda: form.updates(take.request),
                None,
                form.outputs(),
                queue=False,
                api_visibility="private",
                show_progress="hidden",
            )
            if on_delete is not None:
                delete = gr.Button("Delete", size="sm", variant="stop")
                delete.click(
                    on_delete, None, deleted, api_visibility="private", show_progress="hidden"
                )


def _picture(take: Take) -> str:
    """Inside the page, so that no address leads to it."""
    data = base64.b64encode(take.picture.read_bytes()).decode()
    words = html.escape(f"Waveform above mel spectrogram of: {take.title[:80]}")
    return f'<img class="mg-picture" src="data:image/jpeg;base64,{data}" alt="{words}">'


def _heading(take: Take, settings_too: bool) -> str:
    title = f'<div class="mg-title"><b>{html.escape(take.title)}</b>'
    facts = f"{take.duration_s:.1f} s · seed {take.request.seed}"
    chips = f'<div class="mg-settings-list">{"".join(_chips(take))}</div>' if settings_too else ""
    return f"{title}<span>{facts}</span></div>{chips}"


def _chips(take: Take) -> list[str]:
    request = take.request
    facts = [
        request.model.rpartition("/")[2],
        *(f"LoRA {lora}" for lora in request.loras),
        *(f"{how}: {Path(sound).name}" for how in SOUNDS if (sound := getattr(request, how))),
        take.engine,
        f"guidance {request.cfg:g}",
        f"temperature {request.temperature:g}",
    ]
    facts.append(f"top-p {request.top_p:g}" if request.top_p else f"top-k {request.top_k}")
    facts += [f"not: {request.negative}"] if request.negative.strip() else []
    facts += [f"{request.loudness_lufs:g} LUFS"] if request.loudness_lufs is not None else []
    return [f"<span>{html.escape(fact)}</span>" for fact in facts]
