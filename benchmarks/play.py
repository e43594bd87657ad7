"""The Play tab measured: gestures of ten minutes in a real browser.

A server of its own plays; a hand that is scripted drags the point, presses keys, moves sliders and
lets go. Said are the pieces of sound that came too late, the time from a gesture to its sound, as
the page itself measures it, and whether the take's graph makes the same samples again.

Run: `python benchmarks/play.py --seconds 600`. Needs playwright, and Chromium on PATH or in
CHROMIUM. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--autoplay-policy=no-user-gesture-required"
).split()
PATIENCE_MS = 300_000
PLANE = ".mgp-plane"
SHOWN_S = 30.0
"""between two lines on the way"""


@contextmanager
def served(model: str, library: Path) -> Iterator[str]:
    """A server of its own, as a person starts it; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--model", model, "--library", str(library)]
    server = subprocess.Popen([sys.executable, "-m", "musicgraph", "demo", *options])
    address = f"http://127.0.0.1:{port}"
    try:
        while not is_there(address):
            assert server.poll() is None, "the server has ended"
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def is_there(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except OSError:
        return False


class Hand:
    """Somebody who plays: a gesture, and then a rest."""

    def __init__(self, page: Any, seed: int):
        self.page, self.dice, self.counts = page, random.Random(seed), {}

    def gesture(self) -> None:
        ways = (self.drag, self.drag, self.key, self.arrows, self.slide, self.drums)
        way = self.dice.choice(ways)
        self.counts[way.__name__] = self.counts.get(way.__name__, 0) + 1
        way()

    def drag(self) -> None:
        box, dice = self.page.locator(PLANE).bounding_box(), self.dice
        x, y = dice.uniform(0.3, 0.7), dice.uniform(0.4, 0.6)
        goal_x, goal_y = dice.uniform(0.05, 0.95), dice.uniform(0.05, 0.95)
        mouse, steps = self.page.mouse, dice.randrange(4, 12)

        def at(part: float) -> tuple[float, float]:
            right, down = x + (goal_x - x) * part, y + (goal_y - y) * part
            return box["x"] + box["width"] * right, box["y"] + box["height"] * down

        mouse.move(*at(0))
        mouse.down()
        for step in range(steps):
            mouse.move(*at((step + 1) / steps))
            self.page.wait_for_timeout(60)
        mouse.up()

    def key(self) -> None:
        self.page.keyboard.press(str(self.dice.randrange(1, 7)))

    def arrows(self) -> None:
        self.page.locator(".mgp-go").focus()
        way = self.dice.choice(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"])
        for _ in range(self.dice.randrange(1, 5)):
            self.page.keyboard.press(way)
            self.page.wait_for_timeout(80)

    def slide(self) -> None:
        name, values = self.dice.choice(
            [("cfg", (2, 3, 4, 5)), ("temperature", (0.8, 0.9, 1, 1.1)), ("energy", (0, 1, 2))]
        )
        self.page.locator(f"#mgp-{name}").fill(str(self.dice.choice(values)))

    def drums(self) -> None:
        way = self.dice.choice(["in", "out", "free"])
        self.page.locator(f".mgp-drums input[value={way}]").check()


def played(page: Any, seconds: float, seed: int) -> dict[str, Any]:
    """Gestures for so long, of which all but the first moments are recorded."""
    page.get_by_role("tab", name="Play").click()
    page.click(".mgp-record")
    page.wait_for_selector(".mgp-record[aria-pressed=true]", timeout=PATIENCE_MS)
    page.wait_for_function("MusicGraph.play.sound.received > 10", timeout=PATIENCE_MS)
    page.evaluate("MusicGraph.play.sound.dropped = 0")
    hand, began, shown, loads = Hand(page, seed), time.monotonic(), 0.0, [os.getloadavg()[0]]
    while (now := time.monotonic() - began) < seconds:
        hand.gesture()
        page.wait_for_timeout(hand.dice.uniform(1500, 4500))
        if now - shown > SHOWN_S:
            shown = now
            loads.append(os.getloadavg()[0])
            print(f"{now:.0f} s, load {loads[-1]:.1f}: {figures(page)}", flush=True)
    page.click(".mgp-record")
    page.wait_for_selector("#mg-toast.shown >> text=Kept", timeout=PATIENCE_MS)
    return {
        "seconds": round(now, 1),
        "gestures": hand.counts,
        "load": {"least": min(loads), "median": statistics.median(loads), "most": max(loads)},
        **figures(page),
    }


def figures(page: Any) -> dict[str, Any]:
    delays, dropped, received = page.evaluate(
        "[MusicGraph.play.delays, MusicGraph.play.sound.dropped, MusicGraph.play.sound.received]"
    )
    ordered = sorted(one / 1000 for one in delays) or [float("nan")]
    return {
        "pieces": received,
        "dropped": dropped,
        "changes": len(delays),
        "gesture to sound, s": {
            "median": round(statistics.median(ordered), 3),
            "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
            "most": round(ordered[-1], 3),
        },
    }


def replayed(path: Path, model: str, folder: Path) -> dict[str, Any]:
    """Whether the take's graph makes the same samples."""
    from musicgraph.models.engines.processors import prepare_threads
    from musicgraph.workflows.executor import Runner
    from musicgraph.workflows.media.audio import read_audio
    from musicgraph.workflows.reader import read_document
    from musicgraph.workflows.registry import NodeSpecs
    from musicgraph.workflows.workflow import Workflow

    prepare_threads()
    runner = Runner()
    work = Workflow.of(read_document(path), NodeSpecs(runner.classes)).runnable
    began = time.process_time()
    made = runner.run(work, named_models={model: model}, output_dir=folder)
    (one, rate), (other, _) = read_audio(path), read_audio(made.files[0])
    hashes = [hashlib.sha256(sound.numpy().tobytes()).hexdigest() for sound in (one, other)]
    return {
        "take_s": round(one.shape[1] / rate, 2),
        "sha256": hashes,
        "the graph gives the same samples": hashes[0] == hashes[1],
        "processor time of the replay, s": round(time.process_time() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The Play tab measured.")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seconds", type=float, default=590.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address", help="of a server that runs, with --library, instead of one")
    parser.add_argument("--library", dest="takes_dir", type=Path, help="its folder of takes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = asked.takes_dir or Path(folder) / "library"
        if asked.address:
            found = measured(asked.address, asked)
        else:
            with served(asked.model, library) as address:
                found = measured(address, asked)
        newest = max(library.glob("*.flac"), key=lambda path: path.stat().st_mtime)
        found |= replayed(newest, asked.model, Path(folder) / "again")
    print(json.dumps(found))


def measured(address: str, asked: argparse.Namespace) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium-browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        found = played(page, asked.seconds, asked.seed)
        browser.close()
    return found


if __name__ == "__main__":
    main()
