"""Whose page it is: a browser keeps a number that nobody can guess, for all its tabs and after a
reload.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

COOKIE = "musicgraph"
"""`page.js` sets it"""
NUMBER = re.compile(r"[0-9a-f]{32}")


def of(request: Any) -> str:
    """The browser's number; without cookies the session's name, or one for this call alone.

    `request` is Gradio's or Starlette's.
    """
    number = request.cookies.get(COOKIE, "")
    if NUMBER.fullmatch(number):
        return f"browser {number}"
    return getattr(request, "session_hash", None) or secrets.token_hex(16)
