"""A loop as a WAV file that says it is one."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from .bars import Bars
from .id3_chunk import id3_chunk

PCM = 1
SAMPLE_BYTES = 2


def loop_wav(samples: np.ndarray, sample_rate: int, bars: Bars, tags: Mapping[str, str]) -> bytes:
    """float `[N, C]` within ±1, beyond it clipped → a WAV file of 16 bits that is a loop."""
    whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
    count, channels = whole.shape
    step = channels * SAMPLE_BYTES
    rates = sample_rate, sample_rate * step
    form = struct.pack("<HHIIHH", PCM, channels, *rates, step, 8 * SAMPLE_BYTES)
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in ((b"fmt ", form), (b"data", whole.tobytes()))
    )
    body += id3_chunk(tags) + bars.riff_chunks(count, sample_rate)
    return b"RIFF" + struct.pack("<I", len(body)) + body
