"""The whole path with the shipped model, and what loading a large one needs.

Not run by itself; see bench.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from musicgraph.app.studio.music import make_music
from musicgraph.workflows.events import AudioChunk
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

PROMPT = "a happy piano tune with drums, 120 bpm"


def pocket(rounds: int, seconds: float) -> dict[str, float | str]:
    """The default graph, streaming, everything loaded: × real time, and seconds until the first
    sound.
    """
    runner, speeds, waits, engine = Runner(), [], [], ""
    for seed in range(-1, rounds):  # the first one loads
        started, heard = time.perf_counter(), []

        def listen(event: object, started: float = started, heard: list[float] = heard) -> None:
            if isinstance(event, AudioChunk):
                heard.append(time.perf_counter() - started)

        music = make_music(
            runner, Request(PROMPT, duration_s=seconds, seed=seed + 1), listener=listen, stream=True
        )
        if seed >= 0:
            speeds.append(music.x_real_time)
            waits.append(heard[0])
        engine = music.engine
    return {
        "pocket_x_real_time": median(speeds),
        "first_sound_s": median(waits),
        "pocket_engine": engine,
    }


def loading(folder: Path, threads: int) -> dict[str, float]:
    """Load time and peak memory of float32 in a fresh process, generation included, as a share of
    the weights' files.
    """
    here = Path(__file__).parent
    command = [sys.executable, str(here / "load_once.py"), str(folder), str(threads)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])
