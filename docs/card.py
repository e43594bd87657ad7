"""Draws the page's icons and the card of its links with Chromium: python docs/card.py

Run it when the logo or the words change. Needs playwright and Chromium, as the browser tests do.
"""

import importlib.util
import math
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "app/page/images"
BARS, STEP, BASE = 100, 12, 470
INK = "#100d16"


def icon(logo: str, size: int) -> str:
    """With room around it: some systems cut a circle out of it."""
    drawn = logo.replace('width="34" height="34"', f'width="{size * 0.66}" height="{size * 0.66}"')
    return f"""<body style="margin:0;display:grid;place-items:center;background:{INK};
        width:{size}px;height:{size}px">{drawn}</body>"""


def bar(at: int) -> str:
    height = 24 + 150 * abs(math.sin(at * 0.37) * math.sin(at * 0.11 + 0.6))
    height += 70 * abs(math.sin(at * 1.7))
    return f'<rect x="{at * STEP}" y="{BASE - height / 2}" width="7" height="{height}" rx="3.5"/>'


def card(logo: str, width: int, height: int) -> str:
    bars = "".join(map(bar, range(BARS)))
    large = logo.replace('width="34" height="34"', 'width="120" height="120"')
    return f"""<body style="margin:0;background:{INK};color:#f2eff5;width:{width}px;
        height:{height}px;font-family:sans-serif;position:relative;overflow:hidden">
      <svg style="position:absolute" width="{width}" height="{height}"><defs><linearGradient id="w"
        gradientUnits="userSpaceOnUse" x2="{width}"><stop stop-color="#64228f"/><stop offset=".5"
        stop-color="#cf3f7c"/><stop offset="1" stop-color="#f9a045"/></linearGradient></defs>
        <g fill="url(#w)">{bars}</g></svg>
      <div style="position:absolute;left:80px;top:70px;display:flex;gap:32px;align-items:center">
        {large}<div><div style="font-size:84px;font-weight:750;letter-spacing:-2px">MusicGraph</div>
        <div style="font-size:38px;color:#cfc7d7">Say what you want to hear.</div></div></div>
    </body>"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    from musicgraph.app.page.card import CARD, CARD_SIZE, ICONS
    from musicgraph.app.page.theme import LOGO

    FOLDER.mkdir(exist_ok=True)
    pictures = {
        name: (icon(LOGO, int(sizes.split("x")[0])), [int(one) for one in sizes.split("x")])
        for name, sizes in ICONS.items()
    }
    pictures[CARD] = (card(LOGO, *CARD_SIZE), list(CARD_SIZE))
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for name, (html, (width, height)) in pictures.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_content(html)
            page.screenshot(path=FOLDER / name)
        browser.close()


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("musicgraph", ROOT / "__init__.py")
    assert spec is not None and spec.loader is not None
    sys.modules["musicgraph"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["musicgraph"])
    main()
