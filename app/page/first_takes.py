"""Five takes that are there before anybody has pressed anything: what pocket makes of everyday
words. They are shipped as small MP3s, whose tags hold their graphs.

`docs/first_takes.py` makes them anew when pocket changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..studio.sounds import plain

FOLDER = Path(__file__).with_name("first_takes")
DURATION_S = 10.0
LOUDNESS_LUFS = -16.0


@dataclass(frozen=True)
class FirstTake:
    """One of them: all within what pocket knows, so its words work with any model."""

    name: str
    """on the button that takes its words"""
    prompt: str
    seed: int

    @property
    def id(self) -> str:
        return plain(self.name, "take")

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.id}.mp3"


FIRST_TAKES = (
    FirstTake("Lo-fi evening", "lo-fi hip hop with electric piano and soft drums", 3),
    FirstTake("80s pop", "80s pop song with synths and punchy drums", 2),
    FirstTake("Epic trailer", "epic orchestral trailer music with big drums", 1),
    FirstTake("Music box", "a music box lullaby", 1),
    FirstTake("House party", "upbeat house track, 124 bpm", 5),
)
