"""EnCodec's encoder and decoder, piece by piece: the result of all at once, at linear cost.

Every layer keeps what it needs of the past (the LSTM its state, a convolution its last inputs, a
transposed one its last frame) and holds back what depends on the future. `push` gives what is
certain; the last push, with `final=True`, gives the rest. Padding and trimming are upstream's, at
the true ends only. Source: EnCodec (Défossez et al. 2022); the per-layer state follows the idea of
moshi's streaming modules.

Between the layers sound is `[N, time, channels]`: a piece of time is then one piece of memory,
convolutions need not rearrange what they read, and a transposed convolution is a product of
matrices whose result lies in order.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import codec_layers, onednn
from .codec_instead import TORCH, Compiled, Instead, LstmState, Recurrent, Stateful, Steady

_ROWS = 5  # frames that the slowest transposed convolution gets with each push


def _without(x: Tensor, count: int) -> Tensor:
    """`x` less its last `count` samples."""
    return x[:, : x.shape[1] - count]


def _joined(*pieces: Tensor | None) -> Tensor:
    """The pieces one after the other; no copy is made of a single one."""
    present = [piece for piece in pieces if piece is not None]
    return torch.cat(present, dim=1) if len(present) > 1 else present[0]


# ---------------------------------------------------------------- weights


class Weighted(nn.Module):
    """The weight and the bias of a convolution of either kind. See `arranged`."""

    def __init__(self, layer: codec_layers.Conv | codec_layers.Upsample):
        super().__init__()
        self.layer = layer
        shapes = layer.shapes
        self.weight = nn.Parameter(torch.empty(shapes["weight"]))
        self.bias = nn.Parameter(torch.empty(shapes["bias"]))


class ResidualModule(nn.Module):
    def __init__(self, layer: codec_layers.Residual):
        super().__init__()
        self.first, self.second = Weighted(layer.first), Weighted(layer.second)
        self.shortcut = None if layer.shortcut is None else Weighted(layer.shortcut)


def module_of(layer: codec_layers.Layer) -> nn.Module:
    """What holds the weights of a layer."""
    match layer:
        case codec_layers.Residual():
            return ResidualModule(layer)
        case codec_layers.LSTM():
            return nn.LSTM(layer.size, layer.size, layer.layers)
        case codec_layers.ELU():
            return nn.ELU()
        case _:
            return Weighted(layer)


def arranged(weight: Tensor) -> Tensor:
    """A convolution's weight, in the order of memory in which streams read it: channels last."""
    return weight.transpose(1, 2).contiguous().transpose(1, 2)


# ---------------------------------------------------------------- layers with their state


class _Elu(Stateful):
    """The activation. It overwrites its input unless somebody else needs that (`inplace=False`)."""

    def __init__(self, inplace: bool = True):
        self._inplace = inplace

    def push(self, x: Tensor, final: bool) -> Tensor:
        return F.elu(x, inplace=self._inplace)


class _Conv(Stateful):
    """A convolution. Its first output waits until there is enough to reflect at the left end."""

    def __init__(self, module: Weighted, compiled: Compiled | None = None, elu: bool = False):
        """Compiled, it may have an ELU before it."""
        layer = module.layer
        assert isinstance(layer, codec_layers.Conv), layer
        self._module, self._bias = module, module.bias
        self._compiled, self._packed, self._picture = None, None, None
        if compiled:
            self._compiled = compiled.windows(module, self._taps, module.bias, layer.inputs, elu)
        elif onednn.usable(module.weight):
            self._packed = onednn.Product(module, self._taps, _ROWS)
        else:  # [out, in, 1, kernel]
            picture = module.weight.unsqueeze(2)
            self._picture = picture.contiguous(memory_format=torch.channels_last)
        self._dilation, self._mode = layer.dilation, layer.pad_mode
        self._stride, self._span = layer.stride, layer.span
        self._left, self._right = layer.pads
        self._held: Tensor | None = (
            None  # inputs that later outputs, or the reflection at the end, still need
        )
        self._unread = 0  # where in `_held` the next output's inputs begin
        self._length = 0
        self._begun = False

    def push(self, x: Tensor, final: bool) -> Tensor:
        self._length += x.shape[1]
        x = _joined(self._held, x)
        if not self._begun:
            if not final and self._length <= max(self._left, self._right + self._stride - 1):
                self._held = x
                return x.new_empty(x.shape[0], 0, len(self._bias))
            x = _pad(x, (self._left, self._right_pad() if final else 0), self._mode)
            self._begun = True
        elif final:
            x = _pad(x, (0, self._right_pad()), self._mode)
        return self._outputs(x)

    def steady(self) -> list[Steady]:
        if self._compiled is None or self._stride > 1 or self._dilation > 1:
            return []
        outputs, inputs, _ = self._module.weight.shape
        kept = max(self._span - 1, self._right + 1)
        read = kept - self._span + 1
        return [Steady(self._compiled, inputs, outputs, 1, kept, read, self._right)]

    def kept(self) -> list[Tensor]:
        (steady,) = self.steady()
        is_midst = self._begun and self._unread == steady.read
        if not is_midst or self._held is None or self._held.shape[1] != steady.kept:
            return []
        return [self._held]

    def keep(self, held: Sequence[Tensor]) -> None:
        (self._held,) = held

    def _right_pad(self) -> int:
        """At the true end: upstream fills up so that the last stride is whole."""
        return self._right + -self._length % self._stride

    def _outputs(self, x: Tensor) -> Tensor:
        begin = self._unread
        count = max(0, (x.shape[1] - begin - self._span) // self._stride + 1)
        self._unread = begin + count * self._stride
        if count:
            out = self._convolved(x[:, begin : self._unread - self._stride + self._span])
        else:
            out = x.new_empty(x.shape[0], 0, len(self._bias))
        done = max(0, min(self._unread, x.shape[1] - self._right - self._stride))
        self._held, self._unread = x[:, done:], self._unread - done
        return out

    def _taps(self) -> Tensor:
        """`[out, kernel · in]`: what an output takes from the inputs under it, in their order."""
        return self._module.weight.transpose(1, 2).flatten(1)

    def _convolved(self, x: Tensor) -> Tensor:
        if self._compiled is not None:
            return self._compiled(x)
        if self._packed is None:
            return self._as_picture(x)
        N, count = x.shape[0], (x.shape[1] - self._span) // self._stride + 1
        kernel, inputs = self._module.weight.shape[2], x.shape[2]
        x = x.contiguous()
        steps = x.stride(0), self._stride * inputs, self._dilation * inputs, 1
        under = x.as_strided((N, count, kernel, inputs), steps, x.storage_offset())
        return self._packed(under.reshape(N * count, -1), self._bias).view(N, count, -1)

    def _as_picture(self, x: Tensor) -> Tensor:
        """Of height 1: only pictures have a memory format of channels last."""
        assert self._picture is not None, "there is one or the other"
        picture, steps = x.transpose(1, 2).unsqueeze(2), (1, self._stride)
        out = F.conv2d(picture, self._picture, self._bias, steps, dilation=(1, self._dilation))
        return out.squeeze(2).transpose(1, 2)


def _pad(x: Tensor, pads: tuple[int, int], mode: str) -> Tensor:
    """Pads both ends. As upstream, a signal too short to reflect is followed by zeros first."""
    if mode != "reflect":
        return F.pad(x, (0, 0, *pads), mode)
    missing = max(0, max(pads) - x.shape[1] + 1)
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return _without(_reflected(x, *pads), missing)


def _reflected(x: Tensor, left: int, right: int) -> Tensor:
    """As `F.pad` does it, whose threads take longer to wake up than to work."""
    last = x.shape[1] - 1
    ends = x[:, 1 : left + 1].flip(1), x[:, last - right : last].flip(1)
    return torch.cat((ends[0], x, ends[1]), dim=1)


class _ConvTranspose(Stateful):
    """An upsampling convolution, of a kernel of two strides.

    The `stride` outputs that begin with a frame are sums over that frame and the one before it:
    products of matrices.
    """

    def __init__(self, module: Weighted, compiled: Compiled | None = None, elu: bool = False):
        """Compiled, it may have an ELU before it."""
        layer = module.layer
        assert isinstance(layer, codec_layers.Upsample), layer
        self._stride, self._channels = layer.stride, layer.outputs
        taps = module.weight.permute(0, 2, 1).flatten(1)  # [in, kernel · out]
        self._present, self._previous = taps.chunk(2, dim=1)
        self._bias = module.bias.repeat(self._stride)
        self._compiled, self._packed = None, None
        if compiled:
            self._compiled = compiled.windows(module, self._both, self._bias, layer.inputs, elu)
        elif onednn.usable(module.weight):
            self._packed = onednn.Product(module, self._both, _ROWS)
        self._right = layer.trim_right
        self._to_trim = self._stride - self._right
        self._last: Tensor | None = None  # the last frame, [N, 1, in]

    def steady(self) -> list[Steady]:
        if self._compiled is None:
            return []
        inputs, outputs = len(self._present), self._channels
        return [Steady(self._compiled, inputs, outputs, self._stride, 1, 0, 0)]

    def kept(self) -> list[Tensor]:
        return [] if self._last is None or self._to_trim else [self._last]

    def keep(self, held: Sequence[Tensor]) -> None:
        (self._last,) = held

    def _both(self) -> Tensor:
        """`[stride · out, 2 · in]`: what outputs take from the frame before, and their own."""
        return torch.cat([self._previous, self._present]).T

    def push(self, x: Tensor, final: bool) -> Tensor:
        silence = x.new_zeros(x.shape[0], 1, x.shape[2])
        frames = _joined(
            silence if self._last is None else self._last, x, silence if final else None
        )
        self._last = frames[:, -1:]
        out = self._upsampled(frames)
        if final:
            out = _without(out, self._right)
        trimmed = min(self._to_trim, out.shape[1])
        self._to_trim -= trimmed
        return out[:, trimmed:]

    def _upsampled(self, frames: Tensor) -> Tensor:
        """`[N, T + 1, in]` → `[N, T · stride, out]`, from the second frame on."""
        previous, present = frames[:, :-1], frames[:, 1:]
        if self._compiled:
            out = self._compiled(frames)
        elif self._packed:
            out = self._packed(torch.cat([previous, present], dim=2).flatten(0, 1), self._bias)
        else:  # on a GPU a sum of two products, which spares a second copy of the weights
            out = torch.addmm(self._bias, present.flatten(0, 1), self._present)
            out = out.addmm_(previous.flatten(0, 1), self._previous)
        return out.view(frames.shape[0], (frames.shape[1] - 1) * self._stride, self._channels)


class _LSTM(Stateful):
    def __init__(self, lstm: nn.LSTM, instead: Recurrent | None):
        usual = onednn.Lstm(lstm) if onednn.usable(lstm.all_weights[0][0]) else lstm
        self._lstm = usual if instead is None else instead
        self._state: LstmState | None = None

    def push(self, x: Tensor, final: bool) -> Tensor:
        if not x.shape[1]:
            return x
        steps = x.transpose(0, 1)
        out, self._state = self._lstm(steps, self._state)
        return (out + steps).transpose(0, 1)


class _Residual(Stateful):
    """block(x) + shortcut(x), where the block runs late: the shortcut waits for it."""

    is_added = True

    def __init__(self, module: ResidualModule, compiled: Compiled | None):
        first = _activated(module.first, compiled, inplace=False)
        self._block = [*first, *_activated(module.second, compiled)]
        self._shortcut = None if module.shortcut is None else _Conv(module.shortcut, compiled)
        self._waiting: Tensor | None = None

    def push(self, x: Tensor, final: bool) -> Tensor:
        beside = x if self._shortcut is None else self._shortcut.push(x, final)
        for layer in self._block:
            x = layer.push(x, final)
        return self._added(x, beside)

    def steady(self) -> list[Steady]:
        if self._shortcut is not None:
            return []
        each = [layer.steady() for layer in self._block]
        return [one for found in each for one in found] if all(each) else []

    def kept(self) -> list[Tensor]:
        each = [layer.kept() for layer in self._block]
        is_midst = self._waiting is not None and self._waiting.shape[1] == self._late
        return [one for found in each for one in found] if is_midst and all(each) else []

    def keep(self, held: Sequence[Tensor]) -> None:
        for layer, one in zip(self._block, held, strict=True):
            layer.keep([one])
        self._waiting = held[0][:, held[0].shape[1] - self._late :]

    @property
    def _late(self) -> int:
        return sum(one.late for one in self.steady())

    def _added(self, x: Tensor, beside: Tensor) -> Tensor:
        """`x` plus the shortcut's samples for it, in place; what is left over of those is kept."""
        beside = _joined(self._waiting, beside)
        self._waiting = beside[:, x.shape[1] :]
        return x.add_(beside[:, : x.shape[1]])


def _activated(module: Weighted, compiled: Compiled | None, inplace: bool = True) -> list[Stateful]:
    """ELU and a convolution of either kind: one layer, where that is compiled."""
    kind = _Conv if isinstance(module.layer, codec_layers.Conv) else _ConvTranspose
    if compiled:
        return [kind(module, compiled, elu=True)]
    return [_Elu(inplace), kind(module)]


def _stateful(module: nn.Module, instead: Instead) -> Stateful:
    match module:
        case Weighted(layer=codec_layers.Conv()):
            return _Conv(module, instead.convolutions)
        case ResidualModule():
            return _Residual(module, instead.convolutions)
        case nn.LSTM():
            return _LSTM(module, instead.lstm)
    raise TypeError(f"no layer of a codec: {module}")


class LayerStream:
    """The layers of an encoder or a decoder with their state: `[N, channels, time]` in and out."""

    def __init__(self, coder: nn.ModuleList, instead: Instead = TORCH):
        """`instead` has what torch does not compute; see `codec_conv.fits`."""
        self._layers: list[Stateful] = []
        for before, module in zip((None, *coder), coder, strict=False):
            if isinstance(before, nn.ELU):
                assert isinstance(module, Weighted), module
                self._layers += _activated(module, instead.convolutions)
            elif not isinstance(module, nn.ELU):
                self._layers.append(_stateful(module, instead))
        kinds = [type(layer) for layer in self._layers]
        self._alone = kinds.index(_LSTM) + 1 if _LSTM in kinds else 0
        together = self._layers[self._alone :]
        self._chain = instead.convolutions.chain(together) if instead.convolutions else None
        self._state: np.ndarray | None = None
        """what these keep, in the midst of a stream, where they are one"""

    def push(self, x: Tensor, final: bool = False) -> Tensor:
        x = x.transpose(1, 2)
        for layer in self._layers[: self._alone]:
            x = layer.push(x, final)
        return self._together(x, final).transpose(1, 2)

    def _together(self, x: Tensor, final: bool) -> Tensor:
        layers = self._layers[self._alone :]
        if self._chain is not None and not final and x.shape[1]:
            if self._state is None and all(kept := [layer.kept() for layer in layers]):
                self._state = self._chain.state_of([one for found in kept for one in found])
            if self._state is not None:
                x, self._state = self._chain.push(x, self._state)
                return x
        if self._chain is not None and self._state is not None:
            held = iter(self._chain.held_in(self._state))
            for layer in layers:
                layer.keep([next(held) for _ in layer.steady()])
            self._state = None
        for layer in layers:
            x = layer.push(x, final)
        return x

    def copied(self) -> LayerStream:
        """Another one that goes on from where this one stands. What layers keep is never written
        over, so both may share it.
        """
        twin = copy.copy(self)
        twin._layers = [_copied(layer) for layer in self._layers]
        return twin


def _copied(layer: Stateful) -> Stateful:
    twin = copy.copy(layer)
    if isinstance(twin, _Residual):
        twin._block = [copy.copy(one) for one in twin._block]
        twin._shortcut = copy.copy(twin._shortcut)
    return twin
