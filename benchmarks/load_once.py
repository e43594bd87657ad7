"""Loads a checkpoint for float32 on the CPU as the loader does, makes a second of music, prints
what it needed as JSON.

Run: `python benchmarks/load_once.py FOLDER THREADS`. bench.py runs it in a process of its own,
because peak memory never falls.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import torch
from machine import peak_bytes

from musicgraph.models.compose.composition import stream
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.choose import choose
from musicgraph.models.weights import checkpoint
from musicgraph.nodes import resident_engine


def main(folder: Path) -> None:
    importlib.import_module("musicgraph.models.engines.numba_engine")

    before, started = peak_bytes(), time.perf_counter()
    opened = checkpoint.open_checkpoint(folder)
    choice = choose("fp32", "cpu", opened.config.lm, supports_fp16=False)
    source = resident_engine.load(opened, choice, torch.device("cpu"))
    text, codec = checkpoint.load_text_encoder(opened), checkpoint.load_codec(opened)
    load_s, loaded = time.perf_counter() - started, peak_bytes()
    frames = stream(
        source.ready(0),
        Generation(opened.config.lm.frames(1), 0, Sampling()),
        text.encode(["a song"]),
    )
    codec.decode(torch.cat(list(frames), dim=2), opened.config.lm.channels)
    shares = {
        "load_peak": (loaded - before) / opened.size_bytes,
        "in_all": (peak_bytes() - before) / opened.size_bytes,
    }
    print(json.dumps({"load_s": load_s, **shares}))


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    main(Path(sys.argv[1]))
