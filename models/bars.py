"""How long a loop is, and how files say it. Imports nothing heavy: every door asks it."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .config import LMConfig
from .quoting import shown
from .refused import Refused

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_S = 30.0
"""no model sees more at once; some see less"""
NEARLY = 0.12
"""by how much music may be faster or slower than was asked, and be taken at its word"""
UNHEARD_S = 0.005
"""by which a loop may be too long or too short"""
MIDDLE_C = 60
STRETCHES = 0x04
"""of an acid chunk: a loop with a tempo, not a single sound"""


def named_tempo(text: str) -> float | None:
    """Beats a minute, as in "techno, 128 bpm"; None where no tempo is named."""
    named = re.search(r"([0-9]{2,3}(?:\.[0-9]+)?)\s*bpm\b", text, re.IGNORECASE)
    return float(named[1]) if named is not None else None


@dataclass(frozen=True)
class Bars:
    """How long a loop is."""

    bars: int
    bpm: float
    beats: int = 4
    """of a bar"""

    def __post_init__(self) -> None:
        fine = self.bars >= 1 and self.beats >= 1 and math.isfinite(self.bpm) and self.bpm > 0
        if not fine:
            got = f"{self.bars} bars of {self.beats} beats at {self.bpm:g} bpm"
            raise Refused(
                "loop", got=got, expected="numbers above 0", remedy="such as 4 at 120 bpm"
            )
        if self.seconds > LONGEST_S:
            raise Refused(
                "loop",
                got=f"{self.bars} bars at {self.bpm:g} bpm, {self.seconds:.4g} s",
                expected=f"at most {LONGEST_S:g} s, which a model sees at once",
                remedy="ask for fewer bars",
            )

    @classmethod
    def parse(cls, text: str, bpm: float | None, prompt: str) -> Bars:
        """`4bars` or `4`, at a tempo that is given or that the prompt names ("120 bpm").

        Raises Refused for another text, and where there is no tempo.
        """
        read = re.fullmatch(r"\s*([0-9]{1,4})\s*(bars?)?\s*", text)
        if read is None:
            expected, remedy = "a number of bars", "such as 4bars"
            raise Refused("loop", got=shown(text), expected=expected, remedy=remedy)
        tempo = named_tempo(prompt) if bpm is None else bpm
        if tempo is None:
            remedy = "name it in the prompt, such as 120 bpm, or give bpm"
            raise Refused("loop", got="no tempo", expected="beats a minute", remedy=remedy)
        return cls(int(read[1]), tempo)

    @property
    def seconds(self) -> float:
        return self.bars * self.beats * 60 / self.bpm

    @property
    def enough_s(self) -> float:
        """Of music for it, be that as slow as `as_played` lets it be."""
        return min(LONGEST_S, self.seconds / (1 - NEARLY))

    def as_played(self, bpm: float | None, longest_s: float = LONGEST_S) -> Bars:
        """At the tempo that music has: `bpm`, its half or its double, whichever is the nearest to
        what was asked. A beat that is longer or shorter at the seam alone would be heard.

        As asked where music has no tempo, this one, quite another one, or one at which this takes
        longer than `longest_s`.
        """
        if bpm is None:
            return self
        nearest = bpm * 2.0 ** round(math.log2(self.bpm / bpm))
        seconds = self.bars * self.beats * 60 / nearest
        is_near = abs(nearest / self.bpm - 1) <= NEARLY and seconds <= longest_s
        is_other = abs(seconds - self.seconds) > UNHEARD_S
        return replace(self, bpm=nearest) if is_near and is_other else self

    def samples(self, sample_rate: int) -> int:
        return round(self.seconds * sample_rate)

    def frames(self, config: LMConfig) -> int:
        """The nearest number. Raises Refused for more than the model sees at once."""
        frames, most = round(self.seconds * config.frame_rate), config.window_frames
        if not 1 <= frames <= most:
            raise Refused(
                "loop",
                got=f"{self.bars} bars at {self.bpm:g} bpm, {self.seconds:.4g} s",
                expected=f"at most {most / config.frame_rate:g} s, which the model sees at once",
                remedy="ask for fewer bars",
            )
        return frames

    def bridge_frames(self, beats: float, config: LMConfig) -> int:
        """So many beats. Raises Refused for as many as the loop has, or more."""
        whole = self.bars * self.beats
        if not 0 <= beats < whole:
            got, expected = f"{beats:g} beats of {whole}", "fewer than the loop has"
            raise Refused("bridge", got=got, expected=expected, remedy="keep some of the music")
        return round(beats * 60 / self.bpm * config.frame_rate)

    def cut(self, piece: Tensor, begin_s: float, config: LMConfig) -> Tensor:
        """A loop's frames of a piece `[B, K, T]`. Raises Refused if there are too few."""
        frames, rate = self.frames(config), config.frame_rate
        most = (piece.shape[2] - frames) / rate
        if not 0 <= begin_s <= most + 0.5 / rate:
            raise Refused(
                "loop",
                got=f"{frames / rate:.4g} s from {begin_s:g} s on of {piece.shape[2] / rate:g} s",
                expected=f"music of {begin_s + frames / rate:.4g} s or more",
                remedy="make longer music, ask for fewer bars, or begin earlier",
            )
        begin = min(round(begin_s * rate), piece.shape[2] - frames)
        return piece[:, :, begin : begin + frames]

    def tags(self, samples: int) -> dict[str, str]:
        """By which players find a loop that is a whole file of so many samples."""
        return {"LOOPSTART": "0", "LOOPLENGTH": str(samples)}

    def riff_chunks(self, samples: int, sample_rate: int) -> bytes:
        """The same for the end of a WAV file: `smpl` for samplers, `acid` for what follows a tempo.

        Both little-endian, as RIFF is. `smpl` names the last sample that is played, for ever. The
        tempo is that of these bars in so many samples.
        """
        period_ns = round(1e9 / sample_rate)
        sampler = struct.pack("<9I", 0, 0, period_ns, MIDDLE_C, 0, 0, 0, 1, 0)
        sampler += struct.pack("<6I", 0, 0, 0, samples - 1, 0, 0)
        count = self.bars * self.beats
        bpm = round(count * 60 * sample_rate / samples, 2)
        acid = struct.pack("<IHHfIHHf", STRETCHES, MIDDLE_C, 0x8000, 0, count, 4, self.beats, bpm)
        chunks = ((b"smpl", sampler), (b"acid", acid))
        return b"".join(name + struct.pack("<I", len(body)) + body for name, body in chunks)
