"""What the twins that write files have in common: numbered names, and the check of a prefix."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...models.refused import Refused
from ...nodes.host import current_run
from ...nodes.names import check_prefix, save_place


def prefix_answer(prefix: str | None, ending: str) -> bool | str:
    """What VALIDATE_INPUTS says of a prefix; None stands for a linked one."""
    try:
        check_prefix(prefix or "", current_run().output_dir, ending)
    except Refused as error:
        return str(error)
    return True


def places(
    prefix: str, folder_type: str, ending: str, count: int, size: tuple[int, int] = (0, 0)
) -> Iterable[tuple[Path, dict[str, Any]]]:
    """The files of a batch, each with what ComfyUI's page is told of it."""
    run = current_run()
    folder = run.temp_dir if folder_type == "temp" else run.output_dir
    directory, subfolder, name, number = save_place(prefix, folder, ending, size)
    for index in range(count):
        filename = f"{name.replace('%batch_num%', str(index))}_{number + index:05}{ending}"
        yield (
            directory / filename,
            {"filename": filename, "subfolder": subfolder, "type": folder_type},
        )


def temporary_prefix() -> str:
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
    return f"ComfyUI_temp_{letters}"
