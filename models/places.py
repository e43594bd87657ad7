"""Where checkpoints are: the shipped pocket model, folders, the Hugging Face cache, the hub.

Looking is free of side effects; a download happens only in `fetch`, which is called when the user has named that model.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .refused import Refused

log = logging.getLogger("musicgraph")

POCKET = "pocket"
POCKET_FOLDER = Path(__file__).parent / "pocket"
POCKET_WORLD = (
    "piano, guitar, strings, flute, trumpet, organ, synth, music box, bass and one drum kit"
)
WEIGHTS_LICENCE = "CC-BY-NC-4.0"
GB = 10**9

# What is needed of a repository: everything else in it (pickled twins, other layouts) stays where it is.
NEEDED_FILES = ("*.json", "*.safetensors", "spiece.model")


@dataclass(frozen=True)
class Official:
    """A published text model and the size of its Hugging Face files."""

    id: str
    download_bytes: int


# In the order of preference when nobody names one: the last of them that is on disk.
OFFICIAL = (
    Official("facebook/musicgen-small", round(2.36 * GB)),
    Official("facebook/musicgen-stereo-small", round(1.2 * GB)),
    Official("facebook/musicgen-medium", round(8.0 * GB)),
    Official("facebook/musicgen-stereo-medium", round(4.1 * GB)),
    Official("facebook/musicgen-large", round(13.7 * GB)),
    Official("facebook/musicgen-stereo-large", round(6.92 * GB)),
)


@dataclass(frozen=True)
class Found:
    """A model that can be named, and where it lies, if it does."""

    name: str
    folder: Path | None
    size_bytes: int
    licence: str

    @property
    def on_disk(self) -> bool:
        return self.folder is not None


def known_models(folders: Sequence[Path] = ()) -> list[Found]:
    """pocket, then what lies in `folders`, then the official ids: every name that `locate` understands."""
    found = [
        Found(
            POCKET,
            POCKET_FOLDER if _is_checkpoint(POCKET_FOLDER) else None,
            _size(POCKET_FOLDER),
            "CC0-1.0",
        )
    ]
    for folder in _checkpoints_in(folders):
        found.append(Found(folder.name, folder, _size(folder), _licence_of(folder.name)))
    for official in OFFICIAL:
        cached = _cached(official.id)
        size = _size(cached) if cached else official.download_bytes
        found.append(Found(official.id, cached, size, WEIGHTS_LICENCE))
    return found


def _licence_of(name: str) -> str:
    official = any(name in (known.id, known.id.rpartition("/")[2]) for known in OFFICIAL)
    return WEIGHTS_LICENCE if official else "its own"


def default_model(folders: Sequence[Path] = ()) -> tuple[str, str]:
    """The model to use when nobody says, and why: (name, reason)."""
    named = os.environ.get("MUSICGRAPH_MODEL", "").strip()
    if named:
        return named, "MUSICGRAPH_MODEL names it"
    on_disk = {model.name: model for model in known_models(folders) if model.on_disk}
    for official in reversed(OFFICIAL):
        for name in (official.id, official.id.rpartition("/")[2]):
            if name in on_disk:
                return name, "the largest official model on this machine"
    return POCKET, "no official model is on this machine"


def locate(name: str, folders: Sequence[Path] = ()) -> Path:
    """The folder of a model: a path, a name in `folders`, pocket, or a hub id in the Hugging Face cache.

    Raises Refused if it isn't on this machine; names the places where it may be put.
    """
    folder = _on_disk(name, folders)
    if folder is None:
        download = (
            ", or name it yourself (--model, or --set in a run) to download it"
            if is_hub_id(name)
            else ""
        )
        raise Refused(
            f"model {name!r} is not on this machine; expected one of: {', '.join(_names(folders))}, a folder, or the "
            f"files of a hub model placed in {_place_by_hand(name, folders)}{download}"
        )
    return folder


def _on_disk(name: str, folders: Sequence[Path]) -> Path | None:
    if not name.strip():
        return None
    if name == POCKET:
        return POCKET_FOLDER
    for folder in _checkpoints_in(folders):
        if name == folder.name:
            return folder
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    return _cached(name) if is_hub_id(name) else None


def fetch(name: str, folders: Sequence[Path] = ()) -> Path:
    """Like `locate`, but a hub id that is not on this machine is downloaded: resumable, with a progress bar.

    Raises Refused if the hub cannot be reached or does not have it.
    """
    folder = _on_disk(name, folders)
    if folder is not None or not is_hub_id(name):
        return folder or locate(name, folders)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    log.warning("downloading %s (its licence: %s)", name, _licence_of(name))
    try:
        return Path(snapshot_download(name, allow_patterns=list(NEEDED_FILES)))
    except GatedRepoError as error:
        raise Refused(
            f"model {name!r}: the hub wants you to accept its terms and to log in (hf auth login) first"
        ) from error
    except RepositoryNotFoundError as error:
        raise Refused(
            f"model {name!r}: the hub has no such repository; check the spelling"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise Refused(
            f"model {name!r} is not on this machine and could not be downloaded ({type(error).__name__}); put its "
            f"config.json, tokenizer and safetensors files in {_place_by_hand(name, folders)} by hand, or use another model"
        ) from error


def is_hub_id(name: str) -> bool:
    """`owner/name`, as the hub spells it, and not a path."""
    owner, slash, repository = name.partition("/")
    plain = all(
        part and all(c.isalnum() or c in "-_." for c in part) and part.strip(".")
        for part in (owner, repository)
    )
    return bool(slash) and plain


def _place_by_hand(name: str, folders: Sequence[Path]) -> str:
    short = name.rpartition("/")[2] or "NAME"
    if folders:
        return str(folders[0] / short)
    return f"a folder, whose path then is the model's name (for instance ./{short})"


def _names(folders: Sequence[Path]) -> list[str]:
    return [model.name for model in known_models(folders)]


def _checkpoints_in(folders: Iterable[Path]) -> list[Path]:
    return [
        child
        for folder in folders
        if folder.is_dir()
        for child in sorted(folder.iterdir())
        if _is_checkpoint(child)
    ]


def _is_checkpoint(folder: Path) -> bool:
    """A quick look, for lists: `open_checkpoint` is the judge."""
    path = folder / "config.json"
    try:
        return (
            path.is_file()
            and json.loads(path.read_text(encoding="utf-8")).get("model_type") == "musicgen"
        )
    except (OSError, ValueError, AttributeError):
        return False


def _cached(hub_id: str) -> Path | None:
    """The snapshot of a hub id in the Hugging Face cache, if it is there with weights."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(hub_id, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if _has_all_weights(folder) else None


def _has_all_weights(folder: Path) -> bool:
    """Whether no shard is missing, as after a download that was cut off."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    return all((folder / str(shard)).is_file() for shard in shards)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
