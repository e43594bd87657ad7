"""EnCodec as a list of layers: kinds, sizes and padding, without weights.

Source: EnCodec (Défossez et al. 2022), as MusicGen's codecs are laid out. Needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import CodecConfig

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Conv:
    """A convolution, padded so that it gives one output for each `stride` inputs."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    causal: bool
    pad_mode: str

    @property
    def span(self) -> int:
        """How many inputs lie under an output, from the first to the last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def pads(self) -> tuple[int, int]:
        """Left and right; the right one is filled up at the end until the last stride is whole."""
        overlap = self.span - self.stride
        right = 0 if self.causal else overlap // 2
        return overlap - right, right

    @property
    def shapes(self) -> Shapes:
        return {"weight": (self.outputs, self.inputs, self.kernel), "bias": (self.outputs,)}


@dataclass(frozen=True)
class Upsample:
    """A transposed convolution, of a kernel of two strides."""

    inputs: int
    outputs: int
    stride: int
    trim_right: int
    """samples that are cut off at the end; the rest of a stride is cut off at the beginning"""

    @property
    def shapes(self) -> Shapes:
        return {"weight": (self.inputs, self.outputs, 2 * self.stride), "bias": (self.outputs,)}


@dataclass(frozen=True)
class LSTM:
    """Some layers, and a way around them all."""

    size: int
    layers: int

    @property
    def shapes(self) -> Shapes:
        gates = 4 * self.size
        kinds = {"weight_ih": (gates, self.size), "weight_hh": (gates, self.size)}
        kinds |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        return {f"{kind}_l{i}": shape for i in range(self.layers) for kind, shape in kinds.items()}


@dataclass(frozen=True)
class Residual:
    """ELU, convolution, ELU, convolution; and a way around them."""

    first: Conv
    second: Conv
    shortcut: Conv | None

    @property
    def shapes(self) -> Shapes:
        parts = {"first": self.first, "second": self.second, "shortcut": self.shortcut}
        return {
            f"{part}.{name}": shape
            for part, conv in parts.items()
            if conv is not None
            for name, shape in conv.shapes.items()
        }


@dataclass(frozen=True)
class ELU:
    @property
    def shapes(self) -> Shapes:
        return {}


Layer = Conv | Upsample | LSTM | Residual | ELU


def encoder_layers(config: CodecConfig) -> tuple[Layer, ...]:
    """From sound to latents."""
    width = config.num_filters
    layers: list[Layer] = [_conv(config, 1, width, config.kernel_size)]
    for stride in reversed(config.strides):
        layers += _residuals(config, width)
        layers += [ELU(), _conv(config, width, 2 * width, 2 * stride, stride)]
        width *= 2
    layers += [LSTM(width, config.num_lstm_layers), ELU()]
    return (*layers, _conv(config, width, config.hidden_size, config.last_kernel_size))


def decoder_layers(config: CodecConfig) -> tuple[Layer, ...]:
    """From latents to sound."""
    width = config.num_filters * 2 ** len(config.strides)
    layers: list[Layer] = [_conv(config, config.hidden_size, width, config.kernel_size)]
    layers += [LSTM(width, config.num_lstm_layers)]
    for stride in config.strides:
        trimmed = math.ceil(stride * config.trim_right) if config.causal else stride // 2
        layers += [ELU(), Upsample(width, width // 2, stride, trimmed)]
        width //= 2
        layers += _residuals(config, width)
    return (*layers, ELU(), _conv(config, width, 1, config.last_kernel_size))


def _conv(
    config: CodecConfig, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1
) -> Conv:
    return Conv(inputs, outputs, kernel, stride, dilation, config.causal, config.pad_mode)


def _residuals(config: CodecConfig, width: int) -> list[Layer]:
    inner = width // config.compress
    shortcut = _conv(config, width, width, 1) if config.conv_shortcut else None
    kernel, growth = config.residual_kernel_size, config.dilation_growth
    return [
        Residual(
            _conv(config, width, inner, kernel, dilation=growth**i),
            _conv(config, inner, width, 1),
            shortcut,
        )
        for i in range(config.num_residual_layers)
    ]
