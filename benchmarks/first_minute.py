"""The page's first minute, measured in Chromium: python benchmarks/first_minute.py [--warm]

Starts the server with an empty cache of its own (the engine is compiled anew; `--warm` keeps the
user's cache), opens the page as soon as it answers, and presses Generate at once; then once more,
with all of it loaded. Prints JSON: seconds until the words were written into the box that is there
at once, until the whole form is there, until the first word after the press, the longest time
without a new word, and until the first sound. On a busy machine they mean little: the load stands
beside them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
PATIENCE_S = 600
WATCH = """() => {
  window.words = [];
  const press = performance.now(), before = MusicGraph.sound.key;
  const mine = window.watch = {};
  const look = () => {
    if (window.watch !== mine) return;
    const said = document.getElementById("mg-status").innerText;
    const last = window.words.at(-1);
    if (!last || last[1] !== said) window.words.push([(performance.now() - press) / 1000, said]);
    const isNew = MusicGraph.sound.key !== before;
    if (!window.heard && isNew && MusicGraph.sound.position > 0.01) {
      window.heard = (performance.now() - press) / 1000;
    }
    requestAnimationFrame(look);
  };
  window.heard = 0;
  document.getElementById("mg-generate").click();
  look();
}"""


def started(folder: Path, port: int, is_warm: bool) -> subprocess.Popen:
    cache = {} if is_warm else {"MUSICGRAPH_CACHE": str(folder / "cache")}
    command = [sys.executable, str(ROOT / "gradio_app.py"), "--port", str(port)]
    command += ["--model", "pocket", "--library", str(folder / "library")]
    log = (folder / "log").open("w")
    return subprocess.Popen(command, env={**os.environ, **cache}, stdout=log, stderr=log)


def answers(address: str) -> float:
    """Seconds until it does."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return time.monotonic() - began
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"got no answer from {address} in {PATIENCE_S} s")


def pressed(page: Page) -> dict:
    page.evaluate(WATCH)
    page.wait_for_function("window.heard > 0")
    page.wait_for_selector("#mg-status .mg-note.done")
    words, heard = page.evaluate("[window.words, window.heard]")
    times = [at for at, said in words if said and at <= heard] + [heard]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    firsts = [line.split("\n")[0] for _, line in words if line]
    return {
        "first_word_s": round(times[0], 3),
        "longest_silence_s": round(max(gaps, default=0.0), 3),
        "first_sound_s": round(heard, 3),
        "said": list(dict.fromkeys(firsts)),
    }


def measured(address: str) -> dict:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        began = time.monotonic()
        page.goto(address, wait_until="commit")
        page.fill("#mg-early textarea", "a calm piano")
        interactive_s = time.monotonic() - began
        page.wait_for_selector("#mg-early", state="detached")
        whole_s = time.monotonic() - began
        cold = pressed(page)
        page.wait_for_timeout(1000)
        warm = [pressed(page) for _ in range(3)]
        page.reload()
        browser.close()
    until = {"interactive_s": round(interactive_s, 3), "whole_s": round(whole_s, 3)}
    return {**until, "first_press": cold, "loaded": warm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--port", type=int, default=7871)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = started(Path(folder), given.port, given.warm)
        try:
            address = f"http://127.0.0.1:{given.port}"
            found = {"answers_after_s": round(answers(address), 2), **measured(address)}
        finally:
            server.terminate()
            server.wait(30)
    print(json.dumps({**found, "load": os.getloadavg()[0], "cores": os.cpu_count()}, indent=1))


if __name__ == "__main__":
    main()
