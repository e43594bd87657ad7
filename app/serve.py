"""The server: the page and the API on one port, and an orderly end."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..models.refused import Refused
from .stopping import leave_signals
from .studio.settings import AppSettings

if TYPE_CHECKING:
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from .http.door import Hosts
    from .page.shelf import Shelf
    from .page.warm_up import WarmUp
    from .studio.queue import JobQueue
    from .studio.stage import Stage

log = logging.getLogger("musicgraph")

MAX_UPLOAD = "100mb"
SHUT_DOWN_S = 3
"""how long whoever is being answered may take to hear the end"""
PORTS_TRIED = 20
OPEN_AFTER_S = 1.0


def build_app(settings: AppSettings | None = None) -> gr.Blocks:
    """The page by itself, for Gradio's own tools and tests. Loads no model and opens no port."""
    from .page.runs import Runs
    from .page.shelf import Shelf
    from .page.tabs import build_page
    from .page.visitors import Visitors

    settings = settings or AppSettings()
    queue = _queue(settings)
    shelf = Shelf(library=settings.takes_dir)
    return build_page(Visitors(queue), settings, shelf, Runs(queue))


def build_server(
    settings: AppSettings,
    queue: JobQueue | None = None,
    shelf: Shelf | None = None,
    hosts: Hosts | None = None,
    stage: Stage | None = None,
    warm_up: WarmUp | None = None,
) -> FastAPI:
    """The API with the page mounted at /. Raises Refused for keys or MCP that cannot be had."""
    import gradio as gr

    from .http.door import Door, Hosts
    from .http.reading import PageOnlyHere
    from .http.routes import build_api
    from .page import theme
    from .page.assets import Assets
    from .page.card import OwnHead, build_card_routes
    from .page.first_routes import build_first_routes
    from .page.play_routes import build_play_routes
    from .page.routes import build_routes
    from .page.runs import Runs
    from .page.shelf import Shelf
    from .page.tabs import build_page
    from .page.visitors import Visitors
    from .page.warm_up import WarmUp
    from .studio.stage import stage_beside

    queue, shelf = queue or _queue(settings), shelf or Shelf(library=settings.takes_dir)
    stage = stage or stage_beside(queue, settings.live)
    server = build_api(queue, settings, stage)
    warm_up = warm_up or WarmUp(queue, settings)
    visitors, runs = Visitors(queue), Runs(queue, warm_up)
    server.include_router(build_routes(runs, shelf, settings))
    server.include_router(build_first_routes(settings, warm_up))
    server.include_router(build_card_routes())
    server.include_router(build_play_routes(stage, settings, shelf))
    page = build_page(visitors, settings, shelf, runs)
    gr.mount_gradio_app(
        server, page, path="/", server_name=settings.host, server_port=settings.port,
        theme=theme.theme(), css_paths=theme.STYLES, head=theme.HEAD,
        footer_links=["api", "settings"], run_history=False,
        max_file_size=MAX_UPLOAD, ssr_mode=False, mcp_server=settings.mcp, show_error=False,
        enable_monitoring=False,
    )  # fmt: skip
    page.has_launched = True  # or Gradio opens any file for anybody: mounting does not say so
    if settings.mcp:
        _settle_mcp(page, settings)
    server.add_middleware(OwnHead)
    server.add_middleware(Assets)
    if settings.api_keys is not None:  # or the page would be a way around the credits
        server.add_middleware(PageOnlyHere)
    server.add_middleware(
        Door, hosts=hosts or Hosts.of(settings), on_leave=visitors.leave, files=shelf.files
    )
    return server


def _settle_mcp(page: gr.Blocks, settings: AppSettings) -> None:
    """Tells Gradio's MCP server its own address; it would ask the one that its first request names.

    Raises Refused if there is none: Gradio starts without a word where `mcp` is of another make.
    """
    if page.mcp_server_obj is None:
        raise Refused(
            "--mcp",
            got="a Python without the package mcp that Gradio uses",
            remedy="install it with: pip install 'gradio[mcp]'",
        )
    page.mcp_server_obj._local_url = f"http://{_own_address(settings)}/"


def _queue(settings: AppSettings) -> JobQueue:
    from .studio.queue import JobQueue
    from .studio.worker import LocalWorker
    from .studio.zero_gpu import ZeroGpuWorker, is_zero_gpu

    if settings.ray is not None:
        return _queue_of_replicas(settings)
    if settings.workers > 1:
        return _queue_of_processes(settings)
    worker = ZeroGpuWorker() if is_zero_gpu() else LocalWorker()
    return JobQueue(worker, max_waiting=settings.queue_size, idle_unload_s=settings.idle_unload_s)


def _queue_of_processes(settings: AppSettings) -> JobQueue:
    from .studio.process_worker import ProcessWorker
    from .studio.queue import JobQueue

    worker = ProcessWorker(settings.workers)
    queue = JobQueue(worker, max_waiting=settings.queue_size, idle_unload_s=settings.idle_unload_s)
    queue.when_closed(worker.close)
    return queue


def _queue_of_replicas(settings: AppSettings) -> JobQueue:
    from .studio.queue import JobQueue
    from .studio.ray_worker import RayWorker

    assert settings.ray is not None
    worker = RayWorker(settings.ray, *settings.replicas)
    return JobQueue(worker, max_waiting=settings.queue_size)


# ---------------------------------------------------------------- serving


def serve(settings: AppSettings, *, open_page: bool = False) -> None:
    """Returns when it was told to stop. Raises Refused if it cannot start."""
    settings = replace(settings, port=_free_port(settings), live=_live_places(settings))
    with tempfile.TemporaryDirectory(prefix="musicgraph-", ignore_cleanup_errors=True) as folder:
        has_ended = _serve(settings, Path(folder), open_page)
    if not has_ended:
        log.warning("the work that runs cannot be stopped at once; it ends with this process")


def _serve(settings: AppSettings, files: Path, open_page: bool) -> bool:
    """With visitors' files in `files`. Whether the work could be ended at the end."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # both before Gradio is imported
    os.environ.setdefault("GRADIO_TEMP_DIR", str(files / "gradio"))
    import uvicorn

    from .http.door import Hosts
    from .page.shelf import Shelf
    from .page.warm_up import WarmUp
    from .studio.stage import stage_beside
    from .studio.zero_gpu import announce, is_zero_gpu

    queue, hosts = _queue(settings), Hosts.of(settings)
    shelf = Shelf(files / "shelf", library=settings.takes_dir)
    stage, warm_up = stage_beside(queue, settings.live), WarmUp(queue, settings)
    config = uvicorn.Config(
        build_server(settings, queue, shelf, hosts, stage, warm_up),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=SHUT_DOWN_S,
    )
    if is_zero_gpu():
        announce()
    else:
        warm_up.start()
    with _sweeping(shelf), _osc(settings, stage):
        try:
            _announce(settings, open_page)
            if settings.share:
                _share(settings, hosts)
            leave_signals()
            orderly_server(config, queue).run()
        finally:
            has_ended = queue.close(SHUT_DOWN_S)
            if settings.ray is not None:
                from .studio.ray_worker import leave_cluster

                leave_cluster()
    return has_ended


def _announce(settings: AppSettings, open_page: bool) -> None:
    address = f"http://{_shown_host(settings.host)}:{settings.port}"
    print(f"MusicGraph: {address}  (model: {settings.model_name()})", flush=True)
    if settings.takes_dir is not None:
        print(f"takes: {settings.takes_dir}", flush=True)
    if open_page:
        threading.Timer(OPEN_AFTER_S, webbrowser.open, [address]).start()


def orderly_server(config: uvicorn.Config, queue: JobQueue) -> uvicorn.Server:
    """A server that, told to stop, first sends all home, so that whoever waits is answered.

    Being told to stop is no failure: `run` returns, where uvicorn would let the signal end the
    process, and leave visitors' files behind.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            threading.Thread(target=queue.close, name="musicgraph-close", daemon=True).start()
            _end_heartbeats(config.app)
            self.force_exit = self.should_exit  # whoever asks twice does not want to wait
            self.should_exit = True

    return Server(config)


def _end_heartbeats(server: Any) -> None:
    """Of the pages that are open, which Gradio would go on with for ever."""
    for route in getattr(server, "routes", ()):
        if stop_event := getattr(getattr(route, "app", None), "stop_event", None):
            stop_event.set()


def leave() -> None:
    """Ends the process as the system does it: all at once.

    Python would take it down piece by piece, which lasts seconds, and is not safe where a thread
    is inside compiled code.
    """
    from ..models.disk.part_files import give_up

    give_up()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads
                stream.flush()
    os._exit(0)


def _live_places(settings: AppSettings) -> int:
    """None where a GPU is lent for a minute, or others make the music."""
    from .studio.zero_gpu import is_zero_gpu

    return 0 if is_zero_gpu() or settings.ray is not None else settings.live


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
        "port",
        got=f"{got}, which cannot be opened",
        expected="a free port",
        remedy="choose another one with --port",
    )


def _own_address(settings: AppSettings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def _shown_host(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "::") else host


@contextlib.contextmanager
def _sweeping(shelf: Shelf):
    """Removes old files while the server runs, and all of them at its end."""
    from .page.tabs import SWEEP_S

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


@contextlib.contextmanager
def _osc(settings: AppSettings, stage: Stage) -> Iterator[None]:
    if settings.osc is None:
        yield
        return
    from .osc import OscDoor

    door = OscDoor(settings.osc, stage.latest)
    print(f"OSC: udp port {door.port} of this machine", flush=True)
    try:
        yield
    finally:
        door.close()


def _share(settings: AppSettings, hosts: Hosts) -> None:
    """A public address through Gradio's tunnel: the one thing here that goes outside, and only when
    asked to.
    """
    import secrets

    from gradio import networking

    try:
        address = networking.setup_tunnel(
            settings.host, settings.port, secrets.token_urlsafe(32), None, None
        )
    except (RuntimeError, OSError) as error:
        raise Refused(
            "--share",
            got=f"no tunnel ({error})",
            remedy="start without it, or check the network",
        ) from error
    if hosts.names is not None:
        hosts.names.add(urlsplit(address).hostname or "")
    print(f"public address: {address}", flush=True)
