"""A real browser for tests, which name this file in `pytest_plugins`, and people in front of it."""

import os
import re
import shutil

import pytest
from pagesite import DESK, tiny_site

from musicgraph.app.page.runs import LEFT_S

PATIENCE_S = 90
"""with a machine that has much else to do"""

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    with tiny_site(tmp_path_factory.mktemp("site"), patch) as running:
        yield running
    patch.undo()
    assert running.asked_outside == [], "the server turned to other machines"


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail(
            'no playwright: pip install playwright, or leave these tests out with -m "not browser"'
        )
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if program is None:
        pytest.fail(
            'no chromium on PATH: install it, or leave these tests out with -m "not browser"'
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


class Visitor:
    """One person's page, with what it complained of and whom it asked."""

    def __init__(self, browser, site, size=DESK, scheme="light", locale="en-US"):
        self.context = browser.new_context(
            viewport=size, color_scheme=scheme, locale=locale, accept_downloads=True
        )
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self.page = self.context.new_page()
        self.complaints, self.outside = [], []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)
        self.page.goto(site.address)
        self.until_whole()

    def until_whole(self):
        """Until the form that is there at once has made room for the page's own."""
        self.page.wait_for_selector("#mg-prompt textarea")
        self.page.wait_for_selector("#mg-early", state="detached")

    def _console(self, message):
        if message.type == "error":
            self.complaints.append(message.text)

    def _request(self, request):
        if not re.match(r"(http://127\.0\.0\.1|data:|blob:)", request.url):
            self.outside.append(request.url)

    def generate(self, prompt="a calm piano", duration=2):
        self.page.fill("#mg-prompt textarea", prompt)
        self.page.fill("#mg-duration input[type=number]", str(duration))
        self.page.press("#mg-duration input[type=number]", "Tab")
        self.page.click("#mg-generate")

    def until(self, script):
        """Waits for what the script says to be so, and gives it: what comes of a click comes later,
        on a busy machine much later.
        """
        return self.page.wait_for_function(script).json_value()

    def status(self):
        return self.page.inner_text("#mg-status")

    def wait_for(self, kind, timeout_s=PATIENCE_S):
        self.page.wait_for_selector(f"#mg-status .mg-note{kind}", timeout=timeout_s * 1000)

    def tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def sound(self):
        """(what sounds, where it is, whether it plays), of the page's one player."""
        return self.page.evaluate(
            "[MusicGraph.sound.key, MusicGraph.sound.position, MusicGraph.sound.isPlaying]"
        )

    def download(self, name, role="link"):
        with self.page.expect_download() as waiting:
            self.page.get_by_role(role, name=name).first.click()
        return waiting.value.path(), waiting.value.suggested_filename


@pytest.fixture
def visit(browser, site):
    visitors = []

    def come(**how):
        visitors.append(Visitor(browser, site, **how))
        return visitors[-1]

    yield come
    for visitor in visitors:
        visitor.context.close()
    site.wait_until_idle(LEFT_S + PATIENCE_S)
    assert [visitor.complaints for visitor in visitors if visitor.complaints] == []
    assert [visitor.outside for visitor in visitors if visitor.outside] == []
