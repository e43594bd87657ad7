"""Vocals and the other instruments out of a mix: what upstream lets a melody model hear.

Demucs (Rouard et al. 2023) through the library demucs-infer, which is optional (`pip install
'musicgraph[melody]'`). The library fetches its weights once (84 MB) and compares their SHA-256
before it opens them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .refused import Refused

if TYPE_CHECKING:
    import torch
    from demucs_infer.api import Separator  # pyright: ignore[reportMissingImports]
    from torch import Tensor

MODEL = "htdemucs"
STEMS = ("other", "vocals")
CHANNELS = 2


def check_installed() -> None:
    """Raises Refused where the library is not."""
    if find_spec("demucs_infer") is None:
        raise Refused(
            "separate",
            got="no demucs-infer on this machine",
            expected="the library that takes a mix apart",
            remedy="pip install 'musicgraph[melody]', or switch separate off and give a melody "
            "that stands alone",
        )


def vocals_and_other(
    waveform: Tensor,
    sample_rate: int,
    device: torch.device,
    on_progress: Callable[[int, int], None],
) -> tuple[Tensor, int]:
    """Sound `[B, C, samples]` without its drums and bass, `[B, 2, samples]`, and its sample rate.

    `on_progress(done, total)` counts samples; what it raises ends the work. The same sound gives
    the same result: the library's random shifts are left out.

    Raises Refused where the library is missing, or its weights are and cannot be fetched.
    """
    import torch

    from . import dsp

    check_installed()
    separator = _loaded()
    rate = separator.samplerate
    sound = dsp.with_channels(dsp.resample(waveform, sample_rate, rate), CHANNELS)
    items, length = [], sound.shape[-1]
    for number, one in enumerate(sound):

        def report(now: dict[str, Any], before: int = number * length) -> None:
            on_progress(before + now["segment_offset"], len(sound) * length)

        separator.update_parameter(device=str(device), shifts=0, callback=report)
        with torch.inference_mode():
            stems = separator.separate_tensor(one.contiguous())[1]
        items.append(torch.stack([stems[name] for name in STEMS]).sum(dim=0))
    return torch.stack(items).cpu().clone(), rate


@cache
def _loaded() -> Separator:
    from demucs_infer.checkpoint_runtime import (  # pyright: ignore[reportMissingImports]
        CheckpointRuntime,
    )

    try:
        return CheckpointRuntime(MODEL).load_separator({})
    except (OSError, ValueError) as error:  # no network; another checksum
        raise Refused(
            "separate",
            got=f"no weights of {MODEL} ({error})",
            expected="to fetch them once",
            remedy="try again with a network, or switch separate off",
        ) from error
