"""A step of a melody model beside one of the text model of the same shape, after the same past.

A melody model has no cross-attention; what it reads before its first step counts as past. Not run
by itself; see bench.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from musicgraph.models.conditioning import Conditioning
from musicgraph.models.config import ChromaConfig, ModelConfig
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import Session
from musicgraph.models.parameters import LM, lm_shapes
from musicgraph.models.weights.contract import Weights
from musicgraph.models.weights.tokenizer import Tokenizer

PROMPT = "a happy piano tune with drums, 120 bpm"
WARM_UP_STEPS = 5


@dataclass(frozen=True)
class AsMelody:
    """A text model's weights as those of a melody model; what it lacks is zeros."""

    text: Weights
    chroma: ChromaConfig = ChromaConfig()

    @property
    def config(self) -> ModelConfig:
        lm = replace(self.text.config.lm, cross_attention=False, chroma=self.chroma)
        return replace(self.text.config, lm=lm)

    @property
    def fingerprint(self) -> str:
        return f"{self.text.fingerprint} as melody"

    @property
    def folder(self) -> Path:
        return self.text.folder

    @property
    def size_bytes(self) -> int:
        return self.text.size_bytes

    def tensor(self, name: str) -> Tensor:
        if "sound_projection" in name:
            return torch.zeros(lm_shapes(self.config.lm)[name.removeprefix(f"{LM}.")])
        return self.text.tensor(name)

    def tokenizer(self) -> Tokenizer:
        return self.text.tokenizer()


def step_seconds(
    opened: Weights, encode: Callable[[list[str]], Conditioning], past: int, steps: int
) -> tuple[float, float]:
    """Median of bare int8 steps with guidance, in turn: of the text model, of the melody model."""
    heard = [encode([PROMPT]).item(0), None]
    sessions, took = [], ([], [])
    for weights in (opened, AsMelody(opened)):
        engine = NumbaEngine(weights, "int8")
        prefix = engine.config.prefix_length(heard[0].mask.shape[1])
        session = engine.open()
        slot = session.admit(heard, past - prefix + steps)
        _read(session, slot, _tokens(weights, past - prefix))
        sessions.append((session, slot))
    for tokens in _tokens(opened, steps).split(1, dim=2):
        for (session, slot), seconds in zip(sessions, took, strict=True):
            started = time.perf_counter()
            session.step([slot], tokens)
            seconds.append(time.perf_counter() - started)
    text, melody = (median(seconds[WARM_UP_STEPS:]) for seconds in took)
    return text, melody


def _tokens(weights: Weights, steps: int) -> Tensor:
    config = weights.config.lm
    return torch.randint(0, config.codebook_size, (1, config.num_codebooks, steps))


def _read(session: Session, slot: int, tokens: Tensor) -> None:
    for piece in tokens.split(50, dim=2):
        session.step([slot], piece)
