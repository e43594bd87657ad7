"""stdin, stdout and stderr for a program that may be started without them, or whose reader may
go; and what its commands end with.
"""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

FAILED, BAD_INPUT = 1, 2
"""exit codes"""


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


def print_line(text: str) -> None:
    """On stdout. What was made is made, so that a reader who has gone is a failure, but no bug."""
    import typer

    try:
        typer.echo(text)
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (to the end of the process)
        told = "the work is done, but nobody was told"
        exit_with(f"standard output: {error.strerror}; {told}", FAILED)


def exit_with(message: str, code: int) -> NoReturn:
    """With one line on stderr and this exit code."""
    import typer

    from ..models.quoting import one_line

    typer.echo(one_line(f"musicgraph: {message}"), err=True)
    raise SystemExit(code)
