"""What a sampler composes with, as plain data: for the files that come of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..models.weights.adapted import Adapted
from ..models.weights.digest import content_digest

if TYPE_CHECKING:
    from . import wires

SNAPSHOTS = "snapshots"
"""the folder of Hugging Face's cache whose folders are named by their revisions"""
LIBRARIES = ("torch", "numba")
"""whose versions may be heard"""


@dataclass(frozen=True)
class MadeWith:
    """Of one call of a sampler."""

    model: Mapping[str, Any]
    """name, digest of its files or revision, adapters, engine, precision and device"""
    seed: int
    """of the first item; item i has seed + i"""
    prompts: int
    variations: int
    """of each prompt, side by side"""
    continued: int = 0
    """items of the music that is continued"""

    @property
    def items(self) -> int:
        return self.prompts * self.variations

    def seed_of(self, item: int) -> int:
        return (self.seed + item) % 2**64


def described(model: wires.Model) -> dict[str, Any]:
    """A model for `MadeWith`, of which every value can be written as JSON."""
    weights = model.weights
    base = weights.base if isinstance(weights, Adapted) else weights
    adapters = weights.adapters if isinstance(weights, Adapted) else ()
    choice = model.choice
    return {
        "model": model.name,
        **_revision(base.folder),
        "digest": content_digest(base.folder),
        "adapters": [
            {"name": one.folder.name, "digest": content_digest(one.folder), "strength": strength}
            for one, strength in adapters
        ],
        "engine": choice.engine,
        "precision": choice.precision,
        "device": choice.device,
    }


def _revision(folder: Path) -> dict[str, str]:
    return {"revision": folder.name} if folder.parent.name == SNAPSHOTS else {}


def versions() -> dict[str, str]:
    """Of this package and of the libraries that compute."""
    return {"musicgraph": __version__, **_of_libraries()}


@functools.cache
def _of_libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
