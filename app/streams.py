"""stdin, stdout and stderr for a program that may be started without them, or whose reader may
go.
"""

from __future__ import annotations

import io
import os
import sys


def make_usable() -> None:
    """Where a stream is closed there is none to read from or write to, and nothing else takes its
    number.

    Whatever cannot be said on stderr is not said; work goes on. File names that are no text are
    printed as they are.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
    assert isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stderr, io.TextIOWrapper)
    sys.stdout.reconfigure(errors="surrogateescape")
    encoding = sys.stderr.encoding
    sys.stderr = sys.__stderr__ = _Unfailing(
        sys.stderr.detach(), encoding, errors="backslashreplace", line_buffering=True
    )


class _Unfailing(io.TextIOWrapper):
    """Text that goes nowhere when nobody reads it any more."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            pass
