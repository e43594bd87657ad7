"""A style for a conditioning: sound → a few vectors that say how it sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import host, wires

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.compose.timeline import Timeline
    from ..models.mix import AnyMix
    from ..models.style import StyleEncoder


class MusicGenStyle:
    DESCRIPTION = (
        "Lets a style model make music in the manner of a sound: takes a few seconds of it, hears "
        "instruments, mood and groove rather than notes, and adds them to a conditioning. Text and "
        "style may be mixed. Also gives the excerpt that was heard."
    )
    TITLE = "MusicGen Style"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["style conditioning", "sounds like", "reference audio", "mert"]
    RETURN_TYPES = (wires.CONDITIONING, "AUDIO")
    RETURN_NAMES = ("conditioning", "excerpt")
    OUTPUT_TOOLTIPS = (
        "The texts in the style; goes to MusicGen Sampler's positive.",
        "What the model heard of each sound: mono, 24 kHz.",
    )
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        eval_q = {"default": 3, "min": 1, "max": 6, "advanced": True}
        length = {"default": 3.0, "min": 1.5, "max": 4.5, "step": 0.1, "advanced": True}
        seed = {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}
        guidance = {"default": 5.0, "min": 1.0, "max": 9.0, "step": 0.5}
        return {
            "required": {
                "model": (
                    wires.MODEL,
                    {"tooltip": "From Load MusicGen: a style model, such as "
                     "facebook/musicgen-style. The same as the sampler's."},
                ),
                "conditioning": (
                    wires.CONDITIONING,
                    {"tooltip": "From MusicGen Text Encode. An empty text follows the style "
                     "alone."},
                ),
                "audio": (
                    "AUDIO",
                    {"tooltip": "A sound in that style, at least as long as the excerpt."},
                ),
                "eval_q": (
                    "INT",
                    eval_q | {"tooltip": "How closely the style is heard: with 1 vaguely, with 6 "
                              "as closely as the model can."},
                ),
                "excerpt_length": (
                    "FLOAT",
                    length | {"tooltip": "How much of the sound is heard, in seconds."},
                ),
                "seed": (
                    "INT",
                    seed | {"tooltip": "Where in the sound the excerpt is taken; item i of a batch "
                            "uses seed + i."},
                ),
                "style_guidance": (
                    "FLOAT",
                    guidance | {"tooltip": "How much the text counts beside the style, where there "
                                "are both: 1 as they are, 5 is usual. Above 1 a step costs half as "
                                "much again."},
                ),
            }
        }  # fmt: skip

    def add(
        self,
        model: wires.Model,
        conditioning: AnyMix | Timeline,
        audio: dict[str, Any],
        eval_q: int,
        excerpt_length: float,
        seed: int,
        style_guidance: float,
    ) -> tuple[AnyMix | Timeline, dict[str, Any]]:
        from ..models import style
        from ..models.conditioning import Style, check_hears

        check_hears("style", model.config)
        told = wires.read_conditioning(conditioning, "conditioning")
        told.check_fits(model.config)
        assert model.style is not None
        mert = model.style.module.config.mert
        waveform, rate = wires.checked_audio(audio)
        heard = style.excerpts(waveform, rate, excerpt_length, seed, mert)
        _say_silence(heard)
        states = _encoded(model.style.ready(), heard, eval_q)
        excerpt = {"waveform": heard.unsqueeze(1), "sample_rate": mert.sample_rate}
        return told.with_style(Style(states, style_guidance)), excerpt


def _encoded(encoder: StyleEncoder, heard: Tensor, levels: int) -> Tensor:
    """Sound by sound, between which a stop is heard."""
    import torch

    progress, states = host.Progress(len(heard)), []
    for one in heard.split(1):
        states.append(encoder.encode(one, levels))
        progress.update(len(states))
    return torch.cat(states)


def _say_silence(heard: Tensor) -> None:
    from ..models import dsp

    if any(dsp.peak_db(sound) <= dsp.SILENCE_DB for sound in heard.split(1)):
        host.say("the excerpt is silence: another seed takes another one")


NODES = (MusicGenStyle,)
