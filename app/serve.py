"""Starting the server: options, the page and the API on one port, and an orderly end.

python gradio_app.py --host 0.0.0.0 --port 7860 --model facebook/musicgen-small
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..models.processors import prepare_threads
from ..models.refused import Refused
from .settings import AppSettings

if TYPE_CHECKING:
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from .door import Hosts
    from .shelf import Shelf
    from .studio import Studio

log = logging.getLogger("musicgraph")

MAX_UPLOAD = "100mb"
SHUT_DOWN_S = 5
PORTS_TRIED = 20
OPEN_AFTER_S = 1.0


def build_app(settings: AppSettings | None = None) -> gr.Blocks:
    """The page by itself, for Gradio's own tools and tests. Loads no model and opens no port."""
    from .page import build_page
    from .shelf import Shelf

    settings = settings or AppSettings()
    return build_page(_studio(settings), settings, Shelf())


def build_server(
    settings: AppSettings,
    studio: Studio | None = None,
    shelf: Shelf | None = None,
    hosts: Hosts | None = None,
) -> FastAPI:
    """The API with the page mounted at /."""
    import gradio as gr

    from ..api import build_api
    from . import theme
    from .door import Door, Hosts
    from .page import build_page
    from .reading import PageOnlyHere
    from .shelf import Shelf

    studio, shelf = studio or _studio(settings), shelf or Shelf()
    server = build_api(studio, settings)
    page = build_page(studio, settings, shelf)
    gr.mount_gradio_app(
        server, page, path="/", server_name=settings.host, server_port=settings.port,
        theme=theme.theme(), css=theme.CSS, head=theme.HEAD, footer_links=["api", "settings"], run_history=False,
        max_file_size=MAX_UPLOAD, ssr_mode=False, mcp_server=settings.mcp, show_error=False,
    )  # fmt: skip
    page.has_launched = True  # or Gradio opens any file for anybody: mounting does not say so
    if settings.api_keys is not None:  # or the page would be a way around the credits
        server.add_middleware(PageOnlyHere)
    server.add_middleware(Door, hosts=hosts or Hosts.of(settings))
    return server


def _studio(settings: AppSettings) -> Studio:
    from .studio import Studio

    return Studio(max_waiting=settings.queue_size, idle_unload_s=settings.idle_unload_s)


# ---------------------------------------------------------------- serving


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the options, serves until Ctrl-C."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    chosen = _options(arguments)
    try:
        serve(_settings(chosen), open_page=chosen.open)
    except Refused as error:
        sys.exit(f"musicgraph: {error}")


def serve(settings: AppSettings, *, open_page: bool = False) -> None:
    """Raises Refused if it cannot start."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported
    prepare_threads()
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        raise Refused(
            "--mcp: got a Python without the package mcp; install it with: pip install 'gradio[mcp]'"
        )
    settings = replace(settings, port=_free_port(settings))
    import uvicorn

    from .door import Hosts
    from .live import provide_ffmpeg
    from .shelf import Shelf
    from .zero_gpu import announce, is_zero_gpu

    provide_ffmpeg()
    studio, shelf, hosts = _studio(settings), Shelf(), Hosts.of(settings)
    config = uvicorn.Config(
        build_server(settings, studio, shelf, hosts),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=SHUT_DOWN_S,
    )
    if is_zero_gpu():
        announce()
    with _sweeping(shelf), contextlib.closing(studio):
        address = f"http://{_shown_host(settings.host)}:{settings.port}"
        print(f"MusicGraph: {address}  (model: {settings.model_name()})", flush=True)
        if open_page:
            threading.Timer(OPEN_AFTER_S, webbrowser.open, [address]).start()
        if settings.share:
            _share(settings, hosts)
        # uvicorn raises the signals that ended it once more: they must not skip the tidying up
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            orderly_server(config, studio).run()


def orderly_server(config: uvicorn.Config, studio: Studio) -> uvicorn.Server:
    """A server that, told to stop, first ends all work, so that whoever waits is answered before it closes."""
    import uvicorn

    logging.getLogger("uvicorn.error").addFilter(_is_unexpected)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            threading.Thread(target=studio.close, name="musicgraph-close").start()
            super().handle_exit(sig, frame)

    return Server(config)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Not the answers that are broken off on purpose: ASGI knows no other way than raising."""
    from ..nodes.host import Interrupted

    error = record.exc_info[1] if record.exc_info else None
    while isinstance(inner := getattr(error, "exceptions", None), tuple) and len(inner) == 1:
        error = inner[0]
    return not isinstance(error, (Interrupted, asyncio.CancelledError))


def _free_port(settings: AppSettings) -> int:
    """The port asked for; the first free one behind the usual one when nobody asked for any."""
    usual = AppSettings().port
    tries = range(usual, usual + PORTS_TRIED) if settings.port == usual else [settings.port]
    for port in tries:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((settings.host, port))
                return probe.getsockname()[1]
    got = f"{settings.host}:{settings.port}"
    raise Refused(
        f"port: got {got}, which cannot be opened; expected a free port; choose another one with --port"
    )


def _shown_host(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "::") else host


@contextlib.contextmanager
def _sweeping(shelf: Shelf):
    """Removes old files while the server runs, and all of them at its end."""
    from .page import SWEEP_S

    over = threading.Event()

    def sweep() -> None:
        while not over.wait(SWEEP_S):
            try:
                shelf.sweep()
            except Exception:  # a bug in one sweep must not end all later ones
                log.exception("sweeping old files failed; it is tried again later")

    threading.Thread(target=sweep, name="musicgraph-sweep", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        shelf.close()


def _share(settings: AppSettings, hosts: Hosts) -> None:
    """A public address through Gradio's tunnel: the one thing here that goes outside, and only when asked to."""
    import secrets

    from gradio import networking

    try:
        address = networking.setup_tunnel(
            settings.host, settings.port, secrets.token_urlsafe(32), None, None
        )
    except (RuntimeError, OSError) as error:
        raise Refused(
            f"--share: no tunnel could be opened ({error}); start without it, or check the network"
        ) from error
    if hosts.names is not None:
        hosts.names.add(urlsplit(address).hostname or "")
    print(f"public address: {address}", flush=True)


# ---------------------------------------------------------------- options


def settings_from(arguments: Sequence[str] | None = None) -> AppSettings:
    """From the command line, with what Hugging Face Spaces and Gradio's variables say as defaults."""
    return _settings(_options(arguments))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = AppSettings()
    on_space = "SPACE_ID" in os.environ
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if on_space else usual.host)
    port = _port_in_environment(usual.port)
    parser = argparse.ArgumentParser(
        prog="musicgraph demo", description="The MusicGraph page and HTTP API."
    )
    add = parser.add_argument
    add(
        "--host",
        default=host,
        help="address to listen on; 0.0.0.0 for every machine (default: %(default)s)",
    )
    add("--port", type=int, default=port, help="default: %(default)s, or the next free one")
    add(
        "--model",
        default=usual.model,
        help="pocket, a folder, or a hub id; default: the best one on this machine",
    )
    add("--share", action="store_true", help="also a public address through Gradio's tunnel")
    add(
        "--api-keys",
        type=Path,
        metavar="FILE",
        help="keys for the HTTP API, made by: musicgraph keys add",
    )
    add(
        "--queue-size",
        type=int,
        default=usual.queue_size,
        help="how many may wait (default: %(default)s)",
    )
    add(
        "--max-duration",
        type=float,
        default=usual.max_duration_s,
        metavar="SECONDS",
        help="default: %(default)s",
    )
    add(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help="another name under which the server may be asked for; repeatable",
    )  # fmt: skip
    add("--mcp", action="store_true", help="also an MCP server, for assistants, at /gradio_api/mcp")
    add("--open", action="store_true", help="also open the page in this machine's browser")
    return parser.parse_args(arguments)


def _settings(chosen: argparse.Namespace) -> AppSettings:
    return AppSettings(
        host=chosen.host, port=chosen.port, model=chosen.model, share=chosen.share, api_keys=chosen.api_keys,
        queue_size=chosen.queue_size, max_duration_s=chosen.max_duration, mcp=chosen.mcp,
        allowed_hosts=tuple(chosen.allowed_host),
    )  # fmt: skip


def _port_in_environment(usual: int) -> int:
    text = os.environ.get("GRADIO_SERVER_PORT", "")
    return int(text) if text.isdigit() else usual
