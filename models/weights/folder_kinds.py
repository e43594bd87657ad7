"""Folders: the layout of a checkpoint, and what those are that are none, each with its cure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..refused import Refused

MODEL_TYPES = "musicgen", "musicgen_melody"
"""Of a config.json in Hugging Face's layout."""
ARCHIVES = STATE_DICT, COMPRESSION = "state_dict.bin", "compression_state_dict.bin"
"""The files of audiocraft's layout."""
WHAT_IS_READ = (
    "a MusicGen checkpoint in Hugging Face's layout (config.json, safetensors, tokenizer) or "
    f"audiocraft's ({STATE_DICT}, {COMPRESSION})"
)
CONVERT = (
    "load it with transformers where you trust it, and save it with "
    "save_pretrained(folder, safe_serialization=True)"
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".th")
WRAPPERS = ("module.", "_orig_mod.", "model.", "base_model.model.")
NESTED_LEVELS = 3
MAX_ENTRIES = 2000  # looked at in search of a nested checkpoint


def is_hugging_face(folder: Path) -> bool:
    """A quick look: whether config.json is a MusicGen's."""
    path = folder / "config.json"
    try:
        return (
            path.is_file()
            and json.loads(path.read_text(encoding="utf-8-sig")).get("model_type") in MODEL_TYPES
        )
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def is_audiocraft(folder: Path) -> bool:
    """A quick look. Where both layouts are complete, Hugging Face's is taken, which holds all."""
    try:
        there = (folder / STATE_DICT).is_file()
    except OSError:  # a name that cannot be any
        return False
    return there and not (is_hugging_face(folder) and any(folder.glob("*.safetensors")))


def check_kind(folder: Path) -> None:
    """Raises Refused if the files show that this is no folder of a checkpoint."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise Refused(
            str(folder), got=got, expected="a folder", remedy="choose a checkpoint's folder"
        )
    names = {path.name for path in folder.iterdir()}
    found = _kind(names)
    if not found and not names & {"config.json", STATE_DICT}:
        found = _without_config(folder, names)
    if found:
        got, remedy = found
        raise Refused(str(folder), got=got, expected=WHAT_IS_READ, remedy=remedy)


def _kind(names: set[str]) -> tuple[str, str] | None:
    """What it is and what to do, for layouts that have marks of their own."""
    weights = any(name.endswith(".safetensors") for name in names)
    if names & {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}:
        return (
            "a LoRA adapter, which changes a model and is none",
            "choose its base as the model, and put the adapter on top: Load MusicGen LoRA in a "
            "graph, --lora at the command line",
        )
    if "model_index.json" in names:
        return "a diffusers pipeline", "choose a MusicGen model"
    if STATE_DICT in names:
        return None
    if COMPRESSION in names:
        return f"a codec without its model: no {STATE_DICT}", "download it into this folder"
    return _without_safetensors(names) if not weights else None


def _without_safetensors(names: set[str]) -> tuple[str, str] | None:
    if any(name.endswith(".gguf") for name in names):
        return "a GGUF file, which is for other programs", "take the model's safetensors files"
    if any(name.endswith((".incomplete", ".part", ".crdownload")) for name in names):
        return "a download that was cut off", "download it to its end"
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        return (
            f"weights as a pickle only ({pickles[0]}), which can run code and is not read",
            f"download model.safetensors of the same model, or {CONVERT}",
        )
    return None


def _without_config(folder: Path, names: set[str]) -> tuple[str, str]:
    if not names:
        return "an empty folder", "download a model into it, or choose another folder"
    nested = next(_nested([folder], NESTED_LEVELS), None)
    if nested is not None:
        return "a folder around a checkpoint", f"choose {nested}"
    return "no config.json", "choose the folder that holds config.json"


def _nested(folders: list[Path], levels: int) -> Iterator[Path]:
    """Folders below that hold a checkpoint, the nearest first; looks at `MAX_ENTRIES` a level."""
    children = [
        child for folder in folders for child in sorted(folder.iterdir())[:MAX_ENTRIES]
    ]  # fmt: skip
    inner = [child for child in children if child.is_dir() and not child.is_symlink()]
    for child in inner[:MAX_ENTRIES]:
        if (child / "config.json").is_file() or (child / STATE_DICT).is_file():
            yield child
    if levels > 1 and inner:
        yield from _nested(inner[:MAX_ENTRIES], levels - 1)


def wrapper_of(names: Iterable[str], expected: str) -> str | None:
    """What stands before every name of a model that was saved from within another; `expected` is
    one of its names.
    """
    for name in names:
        before = name.removesuffix(expected)
        if before != name and before.startswith(WRAPPERS):
            return before
    return None


def wrapped(folder: Path, before: str) -> Refused:
    return Refused(
        str(folder),
        got=f"tensors named {before!r} and then as they should be: saved from within a wrapper",
        expected="names that begin with decoder., text_encoder. and audio_encoder.",
        remedy="save the model inside (model.module, model._orig_mod or the like) with "
        "save_pretrained",
    )
