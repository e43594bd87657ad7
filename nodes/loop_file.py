"""A node that saves a loop, with its points."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..models.bars import NEARLY, Bars
from ..models.disk.files import replace_file
from ..models.refused import Refused
from . import host, names, wires
from .graph_tags import HIDDEN, item_tags

log = logging.getLogger("musicgraph")

SUFFIX = ".wav"


def bars_inputs() -> dict[str, Any]:
    """How long a loop is, as `Bars` has it."""
    bpm = {"default": 120.0, "min": 20.0, "max": 400.0, "step": 0.1}
    words = "Beats a minute, as the music has them: Audio Analyse says how many."
    return {
        "bars": ("INT", {"default": 4, "min": 1, "max": 64, "tooltip": "Of the loop."}),
        "bpm": ("FLOAT", bpm | {"tooltip": words}),
        "beats": ("INT", {"default": 4, "min": 1, "max": 16, "tooltip": "Of a bar."}),
    }


class AudioLoopSave:
    DESCRIPTION = (
        "Saves a loop as WAV (16 bits) into the output folder, with its loop points (smpl) and its "
        "tempo (acid), so that samplers and sequencers play it over and over in time."
    )
    TITLE = "Audio Loop Save"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["save wav loop", "acidized wav", "loop points", "sample pack"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The same sound.",)
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "All of it is the loop: from Audio Tokens Loop."}),
                **bars_inputs(),
                "filename_prefix": (
                    "STRING",
                    {
                        "default": "audio/loop",
                        "tooltip": "Folder and name within the output folder; a number follows.",
                    },
                ),
            },
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        try:
            names.check_prefix(filename_prefix or "", host.data_folders()["output"], SUFFIX)
        except Refused as error:
            return str(error)
        return True

    def save(
        self,
        audio: dict[str, Any],
        bars: int,
        bpm: float,
        beats: int,
        filename_prefix: str,
        prompt: Mapping[str, Any] | None = None,
        extra_pnginfo: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        from ..models.loop_file import loop_wav

        waveform, rate = wires.checked_audio(audio)
        length, saved = Bars(bars, bpm, beats), []
        _check_length(waveform.shape[2], length, rate)
        peak = max(1.0, float(waveform.abs().max()))
        if peak > 1:
            log.warning("Audio Loop Save: peaks above full scale; scaled by %.3f", 1 / peak)
        folder = host.data_folders()["output"]
        for item, sound in enumerate(waveform / peak):
            tags = item_tags(prompt, extra_pnginfo, item, len(waveform))
            directory, subfolder, name, number = names.save_place(filename_prefix, folder, SUFFIX)
            filename = f"{name}_{number:05}{SUFFIX}"
            replace_file(directory / filename, loop_wav(sound.T.numpy(), rate, length, tags))
            saved.append({"filename": filename, "subfolder": subfolder, "type": "output"})
        return {"ui": {"audio": saved}, "result": (audio,)}


def _check_length(samples: int, asked: Bars, rate: int) -> None:
    """Audio Tokens Loop makes loops at the music's own tempo, which may be another one."""
    expected = asked.samples(rate)
    if not expected / (1 + NEARLY) - 1 <= samples <= expected / (1 - NEARLY) + 1:
        raise Refused(
            "audio",
            got=f"{samples} samples",
            expected=f"about {expected}, as these bars have at {rate} Hz",
            remedy="connect the sound of Audio Tokens Loop, and give the same bars, bpm and beats",
        )


NODES = (AudioLoopSave,)
