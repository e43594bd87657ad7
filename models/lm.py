"""The LM: MusicGen's decoder-only transformer over codec tokens, with static caches.

Pre-norm layers of self-attention, cross-attention to text and a GELU feed-forward, none with biases; positions are
fixed sinusoids, cosines first. q, k and v are one matrix, so are the cross-attention's k and v, the K embedding tables
and the K heads: one read of the weights a step, in few operations.

    rows R     what is computed side by side: B items, or 2B with guidance (conditional rows first)
    C ≤ R      rows that hear text; for the others the text is exact zeros, whose attention is exactly zero: skipped
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import LMConfig


@dataclass
class Caches:
    """Everything a run of the LM remembers; allocated once for `max_steps`."""

    keys: list[Tensor]  # per layer [R, H, max_steps, head_size]
    values: list[Tensor]
    text_keys: list[Tensor]  # per layer [C, H, L, head_size]
    text_values: list[Tensor]
    text_mask: (
        Tensor | None
    )  # [C, 1, 1, L]: bool, True where there is text, or added to scores; None when C = 0
    sinusoids: Tensor  # [max_steps, d]


class Layer(nn.Module):
    def __init__(self, config: LMConfig):
        super().__init__()
        d, self.num_heads = config.hidden_size, config.num_heads
        self.norm = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.text_norm = nn.LayerNorm(d)
        self.text_q = nn.Linear(d, d, bias=False)
        self.text_kv = nn.Linear(d, 2 * d, bias=False)
        self.text_out = nn.Linear(d, d, bias=False)
        self.ffn_norm = nn.LayerNorm(d)
        self.fc1 = nn.Linear(d, config.ffn_size, bias=False)
        self.fc2 = nn.Linear(config.ffn_size, d, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [R, S, d] → [R, H, S, d/H]

    def text_memory(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[C, H, L, head_size]` of projected text `[C, L, d]`."""
        k, v = self.text_kv(text).chunk(2, dim=-1)
        return self._split(k).contiguous(), self._split(v).contiguous()

    def forward(
        self,
        x: Tensor,
        caches: Caches,
        index: int,
        positions: Tensor,
        mask: Tensor | None,
        span: int,
    ) -> Tensor:
        q, k, v = (self._split(part) for part in self.qkv(self.norm(x)).chunk(3, dim=-1))
        keys, values = caches.keys[index], caches.values[index]
        keys.index_copy_(2, positions, k)
        values.index_copy_(2, positions, v)
        heard = F.scaled_dot_product_attention(
            q, keys[:, :, :span], values[:, :, :span], attn_mask=mask
        )
        x = x + self.out(heard.transpose(1, 2).flatten(2))
        x = self._listen(x, caches, index)
        return x + self.fc2(F.gelu(self.fc1(self.ffn_norm(x))))

    def _listen(self, x: Tensor, caches: Caches, index: int) -> Tensor:
        if caches.text_mask is None:
            return x
        C = caches.text_mask.shape[0]
        q = self._split(self.text_q(self.text_norm(x[:C])))
        k, v = caches.text_keys[index], caches.text_values[index]
        heard = self.text_out(
            F.scaled_dot_product_attention(q, k, v, attn_mask=caches.text_mask)
            .transpose(1, 2)
            .flatten(2)
        )
        return x + heard if C == x.shape[0] else torch.cat([x[:C] + heard, x[C:]])


class MusicGenLM(nn.Module):
    def __init__(self, config: LMConfig):
        super().__init__()
        self.config = config
        d, K, V = config.hidden_size, config.num_codebooks, config.codebook_size
        self.text_projection = (
            nn.Linear(config.text_size, d) if config.text_size != d else nn.Identity()
        )
        self.embedding = nn.Embedding(K * (V + 1), d)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(d)
        self.heads = nn.Linear(d, K * V, bias=False)

    def allocate(self, text: Tensor, text_mask: Tensor, rows: int, max_steps: int) -> Caches:
        """Caches for `rows` rows, the first C of which hear `text` `[C, L, text_size]`, masked `[C, L]`.

        A row whose mask is empty hears nothing: its states become exact zeros, and all of them are unmasked, so that
        its attention is exactly zero rather than the NaN of an empty softmax.
        """
        config, weight = self.config, self.norm.weight
        shape = (rows, config.num_heads, max_steps, config.head_size)
        empty = [
            torch.zeros(shape, dtype=weight.dtype, device=weight.device)
            for _ in range(2 * config.num_layers)
        ]
        keys, values = empty[::2], empty[1::2]
        places = sinusoids(max_steps, config.hidden_size).to(weight)
        if text.shape[0] == 0:
            return Caches(keys, values, [], [], None, places)
        text, text_mask = text.to(weight), text_mask.to(weight.device)
        text = self.text_projection(text) * text_mask.unsqueeze(-1)
        memory = [layer.text_memory(text) for layer in self.layers]
        heard = text_mask | ~text_mask.any(dim=-1, keepdim=True)
        return Caches(
            keys,
            values,
            [k for k, _ in memory],
            [v for _, v in memory],
            heard[:, None, None],
            places,
        )

    def forward(
        self,
        tokens: Tensor,
        caches: Caches,
        positions: Tensor,
        span: int,
        last_only: bool = True,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Reads steps `tokens` `[R, K, S]` at `positions` `[S]` and returns logits `[R, K, S or 1, V]`.

        Args:
            span: how much of the caches is looked at: the last position + 1, unless a mask comes along.
            mask: `[S, span]`, bool or added to scores, for a span that reaches beyond the last position: it must hide
                what comes after each. The default hides nothing where S = 1.
        """
        x = self._embed(tokens, caches.sinusoids.index_select(0, positions))
        if mask is None and tokens.shape[-1] > 1:
            mask = seen_from(positions, span)
        for index, layer in enumerate(self.layers):
            x = layer(x, caches, index, positions, mask, span)
        if last_only:
            x = x[:, -1:]
        logits = self.heads(self.norm(x))  # [R, S, K·V]
        return logits.unflatten(-1, (self.config.num_codebooks, -1)).transpose(1, 2)

    def _embed(self, tokens: Tensor, sinusoids: Tensor) -> Tensor:
        """Sum of the K codebooks' embeddings, plus position: `[R, K, S]` → `[R, S, d]`."""
        first_rows = torch.arange(self.config.num_codebooks, device=tokens.device) * (
            self.config.codebook_size + 1
        )
        return self.embedding(tokens + first_rows[None, :, None]).sum(dim=1) + sinusoids


def seen_from(positions: Tensor, span: int) -> Tensor:
    """bool `[S, span]`: each of `positions` `[S]` sees itself and what came before."""
    return torch.arange(span, device=positions.device) <= positions.unsqueeze(-1)


def sinusoids(count: int, size: int) -> Tensor:
    """`[count, size]`, a row for each position: cosines, then sines, of size/2 frequencies from 1 down to 1/10000."""
    half = size // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
    angles = torch.arange(count).unsqueeze(-1) * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
