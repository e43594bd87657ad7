"""What a sampler's node shows while it works: the sound so far.

Frames are decoded when a picture is due, and the sound is kept beside the tokens: EnCodec Decode,
given these very tokens and this codec, hands it on instead of decoding them again. So a picture
costs a run little more than its drawing (`benchmarks/live_picture.py`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import host, wires

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.encodec import Codec

DECODED = "decoded"
"""where AUDIO_TOKENS have what `Decoded` is"""
REST = 100
"""a picture is drawn when so many times the time that the last one took has gone by"""
MOST_SAMPLES = 30_000_000
"""beyond it sound is not kept, and nothing is drawn"""


@dataclass(frozen=True)
class Decoded:
    """The sound of tokens."""

    tokens: Tensor
    """the very tensor; tokens that were cut or joined are another one"""
    codec: host.Resident[Codec]
    waveform: Tensor


def already_decoded(part: wires.CodecPart, tokens: dict[str, Any]) -> Tensor | None:
    """The sound of these tokens `[B, C, samples]`, if this codec decoded them while they came."""
    kept = tokens.get(DECODED)
    if isinstance(kept, Decoded) and kept.tokens is tokens["tokens"] and kept.codec is part.codec:
        return kept.waveform
    return None


def picture_for(model: wires.Model, items: int, frames: int) -> LivePicture | None:
    """None where nobody looks, and where the sound would be too long to be kept."""
    part = model.codec
    if part is None or not host.shows_pictures():
        return None
    codec = part.codec.ready()
    if items * part.channels * frames * codec.hop > MOST_SAMPLES:
        return None
    return LivePicture(part, codec, frames)


class LivePicture:
    """Of the first item of a batch."""

    def __init__(self, part: wires.CodecPart, codec: Codec, frames: int):
        from ..models.encodec import CodecStream
        from ..models.growing_picture import GrowingPicture

        self._part, self._pieces = part, []
        self._waiting: list[Tensor] = []
        """frames that are not decoded: many at once find the codec's weights in the cache"""
        self._stream = CodecStream(codec, part.channels)
        self._picture = GrowingPicture(frames * codec.hop, codec.sample_rate)
        self._next_s = 0.0

    def push(self, tokens: Tensor, progress: host.Progress) -> None:
        """Frames `[B, K, t]` that have just come; perhaps shows a new picture."""
        self._waiting.append(tokens)
        if time.perf_counter() < self._next_s:
            return
        self._decode()
        now = time.perf_counter()
        progress.show(self._picture.draw())
        took = time.perf_counter() - now
        self._next_s = now + took * (1 + REST)

    def close(self, tokens: Tensor, progress: host.Progress) -> Decoded:
        """`tokens`: all that were pushed, as they go out. Shows the last picture."""
        import torch

        self._decode()
        self._keep(self._stream.close())
        progress.show(self._picture.draw())
        return Decoded(tokens, self._part.codec, torch.cat(self._pieces, dim=2))

    def _decode(self) -> None:
        import torch

        if self._waiting:
            self._keep(self._stream.push(torch.cat(self._waiting, dim=2)))
            self._waiting.clear()

    def _keep(self, sound: Tensor) -> None:
        if sound.shape[2]:
            self._pieces.append(sound)
            self._picture.push(sound[0])
