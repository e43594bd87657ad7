"""Products of a matrix with some rows, in LLVM's own language as numba_vectors.

A matrix of floats lies as it is, `[outputs, inputs]`. Others lie in tiles of 16 outputs, in the
order in which the processor's product of bytes takes them: int8 as `[inputs / 4, 16, 4]`; int4 as
groups of 32 inputs of 256 bytes, and behind them all `[groups, 16]` bytes, each group's scale.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_llvm import (
    AHEAD,
    BYTES,
    F32,
    FLOATS,
    I32,
    I64,
    INTS,
    ZEROS,
    Code,
    call_made,
    typed,
)
from .numba_sizes import INT4_GROUP, LANES

# vectors of a float32 line: shorter ones are read fastest one by one, longer ones two at a time
LONG = 128
INT4_BYTES = LANES * INT4_GROUP // 2
"""of a group of a tile, without its scales"""

# ---------------------------------------------------------------- products


def _int8_tile(rows: int):
    """16 outputs of an int8 matrix for some rows."""

    def write(builder, tile, scales, x, x_step, x_scales, x_offsets, groups, quads, out, step):
        code = Code(builder)
        sums = code.variables([ZEROS] * rows)
        with cgutils.for_range(builder, groups) as group:
            places = [
                builder.add(builder.mul(groups, ir.Constant(I64, r)), group.index)
                for r in range(rows)
            ]
            begins = [
                code.broadcast(code.load(code.at(x_offsets, place, 4), I32)) for place in places
            ]
            dots = code.variables(begins)
            first = builder.mul(group.index, quads)
            with cgutils.for_range(builder, quads) as quad:
                k = builder.add(first, quad.index)
                here, there = code.at(tile, k, 4 * LANES), code.at(x, k, 4)
                code.prefetch(code.after(here, AHEAD))
                weights = code.load(here, INTS)
                for r in range(rows):
                    heard = code.load(code.line(there, x_step, r), I32)
                    code.add_dots(dots[r], weights, code.broadcast(heard))
            for r in range(rows):
                scale = code.broadcast(code.load(code.at(x_scales, places[r], 4), F32))
                code.add_product(sums[r], builder.sitofp(builder.load(dots[r]), FLOATS), scale)
        for r in range(rows):
            code.store(
                builder.fmul(builder.load(sums[r]), code.load(scales, FLOATS)),
                code.line(out, step, r),
            )

    return write


def _int4_tile(rows: int):
    """As `_int8_tile`, of an int4 matrix.

    A line has 8 inputs of 16 outputs: the first 4 in its bytes' low halves, the others in the high
    ones. Both become unsigned bytes of 16 times what they stand for, which is as cheap as anything
    on the way to a product of bytes.
    """
    high = ir.Constant(INTS, [0xF0F0F0F0] * LANES)
    four = ir.Constant(INTS, [4] * LANES)

    def write(builder, tile, scales, x, x_step, x_scales, x_offsets, groups, out, step):
        code = Code(builder)
        sums = code.variables([ZEROS] * rows)
        codes = code.at(tile, groups, INT4_BYTES)
        with cgutils.for_range(builder, groups) as group:
            places = [
                builder.add(builder.mul(groups, ir.Constant(I64, r)), group.index)
                for r in range(rows)
            ]
            dots = code.variables(
                [code.broadcast(code.load(code.at(x_offsets, place, 4), I32)) for place in places]
            )
            here, there = (
                code.at(tile, group.index, INT4_BYTES),
                code.at(x, group.index, INT4_GROUP),
            )
            for line in range(0, INT4_GROUP, 8):
                both = code.load(code.after(here, line * LANES // 2), INTS)
                code.prefetch(code.after(here, line * LANES // 2 + AHEAD))
                halves = builder.and_(builder.shl(both, four), high), builder.and_(both, high)
                for half, weights in enumerate(halves):
                    for r in range(rows):
                        place = code.after(code.line(there, x_step, r), line + 4 * half)
                        code.add_dots(dots[r], weights, code.broadcast(code.load(place, I32)))
            code4 = builder.sext(code.load(code.at(codes, group.index, LANES), BYTES), INTS)
            scale = builder.sitofp(code4, FLOATS)
            for r in range(rows):
                x_scale = code.broadcast(code.load(code.at(x_scales, places[r], 4), F32))
                dot = builder.fmul(builder.sitofp(builder.load(dots[r]), FLOATS), x_scale)
                code.add_product(sums[r], dot, scale)
        for r in range(rows):
            code.store(
                builder.fmul(builder.load(sums[r]), code.load(scales, FLOATS)),
                code.line(out, step, r),
            )

    return write


def _float32_dots(rows: int, outputs: int):
    """Some outputs of a float32 matrix for some rows."""

    def write(builder, matrix, line, x, x_step, vectors, out, step):
        code = Code(builder)
        sums = [code.variables([ZEROS] * rows) for _ in range(outputs)]
        with cgutils.for_range(builder, vectors) as vector:
            here, there = (code.at(address, vector.index, 4 * LANES) for address in (matrix, x))
            heard = [code.load(code.line(there, x_step, r), FLOATS) for r in range(rows)]
            for n in range(outputs):
                place = code.line(here, line, n)
                if rows > 2:  # the next lines, while these are computed
                    code.prefetch(code.line(place, line, outputs))
                weights = code.load(place, FLOATS)
                for r in range(rows):
                    code.add_product(sums[n][r], weights, heard[r])
        for r in range(rows):
            for n in range(outputs):
                to = code.after(code.line(out, step, r), 4 * n)
                code.store(code.reduced(builder.load(sums[n][r]), builder.fadd), to)

    return write


def _rows_in_pieces(builder: ir.IRBuilder, rows):
    """Yields 8, 4, 2 and 1, each within a loop over the pieces of so many rows, with the first row
    of a piece.
    """
    begin = ir.Constant(I64, 0)
    for piece in (8, 4, 2, 1):
        size = ir.Constant(I64, piece)
        count = builder.sdiv(builder.sub(rows, begin), size)
        with cgutils.for_range(builder, count) as loop:
            yield piece, builder.add(begin, builder.mul(loop.index, size))
        begin = builder.add(begin, builder.mul(count, size))


def _in_tiles(builder, rows, tiles, operands, tile_bytes, name, tile_of, counts):
    """Outputs of some tiles for all rows, to the beginning of lines that are `step` bytes apart."""
    matrix, scales, x, x_step, x_scales, x_offsets, groups, out, step = operands
    code = Code(builder)
    with cgutils.for_range(builder, tiles) as tile:
        weights = code.line(matrix, tile_bytes, tile.index)
        own_scales, to = (code.at(place, tile.index, 4 * LANES) for place in (scales, out))
        for piece, r in _rows_in_pieces(builder, rows):
            place = builder.mul(groups, r)
            rows_of_x = code.line(x, x_step, r), x_step
            scales_of_x = code.at(x_scales, place, 4), code.at(x_offsets, place, 4)
            lines = code.line(to, step, r), step
            arguments = [weights, own_scales, *rows_of_x, *scales_of_x, *counts, *lines]
            call_made(builder, f"{name}_{piece}", arguments, tile_of(piece))


@intrinsic
def int8_product(
    typing, matrix, scales, tiles, x, x_step, x_scales, x_offsets, rows, groups, quads, out, step
):
    """Outputs of some tiles for all rows, to the beginning of lines that are `step` bytes apart."""

    def write(builder, matrix, scales, tiles, x, x_step, x_scales, x_offsets, rows, *rest):
        groups, quads, out, step = rest
        operands = matrix, scales, x, x_step, x_scales, x_offsets, groups, out, step
        size = builder.mul(builder.mul(groups, quads), ir.Constant(I64, 4 * LANES))
        name = "musicgraph_int8_tile"
        _in_tiles(builder, rows, tiles, operands, size, name, _int8_tile, (groups, quads))

    return typed(12, "musicgraph_int8_product", write)


@intrinsic
def int4_product(
    typing, matrix, scales, tiles, x, x_step, x_scales, x_offsets, rows, groups, out, step
):
    """As `int8_product`, of groups of INT4_GROUP inputs."""

    def write(builder, matrix, scales, tiles, x, x_step, x_scales, x_offsets, rows, *rest):
        groups, out, step = rest
        operands = matrix, scales, x, x_step, x_scales, x_offsets, groups, out, step
        size = builder.mul(groups, ir.Constant(I64, INT4_BYTES + LANES))
        name = "musicgraph_int4_tile"
        _in_tiles(builder, rows, tiles, operands, size, name, _int4_tile, (groups,))

    return typed(11, "musicgraph_int4_product", write)


@intrinsic
def float32_product(typing, matrix, fours, x, x_step, rows, vectors, out, step):
    """As `int8_product`, 4 outputs at a time."""

    def write(builder, matrix, fours, x, x_step, rows, vectors, out, step):
        code = Code(builder)
        line = builder.mul(vectors, ir.Constant(I64, 4 * LANES))
        long = builder.icmp_signed(">", vectors, ir.Constant(I64, LONG))

        def some_rows(piece: int, outputs: int, lines, x, to) -> None:
            for n in range(0, 4, outputs):
                arguments = [
                    code.line(lines, line, n),
                    line,
                    x,
                    x_step,
                    vectors,
                    code.after(to, 4 * n),
                    step,
                ]
                call_made(
                    builder,
                    f"musicgraph_float32_dots_{piece}_{outputs}",
                    arguments,
                    _float32_dots(piece, outputs),
                )

        with cgutils.for_range(builder, fours) as four:
            lines = code.line(matrix, line, builder.mul(four.index, ir.Constant(I64, 4)))
            for piece, r in _rows_in_pieces(builder, rows):
                here, to = code.line(x, x_step, r), code.line(code.at(out, four.index, 16), step, r)
                if piece > 2:
                    some_rows(piece, 16 // piece, lines, here, to)
                    continue
                with builder.if_else(long) as (then, otherwise):
                    with then:
                        some_rows(piece, 2, lines, here, to)
                    with otherwise:
                        some_rows(piece, 1, lines, here, to)

    return typed(8, "musicgraph_float32_product", write)
