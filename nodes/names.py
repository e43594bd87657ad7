"""Where files of a graph lie: names in the input folder, and prefixes that become numbered names of
results.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from ..models.disk.files import check_new_name, check_new_path
from ..models.quoting import shown
from ..models.refused import Refused
from .host import data_folders

UNBOUNDED = 2**64 - 1
LONGEST_NUMBER = "99999999"


def input_path(name: str) -> Path:
    """A file of the input folder; "x.wav [output]" and "[temp]" name the other two folders, as in
    ComfyUI.
    """
    folders = data_folders()
    for kind, folder in folders.items():
        mark = f"[{kind}]"
        if name.endswith(mark):
            return _inside(folder, name.removesuffix(mark).rstrip(), "read")
    return _inside(folders["input"], name, "read")


def check_prefix(prefix: str, folder: Path, ending: str) -> None:
    """Raises Refused for a prefix that leads out of `folder`, or to names under which no file can
    be made.

    `ending` is what follows the number: ".flac", or "_.png" for what ComfyUI numbers as pictures.
    """
    subfolder, name = os.path.split(os.path.normpath(_filled_in(prefix, (0, 0))))
    directory = _inside(folder, subfolder, "written")
    for part in subfolder.split(os.sep):
        check_new_name(part, folder)
    last = f"{name}_{LONGEST_NUMBER}{ending}"
    check_new_name(last, folder)
    check_new_path(directory / last)


def save_place(
    prefix: str, folder: Path, ending: str, size: tuple[int, int] = (0, 0)
) -> tuple[Path, str, str, int]:
    """Where `prefix` leads inside `folder`: directory, subfolder, file name and the next free
    number.

    `size` (width, height) is what pictures have; sound has none. Raises Refused as `check_prefix`
    does.
    """
    check_prefix(prefix, folder, ending)
    subfolder, name = os.path.split(os.path.normpath(_filled_in(prefix, size)))
    directory = _inside(folder, subfolder, "written")
    return directory, subfolder, name, _last_number(directory, name) + 1


def _inside(folder: Path, name: str, done: str) -> Path:
    base = os.path.abspath(folder)
    path = os.path.abspath(os.path.join(base, name))
    if os.path.commonpath((base, path)) != base:
        raise Refused(
            f"nothing outside this folder is {done}",
            got=shown(name),
            expected=f"a place inside {shown(base)}",
        )
    return Path(path)


def _filled_in(prefix: str, size: tuple[int, int]) -> str:
    """The tokens that ComfyUI's server replaces."""
    now = time.localtime()
    values = {
        "width": f"{size[0]}",
        "height": f"{size[1]}",
        "year": f"{now.tm_year}",
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix


def _last_number(directory: Path, name: str) -> int:
    """Of `name_00001.flac` and of `name_00001_.png`, which sound had too before ComfyUI 0.30."""
    start = os.path.normcase(name + "_")
    try:
        found = [
            entry[len(start) :]
            for entry in os.listdir(directory)
            if os.path.normcase(entry).startswith(start)
        ]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    numbers = [rest.partition(".")[0].partition("_")[0] for rest in found]
    return max(
        (int(one) for one in numbers if one.isascii() and one.isdigit() and len(one) < 9), default=0
    )


# ---------------------------------------------------------------- the tokens that ComfyUI's page
# replaces


def page_tokens(prefix: str, widget: Callable[[str, str], object]) -> str:
    """`%date:yyyy-MM-dd%` and `%Node.widget%` replaced; what is no such token stays.

    `widget(node, name)` gives the value of a widget of the node with that name for search and
    replace or title, or None if there is none.
    """

    def replaced(token: re.Match) -> str:
        text = token[1]
        if text.startswith("date:") and "." not in text:
            return _date(text.removeprefix("date:"))
        node, dot, name = text.partition(".")
        value = widget(node, name) if dot and "." not in name else None
        return token[0] if value is None else re.sub(r'[/?<>\\:*|"\x00-\x1f\x7f]', "_", str(value))

    return re.sub(r"%([^%]+)%", replaced, prefix)


def _date(pattern: str) -> str:
    now = time.localtime()
    numbers = {
        "d": now.tm_mday,
        "M": now.tm_mon,
        "h": now.tm_hour,
        "m": now.tm_min,
        "s": now.tm_sec,
    }

    def replaced(part: re.Match) -> str:
        text = part[0]
        if text in ("yy", "yyyy"):
            return f"{now.tm_year}"[-len(text) :]
        return f"{numbers[text[0]]:0{len(text)}}" if text[0] in numbers else text

    return re.sub(r"dd?|MM?|hh?|mm?|ss?|yyyy|yyy|yy|y", replaced, pattern)
