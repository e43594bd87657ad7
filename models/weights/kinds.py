"""What a model in a list makes and what it needs besides itself: a quick look, without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..config import MUSIC, SOUND
from ..refused import Refused
from .audiocraft_config import LMSettings, read_lm_settings
from .folder_kinds import COMPRESSION, STATE_DICT, is_audiocraft
from .parts import CODEC, MERT_95M
from .places import Found, official_of
from .torch_archive import texts

LARGEST_POINTER_BYTES = 64 * 1024  # a codec that is there is far larger


@dataclass(frozen=True)
class ModelKind:
    makes: str
    """music or sound effects; empty where it cannot be told"""
    melody: bool = False
    style: bool = False
    """whether it can follow one"""
    piece_s: float | None = None
    """how long all its pieces are, if it makes a piece at once"""
    needs: tuple[str, ...] = ()
    """parts that lie elsewhere, by the names that the checkpoint gives them"""

    def __str__(self) -> str:
        words = [self.makes or "unknown"]
        words += ["follows a melody"] * self.melody + ["follows a style"] * self.style
        if self.piece_s is not None:
            words.append(f"{self.piece_s:g} s at once")
        words += [f"needs {one}" for one in self.needs]
        return ", ".join(words)


def kind_of(model: Found) -> ModelKind:
    """`open_checkpoint` is the judge of whether it is one at all."""
    if model.folder is None:
        return _of_name(model.name)
    if is_audiocraft(model.folder):
        return _of_audiocraft(model.folder)
    try:
        config = json.loads((model.folder / "config.json").read_text(encoding="utf-8-sig"))
        melody = config.get("model_type") == "musicgen_melody"
        return ModelKind(SOUND if config.get("makes") == SOUND else MUSIC, melody)
    except (OSError, ValueError, AttributeError, RecursionError):
        return ModelKind("")


def _of_name(name: str) -> ModelKind:
    known = official_of(name)
    if known is None:
        return ModelKind(MUSIC, "-melody" in name, "-style" in name)
    makes = SOUND if known.sound else MUSIC
    return ModelKind(makes, known.melody, known.style, known.piece_s)


def _of_audiocraft(folder: Path) -> ModelKind:
    settings = _settings(folder / STATE_DICT)
    if settings is None:
        return ModelKind("")
    makes = SOUND if settings.makes_sound else MUSIC
    style = settings.style is not None
    needs = settings.text_encoder, *_pointer(folder), *[MERT_95M] * style
    piece_s = settings.segment_s if settings.magnet else None
    return ModelKind(makes, settings.chroma is not None, style, piece_s, needs)


def _settings(path: Path) -> LMSettings | None:
    text = next((one for one in texts(path) if "transformer_lm:" in one), None)
    try:
        return read_lm_settings(path, text)
    except Refused:
        return None


def _pointer(folder: Path) -> tuple[str, ...]:
    """The codec's name, if it is only named."""
    path = folder / COMPRESSION
    if not path.is_file() or path.stat().st_size > LARGEST_POINTER_BYTES:
        return ()
    return tuple(one for one in texts(path) if one in CODEC.published)
