"""How the app was started: what the page, the API and the queue all need to know."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.config import MAX_DURATION_S
from ...models.quoting import shown
from ...models.refused import Refused

if TYPE_CHECKING:
    from ...models.weights.places import Found


HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class AppSettings:
    host: str = "127.0.0.1"
    port: int = 7860
    model: str = ""
    """empty: `models.weights.places.default_model` chooses"""
    share: bool = False
    api_keys: Path | None = None
    """SQLite file of `app/http/keys.py`; None: the API answers this machine only, and needs no
    key
    """
    queue_size: int = 16
    """how many may wait"""
    max_duration_s: float = 120.0
    """of one piece of music"""
    live: int = 4
    """how many may play live at once"""
    osc: int | None = None
    """the UDP port of this machine on which OSC steers what plays live; None: none"""
    juce: bool = False
    """whether a DAW's plug-in is answered, too"""
    mcp: bool = False
    workers: int = 1
    """processes that make the music; with one, this process does"""
    ray: str | None = None
    """the Ray cluster whose replicas make the music: local, auto, or its address; None: this
    process does
    """
    replicas: tuple[int, int] = (1, 2)
    """how many there are of those: at least, at most"""
    allowed_hosts: tuple[str, ...] = ()
    """names, besides loopback's own, under which the server answers"""
    takes_dir: Path | None = None
    """the folder of the page's takes; None: each browser has takes of its own, for a limited time
    """
    idle_unload_s: float = 600.0
    """the model is unloaded after so long without work"""

    def __post_init__(self) -> None:
        longest, idle_s = self.max_duration_s, self.idle_unload_s
        rules = (
            ("port", self.port, 0 <= self.port <= 65535, "0 to 65535"),
            ("osc", self.osc, 0 <= (self.osc or 0) <= 65535, "0 to 65535"),
            ("live", self.live, 0 <= self.live <= 64, "0 to 64"),
            ("workers", self.workers, 1 <= self.workers <= 64, "1 to 64"),
            ("replicas", "-".join(map(str, self.replicas)), _is_range(self.replicas), "1 to 1000"),
            ("queue size", self.queue_size, 0 <= self.queue_size <= 10_000, "0 to 10000"),
            ("max duration", longest, 1 <= longest <= MAX_DURATION_S, f"1 to {MAX_DURATION_S:g} s"),
            ("idle unload", idle_s, 0 <= idle_s < math.inf, "0 or more seconds"),
        )  # fmt: skip
        for name, got, fine, expected in rules:
            if not fine:  # NaN fails every comparison
                remedy = "choose a value in that range"
                raise Refused(name, got=got, expected=expected, remedy=remedy)
        for one in filter(None, self.allowed_hosts):
            _check_host_name(one)

    def model_name(self, known: Sequence[Found] | None = None) -> str:
        """The model to use when a request names none; `known` is what `known_models` has found."""
        from ...models.weights.places import (
            default_model,  # with torch, which the options alone do not need
        )
        from ...nodes.host import model_folders

        return self.model or default_model(model_folders(), known)[0]


def _check_host_name(name: str) -> None:
    """Raises Refused for what no browser sends as the name of a host, which would let nobody in."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if not HOST_NAME.fullmatch(name):
            expected = "a name alone, such as music.example, or an IP address"
            remedy = "leave out https://, port and path; write other letters as xn--…"
            raise Refused(
                "allowed host", got=shown(name), expected=expected, remedy=remedy
            ) from None


def _is_range(replicas: tuple[int, int]) -> bool:
    least, most = replicas
    return 1 <= least <= most <= 1000
