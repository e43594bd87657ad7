"""The codec: waveform ⇄ tokens. Both ways go block by block.

Stereo models run the mono codec on left and right separately; their codebooks alternate:
L1 R1 L2 R2 …
"""

from __future__ import annotations

import copy
import functools
import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec_instead import TORCH
from .codec_layers import decoder_layers, encoder_layers
from .codec_stream import LayerStream, arranged, module_of
from .config import CodecConfig
from .refused import Refused

OWN_CODEC = "use the codec that the tokens were made for"
BLOCK_FRAMES = 5
"""sound is made of tokens in blocks of this size, so that streaming or not gives the same result"""
MOST_FRAMES = 25
"""in a block where its size changes no bit, which then is made of what is there"""
ENCODED_FRAMES = 50
"""and tokens of sound in blocks of this one"""


class Codec(nn.Module):
    """EnCodec. Its parameters have no values until they are filled."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = (
            nn.ModuleList(map(module_of, layers))
            for layers in (encoder_layers(config), decoder_layers(config))
        )
        vectors = (config.codebook_size, config.hidden_size)
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.empty(vectors)) for _ in range(config.num_codebooks)
        )
        self.sample_rate: int = config.sample_rate
        self.hop: int = config.hop
        self.codebook_size: int = config.codebook_size
        self.hidden_size: int = config.hidden_size
        self.decodes_with = TORCH

    @property
    def decoder_lstm(self) -> nn.LSTM | None:
        return next((layer for layer in self.decoder if isinstance(layer, nn.LSTM)), None)

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes these tensors, by the names of `parameters.codec_shapes`, for its weights."""
        state = {name: arranged(one) if one.dim() == 3 else one for name, one in tensors.items()}
        self.load_state_dict(state, assign=True)

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of its codebooks: tokens mean the same to codecs that agree in it."""
        digest = hashlib.sha256()
        for codebook in self.codebooks:
            digest.update(codebook.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:32]

    @property
    def _device(self) -> torch.device:
        return self.codebooks[0].device

    @torch.inference_mode()
    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        """`[B, C, samples]` at `sample_rate`, C = 1 or 2 → `[B, num_codebooks, ceil(samples /
        hop)]` on the CPU.

        `num_codebooks` counts all channels' codebooks. Raises Refused if the codec has fewer.
        """
        B, C, _ = waveform.shape
        levels = self._levels(num_codebooks, C)
        stream = LayerStream(self.encoder)
        blocks = waveform.flatten(0, 1).unsqueeze(1).split(ENCODED_FRAMES * self.hop, dim=2)
        tokens = [
            self._quantized(stream.push(block.to(self._device), final=i == len(blocks) - 1), levels)
            for i, block in enumerate(blocks)
        ]
        return torch.cat(tokens, dim=2).unflatten(0, (B, C)).transpose(1, 2).flatten(1, 2).cpu()

    def _quantized(self, latent: Tensor, levels: int) -> Tensor:
        """`[N, hidden, T]` → `[N, levels, T]`: each codebook takes what those before left over."""
        _check_numbers(latent, "latents")
        residual, tokens = latent.transpose(1, 2), []
        for codebook in self.codebooks[:levels]:
            tokens.append(nearest(residual, codebook))
            residual = residual - F.embedding(tokens[-1], codebook)
        return torch.stack(tokens, dim=1)

    def _levels(self, num_codebooks: int, channels: int) -> int:
        levels, rest = divmod(num_codebooks, channels)
        most = len(self.codebooks)
        if rest or not 1 <= levels <= most:
            raise Refused(
                "tokens",
                got=f"{num_codebooks} codebooks for {channels} channel(s)",
                expected=f"at most {most} a channel",
                remedy=OWN_CODEC,
            )
        return levels

    def latent(self, tokens: Tensor, channels: int) -> Tensor:
        """`[B, K, T]` → `[B·C, hidden, T]`, the sum of the codebooks' vectors."""
        levels = self._levels(tokens.shape[1], channels)
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.codebook_size:
            raise Refused(
                "tokens",
                got=f"values {int(tokens.min())} to {int(tokens.max())}",
                expected=f"0 to {self.codebook_size - 1}",
                remedy=OWN_CODEC,
            )
        per_channel = (
            tokens.unflatten(1, (levels, channels)).transpose(1, 2).flatten(0, 1).to(self._device)
        )
        vectors = [F.embedding(per_channel[:, k], self.codebooks[k]) for k in range(levels)]
        return functools.reduce(torch.add, vectors).transpose(1, 2)

    def decode(self, tokens: Tensor, channels: int) -> Tensor:
        """`[B, K, T]` → waveform `[B, C, T · hop]`, float32 on the CPU."""
        stream = CodecStream(self, channels)
        pieces = [stream.push(block) for block in tokens.split(MOST_FRAMES, dim=2)]
        return torch.cat([*pieces, stream.close()], dim=2)


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """`[…, hidden]` and a codebook `[V, hidden]` → int64 `[…]`: the nearest vector's number."""
    flat, vectors = points.flatten(0, -2), codebook.t()
    distances = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ vectors + vectors.pow(2).sum(0)
    return distances.argmin(dim=1).view(points.shape[:-1])


class CodecStream:
    """Decodes tokens as they come: in blocks of `BLOCK_FRAMES` frames whatever is pushed, or, where
    rows do not depend on each other, all that is there.
    """

    def __init__(self, codec: Codec, channels: int):
        self._codec, self._channels = codec, channels
        self._decoder = LayerStream(codec.decoder, codec.decodes_with)
        self._held: Tensor | None = None

    def push(self, tokens: Tensor, *, goes_on: bool = False) -> Tensor:
        """`[B, K, t]` → the samples that are certain by now, `[B, C, n]`; n may be 0.

        A frame, or a whole block, waits until something follows it, since the last one is decoded
        otherwise; where the caller knows that it `goes_on`, it need not wait.
        """
        held = tokens if self._held is None else torch.cat([self._held, tokens], dim=2)
        pieces = []
        while (size := self._block(held.shape[2] - (not goes_on))) > 0:
            pieces.append(self._decode(held[:, :, :size], final=False))
            held = held[:, :, size:]
        self._held = held
        return torch.cat(pieces, dim=2) if pieces else torch.empty(held.shape[0], self._channels, 0)

    def _block(self, certain: int) -> int:
        """How many of so many frames are decoded next; 0 if none are yet."""
        if self._codec.decodes_with.is_exact:
            return min(certain, MOST_FRAMES)
        return BLOCK_FRAMES if certain >= BLOCK_FRAMES else 0

    def close(self) -> Tensor:
        """The samples that were still held back."""
        if self._held is None or not self._held.shape[2]:
            raise Refused(
                "tokens",
                got="no frames",
                expected="at least one",
                remedy="nothing can be decoded from nothing",
            )
        return self._decode(self._held, final=True)

    def copied(self) -> CodecStream:
        """Another one that goes on from where this one stands."""
        twin = copy.copy(self)
        twin._decoder = self._decoder.copied()
        return twin

    @torch.inference_mode()
    def _decode(self, tokens: Tensor, final: bool) -> Tensor:
        with self._codec.decodes_with.turn:
            latent = self._codec.latent(tokens, self._channels)
            audio = self._decoder.push(latent, final)  # [B·C, 1, n]
            sound = audio.squeeze(1).unflatten(0, (-1, self._channels)).float().cpu()
            _check_numbers(sound.flatten(1), "samples")
        return sound


def _check_numbers(values: Tensor, what: str) -> None:
    """Raises Refused unless all of `values` `[items, …]` are numbers. One pass, no copy."""
    low, high = torch.aminmax(values) if values.numel() else (values.new_zeros(()),) * 2
    if not (math.isfinite(float(low)) and math.isfinite(float(high))):
        bad = (~values.isfinite()).flatten(1).any(dim=1).nonzero().flatten() + 1
        raise Refused(
            f"codec: item {', '.join(map(str, bad.tolist()))}",
            got=f"{what} that are NaN or infinite",
            expected="numbers",
            remedy="the codec's weights are damaged, or the sound before it is far too loud: "
            "download the checkpoint again, or turn the sound down",
        )
