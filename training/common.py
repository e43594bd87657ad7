"""What every stage shares:

audio crops from the rendered shards, atomic checkpoints, CSV logs, clocks. Not run by itself.
"""

import csv
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from sound_world import SAMPLE_RATE


@dataclass(frozen=True)
class Piece:
    index: int
    shard: int
    offset: int
    samples: int
    bar_frames: int
    facts: dict


@dataclass
class AudioPool:
    """The rendered pieces of one split, memory-mapped."""

    work_dir: Path
    validation: bool
    pieces: list[Piece] = field(default_factory=list)
    shards: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        for meta_path in sorted((self.work_dir / "audio").glob("shard-*.jsonl")):
            self.shards.append(np.load(meta_path.with_suffix(".npy"), mmap_mode="r"))
            for line in map(json.loads, meta_path.read_text().splitlines()):
                if line.pop("validation") == self.validation:
                    self.pieces.append(Piece(shard=len(self.shards) - 1, **line))
        if not self.pieces:
            raise FileNotFoundError(
                f"got no rendered audio in {self.work_dir / 'audio'}; run training/render.py first"
            )

    def audio(self, piece: Piece) -> np.ndarray:
        """float32 [T]"""
        raw = self.shards[piece.shard][piece.offset : piece.offset + piece.samples]
        return raw.astype(np.float32) / 32768

    def crops(self, rng: np.random.Generator, count: int, seconds: float) -> torch.Tensor:
        """float32 [B, 1, T], each from a random place of a random piece."""
        length = round(seconds * SAMPLE_RATE)
        batch = np.empty((count, 1, length), np.float32)
        for row in range(count):
            piece = self.pieces[rng.integers(len(self.pieces))]
            start = piece.offset + int(rng.integers(piece.samples - length))
            batch[row, 0] = self.shards[piece.shard][start : start + length]
        return torch.from_numpy(batch / 32768)


def save_atomically(state: object, path: Path) -> None:
    """An interruption leaves the old file or the new one, never half of one."""
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    os.replace(beside, path)


class CsvLog:
    """Appends rows to a CSV file; the header is written once."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, columns
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._write(columns)

    def _write(self, row) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def add(self, **values: float) -> None:
        self._write([f"{values[c]:.5g}" if c in values else "" for c in self.columns])
        print(" ".join(f"{c}={values[c]:.4g}" for c in self.columns if c in values), flush=True)


class Budget:
    """Training time spent, counted over interruptions; `share` runs from 0 to 1.

    `time.process_time` as the clock counts what this process computes, however busy the machine is.
    """

    def __init__(
        self, hours: float, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total_s, self.before_s, self.clock, self.started = (
            hours * 3600,
            spent_s,
            clock,
            clock(),
        )

    @property
    def spent_s(self) -> float:
        return self.before_s + self.clock() - self.started

    @property
    def share(self) -> float:
        return min(1.0, self.spent_s / self.total_s)
