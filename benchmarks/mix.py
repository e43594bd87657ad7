"""Which sum mixes prompts: of their logits, or of their probabilities?

Pocket plays an even mix of two texts, several pairs side by side. Every token that is drawn is
asked how likely each text alone, in the same place, finds it: what is heard as one music has tokens
that both find likely.

Run: `python benchmarks/mix.py`, some minutes. The last line is one JSON object: nats a token (less
is likelier) under the text that finds it likelier and under the other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import torch
from torch import Tensor

from musicgraph.models.compose import composition, voices
from musicgraph.models.compose.guidance import mixed
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.mix import Mix
from musicgraph.models.weights.checkpoint import load_text_encoder, open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

PAIRS = (
    ("slow ambient pads", "energetic drum and bass, 170 bpm"),
    ("calm solo piano", "funky electric bass with drums"),
    ("a slow solo flute melody", "a fast rock tune with drums"),
    ("warm strings, sad", "happy chiptune"),
    ("acoustic guitar, folk", "techno, four on the floor"),
    ("church organ", "jazz with brushes and upright bass"),
)
SECONDS, CFG = 6.0, 3.0


class Watch:
    """What each text finds of what is drawn from their mix."""

    def __init__(self, of_probabilities: bool):
        self._of_probabilities = of_probabilities
        self._rows = torch.empty(0)
        self.nats: list[Tensor] = []  # [B, 2, K] a step

    def mixed(self, logits: Tensor, items: Sequence[Any]) -> Tensor:
        self._rows = rows = logits.unflatten(0, (len(items), -1))
        if not self._of_probabilities:
            return mixed(logits, items)
        guided = rows[:, 2:] + CFG * (rows[:, :2] - rows[:, 2:])
        return guided.softmax(-1).mean(1).log()

    def drawn(self, logits: Tensor, noise: Tensor | None, sampling: Sampling) -> Tensor:
        tokens = DRAW(logits, noise, sampling)
        found = self._rows[:, :2].log_softmax(-1)
        places = tokens[:, None, :, None].expand(-1, 2, -1, 1)
        self.nats.append(-found.gather(-1, places)[..., 0])
        return tokens


DRAW = composition.draw


def measured(engine: NumbaEngine, mix: Mix, of_probabilities: bool) -> dict[str, float]:
    watch = Watch(of_probabilities)
    frames = round(SECONDS * engine.config.frame_rate)
    with (
        mock.patch.object(voices, "mixed", watch.mixed),
        mock.patch.object(composition, "draw", watch.drawn),
    ):
        for _ in composition.stream(engine, Generation(frames, 1, Sampling(cfg=CFG)), mix):
            pass
    whole = watch.nats[engine.config.max_delay : frames]  # steps in which every codebook is drawn
    nats = torch.stack(whole)  # [S, B, 2, K]
    figures = {"likelier_nats": nats.amin(2).mean(), "other_nats": nats.amax(2).mean()}
    return {name: round(figure.item(), 3) for name, figure in figures.items()}


def main() -> None:
    weights = open_checkpoint(POCKET_FOLDER)
    engine, text = NumbaEngine(weights, "int8"), load_text_encoder(weights)
    sides = [text.encode([pair[i] for pair in PAIRS]) for i in range(2)]
    found = {
        "logits": measured(engine, Mix(((sides[0], 0.5), (sides[1], 0.5))), False),
        "probabilities": measured(engine, Mix(((sides[0], 0.5), (sides[1], 0.5))), True),
        "one of the two": measured(engine, Mix(((sides[0], 1.0), (sides[1], 0.0))), False),
    }
    print(
        json.dumps({kind: {k: round(v, 3) for k, v in one.items()} for kind, one in found.items()})
    )


if __name__ == "__main__":
    main()
