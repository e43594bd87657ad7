"""Engines: what runs the LM, step by step.

An engine is prepared for a batch and gives a session, which owns all of the state: two sessions of one engine cannot
disturb each other.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .conditioning import Memory
from .config import LMConfig
from .lm import MusicGenLM

NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
"""of the float types that the LM comes in"""


class Session(Protocol):
    def step(self, tokens: Tensor) -> Tensor:
        """Reads the next S steps, int64 `[R, K, S]`, and returns float32 logits `[R, K, V]` of the step after them."""
        ...


class Engine(Protocol):
    name: str
    config: LMConfig
    device: torch.device
    precision: str
    """fp32, int8, fp16 or bf16"""

    def prepare(self, memory: Memory, max_steps: int) -> Session:
        """A session with room for `max_steps` steps, listening to `memory`."""
        ...


class TorchEngine:
    """The reference: plain torch, any device, any float type."""

    name = "torch"

    def __init__(self, lm: MusicGenLM):
        self.lm = lm
        self.config = lm.config

    @property
    def device(self) -> torch.device:
        return self.lm.norm.weight.device

    @property
    def precision(self) -> str:
        return NAMES[self.lm.norm.weight.dtype]

    def prepare(self, memory: Memory, max_steps: int) -> TorchSession:
        return TorchSession(self.lm, memory, max_steps)


class TorchSession:
    def __init__(self, lm: MusicGenLM, memory: Memory, max_steps: int):
        self._lm = lm
        with torch.inference_mode():
            self._caches = lm.allocate(memory.states, memory.mask, memory.rows, max_steps)
        self._positions = torch.arange(max_steps, device=lm.norm.weight.device)
        self._length = 0

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        begin, end = self._length, self._length + tokens.shape[-1]
        assert end <= len(self._positions), (end, len(self._positions))
        self._length = end
        return self._lm(tokens, self._caches, self._positions[begin:end], span=end)[:, :, 0].float()
