"""`musicgraph models` and `musicgraph clean`: what lies on this machine's disk.

Quick to import: cli.py attaches both whenever it starts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.refused import Refused
from .options import AsJson
from .streams import print_line

if TYPE_CHECKING:
    from ..models.weights.adapter_places import FoundAdapter
    from ..models.weights.places import Found


def models(as_json: AsJson = False) -> None:
    """Every model that is known or found: where it lies, its size, its licence, what it makes and
    needs; every LoRA, and what it is of; and what the cache takes.
    """
    from ..models.weights.adapter_places import found_adapters
    from ..models.weights.places import known_models
    from ..nodes.host import model_folders

    folders = model_folders()
    found, adapters = known_models(folders), found_adapters(folders)
    if as_json:
        print_line(_as_json(found, adapters))
        return
    width = max(len(one.name) for one in (*found, *adapters))
    _show_models(found, width)
    for one in adapters:
        print_line(
            f"{one.name:<{width}}  {one.size_bytes / 1e6:6.2f} MB  {'LoRA':<12}  {one.folder}  "
            f"(of {one.base or 'a model that it does not name'})"
        )
    _show_cache()


def _as_json(found: Sequence[Found], adapters: Sequence[FoundAdapter]) -> str:
    from ..models.weights.kinds import kind_of

    rows = [
        {**vars(one), "folder": _place(one.folder), "on_disk": one.on_disk} | vars(kind_of(one))
        for one in found
    ]
    loras = [{**vars(one), "folder": _place(one.folder)} for one in adapters]
    return json.dumps({"models": rows, "loras": loras})


def _place(folder: Path | None) -> str | None:
    return str(folder) if folder else None


def _show_models(found: Sequence[Found], width: int) -> None:
    from ..models.weights.kinds import kind_of

    for one in found:
        place = _place(one.folder) or "not on disk"
        size, kind = f"{one.size_bytes / 1e9:6.2f} GB", kind_of(one)
        print_line(f"{one.name:<{width}}  {size}  {one.licence:<12}  {place}  ({kind})")


def _show_cache() -> None:
    from ..models.disk import cache

    size = sum(one.size_bytes for one in cache.entries())
    print_line(
        f"cache: {size / 1e9:.2f} GB of at most {cache.MAX_BYTES / 1e9:.0f} GB in {cache.folder()} "
        "(compiled code and packed weights; musicgraph clean empties it)"
    )


def clean_cache(as_json: AsJson = False) -> None:
    """Empty the cache of compiled code and packed weights: the next start makes anew what it
    needs.
    """
    from ..models.disk import cache

    try:
        freed = cache.clean()
    except OSError as error:
        raise Refused(
            "the cache cannot be emptied",
            got=error,
            expected="files that you may remove",
            remedy=f"remove {cache.folder()} yourself",
        ) from error
    if as_json:
        print_line(json.dumps({"ok": True, "folder": str(cache.folder()), "freed_bytes": freed}))
    else:
        print_line(f"{freed / 1e9:.2f} GB freed in {cache.folder()}")
