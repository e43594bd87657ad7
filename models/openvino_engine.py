"""The fast CPU engine: the LM compiled by OpenVINO, exact in float32 or with int8 weights.

Optional (`pip install musicgraph[cpu]`): import this module only where `missing()` says None.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .conditioning import Memory
from .lm import sinusoids
from .openvino_graph import step_graph, text_graph
from .openvino_weights import Float32Weights, Int8Weights

KINDS = {"fp32": Float32Weights, "int8": Int8Weights}
KV_PRECISIONS = {"fp32": "f32", "int8": "u8"}  # of the past that steps look back on


class OpenVinoEngine:
    """Any number of sessions share the compiled weights."""

    name = "openvino"
    device = torch.device("cpu")

    def __init__(self, checkpoint: Checkpoint, precision: str):
        """`precision`: "fp32" or "int8"."""
        self.config, self.precision = checkpoint.lm, precision
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": KV_PRECISIONS[precision],
        }
        core, weights = ov.Core(), KINDS[precision](checkpoint)
        self._text = core.compile_model(text_graph(self.config, weights), "CPU", settings)
        self._step = core.compile_model(step_graph(self.config, weights), "CPU", settings)
        weights.give_back()

    def prepare(self, memory: Memory, max_steps: int) -> OpenVinoSession:
        heard = self._heard(memory)
        return OpenVinoSession(self._step.create_infer_request(), heard, sinusoids(max_steps, self.config.hidden_size))

    def _heard(self, memory: Memory) -> dict[str, np.ndarray]:
        """Cross-attention's keys, values and mask for all rows. Values of rows that hear nothing are exact zeros."""
        C, config = memory.states.shape[0], self.config
        if C == 0:
            shape = (config.num_layers, memory.rows, config.num_heads)
            empty = {"text_keys": (*shape, config.head_size, 1), "text_values": (*shape, 1, config.head_size)}
            return {name: np.zeros(s, np.float32) for name, s in empty.items()} | {"text_mask": _added(memory.rows, 1)}
        mask = memory.mask.cpu()
        request = self._text.create_infer_request()
        states = memory.states.float().cpu().numpy()
        made = request.infer({"states": states, "heard": mask.float().unsqueeze(-1).numpy()})
        keys, values = made["keys"], made["values"]
        silent = ((0, 0), (0, memory.rows - C), (0, 0), (0, 0), (0, 0))
        text_mask = _added(memory.rows, mask.shape[1])
        text_mask[:C, 0, 0][(~mask & mask.any(dim=1, keepdim=True)).numpy()] = -np.inf
        return {"text_keys": np.pad(keys, silent), "text_values": np.pad(values, silent), "text_mask": text_mask}


def _added(rows: int, length: int) -> np.ndarray:
    return np.zeros((rows, 1, 1, length), np.float32)


class OpenVinoSession:
    def __init__(self, request: ov.InferRequest, heard: dict[str, np.ndarray], places: Tensor):
        self._request, self._places = request, places.unsqueeze(0).numpy()
        rows = heard["text_mask"].shape[0]
        self._open = np.zeros((1, 1, 1, len(places)), np.float32)  # the mask of a single step hides nothing
        self._length = 0
        request.reset_state()
        self._inputs: dict[str, np.ndarray] = {}
        for name, value in (heard | {"rows": np.arange(rows, dtype=np.int32)}).items():
            self._set(name, value)

    def _set(self, name: str, value: np.ndarray) -> None:
        self._inputs[name] = value  # OpenVINO reads this memory and does not keep it alive
        self._request.set_tensor(name, ov.Tensor(value, shared_memory=True))

    def step(self, tokens: Tensor) -> Tensor:
        begin, end = self._length, self._length + tokens.shape[-1]
        assert end <= self._places.shape[1], (end, self._places.shape[1])
        self._length = end
        self._set("tokens", tokens.contiguous().numpy())
        self._set("places", self._places[:, begin:end])
        self._set("mask", self._open[..., :end] if end - begin == 1 else _causal(begin, end))
        self._request.infer()
        return torch.from_numpy(self._request.get_tensor("logits").data.copy())


def _causal(begin: int, end: int) -> np.ndarray:
    """`[1, 1, end − begin, end]`: a step sees itself and what came before."""
    later = np.arange(end)[None] > np.arange(begin, end)[:, None]
    return np.where(later, np.float32(-np.inf), np.float32(0))[None, None]
