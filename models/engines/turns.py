"""What threads that compose side by side take turns at: the processors, and Python itself."""

from __future__ import annotations

import threading

MOST_WAITED_S = 0.1
"""for Python: then the turn is taken from whoever has it and went elsewhere"""


class Python:
    """One thread at a time draws what comes next.

    Every operation of torch lets go of the interpreter and takes it again. Several threads that
    draw side by side take it from each other at each of them, and wake each other up some fifty
    times a frame, which costs several times what the work does. So whoever was given its logits
    waits its turn, and passes it on when it asks for the next ones, when it decodes and when it
    leaves. A turn is a courtesy: nothing depends on it but speed.
    """

    def __init__(self) -> None:
        # may be taken twice: a composition that nobody has any more passes on where it is found
        self._passed_on = threading.Condition(threading.RLock())
        self.whose = 0
        """a thread's number; 0 while it is nobody's turn"""

    def take(self) -> None:
        """Again within a turn changes nothing."""
        me = threading.get_ident()
        with self._passed_on:
            while (holder := self.whose) not in (0, me):
                if not self._passed_on.wait(MOST_WAITED_S) and self.whose == holder:
                    break
            self.whose = me

    def pass_on(self) -> None:
        """Whoever has no turn has nothing to pass on."""
        with self._passed_on:
            if self.whose == threading.get_ident():
                self.whose = 0
                self._passed_on.notify()


class Cores:
    """This machine's processors, which compiled code uses all at once: whoever does waits its turn,
    since threads of two calls on one core would have those of each call wait for each other.

    A thread may take its turn again within it. Others draw meanwhile.
    """

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._depth = 0

    @property
    def are_busy(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        PYTHON.pass_on()
        self._turn.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._turn.release()


PYTHON, CORES = Python(), Cores()
