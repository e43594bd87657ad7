"""Ctrl-C and SIGTERM: the process ends at once, whatever it is doing, with nothing half left
behind.

Python would raise an exception in the main thread, which may be importing, compiling or shutting
down, while other threads are inside compiled code that reads mapped weights: tracebacks, aborts and
segfaults. So nothing is unwound. A thread of its own waits for the signal, removes unfinished
files, and ends the process as the system does it: all threads together, before any memory goes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED_BY = 128  # a shell's exit code for a program that a signal ended, plus the signal's number

_pipe: list[int] = []


def end_at_signals() -> None:
    """To be called first of all, in the main thread. A signal that is ignored (nohup) stays so."""
    _pipe[:] = reading, writing = os.pipe()
    if sys.platform != "win32":
        os.set_blocking(writing, False)
    threading.Thread(target=_wait, args=(reading,), name="musicgraph-stop", daemon=True).start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # the number is in the pipe by then


def leave_signals() -> None:
    """Signals are Python's again: for a server, which ends in an order of its own."""
    if _pipe:
        signal.set_wakeup_fd(-1)
        for number, usual in zip(
            SIGNALS, (signal.default_int_handler, signal.SIG_DFL), strict=True
        ):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, usual)
        os.close(_pipe.pop())


def _wait(reading: int) -> None:
    while number := os.read(reading, 1):
        if number[0] in SIGNALS:
            _end(number[0])
    os.close(reading)


def _end(number: int) -> None:
    """Imports nothing: the main thread may hold the lock of what is being imported."""
    part_files = sys.modules.get(f"{__name__.rpartition('.app.')[0]}.models.disk.part_files")
    give_up = getattr(part_files, "give_up", None)
    if give_up is not None:
        give_up()
    with contextlib.suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\n")  # below the progress bar
    os._exit(ENDED_BY + number)
