"""What stages share: crops of rendered shards, checkpoints, CSV logs, clocks. Not run by itself."""

import csv
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file


@dataclass(frozen=True)
class Piece:
    index: int
    shard: int
    offset: int
    samples: int
    bar_frames: int
    facts: dict


def read_pieces(folder: Path, validation: bool) -> list[Piece]:
    """Of one split, from the JSON lines beside a folder's shards, without keys that none needs."""
    known, pieces = {f.name for f in dataclasses.fields(Piece)} - {"shard"}, []
    for path in sorted(folder.glob("shard-*.jsonl")):
        shard = int(path.stem.removeprefix("shard-"))
        for line in map(json.loads, path.read_text().splitlines()):
            if line["validation"] == validation:
                pieces.append(Piece(shard=shard, **{name: line[name] for name in known}))
    return pieces


class AudioPool:
    """The rendered pieces of one split, memory-mapped. Raises FileNotFoundError without any."""

    def __init__(self, work_dir: Path, validation: bool) -> None:
        folder = work_dir / "audio"
        self.pieces = read_pieces(folder, validation)
        self.shards = {
            shard: np.load(folder / f"shard-{shard:04}.npy", mmap_mode="r")
            for shard in sorted({piece.shard for piece in self.pieces})
        }
        if not self.pieces:
            raise FileNotFoundError(
                f"got no rendered audio in {folder}; run training/render.py first"
            )

    def audio(self, piece: Piece) -> np.ndarray:
        """float32 [T]"""
        raw = self.shards[piece.shard][piece.offset : piece.offset + piece.samples]
        return raw.astype(np.float32) / 32768

    def crops(self, rng: np.random.Generator, count: int, samples: int) -> torch.Tensor:
        """float32 [B, 1, T], each from a random place of a random piece."""
        batch = np.empty((count, 1, samples), np.float32)
        for row in range(count):
            piece = self.pieces[rng.integers(len(self.pieces))]
            start = piece.offset + int(rng.integers(piece.samples - samples))
            batch[row, 0] = self.shards[piece.shard][start : start + samples]
        return torch.from_numpy(batch / 32768)


def folder_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All of a MusicGen folder, float32 by name, in whatever files they lie."""
    paths = sorted(folder.glob("*.safetensors"))
    return {name: one.float() for path in paths for name, one in load_file(path).items()}


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


def fast_precision(device_type: str, wanted: bool = True) -> torch.autocast:
    """Autocast to bfloat16 where it is fast: a CPU without instructions for it takes two to three
    times as long as in float32.
    """
    able = torch.cpu.get_capabilities() if device_type == "cpu" else {"amx_bf16": True}
    enabled = wanted and (able.get("avx512_bf16", False) or able.get("amx_bf16", False))
    return torch.autocast(device_type, torch.bfloat16, enabled=enabled)


def clock_for(device: str) -> Callable[[], float]:
    """Seconds of own work on a CPU, which a busy machine does not stretch; else of the wall."""
    return time.process_time if device == "cpu" else time.monotonic


class Budget:
    """Training time spent, counted over interruptions; `share` runs from 0 to 1."""

    def __init__(self, hours: float, spent_s: float, clock: Callable[[], float]) -> None:
        self.total_s, self.before_s = hours * 3600, spent_s
        self.clock, self.started = clock, clock()

    @property
    def spent_s(self) -> float:
        return self.before_s + self.clock() - self.started

    @property
    def share(self) -> float:
        return min(1.0, self.spent_s / self.total_s) if self.total_s else 1.0


class Every:
    """True once per `seconds` of the wall: when a running stage is to write its state."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self) -> bool:
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


class Stop:
    """Whether SIGTERM or SIGINT asked for the end: after a stage's step, with its state written."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
