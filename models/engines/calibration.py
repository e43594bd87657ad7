"""What a model's matrices are multiplied with, as sums of x xᵀ, while it hears music of its own.

The music is composed by the model itself, told nothing, so that no data are needed. Layer after
layer is read by torch in float32, with one layer in memory at a time. Knows nothing of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..lm import KVCache, Layer, Reading, seen_from, sinusoids, tensors_of
from ..parameters import LM
from ..weights.contract import Weights
from .numba_packed import Moments
from .numba_weights import Parameters
from .session import Engine

ITEMS, STEPS = 8, 500
"""of music: about as many inputs as the widest matrix of musicgen-small has, since their moments
must not be those of a few; with a quarter of it pocket's rounding costs half as much again
"""
CANDIDATES = 250  # of a draw
HEARERS = {"qkv": ("q", "k", "v"), "out": ("out",), "fc1": ("fc1",), "fc2": ("fc2",)}
"""Our modules, and the matrices in each."""


@torch.inference_mode()
def own_music(engine: Engine, items: int = ITEMS, steps: int = STEPS) -> Iterator[Tensor]:
    """Tokens int64 `[items, K, 1]`, step by step as the model reads them."""
    config, session = engine.config, engine.open(items, steps)
    slots = [session.admit([None], steps) for _ in range(items)]
    lag = torch.tensor(config.delays).view(1, -1, 1)
    noise = torch.Generator().manual_seed(0)
    read = torch.full((items, config.num_codebooks, 1), config.special_token)
    for step in range(steps):
        yield read
        likely, tokens = session.step(slots, read).topk(min(CANDIDATES, config.codebook_size))
        wait = torch.empty_like(likely).exponential_(generator=noise)
        drawn = tokens.gather(-1, (likely.softmax(-1) / wait).argmax(-1, keepdim=True))
        read = torch.where(lag <= step, drawn, config.special_token)


@torch.inference_mode()
def moments(weights: Weights, parameters: Parameters, music: Tensor) -> Iterator[Moments]:
    """Of each layer while it reads tokens `[B, K, S]`; of matrices that only hear text none."""
    x, prefix = parameters.embedded(music), parameters.read_prefix([None])
    if prefix is not None:
        x = torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)
    rows, steps, width = x.shape
    x = x + sinusoids(steps, width)
    positions = torch.arange(steps)
    reading = Reading(slice(0, rows), positions, steps, seen_from(positions, steps))
    for index in range(weights.config.lm.num_layers):
        layer, found = _layer(weights, index), {}
        for name in HEARERS:
            layer.get_submodule(name).register_forward_pre_hook(_noting(found, name))
        caches = KVCache(weights.config.lm, x)
        caches.make_room(rows, steps)
        x = layer(x, caches, index, reading)
        del caches, layer
        yield {
            f"layers.{index}.{one}.weight": found[name]
            for name, matrices in HEARERS.items()
            for one in matrices
        }


def _noting(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    def note(_module: object, inputs: tuple[Tensor]) -> None:
        x = inputs[0].flatten(0, 1)
        found[name] = x.T @ x

    return note


def _layer(weights: Weights, index: int) -> Layer:
    config = weights.config.lm
    with torch.device("meta"):
        layer = Layer(config)
    state = {}
    for name, _ in layer.named_parameters():
        parts = tensors_of(f"layers.{index}.{name}", config.num_codebooks)
        state[name] = torch.cat([weights.tensor(f"{LM}.{part}").float() for part in parts])
    layer.load_state_dict(state, assign=True)
    return layer.requires_grad_(False).eval()
