"""The twin of ComfyUI's equalizer: two shelves and a bell, each a filter of second order.

Coefficients by R. Bristow-Johnson ("Audio EQ Cookbook"), which ComfyUI's filters follow too; like
those, what a filter gives is clipped to ±1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ...models.refused import Refused
from ...nodes.host import check_stop

if TYPE_CHECKING:
    from torch import Tensor

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""

SHELF_Q = 0.707


class Biquad(NamedTuple):
    """y = (b0 x + b1 x₁ + b2 x₂ − a1 y₁ − a2 y₂) / a0"""

    b: tuple[float, float, float]
    a: tuple[float, float, float]


def low_shelf(rate: int, frequency: float, gain_db: float, q: float = SHELF_Q) -> Biquad:
    """Lifts what is below `frequency` (Hz) by `gain_db`."""
    gain, cosine, alpha = _terms(rate, frequency, gain_db, q)
    more, less, slope = gain + 1, gain - 1, 2 * math.sqrt(gain) * alpha
    b = (
        gain * (more - less * cosine + slope),
        2 * gain * (less - more * cosine),
        gain * (more - less * cosine - slope),
    )
    a = (more + less * cosine + slope, -2 * (less + more * cosine), more + less * cosine - slope)
    return Biquad(b, a)


def high_shelf(rate: int, frequency: float, gain_db: float, q: float = SHELF_Q) -> Biquad:
    """Lifts what is above `frequency` (Hz) by `gain_db`."""
    gain, cosine, alpha = _terms(rate, frequency, gain_db, q)
    more, less, slope = gain + 1, gain - 1, 2 * math.sqrt(gain) * alpha
    b = (
        gain * (more + less * cosine + slope),
        -2 * gain * (less + more * cosine),
        gain * (more + less * cosine - slope),
    )
    a = (more - less * cosine + slope, 2 * (less - more * cosine), more - less * cosine - slope)
    return Biquad(b, a)


def bell(rate: int, frequency: float, gain_db: float, q: float) -> Biquad:
    """Lifts what is around `frequency` (Hz) by `gain_db`; a higher `q` is narrower."""
    gain, cosine, alpha = _terms(rate, frequency, gain_db, q)
    b = (1 + alpha * gain, -2 * cosine, 1 - alpha * gain)
    return Biquad(b, (1 + alpha / gain, -2 * cosine, 1 - alpha / gain))


def _terms(rate: int, frequency: float, gain_db: float, q: float) -> tuple[float, float, float]:
    """Amplitude, cos ω and α of the cookbook; raises Refused where no filter of the kind is
    stable.
    """
    if not 0 < frequency < rate / 2:
        raise Refused(
            "the equalizer has no such band",
            got=f"{frequency:g} Hz in sound of {rate} Hz",
            expected=f"less than half of it, {rate / 2:g} Hz",
            remedy="choose a lower frequency, or a gain of 0 for this band",
        )
    angle = 2 * math.pi * frequency / rate
    return 10 ** (gain_db / 40), math.cos(angle), math.sin(angle) / (2 * q)


def filtered(waveform: Tensor, filters: list[Biquad]) -> Tensor:
    """`[B, C, samples]` through one filter after the other, a channel at a time."""
    import numpy as np
    import torch
    from scipy.signal import lfilter

    result = waveform.float().cpu().clone()
    for row in result.reshape(-1, result.shape[-1]):
        for one in filters:
            check_stop()
            made = np.clip(np.asarray(lfilter(one.b, one.a, row.numpy())), -1, 1)
            row.copy_(torch.from_numpy(made))
    return result


def _decibels(tooltip: str) -> tuple:
    return (
        "FLOAT",
        {"default": 0.0, "min": -24.0, "max": 24.0, "step": 0.1, "tooltip": tooltip},
    )


def _hertz(default: int, low: int, high: int) -> tuple:
    return ("INT", {"default": default, "min": low, "max": high, "tooltip": "in Hz"})


class AudioEqualizer3Band:
    TITLE = "Audio Equalizer (3-Band)"
    CATEGORY = "audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "equalize"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        width = {"default": SHELF_Q, "min": 0.1, "max": 10.0, "step": 0.1}
        return {
            "required": {
                "audio": ("AUDIO",),
                "low_gain_dB": _decibels("of the bass, below low_freq"),
                "low_freq": _hertz(100, 20, 500),
                "mid_gain_dB": _decibels("of the middle, around mid_freq"),
                "mid_freq": _hertz(1000, 200, 4000),
                "mid_q": ("FLOAT", {**width, "tooltip": "higher is narrower"}),
                "high_gain_dB": _decibels("of the treble, above high_freq"),
                "high_freq": _hertz(5000, 1000, 15000),
            }
        }

    def equalize(
        self,
        audio: Audio | None,
        low_gain_dB: float,
        low_freq: int,
        mid_gain_dB: float,
        mid_freq: int,
        mid_q: float,
        high_gain_dB: float,
        high_freq: int,
    ) -> tuple[Audio | None]:
        if audio is None:
            return (None,)
        rate, filters = audio["sample_rate"], []
        if low_gain_dB:
            filters.append(low_shelf(rate, low_freq, low_gain_dB))
        if mid_gain_dB:
            filters.append(bell(rate, mid_freq, mid_gain_dB, mid_q))
        if high_gain_dB:
            filters.append(high_shelf(rate, high_freq, high_gain_dB))
        return ({"waveform": filtered(audio["waveform"], filters), "sample_rate": rate},)
