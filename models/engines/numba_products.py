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
    has_wide_vectors,
    typed,
)
from .numba_sizes import INT4_GROUP, LANES

BLOCK = 128
"""vectors of all rows of a piece that are multiplied with a tile before the next ones: 8 KB"""
MANY_ROWS = 4
FLOAT_ROWS, BYTE_ROWS = (8, 4, 2, 1), (8, 6, 4, 2, 1)
"""how many rows are multiplied at once; six are what three guided listeners have"""
INT4_BYTES = LANES * INT4_GROUP // 2
"""of a group of a tile, without its scales"""

# ---------------------------------------------------------------- products


def _ask_for(code: Code, here, rows: int) -> None:
    """What comes behind this line of weights. Many rows keep the processor busy for as long as
    memory takes, and their inputs need the first cache.
    """
    code.prefetch(code.after(here, AHEAD if rows < MANY_ROWS else 2 * AHEAD), rows < MANY_ROWS)


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
                _ask_for(code, here, rows)
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
                _ask_for(code, code.after(here, line * LANES // 2), rows)
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


def _float32_block(rows: int, outputs: int, kept_rows: int):
    """Adds some inputs to sums that are kept in memory, an output's rows in a row."""

    def write(builder, matrix, line, x, x_step, vectors, kept):
        code = Code(builder)
        places = [
            [code.after(kept, 4 * LANES * (n * kept_rows + r)) for r in range(rows)]
            for n in range(outputs)
        ]
        sums = [code.variables([code.load(one, FLOATS) for one in own]) for own in places]
        with cgutils.for_range(builder, vectors) as vector:
            here, there = (code.at(address, vector.index, 4 * LANES) for address in (matrix, x))
            heard = [code.load(code.line(there, x_step, r), FLOATS) for r in range(rows)]
            for n in range(outputs):
                place = code.line(here, line, n)
                code.prefetch(code.line(place, line, LANES), first=False)  # of the next tile
                weights = code.load(place, FLOATS)
                for r in range(rows):
                    code.add_product(sums[n][r], weights, heard[r])
        for own, own_places in zip(sums, places, strict=True):
            for one, place in zip(own, own_places, strict=True):
                code.store(builder.load(one), place)

    return write


def _float32_tile(rows: int):
    """16 outputs of a float32 matrix for some rows, block by block of the inputs, which then stay
    in the first cache beside the weights. Sums have the order that they have at once.
    """
    sums_at_once = 16 if has_wide_vectors() else 4  # as many as it has registers for
    rows_at_once = min(rows, sums_at_once)
    outputs, vectors_at_once = min(8, sums_at_once // rows_at_once), BLOCK // rows
    write_block = _float32_block(rows_at_once, outputs, rows)

    def write(builder, matrix, line, x, x_step, vectors, out, step):
        code = Code(builder)
        room = builder.alloca(ir.ArrayType(FLOATS, LANES * rows))
        kept, block = builder.ptrtoint(room, I64), ir.Constant(I64, vectors_at_once)
        with cgutils.for_range(builder, ir.Constant(I64, LANES * rows)) as each:
            code.store(ZEROS, code.at(kept, each.index, 4 * LANES))
        longest = builder.add(vectors, ir.Constant(I64, vectors_at_once - 1))
        with cgutils.for_range(builder, builder.sdiv(longest, block)) as one:
            begin = builder.mul(one.index, block)
            left = builder.sub(vectors, begin)
            count = builder.select(builder.icmp_signed("<", left, block), left, block)
            here, there = (code.at(address, begin, 4 * LANES) for address in (matrix, x))
            with cgutils.for_range(builder, ir.Constant(I64, LANES // outputs)) as some:
                lines = code.line(here, line, builder.mul(some.index, ir.Constant(I64, outputs)))
                sums = code.at(kept, some.index, 4 * LANES * outputs * rows)
                for r in range(0, rows, rows_at_once):
                    own = (
                        code.line(there, x_step, r),
                        x_step,
                        count,
                        code.after(sums, 4 * LANES * r),
                    )
                    name = f"musicgraph_float32_block_{rows}"
                    call_made(builder, name, [lines, line, *own], write_block)
        with cgutils.for_range(builder, ir.Constant(I64, LANES)) as output:
            for r in range(rows):
                place = code.at(code.after(kept, 4 * LANES * r), output.index, 4 * LANES * rows)
                total = code.reduced(code.load(place, FLOATS), builder.fadd)
                code.store(total, code.line(code.at(out, output.index, 4), step, r))

    return write


def _rows_in_pieces(builder: ir.IRBuilder, rows, pieces: tuple[int, ...]):
    """Yields each of `pieces`, within a loop over the pieces of so many rows, with the first row of
    a piece.
    """
    begin = ir.Constant(I64, 0)
    for piece in pieces:
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
        for piece, r in _rows_in_pieces(builder, rows, BYTE_ROWS):
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
def float32_product(typing, matrix, tiles, x, x_step, rows, vectors, out, step):
    """As `int8_product`."""

    def write(builder, matrix, tiles, x, x_step, rows, vectors, out, step):
        code = Code(builder)
        line = builder.mul(vectors, ir.Constant(I64, 4 * LANES))
        with cgutils.for_range(builder, tiles) as tile:
            lines = code.line(matrix, line, builder.mul(tile.index, ir.Constant(I64, LANES)))
            to = code.at(out, tile.index, 4 * LANES)
            for piece, r in _rows_in_pieces(builder, rows, FLOAT_ROWS):
                here, there = code.line(x, x_step, r), code.line(to, step, r)
                arguments = [lines, line, here, x_step, vectors, there, step]
                name = f"musicgraph_float32_tile_{piece}"
                call_made(builder, name, arguments, _float32_tile(piece))

    return typed(8, "musicgraph_float32_product", write)
