"""How much one graph may make: the numbers behind every check of size, rate and count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .refused import Refused


@dataclass(frozen=True)
class Limits:
    """Bounds on what a run makes, not only on what it reads.

    A sample counts once for each channel and item.

    `samples` is what 2,000 s of stereo at 32 kHz need: whatever the samplers of one graph may
    compose can also be decoded. As float32 that is 512 MB; with `kept_samples` a graph's sound
    stays near 1.5 GB at its worst moment.
    """

    samples: int = 128_000_000
    """on one wire"""
    kept_samples: int = 256_000_000
    """in all results that a run still needs, together"""
    seconds: float = 4000.0
    """of one item"""
    highest_rate: int = 384_000
    """Hz"""
    channels: int = 8
    items: int = 64
    """in a batch"""
    samplers: int = 32
    """in a graph"""
    music_s: float = 2000.0
    """composed by all samplers of a graph: duration times items"""
    written_bytes: int = 4 << 30
    """in all files of a run"""
    text: int = 1_000_000
    """characters on one wire"""

    def check_rate(self, sample_rate: int) -> None:
        """Raises Refused for a sample rate that no sound has."""
        if not 1 <= sample_rate <= self.highest_rate:
            raise Refused(
                "this sample rate cannot be used",
                got=f"{sample_rate} Hz",
                expected=f"1 to {self.highest_rate} Hz",
                remedy="choose a usual one, such as 44100",
            )

    def check_sound(self, shape: Sequence[int], sample_rate: int) -> None:
        """Raises Refused for a waveform `[B, C, samples]` beyond any bound; call it before the
        waveform is made.
        """
        items, channels, length = shape
        self.check_rate(sample_rate)
        self._check("too many items in a batch of sound", items, self.items, "items")
        self._check("too many channels", channels, self.channels, "channels")
        self._check("this sound is too long", length / sample_rate, self.seconds, "s")
        self._check("this sound is too large", items * channels * length, self.samples, "samples")

    def check_pictures(self, items: int, width: int, height: int) -> None:
        """Raises Refused for pictures that hold more values than a sound may; call it before they
        are drawn.
        """
        self._check(
            "these pictures are too large", items * width * height * 3, self.samples, "values"
        )

    def check_kept(self, samples: int) -> None:
        """Raises Refused if all that a run still needs takes more than it may."""
        self._check("the graph keeps too much sound", samples, self.kept_samples, "samples")

    def check_music(self, seconds: float) -> None:
        """Raises Refused if the samplers of a graph are to compose more than they may, together."""
        self._check("the graph composes too much music", seconds, self.music_s, "s")

    def check_written(self, size: int) -> None:
        """Raises Refused if the files of a run have more bytes than they may."""
        megabytes, bound = size / 2**20, self.written_bytes / 2**20
        self._check("the graph writes too much", megabytes, bound, "MB")

    def check_text(self, characters: int) -> None:
        """Raises Refused for a text longer than a wire may hold; call it before it is made."""
        self._check("this text is too long", characters, self.text, "characters")

    def check_samplers(self, count: int) -> None:
        self._check("too many samplers in one graph", count, self.samplers, "samplers")

    @staticmethod
    def _check(what: str, value: float, bound: float, unit: str) -> None:
        if value > bound:
            raise Refused(
                what,
                got=f"{value:,.0f} {unit}",
                expected=f"at most {bound:,.0f}",
                remedy="make less at once",
            )
