"""What others see of the page before it is open: its title, the card of a link that somebody sends,
its icons, and what a phone needs to install it.

Gradio's own page names itself in these places, so its head is rewritten on the way out; and the
form that is there at once stands at the beginning of its body.
"""

from __future__ import annotations

import gzip
import html
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .assets import script_address
from .early import with_early_form
from .theme import LOGO

HERE = Path(__file__).parent
TITLE = "MusicGraph: say what you want to hear"
WORDS = (
    "Text to music on your own machine: you hear it while it is made, and every take is a file that"
    " says how it was made."
)
CARD, CARD_SIZE = "card.png", (1200, 630)
ICONS = {"icon-192.png": "192x192", "icon-512.png": "512x512"}
A_WEEK = {"cache-control": "max-age=604800"}
THEME_COLOURS = {"light": "#faf8fb", "dark": "#100d16"}
GRADIOS_OWN = re.compile(
    r"""<meta\s+(?:property="og:|name="twitter:)[^>]*?/?>\s*"""
    r"""|<link\s+rel="(?:icon|shortcut icon|apple-touch-icon|manifest)"[^>]*?/?>\s*""",
    re.DOTALL,
)


def build_card_routes() -> APIRouter:
    """To be included in the server in front of the page."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/manifest.json", manifest, methods=["GET"])
    for path in ("/favicon.ico", "/page/icon.svg"):
        router.add_api_route(path, icon, methods=["GET"])
    router.add_api_route("/page/images/{name}", image, methods=["GET"])
    return router


def manifest() -> Response:
    """By which a browser offers to install the page as a program of its own."""
    icons = [
        {"src": f"page/images/{name}", "sizes": sizes, "type": "image/png", "purpose": purpose}
        for name, sizes in ICONS.items()
        for purpose in ("any", "maskable")
    ]
    told = {
        "id": "./", "name": "MusicGraph", "short_name": "MusicGraph", "description": WORDS,
        "start_url": "./", "scope": "./", "display": "standalone",
        "background_color": THEME_COLOURS["dark"], "theme_color": THEME_COLOURS["dark"],
        "categories": ["music"], "icons": icons,
    }  # fmt: skip
    return JSONResponse(told, media_type="application/manifest+json", headers=A_WEEK)


def icon() -> Response:
    drawn = LOGO.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return Response(drawn, media_type="image/svg+xml", headers=A_WEEK)


def image(name: str) -> Response:
    if name not in (*ICONS, CARD):
        return Response(status_code=404)
    return FileResponse(HERE / "images" / name, headers=A_WEEK)


# ---------------------------------------------------------------- the head of the page


def own_head(address: str) -> str:
    """`address`: of the page, with a slash at its end; cards need whole ones."""
    card = f"{address}page/images/{CARD}"
    properties = {
        "og:type": "website", "og:site_name": "MusicGraph", "og:title": TITLE,
        "og:description": WORDS, "og:url": address, "og:image": card,
        "og:image:width": CARD_SIZE[0], "og:image:height": CARD_SIZE[1],
        "og:image:alt": "A spectrogram of music in plum, raspberry and amber",
    }  # fmt: skip
    names = {
        "twitter:card": "summary_large_image", "twitter:title": TITLE,
        "twitter:description": WORDS, "twitter:image": card, "description": WORDS,
    }  # fmt: skip
    lines = [_meta("property", key, value) for key, value in properties.items()]
    lines += [_meta("name", key, value) for key, value in names.items()]
    lines += [
        f'<meta name="theme-color" media="(prefers-color-scheme: {scheme})" content="{colour}">'
        for scheme, colour in THEME_COLOURS.items()
    ]
    lines += [
        '<link rel="icon" type="image/svg+xml" href="page/icon.svg">',
        '<link rel="apple-touch-icon" href="page/images/icon-192.png">',
        '<link rel="manifest" href="manifest.json">',
        f'<script defer src="{script_address()}"></script>',
    ]
    return "".join(lines)


def _meta(kind: str, key: str, value: object) -> str:
    return f'<meta {kind}="{key}" content="{html.escape(str(value))}">'


def with_own_head(page: str, address: str) -> str:
    """The page with our card in the place of Gradio's."""
    cleaned = GRADIOS_OWN.sub("", page)
    return cleaned.replace("<base ", f"{own_head(address)}<base ", 1)


class OwnHead:
    """Middleware around the server: the page itself, and no other answer, is rewritten."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            send = _Rewriting(scope, send)
        await self._app(scope, receive, send)


class _Rewriting:
    """Keeps an answer until it is whole, if it is a page."""

    def __init__(self, scope: Scope, send: Send):
        self._scope, self._send = scope, send
        self._start: Any = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if "text/html" in Headers(raw=message["headers"]).get("content-type", ""):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish()
            return
        await self._send(message)

    async def _finish(self) -> None:
        page = with_own_head(self._body.decode("utf-8"), self._address())
        page = with_early_form(page)
        body, headers = page.encode("utf-8"), MutableHeaders(raw=self._start["headers"])
        if "gzip" in Headers(scope=self._scope).get("accept-encoding", ""):
            body = gzip.compress(body, 6)  # a fifth, on a phone's line
            headers["content-encoding"] = "gzip"
        headers["vary"], headers["content-length"] = "accept-encoding", str(len(body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})

    def _address(self) -> str:
        """As the visitor's browser has it: a proxy in front says so."""
        headers = Headers(scope=self._scope)
        scheme = headers.get("x-forwarded-proto", self._scope["scheme"]).split(",")[0].strip()
        return f"{scheme}://{headers.get('host', 'localhost')}/"
