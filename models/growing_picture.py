"""A picture of sound that is not all there yet: its waveform above its mel spectrogram, drawn
column by column.

Levels are absolute, so that what was drawn stays as it is, whatever comes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from . import dsp

WIDTH, HEIGHT, WAVE_HEIGHT = 512, 160, 48
BANDS = 64
BRIGHTEST_DB = 45.0
"""in the mel spectrogram; a tone at full scale has about 54"""


class GrowingPicture:
    """Of `total` samples, from left to right; what is not there yet is dark."""

    def __init__(self, total: int, sample_rate: int):
        self._total, self._rate = max(1, total), sample_rate
        self._image = dsp.coloured(torch.zeros(HEIGHT, WIDTH))
        self._sound = torch.empty(0)
        """what belongs to columns that are not drawn yet"""
        self._columns = self._begins = 0

    def push(self, sound: Tensor) -> None:
        """`[C, n]`: the samples that follow."""
        self._sound = torch.cat([self._sound, sound.mean(dim=0)])

    def draw(self) -> Tensor:
        """All that was pushed, as far as it fills columns: uint8 `[HEIGHT, WIDTH, 3]`."""
        known = self._begins + len(self._sound)
        columns = min(WIDTH, known * WIDTH // self._total)
        count = columns - self._columns
        if count > 0:
            end = min(known, -(-columns * self._total // WIDTH))
            piece = self._sound[: end - self._begins]
            self._image[:, self._columns : columns] = self._drawn(piece, count)
            self._sound = self._sound[len(piece) :]
            self._columns, self._begins = columns, end
        return (self._image * 255).to(torch.uint8)

    def _drawn(self, mono: Tensor, columns: int) -> Tensor:
        level = dsp.mel_level_db(mono, self._rate, BANDS) - BRIGHTEST_DB
        mel = (level / dsp.MEL_RANGE_DB + 1).flip(0)  # high notes above
        size = (HEIGHT - WAVE_HEIGHT, columns)
        mel = F.interpolate(mel[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        wave = dsp.waveform_rows(mono, columns, WAVE_HEIGHT)
        return torch.cat([wave, dsp.coloured(mel)])
