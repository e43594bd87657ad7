"""What a training needs, said before it begins: memory by reckoning, time by a trial."""

from __future__ import annotations

import math

from ...models.config import LMConfig, ModelConfig
from ...models.parameters import all_shapes
from ...models.weights.hugging_face import file_names
from .settings import TuneSettings

LIBRARIES_BYTES = 0.9e9
"""torch, transformers and peft themselves, and the engine that plays the samples"""
STATES_OF_ADAM = 4
"""a parameter that learns is there four times: itself, its gradient, and two means of it"""


def memory_bytes(settings: TuneSettings, config: ModelConfig, is_half: bool) -> float:
    """About how much memory a step takes: weights, adapter, and what is kept for gradients.

    `is_half`: the base is held in two bytes a number, as it is on CUDA.
    """
    width = 2 if is_half else 4
    sizes = {name: math.prod(shape) for name, shape in all_shapes(config).items()}
    parts = sum(sizes.values()) * width
    parts += sum(size for name, size in sizes.items() if not name.startswith("lm.")) * 4  # our own
    adapter = adapter_size(settings.rank, config) * 4 * STATES_OF_ADAM
    return LIBRARIES_BYTES + parts + adapter + _kept(settings, config.lm) * width


def adapter_size(rank: int, config: ModelConfig) -> int:
    """Numbers that learn."""
    theirs = file_names(config)
    return sum(
        rank * sum(shape)
        for name, shape in all_shapes(config).items()
        if len(shape) == 2 and _is_target(theirs[name])
    )


def _is_target(theirs: str) -> bool:
    layers = theirs.startswith("decoder.model.decoder.layers.")
    changed = layers and "norm" not in theirs and "encoder_attn" not in theirs
    return changed or theirs.startswith("decoder.lm_heads.")


def _kept(settings: TuneSettings, lm: LMConfig) -> float:
    """Numbers between forward and backward, of both branches of guidance. In a layer: both norms,
    what goes in and out of ten products and two attentions, and the feed-forward's inner width
    twice; at the end the logits, as they are, as float32, and as probabilities.
    """
    steps = 2 * settings.batch * (settings.seconds * lm.frame_rate + lm.max_delay)
    layer = 24 * lm.hidden_size + 3 * lm.ffn_size
    return steps * (lm.num_layers * layer + 4 * lm.num_codebooks * lm.codebook_size)


def minutes(seconds: float) -> str:
    """As people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
