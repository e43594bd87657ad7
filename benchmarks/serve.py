"""A real server, asked over HTTP by several listeners at once.

    together   so many at once, streaming or, with `--files`, each as a file; each with its own text
               and seed: how soon each has sound, how fast it comes, whether it is the same samples
               as when asked alone, and what a second of music costs the server, in processor time
               too
    traffic    they come and go at random, some leave in the middle, some read slowly: errors,
               memory, and how soon there was sound

Run: `python benchmarks/serve.py together --listeners 1 2 4` or
`python benchmarks/serve.py traffic --seconds 600`. `--shape small` makes random weights of
musicgen-small's shape (2.4 GB in `--work-dir`). `together` prints a table, and `--plot FILE` draws
throughput over listeners. Beside it stands what reading the weights from memory once a step would
allow; a model that fits into a cache may be above that. The last line is one JSON document. The
server's processor time is read as Linux tells it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

TEXTS = (
    "a happy techno tune for synth with drums, in major, 125 bpm",
    "a sad solo piano tune, no drums, in minor, 94 bpm",
    "a happy rock tune for guitar with drums, in major, 107 bpm",
    "a sad solo violin tune, no drums, in minor, 75 bpm",
)
HEADER_BYTES = 44
"""of a WAV file, at least; sound comes behind them"""
START = "import sys; sys.argv = ['musicgraph', *sys.argv[1:]]; "
START += "from musicgraph.cli import main; main()"
START_S, PATIENCE_S, WATCH_S = 900.0, 1800.0, 1.0


@dataclass
class Heard:
    """What one listener got, and when, in seconds from the request."""

    first_s: float = 0.0
    took_s: float = 0.0
    least_ahead_s: float = 0.0
    """of sound, when it is played from its first piece on: below 0 it would have stopped"""
    music_s: float = 0.0
    digest: str = ""
    status: int = 0

    @property
    def x_real_time(self) -> float:
        return self.music_s / max(1e-9, self.took_s)


class Server:
    """`musicgraph demo` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, precision: str):
        self.process, self.address = process, f"http://127.0.0.1:{port}"
        self.precision = precision

    def ask(self, seed: int, duration_s: float, **more: Any) -> dict[str, Any]:
        text = TEXTS[seed % len(TEXTS)]
        asked = {"prompt": text, "seed": seed, "duration": duration_s, "format": "wav"}
        return {**asked, "precision": self.precision, **more}

    def make(self, seed: int, duration_s: float) -> None:
        """A file that nobody looks at: with it go the results that are kept of others."""
        body = self.ask(seed, duration_s)
        url = f"{self.address}/v1/generate"
        httpx.post(url, json=body, timeout=PATIENCE_S).raise_for_status()

    def cpu_s(self) -> float:
        words = [(one / "stat").read_text().rpartition(")")[2].split() for one in self._processes()]
        return sum(int(one[11]) + int(one[12]) for one in words) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        told = [(one / "status").read_text().partition("RssAnon:")[2] for one in self._processes()]
        return sum(int(one.split()[0]) for one in told) / 1024

    def _processes(self) -> list[Path]:
        """Its own, and those that it has begun."""
        own = Path("/proc", str(self.process.pid))
        begun = [one.read_text().split() for one in own.glob("task/*/children")]
        return [own, *(Path("/proc", pid) for pids in begun for pid in pids)]


@contextmanager
def serving(
    model: str, port: int, queue_size: int, precision: str, workers: int
) -> Iterator[Server]:
    """Until it answers, and to its end."""
    words = ["demo", "--port", str(port), "--model", model, "--queue-size", str(queue_size)]
    words += ["--workers", str(workers)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", START, *words, "--library", folder], stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(process, port)
            yield Server(process, port, precision)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=60)
            return
        time.sleep(0.2)
    raise RuntimeError("the server did not start")


def listen(
    server: Server,
    seed: int,
    duration_s: float,
    leave_at_s: float = 0.0,
    slow_s: float = 0.0,
    stream: bool = True,
) -> Heard:
    """`leave_at_s`: closes the connection when it has so much; `slow_s`: waits between pieces."""
    heard, digest, size, rate = Heard(), hashlib.sha256(), 0, 0
    began = played_from = time.monotonic()
    body, url = server.ask(seed, duration_s, stream=stream), f"{server.address}/v1/generate"
    with httpx.stream("POST", url, json=body, timeout=PATIENCE_S) as answer:
        heard.status = answer.status_code
        for piece in answer.iter_raw() if heard.status == 200 else ():
            now = time.monotonic()
            if not rate:
                rate, channels = _facts(piece)
                rate *= channels * 2
                piece = piece[HEADER_BYTES:]
            if piece and not size:
                heard.first_s, played_from = now - began, now
            ahead_s = size / rate - (now - played_from)  # just before this piece came
            heard.least_ahead_s = min(heard.least_ahead_s, ahead_s) if size else 0.0
            size += len(piece)
            digest.update(piece)
            if leave_at_s and size / rate >= leave_at_s:
                break
            time.sleep(slow_s)
    heard.took_s = time.monotonic() - began
    heard.music_s, heard.digest = size / max(1, rate), digest.hexdigest()
    if not stream:  # a file has its graph, too
        heard.music_s = duration_s
    return heard


def _facts(header: bytes) -> tuple[int, int]:
    """Rate and channels of a WAV's beginning."""
    at = header.index(b"fmt ") + 8
    channels, rate = header[at + 2 : at + 4], header[at + 4 : at + 8]
    return int.from_bytes(rate, "little"), int.from_bytes(channels, "little")


def in_each_worker(count: int, do: Callable[[], None]) -> None:
    """At once: each takes one."""
    threads = [threading.Thread(target=do) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------- together


def measure_together(
    server: Server, count: int, duration_s: float, solo: bool, stream: bool
) -> dict[str, Any]:
    found: dict[int, Heard] = {}

    def one(seed: int) -> None:
        found[seed] = listen(server, seed, duration_s, stream=stream)

    server.make(10_000 + count, 0.1)
    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(count)]
    began, cpu_s = time.monotonic(), server.cpu_s()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, cpu_s = time.monotonic() - began, server.cpu_s() - cpu_s
    music_s = sum(one.music_s for one in found.values())
    told = {
        "listeners": count,
        "x real time, all": round(music_s / took_s, 3),
        "processor seconds a second of music": round(cpu_s / music_s, 4),
        "x real time, each": [round(found[seed].x_real_time, 3) for seed in range(count)],
        "first sound after s": [round(found[seed].first_s, 3) for seed in range(count)],
        "least ahead s": [round(found[seed].least_ahead_s, 3) for seed in range(count)],
        "statuses": sorted({one.status for one in found.values()}),
        "load": os.getloadavg()[0],
    }
    if solo:
        told["the same as alone"] = _same_alone(server, found, duration_s, stream)
    return told


def _same_alone(server: Server, found: dict[int, Heard], duration_s: float, stream: bool) -> bool:
    same = True
    for seed, heard in found.items():
        server.make(20_000 + seed, 0.1)
        same &= listen(server, seed, duration_s, stream=stream).digest == heard.digest
    return same


def memory_limit(model: str, count: int) -> float:
    """× real time of all, if a step took as long as to read the int8 weights once."""
    import machine
    from subjects import step_weights

    from musicgraph.models.weights import checkpoint, places

    folder = places.POCKET_FOLDER if model == places.POCKET else Path(model)
    speed = statistics.median(machine.ReadTest().gb_per_s() for _ in range(3))
    frame_rate = checkpoint.open_checkpoint(folder).config.lm.frame_rate
    return count * speed * 1e9 / step_weights(folder) / frame_rate


def table(found: list[dict[str, Any]]) -> str:
    """Markdown."""
    head = "listeners", "× real time, all", "limit", "slowest", "first sound s", "CPU s a second"
    lines = [f"| {' | '.join(head)} |", "|--:" * len(head) + "|"]
    for one in found:
        cells = (
            one["listeners"],
            f"{one['x real time, all']:.2f}",
            f"{one['limit']:.1f}",
            f"{min(one['x real time, each']):.2f}",
            f"{max(one['first sound after s']):.2f}",
            f"{one['processor seconds a second of music']:.3f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def draw(found: list[dict[str, Any]], path: Path, title: str) -> None:
    """Throughput over listeners, beside real time for all and the limit."""
    from matplotlib import pyplot

    counts = [one["listeners"] for one in found]
    figure, axes = pyplot.subplots(figsize=(7, 3.4), layout="constrained")
    axes.plot(counts, [one["x real time, all"] for one in found], "o-", color="#7c6cf0",
              label="all listeners together")  # fmt: skip
    axes.plot(counts, [one["limit"] for one in found], color="black", linewidth=0.8,
              label="weights read once a step")  # fmt: skip
    axes.plot(counts, counts, color="#2a9d5c", linestyle=":", label="real time for each")
    axes.set_ylim(0, 1.25 * max(*counts, *(one["x real time, all"] for one in found)))
    axes.set_xticks(counts)
    axes.set_xlabel(f"listeners at once: {title}")
    axes.set_ylabel("× real time")
    axes.legend()
    figure.savefig(path, dpi=120)


# ---------------------------------------------------------------- traffic


@dataclass
class Traffic:
    first_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    most_at_once: int = 0


def measure_traffic(server: Server, seconds: float, most: int, seed: int = 1) -> dict[str, Any]:
    dice, traffic, lock = random.Random(seed), Traffic(), threading.Lock()
    at_once: list[int] = []
    threads: list[threading.Thread] = []

    def visit(number: int, duration_s: float, leave_at_s: float, slow_s: float) -> None:
        try:
            heard = listen(server, number, duration_s, leave_at_s, slow_s)
        except httpx.HTTPError as error:
            with lock:
                traffic.errors.append(repr(error))
            return
        finally:
            with lock:
                at_once.remove(number)
        with lock:
            traffic.statuses[heard.status] = traffic.statuses.get(heard.status, 0) + 1
            if heard.status == 200:
                traffic.first_s.append(heard.first_s)

    until, number, looked = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < until:
        if time.monotonic() - looked > WATCH_S:
            looked = time.monotonic()
            traffic.memory_mb.append(server.memory_mb())
        if len(at_once) < most and dice.random() < 0.3:
            number += 1
            duration_s = dice.uniform(2, 12)
            leave_at_s = duration_s / 2 if dice.random() < 0.25 else 0.0
            slow_s = 0.3 if dice.random() < 0.1 else 0.0
            with lock:
                at_once.append(number)
                traffic.most_at_once = max(traffic.most_at_once, len(at_once))
            told = (number, duration_s, leave_at_s, slow_s)
            threads.append(threading.Thread(target=visit, args=told))
            threads[-1].start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    return _told_of(traffic, server, seconds)


def _told_of(traffic: Traffic, server: Server, seconds: float) -> dict[str, Any]:
    ordered, memory = sorted(traffic.first_s), traffic.memory_mb
    third = max(1, len(memory) // 3)
    told = asdict(traffic)
    del told["first_s"], told["memory_mb"]
    return {
        "seconds": seconds,
        **told,
        "first sound after s": {
            "median": round(statistics.median(ordered), 3),
            "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        },
        "memory MB": {
            "second third": round(max(memory[third : 2 * third] or memory)),
            "last third": round(max(memory[2 * third :] or memory)),
            "at the end": round(server.memory_mb()),
        },
        "load": os.getloadavg()[0],
    }


def _model(asked: argparse.Namespace) -> str:
    if asked.shape != "small":
        return asked.model
    folder = Path(asked.work_dir) / "small-shape"
    if not (folder / "generation_config.json").exists():
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from full_shape import write_small_checkpoint

        write_small_checkpoint(folder)
    return str(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="A server measured over HTTP.")
    parser.add_argument("what", choices=["together", "traffic"])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--shape", choices=["", "small"], default="")
    parser.add_argument("--precision", default="auto", help="the limit is always int8's")
    parser.add_argument("--work-dir", default=tempfile.gettempdir())
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that make the music")
    parser.add_argument("--listeners", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--files", action="store_true", help="whole files, to whom nobody listens")
    parser.add_argument("--plot", type=Path, help="a PNG to draw, of `together`")
    parser.add_argument("--not-alone", action="store_true", help="no comparison with solo runs")
    asked = parser.parse_args()
    most = max(asked.listeners)
    model = _model(asked)
    port = asked.port or _free_port()
    with serving(model, port, 2 * most, asked.precision, asked.workers) as server:
        in_each_worker(asked.workers, lambda: server.make(1, 0.5))  # loads the model
        if asked.what == "traffic":
            found: Any = measure_traffic(server, asked.seconds, most)
        else:
            how = not asked.not_alone, not asked.files
            found = [measure_together(server, n, asked.seconds, *how) for n in asked.listeners]
    if asked.what == "together":
        for one in found:
            one["limit"] = round(memory_limit(model, one["listeners"]), 2)
        print(table(found))
        if asked.plot:
            draw(found, asked.plot, f"{asked.shape or model}'s shape")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
