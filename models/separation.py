"""Vocals and the other instruments out of a mix: what upstream lets a melody model hear.

Demucs (Rouard et al. 2023) through the library demucs-infer, which is optional (`pip install
'musicgraph[melody]'`). The library keeps its weights (84 MB) in a cache of its own. It unpickles
them, after it has compared their SHA-256, and fetches them where they are missing or damaged; so
they are looked for first, and it is let do that only for who asked for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .refused import Refused

if TYPE_CHECKING:
    import torch
    from demucs_infer.api import Separator  # pyright: ignore[reportMissingImports]
    from demucs_infer.checkpoint_runtime import (  # pyright: ignore[reportMissingImports]
        CheckpointRuntime,
    )
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
    may_fetch: bool,
) -> tuple[Tensor, int]:
    """Sound `[B, C, samples]` without its drums and bass, `[B, 2, samples]`, and its sample rate.

    `on_progress(done, total)` counts samples; what it raises ends the work. The same sound gives
    the same result: the library's random shifts are left out. `may_fetch`: whether weights that are
    not on this machine may be fetched.

    Raises Refused where the library is missing, or its weights are and may not or cannot be
    fetched.
    """
    import torch

    from . import dsp

    check_installed()
    if not may_fetch:
        check_weights()
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


def check_weights() -> None:
    """Raises Refused unless the weights are on this machine, whole. Asks no network."""
    found = _runtime().resolve()
    files = zip(found.paths, found.artifacts, strict=True)
    if not all(path.is_file() and _sha256(path) == wanted.sha256 for path, wanted in files):
        raise Refused(
            "separate",
            got=f"no weights of {MODEL} on this machine",
            expected="those that demucs-infer keeps in its cache",
            remedy="ask for them yourself to have them fetched (musicgraph run GRAPH --set "
            "NODE.separate=true), or switch separate off",
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _runtime() -> CheckpointRuntime:
    from demucs_infer import checkpoint_runtime  # pyright: ignore[reportMissingImports]

    return checkpoint_runtime.CheckpointRuntime(MODEL)


@cache
def _loaded() -> Separator:
    try:
        return _runtime().load_separator({})
    except (OSError, ValueError) as error:  # no network; another checksum
        raise Refused(
            "separate",
            got=f"no weights of {MODEL} ({error})",
            expected="to fetch them once",
            remedy="try again with a network, or switch separate off",
        ) from error
