"""Where checkpoints are: the shipped pocket model, folders, the Hugging Face cache, the hub.

Looking is free of side effects. A download happens only in `fetch`, which is called when the user
has named that model.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..refused import Refused
from .download import OnProgress, download, is_whole
from .folder_kinds import ARCHIVES, STATE_DICT, is_audiocraft, is_hugging_face

log = logging.getLogger("musicgraph")

POCKET = "pocket"
POCKET_FOLDER = Path(__file__).parents[1] / "pocket"
POCKET_WORLD = (
    "everyday words for twenty-five genres from ambient to metal, some forty instruments and drums"
)
WEIGHTS_LICENCE = "CC-BY-NC-4.0"
GB = 10**9


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Official:
    """A published model and the size of the files that are needed of it."""

    id: str
    download_bytes: int
    melody: bool = False
    """whether it can follow a melody; without one the text models are better"""
    style: bool = False
    """whether it can follow a style; without one, again, the text models are better"""
    sound: bool = False
    """whether it makes sound effects, and no music"""
    piece_s: float | None = None
    """of a MAGNeT: how long all its pieces are"""


# Text models in the order of preference when nobody names one: the last of them that is on disk.
OFFICIAL = (
    Official("facebook/musicgen-small", round(2.36 * GB)),
    Official("facebook/musicgen-stereo-small", round(1.2 * GB)),
    Official("facebook/musicgen-medium", round(8.0 * GB)),
    Official("facebook/musicgen-stereo-medium", round(4.1 * GB)),
    Official("facebook/musicgen-large", round(13.7 * GB)),
    Official("facebook/musicgen-stereo-large", round(6.92 * GB)),
    Official("facebook/musicgen-melody", round(6.23 * GB), melody=True),
    Official("facebook/musicgen-stereo-melody", round(6.32 * GB), melody=True),
    Official("facebook/musicgen-melody-large", round(10.5 * GB), melody=True),
    Official("facebook/musicgen-stereo-melody-large", round(10.64 * GB), melody=True),
    Official("facebook/musicgen-style", round(4.35 * GB), style=True),  # with its T5 and MERT
    Official("facebook/audiogen-medium", round(6.9 * GB), sound=True),  # with its T5
    # MAGNeT, each with its T5
    Official("facebook/magnet-small-10secs", round(2.0 * GB), piece_s=10),
    Official("facebook/magnet-small-30secs", round(2.0 * GB), piece_s=30),
    Official("facebook/magnet-medium-10secs", round(4.8 * GB), piece_s=10),
    Official("facebook/magnet-medium-30secs", round(4.8 * GB), piece_s=30),
    Official("facebook/audio-magnet-small", round(4.0 * GB), sound=True, piece_s=10),
    Official("facebook/audio-magnet-medium", round(6.9 * GB), sound=True, piece_s=10),
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
    """pocket, then what lies in `folders`, then the official ids."""
    found = [
        Found(
            POCKET,
            POCKET_FOLDER if _is_checkpoint(POCKET_FOLDER) else None,
            weights_size(POCKET_FOLDER),
            "CC0-1.0",
        )
    ]
    for folder in _checkpoints_in(folders):
        found.append(Found(folder.name, folder, weights_size(folder), _licence_of(folder.name)))
    for official in OFFICIAL:
        there = _downloaded(official.id, folders)
        size = weights_size(there) if there else official.download_bytes
        found.append(Found(official.id, there, size, WEIGHTS_LICENCE))
    return found


def is_known(name: str, folders: Sequence[Path] = ()) -> bool:
    """Whether `known_models` would list this name; without a look at any other model."""
    return name == POCKET or is_official(name) or _in_folders(name, folders) is not None


def _in_folders(name: str, folders: Sequence[Path]) -> Path | None:
    """The first checkpoint of this name; no other is looked at."""
    if name in ("", ".", "..") or os.path.basename(name) != name:
        return None
    return next((at for folder in folders if _is_checkpoint(at := folder / name)), None)


def _licence_of(name: str) -> str:
    official = any(name in (known.id, known.id.rpartition("/")[2]) for known in OFFICIAL)
    return WEIGHTS_LICENCE if official else "its own"


def default_model(
    folders: Sequence[Path] = (), known: Sequence[Found] | None = None, follows: str = ""
) -> tuple[str, str]:
    """The model to use when nobody says, and why: (name, reason).

    `known` is what `known_models` has found in the folders, for who has asked already. `follows`:
    one that can follow a "melody" or a "style"; raises Refused if there is none on this machine.
    """
    named = os.environ.get("MUSICGRAPH_MODEL", "").strip()
    if named:
        return named, "MUSICGRAPH_MODEL names it"
    known = known_models(folders) if known is None else known
    on_disk = {model.name for model in known if model.on_disk}
    music = [one for one in reversed(OFFICIAL) if not one.sound and one.piece_s is None]
    fitting = [one for one in music if not follows or getattr(one, follows)]
    for official in sorted(fitting, key=lambda one: one.melody or one.style):
        for name in (official.id, official.id.rpartition("/")[2]):
            if name in on_disk:
                return name, "the largest official model on this machine"
    if follows:
        example = next(one for one in OFFICIAL if getattr(one, follows))
        raise Refused(
            follows,
            got=f"no {follows} model on this machine",
            expected="one",
            remedy=f"name it to download it, such as --model {example.id} "
            f"({example.download_bytes / GB:.1f} GB)",
        )
    return POCKET, "no official model is on this machine"


def locate(name: str, folders: Sequence[Path] = ()) -> Path:
    """The folder of a model: pocket, a name in `folders`, a path, or a hub id whose files are here.

    Raises Refused if it isn't on this machine; names the places where it may be put.
    """
    folder = on_disk(name, folders)
    if folder is None:
        raise Refused(
            f"model {_short(name)} is not on this machine",
            expected=f"one of {', '.join(_names(name, folders))}, or a folder",
            remedy=_how_to_get(name, folders),
        )
    return folder


def on_disk(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """Where a model lies, or None. Asks no network."""
    if not name.strip():
        return None
    if name == POCKET:
        return POCKET_FOLDER
    if (found := _in_folders(name, folders)) is not None:
        return found
    path = os.path.expanduser(name)
    if os.path.isdir(path):  # unlike Path's, it has a plain answer to names that cannot be any
        return Path(path)
    return _downloaded(name, folders) if is_hub_id(name) else None


def _downloaded(hub_id: str, folders: Sequence[Path]) -> Path | None:
    whole = (folder / folder_name(hub_id) for folder in folders)
    return next((one for one in whole if is_whole(one)), None) or cached(hub_id)


def folder_name(hub_id: str) -> str:
    """Of its folder: `musicgen-small` for the published ones, `owner--name` for others."""
    owner, _, name = hub_id.partition("/")
    return name if is_official(hub_id) else f"{owner}--{name}"


def official_of(name: str) -> Official | None:
    """The published model of this id or folder's name."""
    return next((one for one in OFFICIAL if name in (one.id, folder_name(one.id))), None)


def is_official(name: str) -> bool:
    return any(name == official.id for official in OFFICIAL)


def fetch(name: str, folders: Sequence[Path] = (), on_progress: OnProgress = _ignore) -> Path:
    """Like `locate`, but a hub id that is not on this machine is downloaded into `folders`.

    `on_progress(bytes done, bytes in all)` comes ten times a second; what it raises ends the
    download, which goes on there the next time.

    Raises Refused if the hub cannot be reached, does not have it, or there is no room for it.
    """
    folder = on_disk(name, folders)
    if folder is not None or not is_hub_id(name):
        return folder or locate(name, folders)
    check_online(name, folders)
    target = download_folder(folders) / folder_name(name)
    log.warning("downloading %s to %s (its licence: %s)", name, target, _licence_of(name))
    return download(name, target, on_progress)


def check_online(name: str, folders: Sequence[Path] = ()) -> None:
    """Raises Refused if the user's environment forbids to ask the hub."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise Refused(
            f"model {_short(name)} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it",
            remedy=f"unset the variable, or {_by_hand(name, folders)}",
        )


def own_folder() -> Path:
    """Where models are kept when nobody names a folder. Not a cache: what is there was chosen."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "musicgraph" / "models"


def download_folder(folders: Sequence[Path]) -> Path:
    """The first of the folders that can be written. Raises Refused if there is none."""
    for folder in folders or [own_folder()]:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    raise Refused(
        "no folder for models can be written",
        got=", ".join(map(str, folders)),
        remedy="name another one (MUSICGRAPH_MODELS; in ComfyUI extra_model_paths.yaml)",
    )


def is_hub_id(name: str) -> bool:
    """`owner/name`, as the hub spells it, and not a path."""
    owner, slash, repository = name.partition("/")
    plain = all(
        part and all(c.isalnum() or c in "-_." for c in part) and part.strip(".")
        for part in (owner, repository)
    )
    return bool(slash) and plain


def _how_to_get(name: str, folders: Sequence[Path]) -> str:
    if not is_hub_id(name):
        return f"check the spelling, or {_by_hand(name, folders)}"
    by_hand = _by_hand(name, folders)
    return f"name it yourself (--model, or --set in a run) to download it, or {by_hand}"


def _by_hand(name: str, folders: Sequence[Path]) -> str:
    folder = folder_name(name) if is_hub_id(name) else os.path.basename(name)[:80] or "NAME"
    target = (folders[0] if folders else own_folder()) / folder
    return (
        f"put its config.json, tokenizer and safetensors files into {target}, or the two .bin "
        "files of audiocraft's layout"
    )


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:79] + "…")


def _names(name: str, folders: Sequence[Path]) -> list[str]:
    """What to choose from: for a hub id that is not here only what is."""
    known = known_models(folders)
    return [model.name for model in known if model.on_disk or not is_hub_id(name)]


def _checkpoints_in(folders: Iterable[Path]) -> list[Path]:
    return [child for folder in folders for child in _children(folder) if _is_checkpoint(child)]


def _children(folder: Path) -> list[Path]:
    """Nothing for a folder that is not there or that cannot be read: others may be."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_checkpoint(folder: Path) -> bool:
    """A quick look, for lists: `open_checkpoint` is the judge."""
    return is_hugging_face(folder) or is_audiocraft(folder)


def cached(hub_id: str, is_there: Callable[[Path], bool] = is_whole) -> Path | None:
    """The snapshot of a hub id in the Hugging Face cache, if it is there with weights."""
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}").is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache  # with a whole HTTP client

    files = (try_to_load_from_cache(hub_id, name) for name in ("config.json", STATE_DICT))
    folders = (Path(file).parent for file in files if isinstance(file, str))
    return next((folder for folder in folders if is_there(folder)), None)


def weights_size(folder: Path) -> int:
    """Of a checkpoint's weights, in bytes."""
    names = [*folder.glob("*.safetensors")] or [folder / name for name in ARCHIVES]
    return sum(path.stat().st_size for path in names if path.is_file())
