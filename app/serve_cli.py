"""`musicgraph demo`, which is also `python gradio_app.py`.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..models.refused import Refused
from .studio.settings import AppSettings

USUAL = AppSettings()
LOOPBACK = ("127.0.0.1", "::1", "localhost")
JUCE_PORT = 8000

Host = Annotated[
    str,
    typer.Option(
        envvar="GRADIO_SERVER_NAME",
        help="Address to listen on; 0.0.0.0 for every machine. "
        f"Default: {USUAL.host}; on a Space 0.0.0.0.",
    ),
]
Port = Annotated[
    int, typer.Option(envvar="GRADIO_SERVER_PORT", help="If it is taken, the next free one.")
]
Model = Annotated[
    str,
    typer.Option(help="pocket, a folder, or a hub id. Default: the best one on this machine."),
]
Share = Annotated[bool, typer.Option("--share", help="Also a public address, by Gradio's tunnel.")]
ApiKeys = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Keys for the HTTP API, made by: musicgraph keys add"),
]
QueueSize = Annotated[int, typer.Option(help="How many may wait.")]
MaxDuration = Annotated[float, typer.Option(metavar="SECONDS", help="Of one piece of music.")]
Live = Annotated[int, typer.Option(help="How many may play live at once; 0: nobody.")]
Osc = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="Also steer what plays live by OSC, on this UDP port."),
]
AllowedHost = Annotated[
    list[str],
    typer.Option(
        metavar="NAME",
        help="Another name under which the server may be asked for; repeatable.",
    ),
]
Mcp = Annotated[
    bool, typer.Option("--mcp", help="Also an MCP server, for assistants, at /gradio_api/mcp.")
]
LibraryFolder = Annotated[
    Path | None,
    typer.Option(
        "--library",
        metavar="DIR",
        help="Where takes are kept. Default: MusicGraph in your music folder, unless others can "
        "come, who each get a shelf of their own for a day.",
    ),
]
Juce = Annotated[
    bool,
    typer.Option(
        "--juce", help="Also the routes of gary4juce's plug-in, on its port 8000 unless --port."
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        help="How many processes make the music, each with its share of the processors: for many "
        "listeners at once."
    ),
]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Have the music made by replicas on Ray Serve: local, auto, or a cluster's address.",
    ),
]
Replicas = Annotated[
    str,
    typer.Option(metavar="N or MIN-MAX", help="How many, with --ray; between two numbers by need."),
]
Open = Annotated[bool, typer.Option("--open", help="Also open the page in this machine's browser.")]


def demo(
    host: Host = "",
    port: Port = USUAL.port,
    model: Model = USUAL.model,
    share: Share = False,
    api_keys: ApiKeys = None,
    queue_size: QueueSize = USUAL.queue_size,
    max_duration: MaxDuration = USUAL.max_duration_s,
    live: Live = USUAL.live,
    osc: Osc = USUAL.osc,
    allowed_host: AllowedHost = [],  # noqa: B006
    mcp: Mcp = False,
    juce: Juce = False,
    workers: Workers = USUAL.workers,
    ray: OnRay = None,
    replicas: Replicas = "1-2",
    open: Open = False,
    library: LibraryFolder = None,
) -> None:
    """Open the page, with the HTTP API on the same port."""
    from ..models.disk.files import check_folder_writable
    from . import serve

    _check_juce(juce, share, api_keys)
    _check_workers(workers, ray)
    if library is not None:
        check_folder_writable(library)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("musicgraph").setLevel(logging.INFO)
    settings = AppSettings(
        host=host or _usual_host(),
        port=JUCE_PORT if juce and port == USUAL.port else port,
        model=model,
        share=share,
        api_keys=api_keys,
        queue_size=queue_size,
        max_duration_s=max_duration,
        live=live,
        osc=osc,
        mcp=mcp,
        juce=juce,
        workers=workers,
        ray=ray,
        replicas=_replicas(replicas),
        allowed_hosts=tuple(allowed_host),
    )
    settings = replace(settings, takes_dir=library or usual_library(settings))
    serve.serve(settings, open_page=open)
    serve.leave()


def _replicas(text: str) -> tuple[int, int]:
    least, dash, most = text.partition("-")
    try:
        return int(least), int(most if dash else least)
    except ValueError:
        expected = "a number, or two such as 1-4"
        raise Refused("--replicas", got=text, expected=expected) from None


def usual_library(settings: AppSettings) -> Path | None:
    """In the music folder of whoever started the server; None where others can come too."""
    is_own = settings.host in LOOPBACK and not settings.share and not settings.allowed_hosts
    if not is_own or "SPACE_ID" in os.environ:
        return None
    try:
        import platformdirs
    except ImportError as error:
        got, remedy = "a Python without platformdirs", "pip install platformdirs, or name a folder"
        raise Refused("--library", got=got, remedy=remedy) from error
    return platformdirs.user_music_path() / "MusicGraph"


def _check_juce(juce: bool, share: bool, api_keys: Path | None) -> None:
    """Raises Refused where others than this machine are expected."""
    if juce and (share or api_keys):
        got = "--share" if share else "--api-keys"
        remedy = "start a server of its own for the plug-in"
        raise Refused("--juce", got=f"{got}, too", expected="this machine only", remedy=remedy)


def _check_workers(workers: int, ray: str | None) -> None:
    if workers > 1 and ray is not None:
        got, remedy = "--ray, too", "say how many there are of Ray's with --replicas"
        raise Refused("--workers", got=got, expected="one of them", remedy=remedy)


def _usual_host() -> str:
    return "0.0.0.0" if "SPACE_ID" in os.environ else USUAL.host
