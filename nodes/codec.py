"""AUDIO ⇄ tokens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..models.refused import Refused
from . import host, live_picture, wires

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.encodec import Codec, CodecStream

log = logging.getLogger("musicgraph")


class EnCodecDecode:
    DESCRIPTION = (
        "Turns EnCodec tokens into sound, piece by piece, so that memory does not grow with length."
    )
    TITLE = "EnCodec Decode"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["tokens to audio", "vae decode audio"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The sound, at the codec's own sample rate; goes to any audio node.",)
    FUNCTION = "decode"
    STREAM_INPUT = "tokens"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "codec": (
                    wires.CODEC,
                    {"tooltip": "From Load MusicGen: of the checkpoint that made the tokens."},
                ),
                "tokens": (wires.TOKENS, {"tooltip": "From MusicGen Sampler or EnCodec Encode."}),
            }
        }

    def decode(self, codec: wires.CodecPart, tokens: dict[str, Any]) -> tuple[dict[str, Any]]:
        from ..models.encodec import MOST_FRAMES

        values, described = wires.read_tokens(tokens)
        known = live_picture.already_decoded(codec, tokens)
        if known is not None:
            return ({"waveform": known, "sample_rate": described["sample_rate"]},)
        stream, progress = DecodeStream(codec), host.Progress(values.shape[2])
        for start in range(0, values.shape[2], MOST_FRAMES):
            block = values[:, :, start : start + MOST_FRAMES]
            stream.push({**described, "tokens": block})
            progress.update(start + block.shape[2])
        return stream.close()

    def open_stream(self, codec: wires.CodecPart) -> DecodeStream:
        """A decoder to be fed by the runner while the sampler is still at work; gives the same
        samples as `decode`.
        """
        return DecodeStream(codec)


class DecodeStream:
    def __init__(self, part: wires.CodecPart):
        self._part = part
        self._stream: CodecStream | None = None
        self._pieces: list[Tensor] = []

    def push(self, tokens: dict[str, Any]) -> dict[str, Any] | None:
        """AUDIO of the samples that these AUDIO_TOKENS make certain; None if there are none yet."""
        from ..models.encodec import CodecStream

        values, described = wires.read_tokens(tokens)
        if self._stream is None:
            self._stream = CodecStream(wires.codec_of(self._part, described), described["channels"])
        piece = self._stream.push(values)
        self._pieces.append(piece)
        return self._audio(piece) if piece.shape[2] else None

    def close(self) -> tuple[dict[str, Any]]:
        """The node's result: all of the sound. At least one push comes before it."""
        import torch

        assert self._stream is not None
        self._pieces.append(self._stream.close())
        return (self._audio(torch.cat(self._pieces, dim=2)),)

    def _audio(self, waveform: Tensor) -> dict[str, Any]:
        return {"waveform": waveform, "sample_rate": self._part.codec.module.sample_rate}


class EnCodecEncode:
    DESCRIPTION = (
        "Turns sound into EnCodec tokens, to be continued by MusicGen Sampler or edited as "
        "tokens. Resamples and mixes "
        "channels to what the codec needs."
    )
    TITLE = "EnCodec Encode"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["audio to tokens", "vae encode audio"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = (
        "The sound as tokens; goes to MusicGen Sampler's audio_prompt or EnCodec Decode.",
    )
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "codec": (wires.CODEC, {"tooltip": "From Load MusicGen."}),
                "audio": (
                    "AUDIO",
                    {
                        "tooltip": "Any sound: its rate and channels are converted, and the log "
                        "says so."
                    },
                ),
            },
            "optional": {
                "until": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": 4000.0,
                        "step": 0.01,
                        "tooltip": "Keep what lies before this second, in whole frames, as a "
                        "continuation wants it. 0: all of it, the last frame filled with silence.",
                    },
                )
            },
        }

    def encode(
        self, codec: wires.CodecPart, audio: dict[str, Any], until: float = 0.0
    ) -> tuple[dict[str, Any]]:
        from ..models import dsp

        waveform, rate = wires.checked_audio(audio)
        encoder = codec.codec.ready()
        if rate != encoder.sample_rate or waveform.shape[1] != codec.channels:
            log.info(
                "EnCodec Encode: %d Hz, %d channel(s) → %d Hz, %d channel(s)",
                rate, waveform.shape[1], encoder.sample_rate, codec.channels,
            )  # fmt: skip
        waveform = dsp.resample(
            dsp.with_channels(waveform, codec.channels), rate, encoder.sample_rate
        )
        whole = _whole_frames(until, waveform.shape[2], encoder)
        waveform = waveform[:, :, : whole * encoder.hop + encoder.sample_rate if whole else None]
        tokens = encoder.encode(waveform, codec.num_codebooks)[:, :, : whole or None]
        described = {
            "tokens": tokens,
            "frame_rate": encoder.frame_rate,
            "codebook_size": encoder.codebook_size,
            "channels": codec.channels,
            "sample_rate": encoder.sample_rate,
            "open_end": False,
        }
        return (described,)


def _whole_frames(until_s: float, samples: int, codec: Codec) -> int:
    """Those before a second of a sound of so many samples; 0: it is not to be cut."""
    if not until_s:
        return 0
    length_s, rate = samples / codec.sample_rate, codec.frame_rate
    fits = 0 < until_s <= length_s + 1 / rate  # NaN fits nowhere
    whole = int(min(until_s, length_s) * rate + 1e-6) if fits else 0  # 0.58 · 50 is 28.99…
    if not whole:
        raise Refused(
            "until",
            got=f"{until_s:g} s of a sound of {length_s:.4g} s",
            expected="a time within it, a frame or more from its beginning",
            remedy="choose another one, or a longer sound",
        )
    return whole


NODES = (EnCodecDecode, EnCodecEncode)
