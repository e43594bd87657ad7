"""The parts that a checkpoint of audiocraft only names: its text encoder, and often its codec.

Looked for inside the checkpoint's folder, beside it, in the model folders, and in the Hugging Face
cache. A download happens only in `fetch`, and only of the published ones that stand here: a name
comes from a stranger's file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..quoting import shown
from ..refused import Refused
from . import places
from .download import PICKLE, OnProgress, download, is_whole_hugging_face

log = logging.getLogger("musicgraph")

ENCODEC_32KHZ = "facebook/encodec_32khz"


@dataclass(frozen=True)
class PartKind:
    """What a part may be."""

    model_type: str
    called: str
    files: str
    published: dict[str, str]
    """what audiocraft calls it → its id on the hub"""
    archives: tuple[str, ...] = ()
    """files of torch's that hold the weights where no safetensors do"""


T5 = PartKind(
    "t5",
    "the text encoder",
    "config.json, model.safetensors and the tokenizer files",
    {name: f"google-t5/{name}" for name in ("t5-small", "t5-base", "t5-large", "t5-3b", "t5-11b")}
    | {f"google/flan-t5-{size}": f"google/flan-t5-{size}"
       for size in ("small", "base", "large", "xl", "xxl")},
)  # fmt: skip
CODEC = PartKind(
    "encodec",
    "the codec",
    "config.json and model.safetensors",
    {name: name for name in (ENCODEC_32KHZ, "facebook/encodec_24khz")},
)
MERT_95M = "m-a-p/MERT-v1-95M"
MERT = PartKind(
    "mert_model",
    "what hears a style,",
    f"config.json and {PICKLE}",
    {MERT_95M: MERT_95M},
    (PICKLE,),
)


class PartMissing(Refused):
    """A part is not on this machine: `hub_id` is where it can be had, or empty."""

    def __init__(self, what: str, hub_id: str, kind: PartKind, **facts: str):
        super().__init__(what, **facts)
        self.hub_id, self.kind = hub_id, kind


def found(kind: PartKind, name: str, folder: Path, folders: Sequence[Path]) -> Path:
    """The folder of a part that the checkpoint in `folder` names.

    Raises PartMissing, with where it may be put.
    """
    hub_id = kind.published.get(name, "")
    for candidate in _candidates(name, hub_id, folder, folders):
        if _is_part(candidate, kind):
            return candidate
    named = (one for one in (hub_id, name) if _is_cacheable(one))
    cached = (places.cached(one, lambda at: _is_part(at, kind)) for one in named)
    there = next((one for one in cached if one is not None), None)
    if there is not None:
        return there
    target = (folders[0] if folders else places.own_folder()) / _spelled(name, hub_id)[0]
    where = f"{hub_id} " if hub_id else "it "
    raise PartMissing(
        f"{folder}: {kind.called} {shown(name)} is not on this machine",
        hub_id,
        kind,
        expected=f"{kind.files}, which this checkpoint does not hold itself",
        remedy=f"name the model yourself (--model, or --set in a run) to download {hub_id}, or put "
        f"its files into {target}"
        if hub_id
        else f"put {where}into {target}",
    )


def fetch(missing: PartMissing, folders: Sequence[Path], on_progress: OnProgress) -> Path:
    """Downloads a published part to where downloads go; see `places.fetch`. Raises Refused."""
    places.check_online(missing.hub_id, folders)
    target = places.download_folder(folders) / missing.hub_id.replace("/", "--")
    log.warning("downloading %s to %s", missing.hub_id, target)
    kinds, archives = (missing.kind.model_type,), missing.kind.archives
    return download(missing.hub_id, target, on_progress, kinds=kinds, archives=archives)


def _spelled(name: str, hub_id: str) -> list[str]:
    """What its folder may be called."""
    spelled = [name.rpartition("/")[2], name.replace("/", "--"), hub_id.replace("/", "--")]
    plain = (one for one in spelled if one.strip(".") and os.path.basename(one) == one)
    return [*dict.fromkeys(plain)] or ["NAME"]


def _candidates(name: str, hub_id: str, folder: Path, folders: Sequence[Path]) -> Iterator[Path]:
    yield folder  # the files may lie beside the checkpoint's own
    for place in (folder, folder.parent, *(folders or [places.own_folder()])):
        for spelled in _spelled(name, hub_id):
            yield place / spelled


def _is_cacheable(name: str) -> bool:
    return bool(name) and (places.is_hub_id(name) or name in T5.published)


def _is_part(folder: Path, kind: PartKind) -> bool:
    """A quick look, as `places` has for whole checkpoints."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8-sig"))
        whole = is_whole_hugging_face(folder) or any(
            (folder / one).is_file() for one in kind.archives
        )
        return config.get("model_type") == kind.model_type and whole
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
