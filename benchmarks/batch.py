"""`musicgraph batch` under way, killed and measured.

    kills    200 jobs of pocket, killed by force three times and started again: each done once
    ray      the same list on a local Ray cluster of two workers, one of which is killed
    speed    jobs an hour with one and two workers, and of a shell loop of `musicgraph generate`

Run: `python benchmarks/batch.py kills` (`--jobs 200 --kills 3 --seconds 5`). `speed` lets the ways
take turns, on as many jobs as `--jobs` says for batches and on `--loop-jobs` for the loop, start-up
included. The last line is one JSON document. Processes are found as Linux tells them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

MUSICGRAPH = "import sys; from musicgraph.__main__ import main; sys.exit(main())"
TEXT = "a happy {} tune with drums, in major, {} bpm"
WHO = ("piano", "guitar", "synth", "flute", "violin")
ACTOR = b"ray::RayMaker"
LOOK_S = 0.05


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", MUSICGRAPH, *map(str, words)]


def text_of(number: int) -> str:
    return TEXT.format(WHO[number % len(WHO)], 90 + number % 60)


def write_list(folder: Path, jobs: int, seconds: float) -> Path:
    rows = [
        {"id": f"job-{i:04}", "prompt": text_of(i), "duration": seconds, "seed": i}
        for i in range(jobs)
    ]
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def begun(path: Path, out: Path, *more: object) -> subprocess.Popen[bytes]:
    words = command("batch", path, "-o", out, "--set", "model=pocket", *more)
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


# ---------------------------------------------------------------- what is done


def lines_of(out: Path) -> list[dict[str, Any]]:
    """Whole lines of the manifest."""
    manifest = out / "manifest.jsonl"
    whole = manifest.read_bytes().splitlines(keepends=True) if manifest.exists() else []
    return [json.loads(line) for line in whole if line.endswith(b"\n")]


def checked(out: Path, jobs: int) -> dict[str, Any]:
    """Whether each job was done once, with one file, and nothing else lies there."""
    done = [line["id"] for line in lines_of(out) if line["status"] == "done"]
    files = sorted(path.name for path in out.iterdir() if path.suffix == ".flac")
    others = [
        path.name
        for path in out.iterdir()
        if path.suffix != ".flac" and path.name not in ("manifest.jsonl", ".mg-batch.lock")
    ]
    return {
        "jobs": jobs,
        "done": len(done),
        "each once": len(done) == len(set(done)) == jobs == len(files),
        "left over": others,
        "failed lines": sum(line["status"] != "done" for line in lines_of(out)),
        "digest": digest_of(out, files),
    }


def digest_of(out: Path, files: Sequence[str]) -> str:
    """Of all files: two runs of a list give the same."""
    whole = hashlib.sha256()
    for name in files:
        whole.update(name.encode() + (out / name).read_bytes())
    return whole.hexdigest()[:16]


def wait_for_lines(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    while process.poll() is None and len(lines_of(out)) < count:
        time.sleep(LOOK_S)


# ---------------------------------------------------------------- ways to measure


def measure_kills(folder: Path, jobs: int, seconds: float, kills: int) -> dict[str, Any]:
    path, out, left = write_list(folder, jobs, seconds), folder / "out", []
    for kill in range(kills):
        process = begun(path, out)
        wait_for_lines(process, out, (kill + 1) * jobs // (kills + 1))
        process.kill()
        process.wait()
        left.append(len(lines_of(out)))
    began, code = time.monotonic(), begun(path, out).wait()
    took_s = time.monotonic() - began
    return {"lines at each kill": left, "last run s": round(took_s, 1), "exit code": code,
            **checked(out, jobs)}  # fmt: skip


def measure_ray(folder: Path, jobs: int, seconds: float, kills: int) -> dict[str, Any]:
    path, out, killed = write_list(folder, jobs, seconds), folder / "out", 0
    process = begun(path, out, "--ray", "local", "--workers", 2)
    for kill in range(min(1, kills)):
        wait_for_lines(process, out, (kill + 1) * jobs // 3)
        for actor in actors_below(process.pid)[:1]:
            os.kill(actor, signal.SIGKILL)
            killed += 1
    return {"killed": killed, "exit code": process.wait(), **checked(out, jobs)}


def measure_speed(
    folder: Path, jobs: int, seconds: float, loop_jobs: int, rounds: int
) -> dict[str, Any]:
    """Jobs an hour."""
    path = write_list(folder, jobs, seconds)
    ways: dict[str, Callable[[Path], tuple[int, int]]] = {
        "one worker": lambda out: (jobs, begun(path, out, "--workers", 1).wait()),
        "two workers": lambda out: (jobs, begun(path, out, "--workers", 2).wait()),
        "a loop of generate": lambda out: (loop_jobs, loop(out, loop_jobs, seconds)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            began = time.monotonic()
            count, code = way(folder / f"{name} {turn}")
            if code:
                raise RuntimeError(f"{name} ended with {code}")
            rates[name].append(3600 * count / (time.monotonic() - began))
    found = {name: round(median(of)) for name, of in rates.items()}
    by_loop = found["a loop of generate"]
    ratios = {f"{name}, × the loop": round(rate / by_loop, 2) for name, rate in found.items()}
    return {"jobs an hour": found, **ratios}


def loop(out: Path, jobs: int, seconds: float) -> int:
    """As a shell would do it. The worst exit code."""
    told = ["-m", "pocket", "-d", seconds]
    return max(
        subprocess.run(
            command("generate", text_of(i), *told, "--seed", i, "-o", out / f"{i}.flac"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).returncode
        for i in range(jobs)
    )  # fmt: skip


def actors_below(pid: int) -> list[int]:
    """Ray's actors that a process has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if ACTOR in entry.read_bytes() and pid in _ancestors(int(entry.parent.name)):
                found.append(int(entry.parent.name))
        except OSError:  # it has ended
            continue
    return sorted(found)


def _ancestors(pid: int) -> list[int]:
    line = []
    while pid > 1:
        line.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return line


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["kills", "ray", "speed"])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0, help="of music in each job")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--loop-jobs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder), asked.jobs, asked.seconds
        if asked.what == "kills":
            found = measure_kills(*told, asked.kills)
        elif asked.what == "ray":
            found = measure_ray(*told, asked.kills)
        else:
            found = measure_speed(*told, asked.loop_jobs, asked.rounds)
    print(json.dumps({**found, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
