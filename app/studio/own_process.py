"""Another process of this program, for work beside this one's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...models.engines.processors import SHARE, usable_processors

START = (
    "import importlib, importlib.util as u, sys; name, init, room, *words = sys.argv[1:]; "
    "spec = u.spec_from_file_location(name, init); "
    "sys.modules[name] = package = u.module_from_spec(spec); spec.loader.exec_module(package); "
    "importlib.import_module(f'{name}.{room}').main(*words)"
)
"""this package by its folder: it need not be installed"""


def begun(room: str, *words: str, of: int, **pipes: Any) -> subprocess.Popen[Any]:
    """A process that calls `main(*words)` of a module, which is named as seen from this package.

    It is told on stdin and answers on stdout. `of`: how many such processes share this machine's
    processors.
    """
    name, init = __name__.rpartition(".app.")[0], Path(__file__).parents[2] / "__init__.py"
    share = str(max(1, usable_processors() // of))
    return subprocess.Popen(
        [sys.executable, "-c", START, name, str(init), room, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, SHARE: share},
        **pipes,
    )


def answers_on_stdout() -> int:
    """In such a process: what its answers are written to. What libraries print goes to stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers
