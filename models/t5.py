"""T5's encoder, of both kinds: 1.0 (ReLU) and 1.1 (gated).

Source: Raffel et al. 2020; Shazeer 2020 for the gate.

Layers of self-attention and a feed-forward, none with biases, each behind a norm without mean.
Positions are heard as a bias of the scores by relative distance, which all layers share. Scores are
not divided by the root of their width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import T5Config
from .modules import Embedding, all_of


class Norm(nn.Module):
    """Root mean square."""

    def __init__(self, size: int, epsilon: float):
        super().__init__()
        self.weight, self._epsilon = nn.Parameter(torch.empty(size)), epsilon

    def forward(self, x: Tensor) -> Tensor:
        variance = x.pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(variance + self._epsilon))


class T5Layer(nn.Module):
    def __init__(self, config: T5Config):
        super().__init__()
        d, inner = config.hidden_size, config.num_heads * config.head_size
        self._num_heads = config.num_heads
        self.norm = Norm(d, config.epsilon)
        self.q, self.k, self.v = (nn.Linear(d, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, d, bias=False)
        self.ffn_norm = Norm(d, config.epsilon)
        self.gate = nn.Linear(d, config.ffn_size, bias=False) if config.gated else None
        self.up = nn.Linear(d, config.ffn_size, bias=False)
        self.down = nn.Linear(config.ffn_size, d, bias=False)
        self._activation = _activation(config)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`[B, L, d]` and what is added to scores, `[B, H, L, L]`."""
        heard = self.norm(x)
        q, k, v = (
            one(heard).unflatten(-1, (self._num_heads, -1)).transpose(1, 2)
            for one in (self.q, self.k, self.v)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(self._widened(self.ffn_norm(x)))

    def _widened(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self._activation(self.up(x))
        return self._activation(self.gate(x)) * self.up(x)


class T5Encoder(nn.Module):
    def __init__(self, config: T5Config):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.hidden_size)
        self.position_bias = Embedding(config.num_buckets, config.num_heads)
        self.layers = nn.ModuleList(T5Layer(config) for _ in range(config.num_layers))
        self.norm = Norm(config.hidden_size, config.epsilon)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 ids and where there is text, bool, both `[B, L]` → states `[B, L, hidden_size]`."""
        x = self.embedding(ids)
        places = buckets(ids.shape[1], self.config.num_buckets, self.config.max_distance)
        bias = self.position_bias(places.to(ids.device)).permute(2, 0, 1)  # [H, L, L]
        bias = bias.masked_fill(~mask[:, None, None], torch.finfo(x.dtype).min).contiguous()
        for layer in all_of(self.layers, T5Layer):
            x = layer(x, bias)
        return self.norm(x)


def buckets(length: int, count: int, max_distance: int) -> Tensor:
    """int64 `[length, length]`: which bucket holds the way from each place (row) to each other one
    (column).

    Half of the `count` buckets are for what lies ahead. Of each half the first half are for one
    distance each; the others grow like a logarithm up to `max_distance`.
    """
    places, half = torch.arange(length), count // 2
    ways, exact = places - places.unsqueeze(-1), count // 4
    distances = ways.abs()
    growth = (distances.clamp(min=exact).float() / exact).log() / math.log(max_distance / exact)
    far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distances < exact, distances, far) + (ways > 0) * half


def _activation(config: T5Config) -> Callable[[Tensor], Tensor]:
    if config.gated and config.activation == "gelu":
        return _gelu  # of T5 1.1; the others are torch's own
    return {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}[config.activation]


def _gelu(x: Tensor) -> Tensor:
    """Approximated by a tangent, in the order of operations with which T5 1.1 was trained."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))))
