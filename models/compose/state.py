"""Where a composition stands between two frames."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .direction import Direction, Schedule
from .noise import NoiseMark, Seeds
from .rows import Room
from .window import Bounds


@dataclass(frozen=True)
class State:
    """Where a composition stands: what an engine of the same model needs to go on from there.

    As plain as its parts: numbers, tensors on the CPU, directions. The keys and values of the
    window are not among them; they are read again.
    """

    seed: Seeds
    overlap_frames: int
    count: int | None
    """how many frames there will be in all; None: no end"""
    begun: Direction
    schedule: Schedule
    bounds: Bounds
    steps: Tensor
    """`[S, B, K]`, those of the present window so far"""
    noise: NoiseMark | None
    room: Room
