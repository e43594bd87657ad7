"""The box and the button that are there at once, in the page's own answer: a person writes and
presses while the rest of the page is still being built, a second or two, and nothing of it is lost.

`early.js`, inside the answer, keeps what is typed and whether Generate was pressed;
`hand_over.js` puts it into the form as soon as that is there. What stands where is as in the form,
so that nothing moves.
"""

from __future__ import annotations

import functools
import html
import json
import re
from pathlib import Path

from .form import LABELS, PLACEHOLDER
from .theme import HEADER

HERE = Path(__file__).parent
TABS = ("Create", "Play", "Graph", "Takes")
GENERATE, STARTING = "Generate", "Starting"
TAGLINE = "Say what you want to hear."
BODY = re.compile(r"<body\b[^>]*>")


def with_early_form(page: str) -> str:
    """The page with the form at the beginning of its body."""
    return BODY.sub(lambda body: body[0] + _early_form(), page, count=1)


@functools.cache
def _early_form() -> str:
    style, script = ((HERE / f"early.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    header = HEADER.replace('<div id="mg-language"></div>', "").replace("mg-logo", "mg-early-logo")
    tabs = "".join(f"<span>{name}</span>" for name in TABS)
    label, hint = html.escape(LABELS["prompt"]), html.escape(PLACEHOLDER)
    words = json.dumps(_words(), ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<style>{style}</style><form id="mg-early">{header}'
        f'<div class="tabs" aria-hidden="true">{tabs}</div>'
        f'<label class="box"><span>{label}</span>'
        f'<textarea rows="3" dir="auto" autocomplete="off" placeholder="{hint}"></textarea></label>'
        f'<button type="submit">{GENERATE}</button><p role="status"></p></form>'
        f'<script id="mg-early-words" type="application/json">{words}</script>'
        f"<script>{script}</script>"
    )


def _words() -> dict[str, dict[str, str]]:
    """Those of this form, by language."""
    said = [LABELS["prompt"], PLACEHOLDER, GENERATE, STARTING, TAGLINE, *TABS]
    files = sorted((HERE / "languages").glob("*.json"))
    all_words = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    return {
        name: {one: words[one] for one in said if one in words} for name, words in all_words.items()
    }
