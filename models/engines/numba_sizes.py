"""The sizes in which the fast CPU engine takes its numbers, and so what a model's own sizes must be
multiples of.

Apart from the code that uses them, so that asking whether a model fits imports no compiler.
"""

from __future__ import annotations

from ..config import LMConfig

LANES = 16  # numbers in a vector
GROUP = 64  # inputs that are rounded to 8 bits together, or half as many where they are fewer
INT4_GROUP = 32  # inputs whose weights of 4 bits have a scale together, and are rounded together
CHUNK = 32  # outputs of a matrix that a thread takes at a time where they are no head's or group
TILE = 64  # positions whose keys lie together
TEXT_TILE = LANES  # of a text, which is short, and of which each row has one of its own
PAD = 512  # bytes behind each row of an operand

MULTIPLES = {
    "hidden_size": max(CHUNK, GROUP // 2),
    "ffn_size": max(CHUNK, GROUP // 2),
    "head_size": LANES,
    "codebook_size": GROUP,
}
"""A size of `LMConfig` → what it has to be a multiple of."""


def uneven_sizes(config: LMConfig) -> dict[str, int]:
    """The sizes of a model that are no such multiples."""
    sizes = {name: getattr(config, name) for name in MULTIPLES}
    return {name: size for name, size in sizes.items() if size % MULTIPLES[name]}
