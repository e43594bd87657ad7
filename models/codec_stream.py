"""EnCodec's encoder and decoder, piece by piece: the same result as at once, at a cost linear in length.

Every layer keeps what it needs of the past (the LSTM its state, a convolution its last inputs, a transposed one its
unfinished outputs) and holds back what depends on the future. `push` gives what is certain; the last push, with
`final=True`, gives the rest. Padding and trimming are upstream's, at the true ends only. Source: EnCodec (Défossez et
al. 2022) as implemented by transformers, whose modules are read here; the per-layer state follows the
idea of moshi's streaming modules.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _without(x: Tensor, count: int) -> Tensor:
    """`x` less its last `count` samples."""
    return x[..., : x.shape[-1] - count]


class _Elementwise:
    def __init__(self, module: nn.Module):
        self._module = module

    def push(self, x: Tensor, final: bool) -> Tensor:
        return self._module(x)


class _Conv:
    """A convolution. Its first output waits until there is enough to reflect at the left end."""

    def __init__(self, module: nn.Module):
        self._conv = module.conv
        self._mode = module.pad_mode
        self._stride = self._conv.stride[0]
        self._span = (self._conv.kernel_size[0] - 1) * self._conv.dilation[0] + 1
        overlap = self._span - self._stride
        right = 0 if module.causal else overlap // 2
        self._left, self._right = overlap - right, right
        self._held: Tensor | None = None  # inputs that later outputs, or the reflection at the end, still need
        self._unread = 0  # where in `_held` the next output's inputs begin
        self._length = 0
        self._begun = False

    def push(self, x: Tensor, final: bool) -> Tensor:
        self._length += x.shape[-1]
        x = x if self._held is None else torch.cat([self._held, x], dim=-1)
        if not self._begun:
            if not final and self._length <= max(self._left, self._right + self._stride - 1):
                self._held = x
                return x.new_empty(x.shape[0], self._conv.out_channels, 0)
            x = _pad(x, (self._left, self._right_pad() if final else 0), self._mode)
            self._begun = True
        elif final:
            x = _pad(x, (0, self._right_pad()), self._mode)
        return self._outputs(x)

    def _right_pad(self) -> int:
        """At the true end: upstream fills up so that the last stride is whole."""
        return self._right + -self._length % self._stride

    def _outputs(self, x: Tensor) -> Tensor:
        begin = self._unread
        count = max(0, (x.shape[-1] - begin - self._span) // self._stride + 1)
        self._unread = begin + count * self._stride
        if count:
            out = self._conv(x[..., begin : self._unread - self._stride + self._span])
        else:
            out = x.new_empty(x.shape[0], self._conv.out_channels, 0)
        done = max(0, min(self._unread, x.shape[-1] - self._right - self._stride))
        self._held, self._unread = x[..., done:], self._unread - done
        return out


def _pad(x: Tensor, pads: tuple[int, int], mode: str) -> Tensor:
    """Pads both ends; a signal too short to reflect is taken as followed by zeros, as upstream does."""
    missing = max(0, max(pads) - x.shape[-1] + 1) if mode == "reflect" else 0
    return _without(F.pad(F.pad(x, (0, missing)), pads, mode), missing)


class _ConvTranspose:
    """An upsampling convolution: overlap-add, of which the unfinished end is carried to the next push."""

    def __init__(self, module: nn.Module):
        self._conv = module.conv
        overlap = self._conv.kernel_size[0] - self._conv.stride[0]
        self._right = math.ceil(overlap * module.trim_right_ratio) if module.causal else overlap // 2
        self._to_trim = overlap - self._right
        self._carry: Tensor | None = None  # [N, C, overlap], without bias

    def push(self, x: Tensor, final: bool) -> Tensor:
        conv = self._conv
        out = x.new_zeros(x.shape[0], conv.out_channels, 0)
        if x.shape[-1]:
            out = F.conv_transpose1d(x, conv.weight, stride=conv.stride)
            if self._carry is not None:
                out[..., : self._carry.shape[-1]] += self._carry
            whole = x.shape[-1] * conv.stride[0]
            out, self._carry = out[..., :whole], out[..., whole:]
        if final and self._carry is not None:
            out = _without(torch.cat([out, self._carry], dim=-1), self._right)
        trimmed = min(self._to_trim, out.shape[-1])
        self._to_trim -= trimmed
        return out[..., trimmed:] + conv.bias.unsqueeze(-1)


class _LSTM:
    def __init__(self, module: nn.Module):
        self._lstm = module.lstm
        self._state: tuple[Tensor, Tensor] | None = None

    def push(self, x: Tensor, final: bool) -> Tensor:
        if not x.shape[-1]:
            return x
        steps = x.permute(2, 0, 1)
        out, self._state = self._lstm(steps, self._state)
        return (out + steps).permute(1, 2, 0)


class _Residual:
    """block(x) + shortcut(x), where the block runs late: the shortcut waits for it."""

    def __init__(self, module: nn.Module):
        self._block = [_stateful(layer) for layer in module.block]
        self._shortcut = _stateful(module.shortcut)
        self._waiting: Tensor | None = None

    def push(self, x: Tensor, final: bool) -> Tensor:
        beside = self._shortcut.push(x, final)
        if self._waiting is not None:
            beside = torch.cat([self._waiting, beside], dim=-1)
        for layer in self._block:
            x = layer.push(x, final)
        self._waiting = beside[..., x.shape[-1] :]
        return x + beside[..., : x.shape[-1]]


_KINDS = {
    "EncodecConv1d": _Conv,
    "EncodecConvTranspose1d": _ConvTranspose,
    "EncodecLSTM": _LSTM,
    "EncodecResnetBlock": _Residual,
    "ELU": _Elementwise,
    "Identity": _Elementwise,
}


def _stateful(module: nn.Module) -> _Conv | _ConvTranspose | _LSTM | _Residual | _Elementwise:
    kind = _KINDS.get(type(module).__name__)
    if kind is None:
        raise ValueError(f"codec: got a layer {type(module).__name__}, expected one of {', '.join(_KINDS)}")
    return kind(module)


class LayerStream:
    """The layers of an encoder or a decoder with their state: `[N, channels, time]` in and out."""

    def __init__(self, coder: nn.Module):
        self._layers = [_stateful(module) for module in coder.layers]

    def push(self, x: Tensor, final: bool = False) -> Tensor:
        for layer in self._layers:
            x = layer.push(x, final)
        return x
