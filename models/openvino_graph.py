"""The LM as an OpenVINO graph, written operation by operation.

Two graphs from one set of weights: `text_graph` projects a prompt to every layer's cross-attention keys and values, once a
window; `step_graph` reads S new steps and gives the logits of the next one. What the step needs of the past lies in the
graph's own states, `[R, span, H, head_size]`, in the pattern that the CPU plugin fuses into one attention operation
(read → gather by row → concat → transpose → attention → assign); a pattern that it does not fuse copies the whole past at
every step. Knows OpenVINO and shapes; where weights come from is `Weights`' business.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset13 as op

from .config import LMConfig

LAYER_NORM_EPSILON = 1e-5
HEADS_FIRST = (0, 2, 1, 3)  # [R, S, H, head_size] ⇄ [R, H, S, head_size]


class Weights(Protocol):
    """Names are those of `MusicGenLM`'s parameters."""

    def linear(self, x: Node, name: str, parts: int = 1) -> list[Node]:
        """`x` times a matrix, transposed, as `parts` outputs of equal width."""
        ...

    def array(self, name: str) -> np.ndarray:
        """A small parameter as float32: norms, biases, the embedding table."""
        ...


def _ints(*values: int) -> Node:
    return op.constant(np.array(values, dtype=np.int64))


def _input(name: str, shape: list[int], kind: type = np.float32) -> Node:
    node = op.parameter(shape, kind, name=name)
    node.output(0).set_names({name})
    return node


def _result(node: Node, name: str) -> Node:
    result = op.result(node)
    result.output(0).set_names({name})
    return result


def text_graph(config: LMConfig, weights: Weights) -> ov.Model:
    """states `[C, L, text_size]`, heard `[C, L, 1]` (1 or 0) → keys `[layers, C, H, head_size, L]`, values `[…, L, head_size]`.

    The keys carry attention's scale, so that no step has to.
    """
    states, heard = _input("states", [-1, -1, config.text_size]), _input("heard", [-1, -1, 1])
    text = states
    if config.text_size != config.hidden_size:
        text = op.add(
            weights.linear(states, "text_projection.weight")[0], op.constant(weights.array("text_projection.bias"))
        )
    text = op.multiply(text, heard)
    keys, values = [], []
    scale = op.constant(np.float32(config.head_size**-0.5))
    for layer in range(config.num_layers):
        k, v = (_by_head(part, config) for part in weights.linear(text, f"layers.{layer}.text_kv.weight", parts=2))
        keys.append(op.unsqueeze(op.multiply(op.transpose(k, _ints(0, 2, 3, 1)), scale), _ints(0)))
        values.append(op.unsqueeze(op.transpose(v, _ints(*HEADS_FIRST)), _ints(0)))
    results = [_result(op.concat(keys, 0), "keys"), _result(op.concat(values, 0), "values")]
    return ov.Model(results, [states, heard], "text")


def _by_head(x: Node, config: LMConfig) -> Node:
    return op.reshape(x, _ints(0, 0, config.num_heads, config.head_size), True)  # [R, S, d] → [R, S, H, head_size]


def _joined(x: Node, config: LMConfig) -> Node:
    return op.reshape(op.transpose(x, _ints(*HEADS_FIRST)), _ints(0, 0, config.hidden_size), True)


class _StepGraph:
    def __init__(self, config: LMConfig, weights: Weights):
        self.config, self.weights = config, weights
        H, size, layers = config.num_heads, config.head_size, config.num_layers
        self.tokens = _input("tokens", [-1, config.num_codebooks, -1], np.int64)
        self.places = _input("places", [1, -1, config.hidden_size])
        self.rows = _input("rows", [-1], np.int32)
        self.mask = _input("mask", [1, 1, -1, -1])
        self.text_mask = _input("text_mask", [-1, 1, 1, -1])
        self.text_keys = _input("text_keys", [layers, -1, H, size, -1])
        self.text_values = _input("text_values", [layers, -1, H, -1, size])
        self.states: list[Node] = []

    def build(self) -> ov.Model:
        x = self._embedded()
        for layer in range(self.config.num_layers):
            name = f"layers.{layer}"
            x = op.add(x, self._attention(self._norm(x, f"{name}.norm"), layer))
            x = op.add(x, self._listen(self._norm(x, f"{name}.text_norm"), layer))
            (hidden,) = self.weights.linear(self._norm(x, f"{name}.ffn_norm"), f"{name}.fc1.weight")
            x = op.add(x, self.weights.linear(op.gelu(hidden, "erf"), f"{name}.fc2.weight")[0])
        last = op.gather(x, _ints(-1), op.constant(1))
        heads = self.weights.linear(self._norm(last, "norm"), "heads.weight", parts=self.config.num_codebooks)
        logits = _result(op.concat([op.unsqueeze(op.squeeze(head, _ints(1)), _ints(1)) for head in heads], 1), "logits")
        inputs = [self.tokens, self.places, self.rows, self.mask, self.text_mask, self.text_keys, self.text_values]
        return ov.Model([logits], self.states, inputs, "step")

    def _embedded(self) -> Node:
        K, V = self.config.num_codebooks, self.config.codebook_size
        first_rows = op.constant((np.arange(K, dtype=np.int64) * (V + 1))[None, :, None])
        vectors = op.gather(
            op.constant(self.weights.array("embedding.weight")), op.add(self.tokens, first_rows), op.constant(0)
        )
        return op.add(op.reduce_sum(vectors, _ints(1), False), self.places)

    def _norm(self, x: Node, name: str) -> Node:
        normal = op.mvn(x, _ints(-1), True, LAYER_NORM_EPSILON, "inside_sqrt")
        scaled = op.multiply(normal, op.constant(self.weights.array(f"{name}.weight")))
        return op.add(scaled, op.constant(self.weights.array(f"{name}.bias")))

    def _attention(self, x: Node, layer: int) -> Node:
        q, k, v = (
            _by_head(part, self.config) for part in self.weights.linear(x, f"layers.{layer}.qkv.weight", parts=3)
        )
        past = [self._with_past(new, f"{kind}.{layer}") for kind, new in (("keys", k), ("values", v))]
        order = [op.transpose(part, _ints(*HEADS_FIRST)) for part in (q, *past)]
        heard = op.scaled_dot_product_attention(*order, self.mask)
        return self.weights.linear(_joined(heard, self.config), f"layers.{layer}.out.weight")[0]

    def _with_past(self, new: Node, name: str) -> Node:
        """`new` appended to a state, which starts empty."""
        H, size = self.config.num_heads, self.config.head_size
        shape = ov.PartialShape([-1, -1, H, size])
        count = op.shape_of(self.rows)
        empty = op.broadcast(op.constant(np.float32(0)), op.concat([count, _ints(0, H, size)], 0))
        past = op.gather(op.read_value(empty, name, ov.Type.f32, shape), self.rows, op.constant(0))
        whole = op.concat([past, new], 1)
        self.states.append(op.assign(whole, name))
        return whole

    def _listen(self, x: Node, layer: int) -> Node:
        (q,) = self.weights.linear(x, f"layers.{layer}.text_q.weight")
        q = op.transpose(_by_head(q, self.config), _ints(*HEADS_FIRST))
        keys, values = (
            op.gather(part, op.constant(layer), op.constant(0)) for part in (self.text_keys, self.text_values)
        )
        scores = op.add(op.matmul(q, keys, False, False), self.text_mask)
        heard = op.matmul(op.softmax(scores, -1), values, False, False)
        return self.weights.linear(_joined(heard, self.config), f"layers.{layer}.text_out.weight")[0]


def step_graph(config: LMConfig, weights: Weights) -> ov.Model:
    """Reads S steps after a past of P and gives the logits of the step after them.

    Inputs: tokens int64 `[R, K, S]`, places `[1, S, d]` (their positions' sinusoids), rows int32 `[R]` (0 … R − 1), mask
    `[1, 1, S, P + S]`, text_keys and text_values of `text_graph` with zeros for rows that hear nothing, text_mask
    `[R, 1, 1, L]`; masks are added to the scores. Output: logits `[R, K, V]`.
    """
    return _StepGraph(config, weights).build()
