"""One window of a composition: its steps, and which of them are drawn. Nothing is computed here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import LMConfig
from .delay import delayed


@dataclass(frozen=True)
class Bounds:
    """What a window is made of before anything is drawn in it."""

    prompt: Tensor
    """`[B, K, T0]`: the frames that it begins with"""
    redrawn: int
    """how many of the prompt's last frames are not final"""
    length: int
    """frames of the window, the prompt's included"""
    first_frame: int
    """which frame of all is the window's first"""
    after: Tensor | None = None
    """`[B, K, T1]`: the frames that it ends with, where these are given too"""

    @property
    def given_from(self) -> int:
        """The window's first frame behind all that is to be drawn."""
        return self.length - (0 if self.after is None else self.after.shape[2])

    @property
    def known(self) -> int:
        return self.prompt.shape[2]

    @property
    def settled(self) -> int:
        """Frames that are final from the start."""
        return self.known - self.redrawn

    @property
    def position(self) -> int:
        """Which frame of all is the first that the prompt does not hold."""
        return self.first_frame + self.known

    @property
    def end(self) -> int:
        """Which frame of all is the first behind the window."""
        return self.first_frame + self.length

    def frame_after(self, step: int) -> int:
        """The frame behind the one whose first codebook `step` draws; later steps finish frames."""
        return min(self.first_frame + step, self.end)


class Window:
    """Steps `[S, B, K]` on the CPU: the prompt's, those drawn so far, and zeros for the others.

    `arrived` is the last step that is there; the frame that it makes whole, and all before it, are
    final.
    """

    def __init__(self, bounds: Bounds, config: LMConfig, steps: Tensor | None = None):
        """`steps` `[S0, B, K]`: the `steps_so_far` of another one with the same bounds."""
        self.bounds, self._config = bounds, config
        # of a frame, where its codes are: in which steps behind it, and which codebooks
        self._behind = np.array(config.delays) + 1
        self._codebooks = np.arange(len(self._behind))
        self._latest = config.max_delay + 1
        longer = F.pad(bounds.prompt, (0, bounds.given_from - bounds.known))
        if bounds.after is not None:
            longer = torch.cat([longer, bounds.after], dim=2)
        laid_out = delayed(longer, config.delays, config.special_token)
        self.steps = laid_out.permute(2, 0, 1).contiguous()  # a step is one piece of memory
        self.arrived = bounds.known
        if steps is not None:
            self.steps[: len(steps)] = steps
            self.arrived = len(steps) - 1

    @property
    def steps_so_far(self) -> Tensor:
        return self.steps[: self.arrived + 1].clone()

    def shorten(self, length: int) -> None:
        """Ends it after `length` frames, none of which is behind the steps so far."""
        self.bounds = replace(self.bounds, length=length)
        silence = torch.zeros(self.bounds.prompt.shape[:2] + (length,), dtype=torch.int64)
        laid_out = delayed(silence, self._config.delays, self._config.special_token)
        special = laid_out.permute(2, 0, 1) == self._config.special_token
        self.steps = self.steps[: len(special)]  # in place: who draws writes there
        self.steps.masked_fill_(special, self._config.special_token)

    @property
    def to_draw(self) -> Tensor:
        """bool `[S, K]`: where a step holds a frame that is settled by nothing."""
        return self.holds(self.bounds.settled, self.bounds.given_from)

    def holds(self, begin: int, end: int) -> Tensor:
        """bool `[S, K]`: where a step holds one of the window's frames from `begin` to `end`."""
        delays = torch.tensor(self._config.delays)
        frames = torch.arange(len(self.steps)).unsqueeze(1) - 1 - delays
        return (frames >= begin) & (frames < end)

    def whole_at(self, step: int) -> int:
        """The window's frame that this step makes whole."""
        return step - self._latest

    def frame(self, number: int) -> Tensor:
        """`[B, K, 1]`, a frame of the window that is whole."""
        codes = self.steps.numpy()[number + self._behind, :, self._codebooks]  # [K, B]
        return torch.from_numpy(codes.T[..., np.newaxis])

    def frames(self) -> Tensor:
        """`[B, K, length]`, when all have arrived."""
        codes = [
            self.steps[1 + d : 1 + d + self.bounds.length, :, k]
            for k, d in enumerate(self._config.delays)
        ]
        return torch.stack(codes).permute(2, 0, 1)
