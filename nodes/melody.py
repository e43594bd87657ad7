"""A melody for a conditioning: sound → pitch classes."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from . import host, wires

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.compose.timeline import Timeline
    from ..models.mix import AnyMix

log = logging.getLogger("musicgraph")


class MusicGenMelody:
    DESCRIPTION = (
        "Lets a melody model follow a tune: takes the pitch classes of a sound (which of the "
        "twelve notes is loudest, eight times a second) and adds them to a conditioning. The "
        "sound says what is played, the text how. The picture shows what the model hears."
    )
    TITLE = "MusicGen Melody"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["chroma", "melody conditioning", "hum to music", "follow a tune"]
    RETURN_TYPES = (wires.CONDITIONING, "IMAGE")
    RETURN_NAMES = ("conditioning", "image")
    OUTPUT_TOOLTIPS = (
        "The texts to the melody; goes to MusicGen Sampler's positive.",
        "What the model hears: time from left to right, the twelve notes from C upwards. One "
        "picture for each melody.",
    )
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (
                    wires.MODEL,
                    {"tooltip": "From Load MusicGen: a melody model, such as "
                     "facebook/musicgen-melody. The same as the sampler's."},
                ),
                "conditioning": (
                    wires.CONDITIONING,
                    {"tooltip": "From MusicGen Text Encode. An empty text follows the melody "
                     "alone."},
                ),
                "audio": (
                    "AUDIO",
                    {"tooltip": "The melody: hummed, played or a whole song. A short one is "
                     "repeated."},
                ),
                "separate": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Leave out drums and bass first, as for a whole song. Needs "
                        "demucs-infer (pip install 'musicgraph[melody]'). A melody that stands "
                        "alone needs it not.",
                    },
                ),
            }
        }  # fmt: skip

    def add(
        self,
        model: wires.Model,
        conditioning: AnyMix | Timeline,
        audio: dict[str, Any],
        separate: bool,
    ) -> tuple[AnyMix | Timeline, Tensor]:
        import torch

        from ..models import chroma
        from ..models.conditioning import check_hears

        check_hears("melody", model.config)
        heard = wires.read_conditioning(conditioning, "conditioning")
        heard.check_fits(model.config)
        waveform, rate = wires.checked_audio(audio)
        size = chroma.picture_size(model.config)
        host.current_run().limits.check_pictures(len(waveform), *size)
        if separate:
            waveform, rate = host.stoppable(partial(_separated, waveform, rate))
        _warn_of_silence(waveform)
        melody = chroma.melody_of(waveform, rate, model.config)
        pictures = [chroma.piano_roll(one) for one in melody.chroma]
        return heard.with_melody(melody), torch.stack(pictures)


def _separated(waveform: Tensor, rate: int, on_progress: host.OnProgress) -> tuple[Tensor, int]:
    from ..models.separation import vocals_and_other

    host.say("taking the mix apart, to hear vocals and other instruments")
    fetch = host.may_download_separator()
    return vocals_and_other(waveform, rate, host.default_device(), on_progress, fetch)


def _warn_of_silence(waveform: Tensor) -> None:
    from ..models import dsp

    if any(dsp.peak_db(sound) <= dsp.SILENCE_DB for sound in waveform):
        log.warning("MusicGen Melody: silence; it is heard as no melody at all")
        host.show("the melody is silence, which is heard as none")


NODES = (MusicGenMelody,)
