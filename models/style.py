"""What a style model hears of a sound: a few vectors a second, through a bottleneck.

An excerpt as MERT hears it (Li et al. 2023), read by a small transformer in both directions,
normalised by what was usual in training, and rounded to the sum of a few codebooks' vectors; of
these each fifteenth is kept. Which codebooks are left out is lost, so fewer are a vaguer style.
Source: Rouard et al. 2024 (MusicGen-Style) and audiocraft's StyleConditioner.

MERT is transformers' HuBERT: without features of a constant-Q transform, relaxed attention and deep
norm, which MERT-v1-95M has not, its own code computes nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import dsp
from .config import MERTConfig, StyleConfig
from .encodec import nearest
from .lm import sinusoids
from .modules import all_of
from .refused import Refused

if TYPE_CHECKING:
    from transformers import HubertModel

BATCH_NORM_EPSILON = 1e-5


class StyleLayer(nn.Module):
    """Pre-norm self-attention without a mask, and a GELU feed-forward; no biases."""

    def __init__(self, config: StyleConfig):
        super().__init__()
        d, self._num_heads = config.hidden_size, config.num_heads
        self.norm, self.ffn_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.k, self.v, self.out = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.fc1 = nn.Linear(d, config.ffn_size, bias=False)
        self.fc2 = nn.Linear(config.ffn_size, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        heard = self.norm(x)
        q, k, v = (
            one(heard).unflatten(-1, (self._num_heads, -1)).transpose(1, 2)
            for one in (self.q, self.k, self.v)
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.ffn_norm(x))))


class Bottleneck(nn.Module):
    """What stands behind MERT. Names are those of `parameters.style_shapes`."""

    def __init__(self, config: StyleConfig):
        super().__init__()
        d = config.hidden_size
        self.config = config
        self.features = nn.Linear(config.mert.hidden_size, d)
        self.layers = nn.ModuleList(StyleLayer(config) for _ in range(config.num_layers))
        self.mean, self.variance = nn.Parameter(torch.empty(d)), nn.Parameter(torch.empty(d))
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.empty(config.codebook_size, d)) for _ in range(config.levels)
        )

    def forward(self, features: Tensor, levels: int) -> Tensor:
        """MERT's `[B, T, size]` → `[B, ceil(T / stride), hidden_size]`."""
        x = self.features(features)
        x = x + sinusoids(x.shape[1], x.shape[2]).to(x)
        for layer in all_of(self.layers, StyleLayer):
            x = layer(x)
        residual = (x - self.mean) / torch.sqrt(self.variance + BATCH_NORM_EPSILON)
        total = torch.zeros_like(residual)
        for codebook in self.codebooks[:levels]:
            vectors = F.embedding(nearest(residual, codebook), codebook)
            residual, total = residual - vectors, total + vectors
        return total[:, :: self.config.stride]


class StyleEncoder(nn.Module):
    def __init__(self, mert: HubertModel, bottleneck: Bottleneck):
        super().__init__()
        self.mert, self.bottleneck = mert, bottleneck

    @property
    def config(self) -> StyleConfig:
        return self.bottleneck.config

    @torch.inference_mode()
    def encode(self, excerpt: Tensor, levels: int) -> Tensor:
        """Sound `[B, samples]` at MERT's rate → float32 `[B, S, hidden_size]` on the CPU.

        Each item by itself: what it gives is the same in any company. Raises Refused if there are
        fewer codebooks, or the sound is shorter than a frame.
        """
        if not 1 <= levels <= self.config.levels:
            raise Refused(
                "eval_q",
                got=levels,
                expected=f"1 to {self.config.levels}, as many codebooks as this model has",
                remedy="choose a number in that range",
            )
        device = self.bottleneck.mean.device
        found = []
        for sound in excerpt.split(1):
            features = self.mert(sound.to(device)).last_hidden_state
            found.append(self.bottleneck(features, levels).float().cpu())
        return torch.cat(found).clone()


def excerpts(
    waveform: Tensor, sample_rate: int, length_s: float, seed: int, config: MERTConfig
) -> Tensor:
    """`length_s` of each sound of `[B, C, samples]`, mono at MERT's rate, `[B, samples]`.

    Where the one of item i begins is drawn from seed + i. Upstream draws it from Python's random
    numbers, one place for a whole batch, and anew in each window of music beyond one.

    Raises Refused if a sound is shorter.
    """
    length, there = round(length_s * sample_rate), waveform.shape[-1]
    if there < length:
        raise Refused(
            "style",
            got=f"{there / sample_rate:.2f} s of sound",
            expected=f"at least the {length_s:g} s of an excerpt",
            remedy="give a longer sound, or choose a shorter excerpt",
        )
    cut = []
    for item, sound in enumerate(waveform):
        generator = torch.Generator().manual_seed((seed + item) % 2**64)
        begin = int(torch.randint(there - length + 1, (1,), generator=generator))
        mono = dsp.with_channels(sound[:, begin : begin + length], 1)
        cut.append(dsp.resample(mono, sample_rate, config.sample_rate)[0])
    return torch.stack(cut)


def hubert(config: MERTConfig) -> HubertModel:
    """An empty one of this shape, for evaluation."""
    from transformers import HubertConfig, HubertModel

    settings = HubertConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.ffn_size,
        conv_dim=list(config.conv_sizes),
        conv_kernel=list(config.conv_kernels),
        conv_stride=list(config.conv_strides),
        num_conv_pos_embeddings=config.position_kernel,
        num_conv_pos_embedding_groups=config.position_groups,
        layer_norm_eps=config.epsilon,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        layerdrop=0.0,
    )
    return HubertModel(settings).eval()
