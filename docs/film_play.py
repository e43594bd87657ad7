"""Takes the pictures of the Play tab, and the short film of it, from a server that runs: python
docs/film_play.py http://127.0.0.1:7860

The page's clock is moved by hand, a step for each picture, so the film is smooth on any machine;
music and spectrum are what sounds. Needs playwright, Chromium (on PATH, or its path in CHROMIUM)
and ffmpeg.
"""

import datetime
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).with_name("images")
DESK, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
SCREEN = {"width": 656, "height": 640}
"""of the film"""
FLAGS = "--headless --no-sandbox --disable-gpu --autoplay-policy=no-user-gesture-required"
PATIENCE_MS = 300_000
AFRESH = "Object.assign(MusicGraph.play.plane, {trail: [], ridges: [], rings: [], heardAt: 0})"
"""what was drawn by another clock"""
STILLS = (
    (DESK, "dark", "play.jpg"),
    (PHONE, "light", "play-phone.jpg"),
)
STEP_MS, PICTURES, RATE = 125, 40, 8
"""of the film: the page's time between two pictures, how many, and how many a second"""


def playing(browser: Browser, address: str, size: dict, scheme: str, scale: float = 1.5) -> Page:
    look = {"color_scheme": scheme, "device_scale_factor": scale}
    page = browser.new_context(viewport=size, **look).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.get_by_role("tab", name="Play").click()
    page.click(".mgp-go")
    page.wait_for_function("MusicGraph.play.sound.received > 8")
    page.clock.install()
    page.clock.pause_at(datetime.datetime.now() + datetime.timedelta(seconds=5))
    page.evaluate(AFRESH)
    page.add_style_tag(content=".mgp-figures { visibility: hidden }")  # of a machine that films
    return page


def point_at(second: float) -> tuple[float, float]:
    """Where a calm hand is: a slow loop through the places."""
    turn = 2 * math.pi * second / (PICTURES / RATE)
    return 0.5 + 0.33 * math.sin(turn), 0.5 - 0.27 * math.cos(turn) * (0.75 + 0.25 * math.sin(turn))


def moved(page: Page, pictures: int, take: bool, folder: Path) -> None:
    box = page.locator(".mgp-plane").bounding_box()
    for number in range(pictures):
        x, y = point_at(number / RATE)
        at = box["x"] + box["width"] * x, box["y"] + box["height"] * y
        page.mouse.move(*at)
        if not number:
            page.mouse.down()
        page.clock.run_for(STEP_MS)
        if take:
            page.screenshot(path=folder / f"{number:03}.jpg", type="jpeg", quality=92, clip=box)
    page.mouse.up()


def film(page: Page) -> None:
    with tempfile.TemporaryDirectory() as name:
        moved(page, PICTURES, True, Path(name))
        colours = "[a]palettegen=max_colors=160[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"
        how = f"split[a][b];{colours}"
        pictures = ["-framerate", str(RATE), "-i", f"{name}/%03d.jpg"]
        command = ["ffmpeg", "-v", "error", "-y", *pictures, "-vf", how]
        subprocess.run([*command, str(FOLDER / "play.gif")], check=True)


def still(page: Page, name: str) -> None:
    moved(page, 12, False, FOLDER)
    page.clock.run_for(600)
    page.screenshot(path=FOLDER / name, type="jpeg", quality=88)


def main(address: str) -> None:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS.split())
        film(playing(browser, address, SCREEN, "dark", scale=1))
        for size, scheme, name in STILLS:
            page = playing(browser, address, size, scheme)
            still(page, name)
            page.context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860")
