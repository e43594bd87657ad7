"""Two sounds at one rate, as ComfyUI brings them there.

Its nodes resample by windowed sinc interpolation (J. O. Smith, "Digital Audio Resampling"; six zero
crossings, a Hann window, the band up to 0.99 of what the lower rate holds), so that a graph gives
the same samples here and there.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from ...nodes.host import current_run

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""

ZERO_CROSSINGS = 6
ROLLOFF = 0.99
MAX_KERNEL = 1 << 22
"""values; two rates without a common divisor need the product of both"""


def at_one_rate(audio1: Audio, audio2: Audio) -> tuple[Tensor, Tensor, int]:
    """Both waveforms at the higher of their rates.

    Raises Refused, before it resamples, if that makes more than the run's limits allow.
    """
    rate = max(audio1["sample_rate"], audio2["sample_rate"])
    for audio in (audio1, audio2):
        waveform, own = audio["waveform"], audio["sample_rate"]
        if own != rate:
            log.info("resampling from %d Hz to %d Hz to fit the other audio", own, rate)
        check_made(waveform, waveform.shape[-1] * rate // own, rate)
    first, second = (
        resampled(audio["waveform"], audio["sample_rate"], rate) for audio in (audio1, audio2)
    )
    return first, second, rate


def check_made(waveform: Tensor, length: int, rate: int) -> None:
    """Raises Refused if sound like `waveform`, but `length` samples long, would be beyond the run's
    limits.
    """
    current_run().limits.check_sound((*waveform.shape[:2], length), rate)


def resampled(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """`[B, C, samples]` at another rate; the length grows by the ratio, rounded up.

    Where the kernel would be too large (44,101 Hz to 48,000 Hz: two billion values) soxr does it.
    """
    from torch.nn import functional as F

    from ...models.dsp import resample

    if from_rate == to_rate:
        return waveform
    common = math.gcd(from_rate, to_rate)
    step, phases = from_rate // common, to_rate // common
    reach = math.ceil(ZERO_CROSSINGS * step / (min(step, phases) * ROLLOFF))
    if phases * (2 * reach + step) > MAX_KERNEL:
        return resample(waveform, from_rate, to_rate)
    rows = waveform.float().reshape(math.prod(waveform.shape[:2]), 1, waveform.shape[-1])
    rows = F.pad(rows, (reach, reach + step))
    made = F.conv1d(rows, _kernel(step, phases, reach), stride=step)  # [B·C, phases, N]
    length = -(-waveform.shape[-1] * phases // step)
    return made.transpose(1, 2).reshape(*waveform.shape[:2], -1)[..., :length]


def _kernel(step: int, phases: int, reach: int) -> Tensor:
    """`[phases, 1, taps]`: what each new sample between two old ones takes from its neighbours."""
    import torch

    taps = torch.arange(-reach, reach + step) / step
    delays = torch.arange(phases)[:, None, None] / phases
    cutoff = min(step, phases) * ROLLOFF
    at = ((taps - delays) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(at * math.pi / (2 * ZERO_CROSSINGS)) ** 2
    return torch.sinc(at) * window * (cutoff / step)
