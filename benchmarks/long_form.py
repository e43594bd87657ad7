"""Long music measured: some texts side by side, in windows, played and not kept.

    peak memory after 30 s, when the first window is full, and at the end
    the level of every 30 s, second by second, beside that of the first 30 s

Run: `python benchmarks/long_form.py` (`--seconds 600 --overlap 12 --texts 0 2 --model pocket`). The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import torch
from machine import peak_bytes

from musicgraph.app.studio.music import music_job
from musicgraph.app.studio.performance import LoadedModel, loaded_model
from musicgraph.models.compose.composition import stream
from musicgraph.models.config import Generation
from musicgraph.models.encodec import CodecStream
from musicgraph.models.engines.shared import seat_at
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

TEXTS = (
    "a happy techno tune for synth with drums, in major, 125 bpm",
    "a sad solo piano tune, no drums, in minor, 94 bpm",
    "a happy rock tune for guitar with drums, in major, 107 bpm",
    "a sad solo violin tune, no drums, in minor, 75 bpm",
    "a calm lo-fi tune for piano with drums, in minor, 79 bpm",
)
PIECE_S = 30
BLOCK_FRAMES = 50


def loaded(model: str) -> LoadedModel:
    runner = Runner()
    job = music_job(Request(TEXTS[0], model=model), runner.classes, named_models={model: model})
    return loaded_model(runner, job, bool)


def sounds(
    found: LoadedModel, texts: tuple[str, ...], seconds: float, overlap_s: float | None
) -> Iterator[torch.Tensor]:
    """`[B, C, samples]`, as they are made."""
    config = found.engine.config
    overlap = None if overlap_s is None else round(overlap_s * config.frame_rate)
    generation = Generation(config.frames(seconds), seed=1, overlap_frames=overlap)
    codec = CodecStream(found.codec, config.channels)
    heard = found.text.encode(texts)
    seat = seat_at(found.engine, stream(found.engine, generation, heard))
    while not seat.is_over:
        pieces = [piece for piece in seat.more(BLOCK_FRAMES) if piece is not None]
        if pieces:
            yield codec.push(torch.cat(pieces, dim=2))
    yield codec.close()


class Levels:
    """Mean power of each second of each item; what is longer than that is not kept."""

    def __init__(self, items: int, sample_rate: int):
        self._rate, self._held = sample_rate, torch.empty(items, 0)
        self.powers: list[list[float]] = []  # tensors would lie between freed sound, and keep it

    def push(self, sound: torch.Tensor) -> None:
        self._held = torch.cat([self._held, sound.square().mean(dim=1)], dim=1)
        while self._held.shape[1] >= self._rate:
            self.powers.append(self._held[:, : self._rate].double().mean(dim=1).tolist())
            self._held = self._held[:, self._rate :]

    def beside_first_db(self) -> torch.Tensor:
        """`[B, seconds - 29]`: of each 30 s."""
        pieces = torch.tensor(self.powers).T.unfold(1, PIECE_S, 1).mean(dim=2)
        return 10 * torch.log10(pieces / pieces[:, :1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--overlap", type=float, default=None, help="in seconds; else as usual")
    parser.add_argument("--texts", type=int, nargs="+", default=range(len(TEXTS)), help="which")
    parser.add_argument("--model", default="pocket")
    asked = parser.parse_args()
    found, peaks, began = loaded(asked.model), [], time.process_time()
    texts = tuple(TEXTS[number] for number in asked.texts)
    levels = Levels(len(texts), found.codec.sample_rate)
    for sound in sounds(found, texts, asked.seconds, asked.overlap):
        levels.push(sound)
        if not peaks and len(levels.powers) >= PIECE_S - 2:
            peaks.append(peak_bytes() / 2**20)
        print(f"\r{len(levels.powers)} s", end="", file=sys.stderr)
    peaks.append(peak_bytes() / 2**20)
    beside = levels.beside_first_db()
    for text, row in zip(texts, beside, strict=True):
        every = ", ".join(f"{level:+.1f}" for level in row[::PIECE_S].tolist())
        print(f"{text}: {float(row.min()):+.2f} to {float(row.max()):+.2f} dB; {every}")
    print(json.dumps({
        "seconds": asked.seconds,
        "overlap_s": asked.overlap,
        "peak_mb": {"after 30 s": round(peaks[0], 1), "at the end": round(peaks[-1], 1)},
        "level_beside_first_db": [round(float(beside.min()), 2), round(float(beside.max()), 2)],
        "cpu_s": round(time.process_time() - began, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
