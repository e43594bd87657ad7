"""Where adapters are: `loras/` in each folder of models. Looking is free of side effects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk.json_file import read_json
from ..quoting import one_line, shown
from ..refused import Refused
from .peft_adapter import CONFIG, TENSORS

LORAS = "loras"
MAX_BASE_CHARACTERS = 200


def known_adapters(folders: Sequence[Path]) -> list[str]:
    """The names of what lies in `loras/`, each once."""
    found = {path.name: None for folder in folders for path in _children(folder / LORAS)}
    return list(found)


def _children(folder: Path) -> list[Path]:
    """Nothing for a folder that is not there or that cannot be read: others may be."""
    try:
        return sorted(child for child in folder.iterdir() if (child / CONFIG).is_file())
    except OSError:
        return []


@dataclass(frozen=True)
class FoundAdapter:
    """One that lies in `loras/`."""

    name: str
    folder: Path
    size_bytes: int
    base: str
    """what it says that it was trained on; empty: nothing"""


def found_adapters(folders: Sequence[Path]) -> list[FoundAdapter]:
    """Each of `known_adapters`, by a quick look: `peft_adapter.open_peft` is the judge."""
    found = []
    for name in known_adapters(folders):
        if (folder := known_adapter(name, folders)) is not None:  # else removed in this moment
            weights = folder / TENSORS
            size = weights.stat().st_size if weights.is_file() else 0
            found.append(FoundAdapter(name, folder, size, _base_of(folder)))
    return found


def _base_of(folder: Path) -> str:
    try:
        base = read_json(folder / CONFIG, "a PEFT adapter's settings")["base_model_name_or_path"]
    except (Refused, OSError, KeyError):
        return ""
    return one_line(base)[:MAX_BASE_CHARACTERS] if isinstance(base, str) else ""


def known_adapter(name: str, folders: Sequence[Path]) -> Path | None:
    """The first one of this name in `loras/`, or None."""
    if name in ("", ".", "..") or os.path.basename(name) != name:
        return None
    places = (folder / LORAS / name for folder in folders)
    return next((place for place in places if os.path.isfile(place / CONFIG)), None)


def locate_adapter(name: str, folders: Sequence[Path]) -> Path:
    """The folder of an adapter: a name in `loras/`, or a path. Raises Refused if it is neither."""
    found = known_adapter(name, folders)
    if found is not None:
        return found
    path = os.path.expanduser(name)
    if name.strip() and os.path.isdir(path):
        return Path(path)
    raise no_adapter(name, folders)


def no_adapter(name: object, folders: Sequence[Path]) -> Refused:
    known = known_adapters(folders)
    target = folders[0] / LORAS if folders else Path(LORAS)
    return Refused(
        "adapter",
        got=shown(name),
        expected=f"one of {', '.join(known)}" if known else f"a folder in {target}",
        remedy=f"put its {CONFIG} and its safetensors file into a folder in {target}",
    )
