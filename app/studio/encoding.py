"""The bytes of music for an answer: several files in one, or one piece by piece while it is made.

By the one encoder (`workflows/media/encode.py`).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...workflows.media.audio import audio_bytes
from ...workflows.media.encode import Encoder
from ...workflows.media.formats import Format

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.bars import Bars
    from ...models.dsp import StreamLimiter


def zipped(
    format: Format,
    waveform: Tensor,
    sample_rate: int,
    tags: Sequence[Mapping[str, str]],
    loop: Bars | None = None,
) -> bytes:
    """Several items, float `[B, C, T]`, each with its tags, as music_1.wav … in a ZIP file.

    Sound does not shrink, so it is stored as it is.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for take, (item, own) in enumerate(zip(waveform, tags, strict=True), start=1):
            archive.writestr(
                f"music_{take}{format.suffix}",
                audio_bytes(format.suffix, item, sample_rate, own, loop),
            )
    return buffer.getvalue()


class SoundStream:
    """Encodes one item as it grows: `push` its pieces, then `close`.

    Both give what is ready by then.

    Peaks above full scale are turned down where they are: a whole file is scaled, but this one is
    not whole yet.
    """

    def __init__(self, suffix: str, tags: Mapping[str, str] | None = None):
        self._suffix, self._tags = suffix, tags
        self._encoder: Encoder | None = None
        self._limiter: StreamLimiter | None = None
        self.samples = 0
        """how many were pushed"""

    def push(self, waveform: Tensor, sample_rate: int) -> bytes:
        """The next samples, float `[C, N]`."""
        if not waveform.shape[-1]:
            return b""
        if self._encoder is None or self._limiter is None:
            from ...models.dsp import StreamLimiter

            channels = waveform.shape[0]
            self._encoder = Encoder(self._suffix, sample_rate, channels, tags=self._tags)
            self._limiter = StreamLimiter(1.0, sample_rate)
        self.samples += waveform.shape[-1]
        return self._encoder.push(self._limiter.push(waveform.float().cpu()))

    def close(self) -> bytes:
        assert self._encoder is not None and self._limiter is not None, "no sound was pushed"
        rest = self._limiter.close()
        assert rest is not None, "what was pushed is held back to the end"
        return self._encoder.push(rest) + self._encoder.close()
