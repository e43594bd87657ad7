"""What is asked of a training: one frozen record, checked where it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ...models.refused import Refused

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class TuneSettings:
    """How an adapter is trained. The defaults suit half an hour of pocket on one core."""

    folder: Path
    """of the sounds and their captions"""
    model: str
    output: Path
    steps: int = 400
    rank: int = 16
    seconds: float = 10.0
    """of the pieces that the sounds are cut into"""
    batch: int = 4
    """pieces a step"""
    rate: float = 1e-3
    """learning rate, at its highest"""
    seed: int = 0
    every: int = 100
    """steps between two looks at the held-out loss, each with a sample of the sound"""
    device: str = "auto"
    guidance: float = 4.0
    """the highest at which pieces are learnt; each draws one from 1 up to it"""
    noise: float = 0.05
    """share of the codes read that are others than were played, so that the model learns to go on
    well after mistakes of its own"""
    save_s: float = 60.0
    """between two states that a killed training goes on from"""

    def check(self) -> None:
        """Raises Refused naming the first setting that is out of range."""
        rules = (
            ("--steps", self.steps, 1, 1_000_000),
            ("--rank", self.rank, 1, 1024),
            ("--seconds", self.seconds, 1, 30),
            ("--batch", self.batch, 1, 256),
            ("--rate", self.rate, 1e-7, 1),
            ("--guidance", self.guidance, 1, 20),
            ("--noise", self.noise, 0, 0.9),
            ("--seed", self.seed, 0, 2**32 - 1),
            ("--every", self.every, 1, 1_000_000),
        )
        for name, got, low, high in rules:
            if not (math.isfinite(got) and low <= got <= high):
                expected = f"{low:g} to {high:g}"
                raise Refused(name, got=got, expected=expected, remedy="choose a value in between")
        if self.device not in DEVICES:
            expected = f"one of {', '.join(DEVICES)}"
            raise Refused("--device", got=repr(self.device), expected=expected)

    def told(self) -> dict[str, float | str]:
        """What decides the result, so that a run that goes on is known to be the same."""
        names = ("model", "steps", "rank", "seconds", "batch", "rate", "seed", "every")
        return {name: getattr(self, name) for name in (*names, "guidance", "noise")}
