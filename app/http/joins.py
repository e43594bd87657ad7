"""What a body says of a recording that came with it, and of a loop: fields of a Request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...models.refused import Refused
from ...nodes.fade import CUT
from ...workflows.inputs import BadInput, InputSpec
from ...workflows.media.audio import probe_audio
from ..studio.recordings import check_alone, continued, looped, repainted, unheard_beside_repaint

RECORDING = "audio"
"""the part of a form that is continued or repainted"""
RECORDING_WORDS = (
    "A recording that the music goes on from; with repaint, what a part is made anew of."
)


def joins_of(
    values: Mapping[str, Any], recording: Path | None, duration: InputSpec
) -> dict[str, Any]:
    """From the fields of a body, by their keys in `all_fields`. `duration`: what is allowed here.

    Raises Refused for what cannot be together, and for a recording that is none.
    """
    _check_companions(values, recording)
    repaint, loop = values.get("region"), values.get("bars")
    if recording is not None:
        check_alone("audio", {"loop": bool(loop)})
        _check_is_sound(recording)
        if not repaint:
            return continued(recording, values["continue_from"], values["duration_s"])
        check_alone("repaint", unheard_beside_repaint(values))
        return repainted(recording, repaint)
    if loop:
        ends = values["ending"] != CUT
        check_alone("loop", {"fade": bool(values["fade_s"]), "ending": ends})
        fields = looped(loop, values["bpm"], f"{values['prompt']} {values['schedule']}")
        duration.read_exactly(fields["duration_s"])
        return fields
    return {}


def _check_is_sound(path: Path) -> None:
    """Raises BadInput without the path, which is ours."""
    try:
        probe_audio(path)
    except Refused as error:
        raise BadInput(
            "invalid_input_type", "the value is no sound", "audio",
            got=str(error.got), expected=str(error.expected), remedy="send a sound file",
        ) from error  # fmt: skip


def _check_companions(values: Mapping[str, Any], recording: Path | None) -> None:
    for key, name, beside, wanted in (
        ("continue_from", "continue_from", recording, "audio"),
        ("region", "repaint", recording, "audio"),
        ("bpm", "bpm", values.get("bars"), "loop"),
    ):
        if values.get(key) not in (None, "") and not beside:
            raise BadInput(
                "invalid_input_type", "the value has nothing to stand beside", name,
                got=f"no {wanted}", expected="it beside one", remedy=f"send {wanted} too",
            )  # fmt: skip
