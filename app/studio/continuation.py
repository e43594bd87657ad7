"""A musician's sound, continued: the piece of it that a model listens to, and the join behind it.

The sound itself stays as it was. Music begins with the codec's reconstruction of what it goes on
from, which is near the original but not the original; so the one is faded into the other over the
last milliseconds before the music's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.refused import Refused
from ...models.weights import checkpoint, places
from ...nodes.host import model_folders

if TYPE_CHECKING:
    from torch import Tensor

FADE_S = 0.02


@dataclass(frozen=True)
class Continuation:
    """Where in a sound a model listens: samples `begin` to `end` of `[C, T]`."""

    begin: int
    end: int
    sample_rate: int

    @property
    def prompt_s(self) -> float:
        return (self.end - self.begin) / self.sample_rate

    @classmethod
    def of(
        cls, samples: int, sample_rate: int, prompt_s: float, frame_rate: float, at_start: bool
    ) -> Continuation:
        """The first or the last `prompt_s` seconds, or all of a shorter sound.

        They are a whole number of the codec's frames, so that no silence fills the last one, and
        what is left over lies at the side where nothing is joined.

        Raises Refused for less than a frame.
        """
        seconds = min(prompt_s, samples / sample_rate)
        frames = math.floor(seconds * frame_rate + 1e-6)
        length = math.floor(frames / frame_rate * sample_rate)
        if not length:
            got, expected = f"{seconds:.3f} s", f"at least {1 / frame_rate:.3f} s"
            raise Refused("the sound is too short to be continued", got=got, expected=expected)
        begin = 0 if at_start else samples - length
        return cls(begin, begin + length, sample_rate)

    def joined(self, sound: Tensor, music: Tensor, music_rate: int) -> Tensor:
        """`[C, T]` of the sound up to where it was listened to, then the music `[c, t]` behind its
        own beginning, at the sound's rate and channels.
        """
        import torch

        from ...models.dsp import resample, with_channels

        music = resample(with_channels(music[None], len(sound))[0], music_rate, self.sample_rate)
        heard = self.end - self.begin
        fade = min(round(FADE_S * self.sample_rate), heard)
        share = torch.linspace(0, 1, fade + 2)[1:-1]
        kept, new = sound[:, : self.end], music[:, heard - fade :]
        seam = kept[:, self.end - fade :] * (1 - share) + new[:, :fade] * share
        return torch.cat([kept[:, : self.end - fade], seam, new[:, fade:]], dim=1)


def frame_rate_of(model: str) -> float:
    """Of the codec of a model that is on this machine. Raises Refused."""
    folders = model_folders()
    folder: Path = places.locate(model, folders)
    return checkpoint.open_checkpoint(folder, folders).config.lm.frame_rate
