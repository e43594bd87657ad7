"""The arithmetic of a step, compiled by Numba: norms, rounding to 8 bits, products with a matrix,
attention.

Everything lies at addresses, in float32 unless said otherwise, because Numba compiles numbers in
seconds where it takes half a minute for arrays. A row's result never depends on how many rows there
are. Knows nothing of layers and of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import from_dtype, njit, types
from numba.extending import intrinsic

from .numba_products import float32_product, int4_product, int8_product
from .numba_sizes import GROUP, INT4_GROUP, LANES, PAD, TEXT_TILE, TILE
from .numba_vectors import (
    add_float32_values_1,
    add_float32_values_4,
    add_int8_values_1,
    add_int8_values_4,
    byte,
    float32_scores,
    int8_scores,
    number,
    put,
    quantise_group,
    softmax,
    text_scores,
)

UNHEARD = -1e30  # a score
compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
f32 = np.float32


def reader_of(kind: np.dtype):
    """What gives compiled code the record of this kind that lies at an address."""
    record = from_dtype(kind)

    @intrinsic
    def record_at(typing, address):
        def write(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(types.int64), write

    return record_at


# ---------------------------------------------------------------- products with a matrix


class Operand(NamedTuple):
    """Rows that matrices are multiplied with: as float32 and, for matrices of fewer bits, in 8.

    Rows are PAD bytes longer than they are used: at a power of 2 apart, or nearly, pieces of eight
    of them would drive each other out of the cache.
    """

    x: int  # [rows, inputs]
    quantised: int  # int8 [rows, inputs]
    scales: int  # [rows, groups]
    offsets: int  # int32 [rows, groups]
    rows: int
    inputs: int
    group: int  # inputs that are rounded together


@compiled
def group_size(bits, inputs):
    """Inputs of a matrix that are rounded to 8 bits together."""
    if bits == 4:
        return INT4_GROUP
    return GROUP if inputs % GROUP == 0 else GROUP // 2


@compiled
def operand_at(bits, place, rows, inputs):
    """For matrices of so many bits."""
    group = group_size(bits, inputs)
    quantised = place + rows * (4 * inputs + PAD)
    scales = quantised + rows * (inputs + PAD)
    offsets = scales + 4 * rows * (inputs // group)
    return Operand(place, quantised, scales, offsets, rows, inputs, group)


@compiled
def operand_bytes(bits, rows, inputs):
    return rows * (5 * inputs + 2 * PAD + 8 * (inputs // group_size(bits, inputs)))


@compiled
def x_of(by, row):
    return by.x + row * (4 * by.inputs + PAD)


@compiled
def quantise_groups(by, row, first, last):
    for group in range(first, last):
        begin, place = group * by.group, row * (by.inputs // by.group) + group
        quantised = by.quantised + row * (by.inputs + PAD) + begin
        scale, offset = by.scales + 4 * place, by.offsets + 4 * place
        quantise_group(x_of(by, row) + 4 * begin, by.group // LANES, quantised, scale, offset)


@compiled
def quantise_rows(by):
    for row in range(by.rows):
        quantise_groups(by, row, 0, by.inputs // by.group)


@compiled
def matrix_bytes(bits, outputs, inputs):
    """That so many outputs of a matrix take."""
    size = outputs * inputs * bits // 8
    return size + outputs * inputs // INT4_GROUP if bits == 4 else size


@compiled
def product(bits, matrix, scales, first, last, by, out, step):
    """Outputs `first` to `last` of a matrix for all rows, to the beginning of lines that are `step`
    bytes apart.
    """
    count, rows, weights = last - first, by.rows, matrix + matrix_bytes(bits, first, by.inputs)
    groups, s, width = by.inputs // by.group, scales + 4 * first, by.inputs + PAD
    x, tiles = by.quantised, count // LANES
    if bits == 4:
        int4_product(weights, s, tiles, x, width, by.scales, by.offsets, rows, groups, out, step)
    elif bits == 8:
        quads, of_x = by.group // 4, by.scales
        int8_product(weights, s, tiles, x, width, of_x, by.offsets, rows, groups, quads, out, step)
    else:
        x_step, vectors = 4 * by.inputs + PAD, by.inputs // LANES
        float32_product(weights, tiles, by.x, x_step, rows, vectors, out, step)


# ---------------------------------------------------------------- attention


class HeadCache(NamedTuple):
    """One head's past in one row: float32, or int8 with one scale a position."""

    keys: int  # [tiles, head_size, TILE], a text's [tiles, head_size, TEXT_TILE]
    key_scales: int  # [positions]
    values: int  # [positions, head_size]
    value_scales: int  # [positions]


@compiled
def attend(int8, query, cache, heard, count, size, scores, out):
    """What a query hears at the first `count` positions of a cache: all of them, or where `heard`
    (bool, or 0) says so.

    `scores` is room for whole tiles and one more number. Where `heard` is said, keys are a text's,
    in tiles of TEXT_TILE.
    """
    tile, width = TEXT_TILE if heard else TILE, 1 if int8 else 4
    tiles = (count + tile - 1) // tile
    for i in range(tiles):
        keys, to = cache.keys + i * tile * size * width, scores + 4 * i * tile
        if int8:
            int8_scores(query, keys, size, to)
        elif heard:
            text_scores(query, keys, size, to)
        else:
            float32_scores(query, keys, size, to)
    if int8:
        multiply(scores, cache.key_scales, count)
    if heard:
        for t in range(count):
            if not byte(heard, t):
                put(scores, t, f32(UNHEARD))
    for t in range(count, tiles * tile):
        put(scores, t, f32(UNHEARD))
    total = scores + 4 * tiles * tile
    softmax(scores, tiles * tile // LANES, total)
    if int8:
        multiply(scores, cache.value_scales, count)
    for i in range(size):
        put(out, i, f32(0.0))
    for begin in range(
        0, count, TILE
    ):  # few lines at a time, because channels beyond 64 read them again
        add_values(
            int8, scores + 4 * begin, cache.values, begin, min(TILE, count - begin), size, out
        )
    share = f32(1.0) / number(total, 0)
    for i in range(size):
        put(out, i, number(out, i) * share)


@compiled
def multiply(a, b, count):
    """a *= b"""
    for t in range(count):
        put(a, t, number(a, t) * number(b, t))


@compiled
def add_values(int8, probabilities, values, begin, count, size, out):
    width = 1 if int8 else 4
    step, c = width * size, 0
    while c < size:
        line, to = values + begin * step + c * width, out + 4 * c
        wide = size - c >= 4 * LANES
        if int8 and wide:
            add_int8_values_4(probabilities, line, step, count, to)
        elif int8:
            add_int8_values_1(probabilities, line, step, count, to)
        elif wide:
            add_float32_values_4(probabilities, line, step, count, to)
        else:
            add_float32_values_1(probabilities, line, step, count, to)
        c += 4 * LANES if wide else LANES


@compiled
def add(a, b, count):
    """a += b"""
    for i in range(count):
        put(a, i, number(a, i) + number(b, i))


@compiled
def scale(a, factor, count):
    """a *= factor"""
    for i in range(count):
        put(a, i, number(a, i) * factor)
