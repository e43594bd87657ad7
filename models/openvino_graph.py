"""The LM as an OpenVINO graph, written operation by operation.

Two graphs from one set of weights: `text_graph` projects a prompt to every layer's cross-attention keys and values, once a
window; `step_graph` reads S new steps and gives the logits of the next one. The past lies in the caller's tensors, one of
keys and one of values a layer, and paged attention adds to them in place. To it every head of every row is a sequence of
its own, a line, so that all positions of a head lie side by side: late steps read memory in long runs.
Knows OpenVINO and shapes; where weights come from is `Weights`' business.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .config import LMConfig
from .openvino_import import Node, PagedAttention, op, ov

LAYER_NORM_EPSILON = 1e-5
HEADS_FIRST = (0, 2, 1, 3)  # [R, S, H, head_size] ⇄ [R, H, S, head_size]

OFF, NO_INTS, NO_FLOATS, NO_BYTES = np.int32(0), *(np.zeros(0, kind) for kind in (np.int32, np.float32, np.uint8))
UNUSED = [  # paged attention's inputs from the 14th on, in OpenVINO 2026.4 (others take more or fewer)
    *[NO_INTS],  # a window to collect scores over
    *[NO_INTS, NO_INTS, NO_FLOATS],  # rotation
    *[NO_FLOATS, OFF, OFF],  # sparse attention
    *[np.zeros((0, 0, 0, 0), np.float32)],  # sinks
    *[OFF, NO_INTS, NO_INTS, NO_INTS],  # eviction
    *[NO_INTS, NO_BYTES, NO_INTS],  # kinds of tokens, trees of guesses
]


class Weights(Protocol):
    """Names are those of `MusicGenLM`'s parameters."""

    def linear(self, x: Node, name: str, parts: int = 1) -> list[Node]:
        """`x` times a matrix, transposed, as `parts` outputs of equal width; with 1 they may be several, to be joined."""
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
        self.pages = [_input(name, [-1], np.int32) for name in ("past", "begins", "blocks", "block_begins")]
        self.span = _input("span", [], np.int32)
        self.text_mask = _input("text_mask", [-1, 1, 1, -1])
        self.text_keys = _input("text_keys", [layers, -1, H, size, -1])
        self.text_values = _input("text_values", [layers, -1, H, -1, size])
        self.caches: list[Node] = []
        rows = op.gather(op.shape_of(self.tokens), _ints(0), op.constant(0))
        self.by_head = op.concat([rows, _ints(H, -1, size)], 0)  # the shape [R, H, S, head_size]

    def build(self) -> ov.Model:
        x = self._embedded()
        for layer in range(self.config.num_layers):
            name = f"layers.{layer}"
            x = op.add(x, self._attention(self._norm(x, f"{name}.norm"), layer))
            x = op.add(x, self._listen(self._norm(x, f"{name}.text_norm"), layer))
            x = op.add(x, self._feed_forward(self._norm(x, f"{name}.ffn_norm"), name))
        last = op.gather(x, _ints(-1), op.constant(1))
        logits = _result(op.concat(self.weights.linear(self._norm(last, "norm"), "heads.weight"), 2), "logits")
        text = [self.text_mask, self.text_keys, self.text_values]
        return ov.Model([logits], [self.tokens, self.places, *self.pages, self.span, *text, *self.caches], "step")

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
        new = self.weights.linear(x, f"layers.{layer}.qkv.weight", parts=3)
        lines = [op.reshape(self._heads_first(part), _ints(-1, self.config.head_size), False) for part in new]
        caches = [_input(f"{kind}.{layer}", [-1] * 4, ov.Type.dynamic) for kind in ("keys", "values")]
        self.caches += caches
        heard = _joined(op.reshape(self._paged(*lines, *caches), self.by_head, False), self.config)
        return self.weights.linear(heard, f"layers.{layer}.out.weight")[0]

    def _paged(self, q: Node, k: Node, v: Node, keys: Node, values: Node) -> Node:
        """What q `[R · H · S, head_size]` hears in the caches, in the same shape, once k and v are in there too."""
        size = self.config.head_size
        scale, window, slopes = (op.constant(x) for x in (np.float32(size**-0.5), OFF, NO_FLOATS))
        inputs = [q, k, v, keys, values, *self.pages, scale, window, slopes, self.span, *map(op.constant, UNUSED)]
        attention = PagedAttention([node.output(0) for node in inputs])
        for name in ("num_k_heads", "num_v_heads"):
            attention.get_rt_info()[name] = 1
        for name in ("k_head_size", "v_head_size"):  # the plugin gives the caches their shapes by these
            attention.get_rt_info()[name] = size
        return attention.output(0)

    def _heads_first(self, x: Node) -> Node:
        return op.transpose(_by_head(x, self.config), _ints(*HEADS_FIRST))  # [R, S, d] → [R, H, S, head_size]

    def _listen(self, x: Node, layer: int) -> Node:
        (q,) = self.weights.linear(x, f"layers.{layer}.text_q.weight")
        q = self._heads_first(q)
        keys, values = (
            op.gather(part, op.constant(layer), op.constant(0)) for part in (self.text_keys, self.text_values)
        )
        scores = op.add(op.matmul(q, keys, False, False), self.text_mask)
        heard = op.matmul(op.softmax(scores, -1), values, False, False)
        return self.weights.linear(_joined(heard, self.config), f"layers.{layer}.text_out.weight")[0]

    def _feed_forward(self, x: Node, name: str) -> Node:
        """fc2(gelu(fc1 x)), with gelu(h) = h · (1 − erf(−h / √2)) / 2 written out, and with this sign.

        As one operation, which OpenVINO makes of it where it knows the form, it would join fc1; in float32 that is then computed
        by a kernel that reads memory a third slower.
        """
        (hidden,) = self.weights.linear(x, f"{name}.fc1.weight")
        half, to_erf = op.constant(np.float32(0.5)), op.constant(np.float32(-(0.5**0.5)))
        share = op.subtract(half, op.multiply(half, op.erf(op.multiply(hidden, to_erf))))
        return self.weights.linear(op.multiply(hidden, share), f"{name}.fc2.weight")[0]


def step_graph(config: LMConfig, weights: Weights) -> ov.Model:
    """Reads S steps after a past of P and gives the logits of the step after them.

    Inputs: tokens int64 `[R, K, S]`, places `[1, S, d]` (their positions' sinusoids), text_keys and text_values of
    `text_graph` with zeros for rows that hear nothing, text_mask `[R, 1, 1, L]`, added to the scores. For every layer
    the caches keys.N and values.N, `[blocks, 1, …]` in the shape and type that the compiled model says. All int32, for the
    R · H lines: past `[R · H]` (P for each), span `[]` (P + S), begins `[R · H + 1]` (where lines begin among all their new
    positions: 0, S, …), blocks (the numbers of the lines' blocks) and block_begins `[R · H + 1]` (where lines begin there).
    Output: logits `[R, 1, K · V]`.
    """
    return _StepGraph(config, weights).build()
