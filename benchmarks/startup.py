"""What a command costs from its start to its end, in a process of its own, with warm caches.

Run: `python benchmarks/startup.py` (`--rounds 5`). The commands take turns, so that a busy moment
meets all of them; medians. What importing torch costs by itself is a line of its own, since no
program that computes with it can do without; the music's line says what is left beyond that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parents[1]
MUSICGRAPH = "import sys; from musicgraph.__main__ import main; sys.exit(main())"
PROMPT = "a happy piano tune with drums, 120 bpm"
MUSIC_S = 10
NOTHING, TORCH, MUSIC = "python", "import torch", f"generate, {MUSIC_S} s of pocket"


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    wall_s: float


def commands(folder: Path) -> dict[str, list[str]]:
    """Name → what follows `python -c`."""
    graph = str(HERE / "workflows" / "text_to_music.json")
    music = ["generate", PROMPT, "-d", str(MUSIC_S), "--seed", "1", "-o", str(folder / "a.wav")]
    return {
        NOTHING: ["pass"],
        TORCH: ["import torch"],
        "generate --help": [MUSICGRAPH, "generate", "--help"],
        "models": [MUSICGRAPH, "models"],
        "check": [MUSICGRAPH, "check", graph],
        MUSIC: [MUSICGRAPH, *music],
    }


def cost(arguments: list[str]) -> Cost:
    """Of one process and all that it starts."""
    before, started = os.times(), time.perf_counter()
    command = [sys.executable, "-c", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    wall_s, after = time.perf_counter() - started, os.times()
    used = after.children_user - before.children_user
    return Cost(used + after.children_system - before.children_system, wall_s)


def measured(rounds: int) -> dict[str, Cost]:
    """Medians. The first round, in which files are read and code is compiled, does not count."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = commands(Path(folder))
        rows = [{name: cost(line) for name, line in wanted.items()} for _ in range(rounds + 1)][1:]
    return {
        name: Cost(
            median(row[name].cpu_s for row in rows), median(row[name].wall_s for row in rows)
        )
        for name in wanted
    }


def table(found: dict[str, Cost]) -> str:
    lines = ["| command | CPU s | s |", "|---|--:|--:|"]
    lines += [f"| {name} | {one.cpu_s:.2f} | {one.wall_s:.2f} |" for name, one in found.items()]
    beyond = found[MUSIC].cpu_s - found[TORCH].cpu_s
    return "\n".join([*lines, f"\nThe music beyond `import torch`: {beyond:.2f} CPU s."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    print(table(measured(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
