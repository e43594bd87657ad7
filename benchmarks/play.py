"""The Play tab measured.

    browser   a server of its own plays, and in a real browser a hand that is scripted drags the
              point, presses keys, moves sliders and lets go
    quiet     the same where nobody else computes, and without a browser: the clock is the processor
              time that was spent, what would be waited for is skipped, and pieces are laid one
              behind the other as the page lays them

Said are the pieces of sound that came too late, the time from a gesture to its sound (of the
browser as the page itself measures it), and whether the take's graph makes the same samples again.

Run: `python benchmarks/play.py browser --seconds 590`. That needs playwright, and Chromium on PATH
or in CHROMIUM. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import math
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


# ---------------------------------------------------------------- in a browser


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
    return {
        "pieces": received,
        "dropped": dropped,
        "changes": len(delays),
        "gesture to sound, s": spread([one / 1000 for one in delays]),
    }


def spread(values_s: list[float]) -> dict[str, float]:
    ordered = sorted(values_s) or [float("nan")]
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "most": round(ordered[-1], 3),
    }


# ---------------------------------------------------------------- where nobody else computes

PLACES = (
    ("a calm solo piano", 0.16, 0.74),
    ("lo-fi beat with mellow piano", 0.5, 0.9),
    ("upbeat house track, 124 bpm", 0.84, 0.72),
    ("80s synth pop with punchy drums", 0.82, 0.26),
    ("epic orchestral strings", 0.48, 0.12),
    ("a music box lullaby", 0.15, 0.28),
)
SAID_EACH_S, LEAST_SHARE = 0.09, 0.05
LEAD_S, MOST_LEAD_S, MORE_LEAD_S = 0.15, 0.35, 0.04
SPARE_S, LOOK_BACK, FASTER = 0.1, 200, 1.015
"""as the page has them"""


def mix_at(x: float, y: float) -> str:
    """As the page puts it together."""
    near = [(text, 1 / (math.hypot(x - right, y - up) ** 3 + 1e-4)) for text, right, up in PLACES]
    total = sum(weight for _, weight in near)
    heard = [(text, weight) for text, weight in near if weight / total >= LEAST_SHARE]
    total = sum(weight for _, weight in heard)
    if len(heard) == 1:
        return heard[0][0]
    return " + ".join(f"{text} {weight / total:.2f}" for text, weight in heard)


def sayings(seconds: float, seed: int) -> list[tuple[float, dict[str, Any]]]:
    """(second, what is said): each few seconds a move of the point, and now and then a setting."""
    dice, told, at, x, y = random.Random(seed), [], 3.0, 0.33, 0.68
    while at < seconds - 3:
        to_x, to_y, steps = dice.uniform(0, 1), dice.uniform(0, 1), dice.randrange(4, 9)
        for step in range(1, steps + 1):
            part = step / steps
            mix = mix_at(x + (to_x - x) * part, y + (to_y - y) * part)
            told.append((at + step * SAID_EACH_S, {"text": mix}))
        x, y, other = to_x, to_y, dice.randrange(8)
        setting = [{"cfg": dice.choice([2, 3, 4, 5])}, {"temperature": 0.9}, {"energy": "high"},
                   {"energy": "free"}, {"drums": "out"}, {"drums": "free"}]  # fmt: skip
        if other < len(setting):
            told.append((at + 1.2, setting[other]))
        at += dice.uniform(2.5, 5)
    return told


class Laid:
    """Pieces of sound, each laid behind the last as the page does it."""

    def __init__(self, rate: int):
        self._rate, self._next_s, self.pieces, self.dropped = rate, 0.0, [], 0
        self._lead_s, self._slacks = LEAD_S, collections.deque[float](maxlen=LOOK_BACK)

    def push(self, begin: int, count: int, now: float) -> None:
        if not self.pieces or self._next_s < now:
            if self.pieces:
                self.dropped += 1
                self._lead_s = min(MOST_LEAD_S, self._lead_s + MORE_LEAD_S)
            self._next_s = now + self._lead_s
            self._slacks.clear()
        self._slacks.append(self._next_s - now)
        self.pieces.append((begin, begin + count, self._next_s))
        is_early = min(self._slacks) > self._lead_s + SPARE_S and len(self._slacks) == LOOK_BACK
        self._next_s += count / self._rate / (FASTER if is_early else 1.0)

    def heard_at(self, sample: int) -> float:
        begin, at = next((begin, at) for begin, end, at in self.pieces if end > sample)
        return at + max(0, sample - begin) / self._rate


def measure_quiet(model: str, seconds: float, seed: int, library: Path) -> dict[str, Any]:
    from musicgraph.app.page.play_routes import PROMPTS
    from musicgraph.app.page.play_take import Recording
    from musicgraph.app.page.take_library import Library
    from musicgraph.app.studio.music import music_job
    from musicgraph.app.studio.performance import Performance, loaded_model
    from musicgraph.app.studio.said import read_said
    from musicgraph.app.studio.stage import LivePlace, Stage
    from musicgraph.models.engines.processors import prepare_threads
    from musicgraph.workflows.executor import Runner
    from musicgraph.workflows.request import Request

    prepare_threads()
    runner, request = Runner(), Request(mix_at(0.33, 0.68), model=model, seed=seed, blend_s=0.0)
    loaded = loaded_model(runner, music_job(request, runner.classes, named_models={}), bool)
    performance = Performance(loaded, request, parts=PROMPTS)
    place = LivePlace(Stage(), "", performance, lambda _: None, {})
    laid, recording = Laid(performance.sample_rate), Recording(performance)
    to_say, told, now, spent_s = sayings(seconds, seed), [], 0.0, 0.0
    place.go_on(now)
    while now < seconds:
        began = time.process_time()
        if to_say and to_say[0][0] <= max(now, place.due_at()):
            at, said = to_say.pop(0)
            now = max(now, at)
            told.append((at, performance.say(read_said(said)).frame))
            now += time.process_time() - began
            continue
        due_at = place.due_at()
        now = max(now, due_at)
        sound = performance.play()
        assert sound is not None, "it was not told to end"
        now += time.process_time() - began
        spent_s += time.process_time() - began
        place.note_played(now, due_at)
        recording.push(performance.begun_at, sound)
        if sound.shape[1]:
            laid.push(performance.begun_at, sound.shape[1], now)
    hop = performance.sample_rate / performance.frame_rate
    recording.keep(Library(library), "played", {})
    return {
        "seconds": seconds,
        "pieces": len(laid.pieces),
        "dropped": laid.dropped,
        "changes": len(told),
        "gesture to sound, s": spread([laid.heard_at(round(f * hop)) - at for at, f in told]),
        "processor time of a second of music, s": round(spent_s / seconds, 3),
    }


# ---------------------------------------------------------------- again


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
    parser.add_argument("what", choices=["browser", "quiet"])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seconds", type=float, default=590.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address", help="of a server that runs, with --library, instead of one")
    parser.add_argument("--library", dest="takes_dir", type=Path, help="its folder of takes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = asked.takes_dir or Path(folder) / "library"
        if asked.what == "quiet":
            found = measure_quiet(asked.model, asked.seconds, asked.seed, library)
        elif asked.address:
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
