"""Takes the pictures of the page for the README, from a server that runs: python
docs/screenshots.py http://127.0.0.1:7860

Needs playwright and Chromium (on PATH, or its path in CHROMIUM), as the browser tests do.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).with_name("images")
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def open_page(browser, address: str, size: dict, scheme: str) -> Page:
    page = browser.new_context(
        viewport=size, color_scheme=scheme, device_scale_factor=1.5
    ).new_page()
    page.goto(address)
    page.wait_for_selector("#mg-prompt textarea")
    page.wait_for_timeout(800)
    return page


def make(page: Page, idea: str) -> None:
    page.get_by_role("button", name="Ideas").click()
    page.locator("#mg-chips").get_by_text(idea).click()
    page.click("#mg-generate")
    page.wait_for_selector("#mg-status .mg-note.done", timeout=300_000)
    page.wait_for_timeout(1500)


def main(address: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = open_page(browser, address, DESK, "light")
        make(page, "lo-fi hip hop")
        page.screenshot(path=FOLDER / "create.png")
        page = open_page(browser, address, DESK, "dark")
        page.get_by_role("tab", name="Graph").click()
        page.wait_for_timeout(800)
        page.click("#mg-run")
        page.wait_for_selector("#mg-graph-status .mg-note.done", timeout=300_000)
        page.wait_for_timeout(1500)
        page.screenshot(path=FOLDER / "graph.png")
        page = open_page(browser, address, PHONE, "light")
        make(page, "music box lullaby")
        page.screenshot(path=FOLDER / "phone.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860")
