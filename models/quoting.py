"""How strangers' values stand in messages: short, on one line, and harmless to a terminal."""

from __future__ import annotations

import json
import re
from itertools import islice

MAX_SHOWN_CHARACTERS = 80
MAX_SHOWN_LEVELS = 8
_SURROGATE = re.compile("[\ud800-\udfff]")


def shown(value: object) -> str:
    """A value from a stranger's file, short enough for a message."""
    try:
        text = json.dumps(_shortened(value, MAX_SHOWN_LEVELS), ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    text = _plain_surrogates(text)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"


def _shortened(value: object, levels: int) -> object:
    """Enough of a value for its text to be as long as is shown: a stranger's may have millions of
    parts, one within the other.
    """
    if isinstance(value, str):
        return value[: MAX_SHOWN_CHARACTERS + 1]
    if isinstance(value, (list, tuple, dict)) and levels == 0:
        return "…"
    if isinstance(value, (list, tuple)):
        return [_shortened(one, levels - 1) for one in value[:MAX_SHOWN_CHARACTERS]]
    if isinstance(value, dict):
        first = islice(value.items(), MAX_SHOWN_CHARACTERS)
        return {_shortened(key, 0): _shortened(one, levels - 1) for key, one in first}
    return value


def has_surrogates(text: str) -> bool:
    """Whether a text holds halves of letters (lone surrogates), which no file can hold."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _plain_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """For a terminal: no line breaks, and nothing that a terminal would obey or cannot print."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
