"""What flows between nodes: the three parts of a checkpoint, and checked readings of AUDIO and
AUDIO_TOKENS dicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.refused import Refused

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..models.compose.timeline import Timeline
    from ..models.config import LMConfig
    from ..models.encodec import Codec
    from ..models.engines.choose import EngineChoice
    from ..models.mix import AnyMix
    from ..models.style import StyleEncoder
    from ..models.text import TextEncoder
    from ..models.weights.contract import Weights
    from .host import Resident
    from .resident_engine import ResidentEngine

MODEL = "MUSICGEN_MODEL"
TEXT_ENCODER = "MUSICGEN_TEXT_ENCODER"
CODEC = "ENCODEC"
CONDITIONING = "MUSICGEN_CONDITIONING"
TOKENS = "AUDIO_TOKENS"
MAX_SAMPLE_RATE = 768_000


@dataclass(frozen=True)
class Model:
    """MUSICGEN_MODEL"""

    source: ResidentEngine
    config: LMConfig
    name: str
    choice: EngineChoice
    """engine, precision and device"""
    device: torch.device
    weights: Weights
    """what `source` loads, for adapters to be put on"""
    style: Resident[StyleEncoder] | None = None
    """what hears a style, of a style model"""
    codec: CodecPart | None = None
    """what the sampler's picture is decoded with"""


@dataclass(frozen=True)
class TextEncoderPart:
    """MUSICGEN_TEXT_ENCODER"""

    encoder: Resident[TextEncoder]
    weights: Weights
    """what it was loaded from, for adapters to be put on"""


@dataclass(frozen=True)
class CodecPart:
    """ENCODEC. `num_codebooks` and `channels` are those of the model it came with."""

    codec: Resident[Codec]
    num_codebooks: int
    channels: int


def audio_tokens(tokens: Tensor, config: LMConfig, open_end: bool) -> dict[str, Any]:
    """AUDIO_TOKENS from `[B, K, T]`.

    `open_end`: generated up to its end, so that a continuation settles the last frames.
    """
    return {
        "tokens": tokens,
        "frame_rate": config.frame_rate,
        "codebook_size": config.codebook_size,
        "channels": config.channels,
        "sample_rate": config.sample_rate,
        "open_end": open_end,
    }


def checked_audio(audio: object) -> tuple[Tensor, int]:
    """`[B, C, samples]` and sample rate of an AUDIO.

    Raises Refused if there is no sound: newer ComfyUI passes None for a video without an audio
    track.
    """
    import torch

    if audio is None:
        raise Refused(
            "audio",
            got="nothing",
            expected="AUDIO",
            remedy="connect a sound (a video without an audio track has none)",
        )
    if (
        not isinstance(audio, dict)
        or not isinstance(audio.get("waveform"), torch.Tensor)
        or "sample_rate" not in audio
    ):
        raise Refused(
            "audio",
            got=type(audio).__name__,
            expected="AUDIO with 'waveform' and 'sample_rate'",
            remedy="connect an AUDIO output",
        )
    waveform, rate = audio["waveform"], audio["sample_rate"]
    _check_waveform(waveform)
    if not isinstance(rate, (int, float)) or not 1 <= rate <= MAX_SAMPLE_RATE:
        raise Refused(
            "audio",
            got=f"a sample rate of {rate!r}",
            expected=f"1 to {MAX_SAMPLE_RATE} Hz",
            remedy="check the node before this one",
        )
    return waveform.to("cpu", torch.float32), int(rate)


def _check_waveform(waveform: Tensor) -> None:
    import torch

    if waveform.dim() != 3 or 0 in waveform.shape:
        raise Refused(
            "audio",
            got=f"a waveform of shape {list(waveform.shape)}",
            expected="[batch, channels, samples], none of them 0",
            remedy="choose a sound that is not empty",
        )
    if not torch.isfinite(waveform).all():
        raise Refused(
            "audio",
            got="samples that are NaN or infinite",
            expected="numbers",
            remedy="check the node before this one",
        )


def read_conditioning(heard: object, what: str) -> AnyMix | Timeline:
    """What MUSICGEN_CONDITIONING carries: one conditioning, a mix, or either over time.

    Raises Refused for anything else.
    """
    from ..models.compose.timeline import Timeline
    from ..models.conditioning import Conditioning
    from ..models.mix import Mix

    if not isinstance(heard, (Conditioning, Mix, Timeline)):
        raise Refused(
            what,
            got=type(heard).__name__,
            expected="MUSICGEN_CONDITIONING",
            remedy="connect MusicGen Text Encode",
        )
    return heard


def read_steady(heard: object, what: str) -> AnyMix:
    """A conditioning that does not change over time. Raises Refused for one that does."""
    from ..models.compose.timeline import Timeline

    read = read_conditioning(heard, what)
    if isinstance(read, Timeline):
        raise Refused(
            what,
            got="a schedule",
            expected="a conditioning that does not change",
            remedy="put MusicGen Schedule last, before the sampler's positive",
        )
    return read


def codec_of(part: CodecPart, tokens: dict[str, Any]) -> Codec:
    """The codec, if these tokens are its own kind. Raises Refused otherwise."""
    codec = part.codec.ready()
    ours = (codec.codebook_size, codec.sample_rate)
    theirs = (tokens["codebook_size"], tokens["sample_rate"])
    if ours != theirs:
        raise Refused(
            "tokens",
            got=f"codebooks of {theirs[0]} at {theirs[1]} Hz",
            expected=f"{ours[0]} at {ours[1]} Hz",
            remedy="connect the codec of the checkpoint that made the tokens",
        )
    return codec


def read_tokens(tokens: object) -> tuple[Tensor, dict[str, Any]]:
    """`[B, K, T]` and the whole dict of an AUDIO_TOKENS. Raises Refused for anything else."""
    import torch

    described = ("frame_rate", "codebook_size", "channels", "sample_rate")
    if (
        not isinstance(tokens, dict)
        or not isinstance(tokens.get("tokens"), torch.Tensor)
        or tokens["tokens"].dtype != torch.int64
        or any(name not in tokens for name in described)
    ):
        raise Refused(
            "tokens",
            got=type(tokens).__name__,
            expected=f"AUDIO_TOKENS (int64 tokens, {', '.join(described)})",
            remedy="connect a sampler or EnCodec Encode",
        )
    values = tokens["tokens"]
    if values.dim() != 3 or 0 in values.shape:
        raise Refused(
            "tokens",
            got=f"shape {list(values.shape)}",
            expected="[batch, codebooks, frames], none of them 0",
        )
    for name in ("codebook_size", "channels", "sample_rate"):
        if type(tokens[name]) is not int or tokens[name] < 1:
            raise Refused(
                "tokens",
                got=f"{name} {tokens[name]!r}",
                expected="a whole number above 0",
                remedy="check the node before this one",
            )
    return values, tokens
