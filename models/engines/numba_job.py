"""What a call of the compiled step is told: one record of numbers and addresses, and how much
memory they take.

Apart from the code that reads it, so that a call needs no compiler.
"""

from __future__ import annotations

import numpy as np

from .numba_sizes import GROUP, PAD

# NumPy's numbers, because Numba would compile a function anew for each of Python's
MATRIX_NAMES = ("q", "k", "v", "out", "text_q", "text_out", "fc1", "fc2", "text_k", "text_v")
"""A layer's matrices, in the order of their addresses."""
Q, K, V, OUT, TEXT_Q, TEXT_OUT, FC1, FC2, TEXT_K, TEXT_V = np.arange(len(MATRIX_NAMES))
NORM_NAMES = ("norm", "text_norm", "ffn_norm")
NORM, TEXT_NORM, FFN_NORM = np.arange(len(NORM_NAMES))
MATRICES, NORMS = len(MATRIX_NAMES), len(NORM_NAMES)
PHASES = 6  # of a layer
ASKED_FOR = 16384  # bytes
LOOKS = 2000  # at a counter, with a pause between them: some 50 µs
LINE_BYTES = 128  # from one counter to the next: two must not share a line of the cache

NUMBERS = (
    *"bits head_bits past_bits layers positions listening rows room".split(),
    *"width heads head_size ffn_size".split(),
    *"codebooks codebook_size text_length text_room threads scratch_bytes".split(),
)
ADDRESSES = (
    "matrices",  # as numba_products has them, of `bits`: int64 [layers, 10]
    "scales",  # of float32 [outputs]: int64 [layers, 10]
    "logit_matrices",  # int64 [codebooks]
    "logit_scales",
    "norms",  # [layers, 3, 2, width]: weight and bias of each
    "last_norm",  # [2, width]
    "places",  # of each position that is read: its row, its place: int64 [N, 2]
    "last",  # which of the N is a row's last: int64 [R]
    "caches",  # of each row, as CACHE has them: int64 [R, len(CACHE)]
    "text",  # read_text: projected states [text_length, width]
    "text_keys",  # read_text: where they go, as in CACHE
    "text_values",
    "x",  # [N, width]: embeddings, then the residual stream
    "heard",  # [N, width]: what attention found
    "hidden",  # an operand [N, ffn_size]
    "logits",  # [R, codebooks, codebook_size]
    "scratch",  # a piece for each thread
    "counters",  # a line each: for each phase what is taken of each thread's share, what is done
)
CACHE = (
    "room",  # how many positions it has
    "keys",  # float32 or int8 [layers, heads, tiles, head_size, TILE]
    "key_scales",  # [layers, heads, room]
    "values",  # float32 or int8 [layers, heads, room, head_size]
    "value_scales",
    "text_length",
    "text_room",
    "text_keys",  # [layers, heads, tiles, head_size, TEXT_TILE], with attention's scale
    "text_values",  # [layers, heads, text_room, head_size]
    "text_heard",  # bool [text_length]
)
ROOM, KEYS, KEY_SCALES, VALUES, VALUE_SCALES = np.arange(5)
TEXT_LENGTH, TEXT_ROOM, TEXT_KEYS, TEXT_VALUES, TEXT_HEARD = np.arange(5, 10)

JOB = np.dtype([(name, np.int64) for name in (*NUMBERS, *ADDRESSES)])
"""A call's arguments: one record, since Numba compiles many arguments slowly.

Addresses are of float32 unless said otherwise.
"""

LSTM_NUMBERS = "int8 layers steps rows width threads scratch_bytes".split()
LSTM_ADDRESSES = (
    "weights",  # of each layer, two matrices in tiles of TILE outputs: int64 [layers, 2]
    "scales",  # of each output, in the same order: int64 [layers, 2]
    "biases",  # [layers, 4 · width], in the same order
    "x",  # [steps · rows, width]
    "gates",  # [steps · rows, 4 · width]: what inputs say to them
    "h",  # [layers, (steps + 1) · rows, width]; the first rows are from before
    "c",  # [layers, rows, width]
    "scratch",
    "counters",
)
LSTM_JOB = np.dtype([(name, np.int64) for name in (*LSTM_NUMBERS, *LSTM_ADDRESSES)])
"""The same, for an LSTM whose layers are as wide as its input."""

CONV_NUMBERS = (
    *"int16 elu pieces positions room channels group".split(),
    *"rows step window outputs threads scratch_bytes".split(),
)
CONV_ADDRESSES = (
    "weights",  # in tiles of TILE outputs, as numba_windows has them
    "scales",  # int16: [outputs]
    "bias",  # [outputs]
    "x",  # [pieces, positions, channels]
    "heard",  # the same as it is multiplied: float32 or int16 [pieces, room, channels]
    "heard_scales",  # int16: of each group, [pieces, room, channels / group]
    "out",  # [pieces, rows, outputs]
    "scratch",
    "counters",
)
CONV_JOB = np.dtype([(name, np.int64) for name in (*CONV_NUMBERS, *CONV_ADDRESSES)])
"""The same, for a convolution: a row is `window` positions, and the next begins `step` further."""

CHAIN_JOB = np.dtype(
    [
        (name, np.int64)
        for name in (
            *"count threads scratch_bytes".split(),
            "convolutions",  # CONV_JOBs, one after the other: each reads what the last one wrote
            "beside",  # of each, what is added to its outputs: int64 [count, 3], where it lies,
            # where the outputs lie, and how many there are, or 0
            "held",  # of each, what its inputs begin with: int64 [count, 4], its place within the
            # state, where it is read, how many, and where those for the next call lie
            *"state next_state scratch counters".split(),
        )
    ]
)
"""The same, for several convolutions. All in float32 and its places."""
CHAIN_PHASES = 3
"""of each of them; and two of all"""

DRAW_NUMBERS = "items codebooks codebook_size top_k".split()
DRAW_ADDRESSES = (
    "logits",  # [rows, codebooks, codebook_size]
    "rows",  # those that count, item by item: int64
    "weights",  # of each
    "ends",  # of each item: how many of `rows` are its own and of those before it: int64 [items]
    "settings",  # [2]: temperature; top_p, or 0
    "noise",  # [items, codebooks, codebook_size], or 0: the likeliest
    "tokens",  # int64 [items, codebooks]
    "sums",  # [items]
    "scratch",  # [codebook_size + 1]
)
DRAW_JOB = np.dtype([(name, np.int64) for name in (*DRAW_NUMBERS, *DRAW_ADDRESSES)])
"""The same, for a draw."""

NOISE_JOB = np.dtype([(name, np.int64) for name in "items count stride states noise".split()])
"""The same, for noise: `count` numbers of each item, `[items, count]`, from states that lie
`stride` bytes apart.
"""
LEFT, WORDS = 8, 24
"""bytes within a torch.Generator's state: to how many words are left and whether it was seeded,
int32, and which word is next, int64; to its words, each in 64 bits
"""


def operand_room(rows: int, inputs: int) -> int:
    """Bytes that hold an operand, whatever the size of its groups."""
    return rows * (6 * inputs + 2 * PAD)


def scratch_room(rows: int, width: int, head_size: int, positions: int) -> int:
    """Bytes for one thread: an operand; q, k and v of a head, or a chunk of outputs; scores; a key
    in 8 bits.
    """
    return (
        operand_room(rows, width)
        + 4 * rows * max(3 * head_size, GROUP)
        + 4 * positions
        + 4
        + 2 * head_size
        + 132
    )
