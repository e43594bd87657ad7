"""The fast CPU engine: the LM compiled by OpenVINO, exact in float32 or with int8 weights.

Optional (`pip install musicgraph[cpu]`), and so imported only where it was chosen: see nodes/engines.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .conditioning import Memory
from .config import LMConfig
from .lm import sinusoids
from .openvino_graph import step_graph, text_graph
from .openvino_import import ov
from .openvino_weights import Float32Weights, Int8Weights, giving_back

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
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 128,  # int8's inputs; smaller groups take longer, larger ones gain little
        }
        core, weights = ov.Core(), KINDS[precision](checkpoint)
        with giving_back(weights.mapped):
            self._text = core.compile_model(text_graph(self.config, weights), "CPU", settings)
            self._step = core.compile_model(step_graph(self.config, weights), "CPU", settings)
            self._read_once()

    def _read_once(self) -> None:
        """One step of nothing: OpenVINO packs some matrices only when they are first used."""
        nothing = Memory(torch.zeros(0, 1, self.config.text_size), torch.zeros(0, 1, dtype=torch.bool), rows=1, items=1)
        step = torch.full((1, self.config.num_codebooks, 1), self.config.special_token)
        self.prepare(nothing, max_steps=1).step(step)

    def prepare(self, memory: Memory, max_steps: int) -> OpenVinoSession:
        places = sinusoids(max_steps, self.config.hidden_size)
        return OpenVinoSession(self._step, self.config, self._heard(memory), places, self.precision == "int8")

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
    """One window. With `one_by_one` a prompt is read step by step: with int8 weights activations are rounded too, other ones
    for other shapes, and so continuing gives what composing at once gives. Read at once it would take as long.
    """

    def __init__(
        self, model: ov.CompiledModel, config: LMConfig, heard: dict[str, np.ndarray], places: Tensor, one_by_one: bool
    ):
        self._codebooks, self._one_by_one = config.num_codebooks, one_by_one
        self._request, self._places = model.create_infer_request(), places.unsqueeze(0).numpy()
        self._rows = heard["text_mask"].shape[0]
        self._length = 0
        self._inputs: dict[str, np.ndarray] = {}
        block = model.input("values.0").partial_shape[2].get_length()
        per_line = -(-len(places) // block)
        self._lines = self._rows * config.num_heads
        self._set("blocks", np.arange(self._lines * per_line, dtype=np.int32))
        self._set("block_begins", _begins(self._lines, per_line))
        for name, value in (heard | _caches(model, self._lines * per_line)).items():
            self._set(name, value)

    def _set(self, name: str, value: np.ndarray) -> None:
        self._inputs[name] = value  # the request borrows it
        self._request.set_tensor(name, ov.Tensor(value, shared_memory=True))

    def step(self, tokens: Tensor) -> Tensor:
        for piece in tokens.split(1, dim=2) if self._one_by_one else (tokens,):
            self._read(piece)
        logits = torch.from_numpy(self._request.get_tensor("logits").data.copy())
        return logits.view(self._rows, self._codebooks, -1)

    def _read(self, tokens: Tensor) -> None:
        begin, end = self._length, self._length + tokens.shape[-1]
        assert end <= self._places.shape[1], (end, self._places.shape[1])
        self._length = end
        self._set("tokens", tokens.contiguous().numpy())
        self._set("places", self._places[:, begin:end])
        self._set("past", np.full(self._lines, begin, np.int32))
        self._set("begins", _begins(self._lines, end - begin))
        self._set("span", np.array(end, np.int32))
        self._request.infer()


def _begins(lines: int, size: int) -> np.ndarray:
    """Where each of equally long lines begins, and where the last one ends."""
    return np.arange(lines + 1, dtype=np.int32) * np.int32(size)


def _caches(model: ov.CompiledModel, blocks: int) -> dict[str, np.ndarray]:
    """`[blocks, 1, …]` in the shape and type that the model wants, by name; memory that no step has reached costs nothing.

    Zeros, because attention multiplies what is left of a block by zero.
    """
    caches = {}
    for port in model.inputs:
        if (name := port.get_any_name()).startswith(("keys.", "values.")):
            shape = [blocks, *(size.get_length() for size in list(port.partial_shape)[1:])]
            caches[name] = np.zeros(shape, port.element_type.to_dtype())
    return caches
