"""Where one sound goes over into another: the place where they are most alike, a short crossfade
that keeps the power, and one level on both sides.

Sounds are float32 `[C, samples]`, and begin at one time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import dsp
from ..refused import Refused

REACH_S = 0.25
"""of a region's edge: how far a crossfade may be from it"""
FADE_S = 0.02
NEAR_S = 0.05
"""before a crossfade, and behind it, where no sound should begin that the other lacks"""
STEADY = 1.3
"""times as much power behind as before is no attack"""
LEVEL_S = 3.0
"""of what both sounds have in common beside an edge: by which they are levelled"""
MOST_GAIN = 4.0
"""12 dB: what is further apart is not the same music"""


@dataclass(frozen=True)
class Fade:
    """Samples from `begin` to `end`, in which one sound goes over into another."""

    begin: int
    end: int


@dataclass(frozen=True)
class Region:
    """Samples of a sound from `begin` to `end`; None: to the end of what is put there."""

    begin: int
    end: int | None

    @classmethod
    def between(cls, begin_s: float, end_s: float, rate: int, samples: int) -> Region:
        """Of a sound of so many samples; 0 as end: open, and 0 as both: open, from its end on.

        Raises Refused for times outside it.
        """
        length_s = samples / rate
        if begin_s == end_s == 0:
            return cls(samples, None)
        if not (
            0 <= begin_s <= length_s and (end_s == 0 or begin_s < end_s <= length_s + 1 / rate)
        ):
            raise Refused(
                "region",
                got=f"{begin_s:g} to {end_s:g} s" if end_s else f"from {begin_s:g} s on",
                expected=f"times within 0 to {length_s:g} s",
                remedy="choose times within the original",
            )
        return cls(round(begin_s * rate), min(samples, round(end_s * rate)) if end_s else None)


def fitted(waveform: Tensor, rate: int, channels: int, wanted_rate: int) -> Tensor:
    """`[B, C, samples]` at another rate, with other channels: mono goes to all of them, to mono
    goes the mean of all, and beyond those that are there the first ones come again.
    """
    have = waveform.shape[1]
    if channels > have > 1:
        waveform = waveform[:, [channel % have for channel in range(channels)]]
    return dsp.resample(dsp.with_channels(waveform, channels), rate, wanted_rate)


def spliced(original: Tensor, changed: Tensor, rate: int, region: Region) -> Tensor:
    """`original` `[C, N]` with a region of `changed` `[C, M]` in it.

    A region with an end: outside it the original stays to the last bit, both crossfades lie within,
    at the places near its edges where the two are most alike. An open one goes on to the end of
    `changed`; its crossfade lies in the last moments before it, where `changed` is a copy of the
    original, and up to there the original stays to the last bit.

    `changed` is brought to the level that the original has where both play the same, and its peaks
    under full scale (or the original's own peak), so that nobody has to turn the original down.
    """
    ceiling = max(1.0, float(original.abs().max()))
    changed = dsp.limit(changed * _gain(original, changed, rate, region), ceiling, rate)
    near = round(NEAR_S * rate)
    if region.end is None:
        begin = max(0, region.begin - round(REACH_S * rate))
        fade = best_fade(original, changed, begin, region.begin, round(FADE_S * rate), near)
        return _joined(original, changed, fade, ceiling)
    _check_reaches(changed, region.end, rate)
    length = region.end - region.begin
    reach, width = min(round(REACH_S * rate), length // 2), min(round(FADE_S * rate), length // 4)
    result = changed[:, : region.end]
    if region.begin > 0:
        fade = best_fade(original, changed, region.begin, region.begin + reach, width, near)
        result = _joined(original, result, fade, ceiling)
    if region.end < original.shape[1]:
        fade = best_fade(changed, original, region.end - reach, region.end, width, near)
        result = _joined(result, original, fade, ceiling)
    return result


def _check_reaches(changed: Tensor, end: int, rate: int) -> None:
    if changed.shape[1] < end:
        raise Refused(
            "changed",
            got=f"{changed.shape[1] / rate:.4g} s for a region that ends at {end / rate:.4g} s",
            expected="a sound as long as the original",
            remedy="change all of it, as from EnCodec Encode to EnCodec Decode",
        )


def best_fade(one: Tensor, other: Tensor, begin: int, end: int, width: int, near: int) -> Fade:
    """The fade of `width` samples between `begin` and `end` over which the two differ least, of
    those at which neither has an attack: at the worse half of them, if need be.
    """
    apart = _sums(one[:, begin:end] - other[:, begin:end])
    width = min(width, len(apart) - 1)
    differ = apart[width:] - apart[: len(apart) - width]
    places = begin + torch.arange(len(differ))
    rise = torch.maximum(*(_rise(sound, places, width, near) for sound in (one, other)))
    differ[rise > max(STEADY, float(rise.median()))] = math.inf
    place = begin + int(differ.argmin())
    return Fade(place, place + width)


def _sums(sound: Tensor) -> Tensor:
    """`[C, samples]` → `[samples + 1]`: the energy before each sample."""
    energy = sound.double().square().sum(dim=0)
    return torch.cat([energy.new_zeros(1), energy.cumsum(dim=0)])


def _rise(sound: Tensor, places: Tensor, width: int, near: int) -> Tensor:
    """How many times as much power there is from each of these samples on as before it."""
    sums, samples = _sums(sound), sound.shape[1]
    low, high = (places - near).clamp_min(0), (places + width + near).clamp_max(samples)
    before, behind = (
        (sums[end] - sums[begin]) / (end - begin).clamp_min(1) + 1e-9
        for begin, end in ((low, places), (places, high))
    )
    there = (places > low) & (places < high)  # at a sound's ends nothing rises
    return torch.where(there, behind / before, 1.0)


def faded(one: Tensor, other: Tensor) -> Tensor:
    """`[C, width]` of each → one that begins as the first and ends as the second.

    The power stays, as far as the two are alike: gains are a quarter of a sine each, over what
    their sum makes of two sounds with this correlation. For unlike sounds that is the usual
    equal-power crossfade, for equal ones it changes nothing.
    """
    turn = torch.linspace(0, math.pi / 2, one.shape[1] + 2)[1:-1]
    falling, rising = turn.cos(), turn.sin()
    power = (1 + 2 * _likeness(one, other) * falling * rising).sqrt()
    return (one * falling + other * rising) / power


def _likeness(one: Tensor, other: Tensor) -> float:
    """Their correlation, 0 where it is negative."""
    scale = float(one.norm() * other.norm())
    return max(0.0, float((one * other).sum()) / scale) if scale else 0.0


def _joined(one: Tensor, other: Tensor, fade: Fade, ceiling: float) -> Tensor:
    part = slice(fade.begin, fade.end)
    middle = faded(one[:, part], other[:, part]).clamp(-ceiling, ceiling)
    return torch.cat([one[:, : fade.begin], middle, other[:, fade.end :]], dim=1)


def _gain(original: Tensor, changed: Tensor, rate: int, region: Region) -> float:
    """What brings `changed` to the original's level, by the moments beside the region."""
    near = round(LEVEL_S * rate)
    beside = [slice(max(0, region.begin - near), region.begin)]
    if region.end is not None:
        beside.append(slice(region.end, region.end + near))
    levels = [
        math.sqrt(sum(float(sound[:, part].square().sum()) for part in beside))
        for sound in (original, changed)
    ]
    if min(levels) == 0:
        return 1.0
    return min(MOST_GAIN, max(1 / MOST_GAIN, levels[0] / levels[1]))
