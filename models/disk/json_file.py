"""JSON: files of a checkpoint, read whole, within bounds, in any encoding; and text for others."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..refused import Refused

MAX_JSON_BYTES = 64 * 2**20
LFS_BEGINNING = b"version https://git-lfs.github.com/spec/"
AGAIN = "fetch the file again"


def read_json(path: Path, what: str) -> dict:
    """The object in a file: UTF-8 with or without a byte order mark, UTF-16 or UTF-32.

    Raises Refused if it is not there, a Git LFS pointer, larger than `MAX_JSON_BYTES`, or no
    object.
    """
    if not path.is_file():
        remedy = f"choose the folder that holds {path.name}"
        raise Refused(str(path.parent), got=f"no {path.name}", expected=what, remedy=remedy)
    check_no_pointer(path)
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        expected = f"{what} of at most {MAX_JSON_BYTES}"
        raise Refused(str(path), got=f"{size} bytes", expected=expected, remedy=AGAIN)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5000 digits
        got = f"what is not readable as JSON ({error})"
        raise Refused(str(path), got=got, expected=what, remedy=AGAIN) from error
    if not isinstance(value, dict):
        got = f"a JSON {type(value).__name__}"
        raise Refused(str(path), got=got, expected="an object", remedy=AGAIN)
    return value


def check_no_pointer(path: Path) -> None:
    """Raises Refused if the file only says where Git LFS keeps it."""
    with open(path, "rb") as file:
        beginning = file.read(len(LFS_BEGINNING))
    if beginning == LFS_BEGINNING:
        raise Refused(
            str(path),
            got="a Git LFS pointer",
            expected="the file that it points to",
            remedy="run `git lfs install` and `git lfs pull` in this folder, or download the file",
        )


def strict_json(value: object) -> str:
    """As text that every reader takes: NaN and infinities are null, as a page writes them."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
