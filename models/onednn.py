"""oneDNN with weights packed once.

torch's own layers bring them into oneDNN's order with every call.

For the codec, which works in short blocks and so reads its weights often, that order is what costs:
on an x86 CPU an LSTM of 1024 over 50 steps takes a third less time, a product of 50 rows with a
matrix of 2048 x 4096 half. The operators are those that torch's compiler puts in place of layers
whose weights do not change (torch/_inductor/fx_passes/ mkldnn_fusion.py). They know no gradients.
Packed weights are a second copy of them.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

log = logging.getLogger("musicgraph")

_LSTM = 2  # torch's number for this kind of recurrent layer
_PACKED: WeakKeyDictionary[nn.Module, tuple[list[tuple[int, int]], Any]] = WeakKeyDictionary()


def usable(weight: Tensor) -> bool:
    """Whether products with this weight can go through here."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and _as_torch_does()
    )


@cache
def _as_torch_does() -> bool:
    """Whether these operators, torch's private parts, still do what they did: tried once."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        lstm, linear = nn.LSTM(32, 32, 2), nn.Linear(32, 48)
        x = torch.randn(5, 32)
        usual, (usual_h, usual_c) = lstm(x[:, None])
        try:
            ours, (h, c) = Lstm(lstm)(x[:, None], None)
            product = Product(linear, lambda: linear.weight, 5)(x, linear.bias)
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            log.warning("torch has changed (%s): the codec works with plain layers, slower", error)
            return False
        pairs = ((ours, usual), (h, usual_h), (c, usual_c), (product, linear(x)))
        right = all(a.shape == b.shape and torch.allclose(a, b, atol=1e-5) for a, b in pairs)
        if not right:
            log.warning("torch's packed layers give other numbers: the codec works with plain ones")
        return right


def _kept(module: nn.Module, pack: Callable[[], Any]) -> Any:
    """What `pack` gives, packed anew only when the module's weights are other ones."""
    weights = [
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for weight in module.parameters()
    ]
    known = _PACKED.get(module)
    if known is None or known[0] != weights:
        known = _PACKED[module] = weights, pack()
    return known[1]


class Lstm:
    """The layers of an `nn.LSTM` of one direction."""

    def __init__(self, module: nn.LSTM):
        self._hidden = module.hidden_size
        self._layers = _kept(
            module, lambda: [self._pack(weights) for weights in module.all_weights]
        )

    def _pack(self, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
        inputs, recurrent, *biases = weights
        reorder = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight
        return *reorder(
            inputs, recurrent, self._hidden, False, True, False, [1, 1, inputs.shape[1]]
        ), *biases

    def __call__(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`[T, N, in]` → `[T, N, hidden]`, and the state, `[layers, N, hidden]` twice."""
        zeros = x.new_zeros(len(self._layers), x.shape[1], self._hidden)
        states, x = [], x.contiguous()
        for weights, h, c in zip(self._layers, *(state or (zeros, zeros)), strict=True):
            x, h, c, _ = torch.ops.aten.mkldnn_rnn_layer(
                x, *weights, h, c, False, [], _LSTM, self._hidden, 1, True, False, False, False
            )
            states.append((h, c))
        h, c = (torch.stack(parts) for parts in zip(*states, strict=True))
        return x, (h, c)


class Product:
    """Rows times a fixed matrix, plus a bias.

    `matrix()` is `[out, in]`; it is made from the module's weights.
    """

    def __init__(self, module: nn.Module, matrix: Callable[[], Tensor], rows: int):
        """`rows` is how many there mostly are; any number will do."""
        pack = torch.ops.mkldnn._reorder_linear_weight
        self._matrix = _kept(module, lambda: pack(matrix().contiguous(), rows))

    def __call__(self, x: Tensor, bias: Tensor) -> Tensor:
        """`[rows, in]` → `[rows, out]`."""
        return torch.ops.mkldnn._linear_pointwise(x, self._matrix, bias, "none", [], "")
