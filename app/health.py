"""Whether the server of a container answers: python -m musicgraph.app.health

It asks on the port that the container's own program was started with, and ends with 1 if nobody
answers there.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

FIRST_PROCESS = Path("/proc/1/cmdline")
PATIENCE_S = 5.0
USUAL_PORT = "7860"


def port_of(command: Sequence[str]) -> str:
    """What a command line says with --port; else GRADIO_SERVER_PORT, as the server itself."""
    for word, after in zip(command, [*command[1:], ""], strict=True):
        if word == "--port":
            return after
        if word.startswith("--port="):
            return word.removeprefix("--port=")
    return os.environ.get("GRADIO_SERVER_PORT", USUAL_PORT)


def is_well(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S) as got:
            return got.status == 200
    except (OSError, HTTPException):  # nobody there, or no port
        return False


if __name__ == "__main__":
    command = FIRST_PROCESS.read_bytes().decode("utf-8", "replace").split("\0")
    sys.exit(0 if is_well(port_of(command)) else 1)
