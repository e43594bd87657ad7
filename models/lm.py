"""The LM: MusicGen's decoder-only transformer over codec tokens, with static caches.

Pre-norm layers of self-attention, cross-attention to text and a GELU feed-forward, none with
biases; positions are fixed sinusoids, cosines first. q, k and v are one matrix, so are the
cross-attention's k and v, the K embedding tables and the K heads: one read of the weights a step,
in few operations.

    rows R     what is computed side by side: a row for each branch of each item
    C ≤ R      rows that hear text; for the others it is exact zeros, whose attention is zero
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conditioning import Conditioning
from .config import LMConfig
from .modules import Embedding, all_of
from .prefix import prefix_of


@dataclass(frozen=True)
class TextKV:
    """Cross-attention's keys and values of one or more rows' text."""

    keys: list[Tensor]  # per layer [C, H, L, head_size]
    values: list[Tensor]
    mask: Tensor  # [C, 1, 1, L]: bool, True where there is text, or added to scores


class KVCache:
    """Self-attention's keys and values of the rows of a session; they grow with the rows and steps
    that are needed.
    """

    def __init__(self, config: LMConfig, like: Tensor):
        self._config, self._like = config, like
        empty = like.new_zeros((0, config.num_heads, 0, config.head_size))
        self.keys = [empty] * config.num_layers  # per layer [rows, H, room, head_size]
        self.values = [empty] * config.num_layers
        self.sinusoids = like.new_zeros((0, config.hidden_size))  # [room, d]

    def make_room(self, rows: int, room: int) -> None:
        """Room for at least so many rows and steps; what is there stays."""
        had_rows, _, had_room, _ = self.keys[0].shape
        rows, room = max(rows, had_rows), max(room, had_room)
        if (rows, room) == (had_rows, had_room):
            return
        for caches in (self.keys, self.values):
            for index, cache in enumerate(caches):
                grown = cache.new_zeros((rows, cache.shape[1], room, cache.shape[3]))
                grown[:had_rows, :, :had_room] = cache
                caches[index] = grown
        self.sinusoids = sinusoids(room, self._config.hidden_size).to(self._like)


@dataclass(frozen=True)
class Reading:
    """Which rows read which positions, and what they hear meanwhile."""

    rows: slice | Tensor
    """of the caches; a slice copies nothing"""
    positions: Tensor
    """`[S]` if all rows read the same ones, else `[R, S]`"""
    span: int
    """how much of the caches is looked at: the last position + 1, unless the mask hides what lies
    beyond
    """
    mask: Tensor | None
    """broadcast to `[R, 1, S, span]`, bool or added to scores: hides what comes after each position
    """
    row_numbers: Tensor | None = None
    """`[R, 1]`: needed where positions are `[R, S]`"""
    text: TextKV | None = None
    """of the rows that hear some"""
    listeners: slice | Tensor | None = None
    """those rows, among the ones that read"""


class Layer(nn.Module):
    def __init__(self, config: LMConfig):
        super().__init__()
        d, self.num_heads = config.hidden_size, config.num_heads
        self.norm = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        if config.cross_attention:
            self.text_norm = nn.LayerNorm(d)
            self.text_q = nn.Linear(d, d, bias=False)
            self.text_kv = nn.Linear(d, 2 * d, bias=False)
            self.text_out = nn.Linear(d, d, bias=False)
        self.ffn_norm = nn.LayerNorm(d)
        self.fc1 = nn.Linear(d, config.ffn_size, bias=False)
        self.fc2 = nn.Linear(config.ffn_size, d, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [R, S, d] → [R, H, S, d/H]

    def text_cache(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[C, H, L, head_size]` of projected text `[C, L, d]`."""
        k, v = self.text_kv(text).chunk(2, dim=-1)
        return self._split(k).contiguous(), self._split(v).contiguous()

    def forward(self, x: Tensor, caches: KVCache, index: int, reading: Reading) -> Tensor:
        q, k, v = (self._split(part) for part in self.qkv(self.norm(x)).chunk(3, dim=-1))
        keys = _written(caches.keys[index], k, reading)
        values = _written(caches.values[index], v, reading)
        attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=reading.mask)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        if reading.text is not None and reading.listeners is not None:
            x = self._cross_attend(x, index, reading.text, reading.listeners)
        return x + self.fc2(F.gelu(self.fc1(self.ffn_norm(x))))

    def _cross_attend(
        self, x: Tensor, index: int, text: TextKV, listeners: slice | Tensor
    ) -> Tensor:
        part = x[listeners]
        q = self._split(self.text_q(self.text_norm(part)))
        attended = F.scaled_dot_product_attention(
            q, text.keys[index], text.values[index], attn_mask=text.mask
        )
        part = part + self.text_out(attended.transpose(1, 2).flatten(2))
        if len(part) == len(x):
            return part
        x = x.clone()
        x[listeners] = part
        return x


def _written(cache: Tensor, new: Tensor, reading: Reading) -> Tensor:
    """Puts `new` `[R, H, S, head_size]` where it belongs.

    Returns what these rows look at, `[R, H, span, head_size]`.
    """
    if reading.row_numbers is not None:
        cache.transpose(1, 2)[reading.row_numbers, reading.positions] = new.transpose(1, 2)
    elif isinstance(reading.rows, slice):
        cache[reading.rows].index_copy_(2, reading.positions, new)
    else:
        cache.transpose(1, 2)[reading.rows.unsqueeze(-1), reading.positions] = new.transpose(1, 2)
    return cache[reading.rows, :, : reading.span]


def tensors_of(parameter: str, num_codebooks: int) -> tuple[str, ...]:
    """A parameter's name → the names of the tensors (`parameters.py`) that lie in it, one below the
    other.
    """
    owner, _, kind = parameter.rpartition(".")
    if owner in ("embedding", "heads"):
        return tuple(f"{owner}.{k}.{kind}" for k in range(num_codebooks))
    layer, _, part = owner.rpartition(".")
    parts = _STACKED.get(part)
    return (parameter,) if parts is None else tuple(f"{layer}.{one}.{kind}" for one in parts)


_STACKED = {"qkv": ("q", "k", "v"), "text_kv": ("text_k", "text_v")}


class MusicGenLM(nn.Module):
    def __init__(self, config: LMConfig):
        super().__init__()
        self.config = config
        d, K, V = config.hidden_size, config.num_codebooks, config.codebook_size
        self.text_projection = (
            nn.Linear(config.text_size, d) if config.projects_text else nn.Identity()
        )
        if config.sound_size:
            self.sound_projection = nn.Linear(config.sound_size, d)
        self.embedding = Embedding(K * (V + 1), d)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(d)
        self.heads = nn.Linear(d, K * V, bias=False)

    def allocate(self, rows: int, max_steps: int) -> KVCache:
        caches = KVCache(self.config, self.norm.weight)
        caches.make_room(rows, max_steps)
        return caches

    def read_text(self, conditioning: Conditioning | None) -> TextKV | None:
        """What the layers hear of one or more items' text; None of nothing, and for models without
        cross-attention.

        An item whose mask is empty hears nothing: its states become exact zeros, and all of them
        are unmasked, so that its attention is exactly zero rather than the NaN of an empty softmax.
        """
        if conditioning is None or not self.config.cross_attention:
            return None
        weight = self.norm.weight
        mask = conditioning.mask.to(weight.device)
        states = self.text_projection(conditioning.states.to(weight)) * mask.unsqueeze(-1)
        caches = [layer.text_cache(states) for layer in all_of(self.layers, Layer)]
        seen = mask | ~mask.any(dim=-1, keepdim=True)
        return TextKV([k for k, _ in caches], [v for _, v in caches], seen[:, None, None])

    def read_prefix(self, heard: Sequence[Conditioning | None]) -> Tensor | None:
        """`[R, P, d]`, what each branch of an item reads before its first step; None for models
        with cross-attention.
        """
        prefix = prefix_of(heard, self.config)
        if prefix is None:
            return None
        weight = self.norm.weight
        text = self.text_projection(prefix.states.to(weight))
        text = text * prefix.mask.to(weight.device).unsqueeze(-1)
        sound = self.sound_projection(prefix.sound.to(weight))
        sound = sound * prefix.sound_mask.to(weight.device).unsqueeze(-1)
        return torch.cat([sound, text], dim=1)

    def embed(self, tokens: Tensor) -> Tensor:
        """The sum of the K codebooks' embeddings: `[R, K, S]` → `[R, S, d]`."""
        first_rows = torch.arange(self.config.num_codebooks, device=tokens.device) * (
            self.config.codebook_size + 1
        )
        return self.embedding(tokens + first_rows[None, :, None]).sum(dim=1)

    def forward(self, x: Tensor, caches: KVCache, reading: Reading) -> Tensor:
        """Reads embedded steps or a prefix `[R, S, d]`.

        Returns `[R, S, d]`, of which `logits` makes predictions.
        """
        places = caches.sinusoids[reading.positions]
        x = x.to(places.dtype) + places
        for index, layer in enumerate(self.layers):
            x = layer(x, caches, index, reading)
        return x

    def logits(self, x: Tensor) -> Tensor:
        """`[R, S, d]` → float32 `[R, S, K, V]`."""
        return self.heads(self.norm(x)).unflatten(-1, (self.config.num_codebooks, -1)).float()


def together(texts: Sequence[TextKV]) -> TextKV:
    """The text of several rows side by side; shorter ones are padded, the padding masked."""
    longest = max(text.mask.shape[-1] for text in texts)

    def padded(cache: Tensor) -> Tensor:
        return F.pad(cache, (0, 0, 0, longest - cache.shape[2]))

    layers = range(len(texts[0].keys))
    return TextKV(
        [torch.cat([padded(text.keys[i]) for text in texts]) for i in layers],
        [torch.cat([padded(text.values[i]) for text in texts]) for i in layers],
        torch.cat([F.pad(text.mask, (0, longest - text.mask.shape[-1])) for text in texts]),
    )


def seen_from(positions: Tensor, span: int) -> Tensor:
    """bool `[…, S, span]`: each of `positions` `[…, S]` sees itself and what came before."""
    return torch.arange(span, device=positions.device) <= positions.unsqueeze(-1)


def sinusoids(count: int, size: int) -> Tensor:
    """`[count, size]`, a row for each position: cosines, then sines, of size/2 frequencies from 1
    down to 1/10000.
    """
    half = size // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
    angles = torch.arange(count).unsqueeze(-1) * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
