"""A step in 8 and in 4 bits, of musicgen-small's or medium's shape: first ones, late ones, and late
ones whose guidance has ended.

Run: `python benchmarks/bits.py --shape medium` (`--past 1450`, `--items 1 4`). Weights are random
and never lie in a file in float32, so medium's shape needs 3 GB of memory and 3 GB of the cache.
All ways take turns, step by step; medians of wall time and of the process's, and beside them what
reading weights and past takes at the bandwidth that a read test reaches in between. With others on
the machine only processor time with `--threads 1` says something, and of that the ratio.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import machine
import torch

from musicgraph.models.conditioning import Conditioning
from musicgraph.models.config import LMConfig
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.numba_packed import packed_tensors
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.parameters import LM, lm_shapes
from musicgraph.models.weights.checkpoint import open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

SHAPES = {"small": (24, 1024, 16), "medium": (48, 1536, 24), "large": (48, 2048, 32)}
"""layers, width, heads"""
PRECISIONS = ("int8", "int4")
BYTES = {"int8": 1.0, "int4": 17 / 32}  # of a weight, with its share of a scale
TEXT_LENGTH, WARM_UP_STEPS = 8, 3


class RandomWeights:
    """Pieces of one array, wherever a name's hash says."""

    size_bytes = 0
    folder = Path("random")

    def __init__(self, shape: str):
        opened = open_checkpoint(POCKET_FOLDER)
        layers, width, heads = SHAPES[shape]
        sizes = {"num_layers": layers, "hidden_size": width, "num_heads": heads}
        more = {"ffn_size": 4 * width, "codebook_size": 2048, "text_size": width}
        self.config = replace(opened.config, lm=replace(opened.config.lm, **sizes, **more))
        self.fingerprint, self._shapes = f"random {shape}", lm_shapes(self.config.lm)
        largest = max(rows * columns for rows, columns in self._matrices())
        self._numbers = 0.03 * torch.randn(2 * largest, generator=torch.Generator().manual_seed(0))

    def _matrices(self) -> list[tuple[int, ...]]:
        return [shape for shape in self._shapes.values() if len(shape) == 2]

    def tensor(self, name: str) -> torch.Tensor:
        shape = self._shapes[name.removeprefix(f"{LM}.")]
        if len(shape) == 1:
            return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
        count, digest = shape[0] * shape[1], hashlib.sha256(name.encode()).digest()
        begin = int.from_bytes(digest[:8], "little") % (len(self._numbers) - count)
        return self._numbers[begin : begin + count].view(shape)


class Turn:
    """One way's session, after `past` steps."""

    def __init__(self, engine: NumbaEngine, items: int, past: int, steps: int, ended: bool):
        config = engine.config
        text = torch.randn(1, TEXT_LENGTH, config.text_size)
        heard = Conditioning(("text",), text, torch.ones(1, TEXT_LENGTH, dtype=torch.bool))
        self._session = engine.open()
        self._slots = [self._session.admit([heard, None], past + steps) for _ in range(items)]
        self._tokens = torch.zeros(items, config.num_codebooks, 1, dtype=torch.int64)
        if past:
            self._session.step(self._slots, self._tokens.expand(-1, -1, past))
        for slot in self._slots if ended else ():
            self._session.keep(slot, 1)
        self.wall_s: list[float] = []
        self.own_s: list[float] = []

    def step(self) -> None:
        own, wall = time.process_time(), time.perf_counter()
        self._session.step(self._slots, self._tokens)
        self.wall_s.append(time.perf_counter() - wall)
        self.own_s.append(time.process_time() - own)

    def median_ms(self) -> tuple[float, float]:
        took = (times[WARM_UP_STEPS:] for times in (self.wall_s, self.own_s))
        wall, own = (1e3 * median(times) for times in took)
        return wall, own


def read_gb(config: LMConfig, precision: str, items: int, past: int, ended: bool) -> float:
    """What a step cannot do without: weights once, and each row's past."""
    d = config.hidden_size
    layers = config.num_layers * (6 * d * d + 2 * d * config.ffn_size)
    heads = config.num_codebooks * config.codebook_size * d  # in 8 bits in either
    rows = items if ended else 2 * items
    kept = rows * past * config.num_layers * 2 * d
    return (layers * BYTES[precision] + heads + kept) / 1e9


def engine_of(weights: RandomWeights, precision: str, threads: int) -> NumbaEngine:
    packed_tensors(weights, precision)  # random weights hear no music: nothing to round it for
    engine = NumbaEngine(weights, precision)
    engine.threads = Threads(threads)
    return engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--past", type=int, default=1450, help="steps before a late one")
    parser.add_argument("--items", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    weights, reading = RandomWeights(args.shape), machine.ReadTest()
    engines = {name: engine_of(weights, name, args.threads) for name in PRECISIONS}
    print(f"{machine.facts()}; {args.threads} threads\n")
    print("| precision | items | past | guided | ms a step | of processors | reading alone |"
          " × int8 |")  # fmt: skip
    print("|---|--:|--:|---|--:|--:|--:|--:|")
    for items in args.items:
        for past, ended in ((0, False), (args.past, False), (args.past, True)):
            told = items, past, args.steps, ended
            turns = {name: Turn(one, *told) for name, one in engines.items()}
            read = [reading.gb_per_s() for _ in range(5)]
            for _ in range(args.steps):
                for turn in turns.values():
                    turn.step()
            read += [reading.gb_per_s() for _ in range(5)]
            base = turns["int8"].median_ms()[0]
            for name, turn in turns.items():
                wall, own = turn.median_ms()
                limit = 1e3 * read_gb(weights.config.lm, name, items, past, ended) / median(read)
                guided = "no longer" if ended else "yes"
                print(f"| {name} | {items} | {past} | {guided} | {wall:.1f} | {own:.1f} | "
                      f"{limit:.1f} | {wall / base:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
