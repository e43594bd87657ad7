"""Memory that is used again once nobody has it.

What a call gives back to the system comes anew page by page, and is cleared each time: a fifth of a
step of forty listeners.
"""

from __future__ import annotations

import functools
import math
import sys

import numpy as np

MOST_BYTES = 2**23
"""of an array that is kept: what is larger is of a prompt, which is read once"""


class Reused:
    """For any number of threads: whoever looks at an array has it before it looks, and until what
    it takes of it has it, too. So nobody else who looks meanwhile finds it alone.
    """

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        """the smallest first"""

    def empty(self, shape: tuple[int, ...], kind: type) -> np.ndarray:
        """As `np.empty`. It is free again when the last array and tensor of it are gone."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        if size > MOST_BYTES:
            return np.empty(shape, kind)
        in_use = []
        for one in self._kept:
            if sys.getrefcount(one) != _alone():
                in_use.append(one)
            elif len(one) >= size:
                break
        else:
            one = np.empty(size, np.uint8)
            self._kept = sorted([*in_use, one], key=len)
        return one[:size].view(kind).reshape(shape)


@functools.cache
def _alone() -> int:
    """References to an array that only a list has, as the loop above sees it: some Pythons count
    those of the loop and of the question, some do not.
    """
    count = 0
    for one in [np.empty(1, np.uint8)]:
        count = sys.getrefcount(one)
    return count
