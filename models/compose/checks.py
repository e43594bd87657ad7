"""What a composition is begun with, checked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..config import MAX_BATCH, OVERLAP_SHARE, LMConfig
from ..refused import Refused


def checked_batch(items: int) -> int:
    """Raises Refused unless so many can be made at once."""
    if not 1 <= items <= MAX_BATCH:
        raise Refused(
            "batch",
            got=f"{items} items",
            expected=f"1 to {MAX_BATCH}",
            remedy="split it into several runs",
        )
    return items


def checked_prompt(prompt: Tensor, config: LMConfig, batch: int) -> Tensor:
    """`[1 or batch, K, T0]` → `[batch, K, T0]` on the CPU. Raises Refused for other tokens."""
    codec = "encode the audio with this model's own codec"
    if (
        prompt.dim() != 3
        or prompt.shape[0] not in (1, batch)
        or prompt.shape[1] != config.num_codebooks
    ):
        raise Refused(
            "audio prompt",
            got=f"tokens of shape {list(prompt.shape)}",
            expected=f"[1 or {batch}, {config.num_codebooks}, frames]",
            remedy=codec,
        )
    if prompt.numel() and not 0 <= int(prompt.min()) <= int(prompt.max()) < config.codebook_size:
        raise Refused(
            "audio prompt",
            got=f"tokens {int(prompt.min())} to {int(prompt.max())}",
            expected=f"0 to {config.codebook_size - 1}",
            remedy=codec,
        )
    return prompt.to("cpu", torch.int64).expand(batch, -1, -1)


def checked_overlap(overlap: int | None, config: LMConfig) -> int:
    """In frames; None: the model's own, else the usual share of a window. Raises Refused unless it
    fits into one.
    """
    least, most = config.max_delay + 1, config.window_frames - 1
    if overlap is None and config.long_form is not None:
        return config.long_form.heard_frames
    if overlap is None:
        return max(least, round(OVERLAP_SHARE * config.window_frames))
    if not least <= overlap <= most:
        rate = config.frame_rate
        raise Refused(
            "overlap",
            got=f"{overlap / rate:g} s",
            expected=f"{least / rate:g} to {most / rate:g} s, less than a window",
            remedy="choose a value in that range",
        )
    return overlap


def check_longer(count: int | None, prompt: Tensor | None) -> None:
    """Raises Refused for a piece that is not longer than the `[B, K, T0]` it begins with."""
    if count is not None and prompt is not None and prompt.shape[2] >= count:
        raise Refused(
            "audio prompt",
            got=f"{prompt.shape[2]} frames for a result of {count}, which includes them",
            expected="a result that is longer",
            remedy="ask for a longer duration or crop the prompt",
        )


def check_end(frame: int, next_frame: int, count: int | None) -> None:
    """Raises Refused for another end that has been begun, or is behind the one that is there."""
    if not max(1, next_frame) <= frame <= (math.inf if count is None else count):
        latest = "" if count is None else f", at most {count}"
        raise Refused(
            "end",
            got=f"frame {frame}",
            expected=f"{next_frame} or later{latest}",
            remedy="end the music later",
        )


def check_composes(config: LMConfig) -> None:
    """Raises Refused for a model that does not compose step by step."""
    if config.magnet is not None:
        raise Refused(
            "model",
            got="a MAGNeT, which makes a piece at once",
            expected="a model that composes step by step",
            remedy="load a MusicGen, or connect MusicGen Sampler",
        )


def no_numbers(where: str, sums: Tensor, precision: str) -> Refused:
    """Of logits whose sums `[B]` are not all numbers."""
    items = [str(item) for item, fine in enumerate(sums.isfinite().tolist(), 1) if not fine]
    wider = {
        "fp16": "choose precision bf16 or fp32, whose range is larger",
        "bf16": "choose precision fp32; if that fails too, download the checkpoint again",
    }
    damaged = "the weights are damaged: download the checkpoint again"
    return Refused(
        f"{where} of item {', '.join(items)} (precision {precision})",
        got="logits that are NaN or infinite",
        expected="numbers",
        remedy=wider.get(precision, damaged),
    )
