"""AUDIO ⇄ tokens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import host, live_picture, wires

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.encodec import CodecStream

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
        from ..models.encodec import BLOCK_FRAMES

        values, described = wires.read_tokens(tokens)
        known = live_picture.already_decoded(codec, tokens)
        if known is not None:
            return ({"waveform": known, "sample_rate": described["sample_rate"]},)
        stream, progress = DecodeStream(codec), host.Progress(values.shape[2])
        for start in range(0, values.shape[2], BLOCK_FRAMES):
            block = values[:, :, start : start + BLOCK_FRAMES]
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
            }
        }

    def encode(self, codec: wires.CodecPart, audio: dict[str, Any]) -> tuple[dict[str, Any]]:
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
        tokens = encoder.encode(waveform, codec.num_codebooks)
        described = {
            "tokens": tokens,
            "frame_rate": encoder.frame_rate,
            "codebook_size": encoder.codebook_size,
            "channels": codec.channels,
            "sample_rate": encoder.sample_rate,
            "open_end": False,
        }
        return (described,)


NODES = (EnCodecDecode, EnCodecEncode)
