"""The innermost loops of the codec's convolutions, in LLVM's own language; see numba_vectors.

A row of inputs is what lies under an output, some positions of `[time, channels]`: one piece of
memory, of which the next row's is mostly the same. A tile is TILE outputs of a matrix: of float32
`[inputs, TILE]`, of int16 `[inputs / 2, TILE, 2]`, in the order of the processor's product of
16-bit numbers. Each sum is over the inputs in their order, whatever is computed beside it.
"""

from __future__ import annotations

import numba
from llvmlite import binding, ir
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_llvm import AHEAD, F32, FLOATS, I32, I64, INTS, ZEROS, Code, call_made, typed
from .numba_sizes import LANES, TILE

PIECES = (6, 5, 4, 3, 2, 1)
"""rows that share a weight in hand"""
GATHERED = TILE // LANES
I16 = ir.IntType(16)
SHORTS = ir.VectorType(I16, LANES)
STEPS = 8191.0
"""on either side of 0, to which inputs are rounded; see codec_conv"""


def _features() -> dict[str, bool]:
    """Of the processor that is compiled for: the one at hand, unless Numba was told another."""
    told = numba.config.CPU_FEATURES
    if told is None:
        return binding.get_host_cpu_features()
    return {one[1:]: one[0] == "+" for one in told.split(",") if one}


def _at_once() -> int:
    """Vectors of outputs whose sums fit into the processor's registers, for 6 rows."""
    return GATHERED if _features().get("avx512f") else 1


def _add_pairs(code: Code, builder: ir.IRBuilder, sums, a, b) -> None:
    """Each int32 lane += the dot product of its two 16-bit numbers."""
    before = builder.load(sums)
    if _features().get("avx512vnni"):
        kind = ir.FunctionType(INTS, [INTS, INTS, INTS])
        name = "llvm.x86.avx512.vpdpwssd.512"
        dots = builder.module.declare_intrinsic(name, (), kind)
        builder.store(builder.call(dots, [before, a, b]), sums)
        return
    pairs, wide = (ir.VectorType(kind, 2 * LANES) for kind in (I16, I32))
    left, right = (builder.sext(builder.bitcast(one, pairs), wide) for one in (a, b))
    products = builder.mul(left, right)
    halves = (code.lanes(products, range(first, 2 * LANES, 2)) for first in (0, 1))
    builder.store(builder.add(before, builder.add(*halves)), sums)


# ---------------------------------------------------------------- inputs


def _elu(code: Code, builder: ir.IRBuilder, x):
    """x, or e^x - 1 below 0."""
    below = builder.fsub(
        code.exp(builder.select(_is_below(builder, x), x, ZEROS)), code.constant(1.0)
    )
    return builder.select(_is_below(builder, x), below, x)


def _is_below(builder: ir.IRBuilder, x):
    return builder.fcmp_ordered("<", x, ZEROS)


def _activated(code: Code, builder: ir.IRBuilder, x, elu):
    """ELU of x if it is asked for."""
    is_asked = builder.icmp_signed("!=", elu, ir.Constant(I64, 0))
    return builder.select(is_asked, _elu(code, builder, x), x)


@intrinsic
def activate(typing, x, vectors, elu, out):
    """Float32 numbers, with ELU or without, to another place."""

    def write(builder, x, vectors, elu, out):
        code = Code(builder)
        with cgutils.for_range(builder, vectors) as vector:
            value = code.load(code.at(x, vector.index, 4 * LANES), FLOATS)
            value = _activated(code, builder, value, elu)
            code.store(value, code.at(out, vector.index, 4 * LANES))

    return typed(4, "musicgraph_activate", write)


def _in_16_bits(vectors: int):
    """The same of a group of so many vectors, in 16 bits: ≈ out · scale. What is no number makes
    the scale none.
    """

    @intrinsic
    def activate(typing, x, elu, out, scale):
        def write(builder, x, elu, out, scale):
            code, steps = Code(builder), ir.Constant(F32, STEPS)
            top, odd, values = code.constant(1e-30), ZEROS, []
            for i in range(vectors):
                value = code.load(code.after(x, 4 * i * LANES), FLOATS)
                values.append(_activated(code, builder, value, elu))
                top = code.maximum(code.absolute(values[-1]), top)
                odd = builder.fadd(builder.fsub(values[-1], values[-1]), odd)
            largest = code.reduced(top, code.maximum)
            inverse = code.broadcast(builder.fdiv(steps, largest))
            trouble = code.reduced(odd, builder.fadd)
            code.store(builder.fadd(builder.fdiv(largest, steps), trouble), scale)
            kind = ir.FunctionType(FLOATS, [FLOATS])
            rint = builder.module.declare_intrinsic(f"llvm.rint.v{LANES}f32", (), kind)
            for i, value in enumerate(values):
                whole = builder.call(rint, [builder.fmul(value, inverse)])
                number = builder.trunc(builder.fptosi(whole, INTS), SHORTS)
                code.store(number, code.after(out, 2 * i * LANES))

        return typed(4, f"musicgraph_activate_16_{vectors}", write)

    return activate


activate_64, activate_32 = map(_in_16_bits, (64 // LANES, 32 // LANES))


# ---------------------------------------------------------------- products


def _float32_rows(rows: int):
    """A tile's outputs for some rows."""
    size = 4 * TILE

    def write(builder, tile, bias, x, x_step, inputs, out, step):
        code = Code(builder)
        for first in range(0, GATHERED, _at_once()):
            picked = range(first, first + _at_once())
            begin = [code.load(code.after(bias, 4 * i * LANES), FLOATS) for i in picked]
            sums = [code.variables(begin) for _ in range(rows)]
            with cgutils.for_range(builder, inputs) as k:
                line, here = code.at(tile, k.index, size), code.at(x, k.index, 4)
                weights = []
                for i in picked:
                    place = code.after(line, 4 * i * LANES)
                    code.prefetch(code.after(place, AHEAD))
                    weights.append(code.load(place, FLOATS))
                for r in range(rows):
                    heard = code.broadcast(code.load(code.line(here, x_step, r), F32))
                    for weight, own in zip(weights, sums[r], strict=True):
                        code.add_product(own, weight, heard)
            for r in range(rows):
                for i, own in zip(picked, sums[r], strict=True):
                    to = code.after(code.line(out, step, r), 4 * i * LANES)
                    code.store(builder.load(own), to)

    return write


def _int16_rows(rows: int):
    """The same in 16 bits; whole sums of a group, which nothing rounds, are added as float32."""

    def write(builder, tile, scales, bias, x, x_step, x_scales, s_step, groups, pairs, out, step):
        code = Code(builder)
        for first in range(0, GATHERED, _at_once()):
            picked = range(first, first + _at_once())
            sums = [code.variables([ZEROS] * len(picked)) for _ in range(rows)]
            with cgutils.for_range(builder, groups) as group:
                nothing = [ir.Constant(INTS, [0] * LANES)] * len(picked)
                dots = [code.variables(nothing) for _ in range(rows)]
                before = builder.mul(group.index, pairs)
                with cgutils.for_range(builder, pairs) as pair:
                    k = builder.add(before, pair.index)
                    line, here = code.at(tile, k, 4 * TILE), code.at(x, k, 4)
                    weights = []
                    for i in picked:
                        place = code.after(line, 4 * i * LANES)
                        code.prefetch(code.after(place, AHEAD))
                        weights.append(code.load(place, INTS))
                    for r in range(rows):
                        heard = code.broadcast(code.load(code.line(here, x_step, r), I32))
                        for weight, own in zip(weights, dots[r], strict=True):
                            _add_pairs(code, builder, own, weight, heard)
                for r in range(rows):
                    place = code.at(code.line(x_scales, s_step, r), group.index, 4)
                    scale = code.broadcast(code.load(place, F32))
                    for whole, own in zip(dots[r], sums[r], strict=True):
                        code.add_product(own, builder.sitofp(builder.load(whole), FLOATS), scale)
            for r in range(rows):
                for i, own in zip(picked, sums[r], strict=True):
                    scale, shift = (
                        code.load(code.after(a, 4 * i * LANES), FLOATS) for a in (scales, bias)
                    )
                    value = code.fma(builder.load(own), scale, shift)
                    code.store(value, code.after(code.line(out, step, r), 4 * i * LANES))

    return write


def _in_pieces(builder: ir.IRBuilder, rows):
    """Yields the sizes of PIECES, each within a loop over the pieces of so many rows, with the
    first row of a piece.
    """
    begin = ir.Constant(I64, 0)
    for piece in PIECES:
        size = ir.Constant(I64, piece)
        count = builder.sdiv(builder.sub(rows, begin), size)
        with cgutils.for_range(builder, count) as loop:
            yield piece, builder.add(begin, builder.mul(loop.index, size))
        begin = builder.add(begin, builder.mul(count, size))


@intrinsic
def float32_windows(typing, tile, bias, x, x_step, rows, inputs, out, step):
    """A tile's outputs for some rows, whose inputs begin `x_step` bytes apart."""

    def write(builder, tile, bias, x, x_step, rows, inputs, out, step):
        code = Code(builder)
        for piece, r in _in_pieces(builder, rows):
            here, to = code.line(x, x_step, r), code.line(out, step, r)
            arguments = [tile, bias, here, x_step, inputs, to, step]
            name = f"musicgraph_windows_32_{piece}"
            call_made(builder, name, arguments, _float32_rows(piece))

    return typed(8, "musicgraph_windows_32", write)


@intrinsic
def int16_windows(
    typing, tile, scales, bias, x, x_step, x_scales, s_step, rows, groups, pairs, out, step
):
    """The same in 16 bits, whose groups have `pairs` pairs of inputs."""

    def write(builder, tile, scales, bias, x, x_step, x_scales, s_step, rows, *rest):
        groups, pairs, out, step = rest
        code = Code(builder)
        for piece, r in _in_pieces(builder, rows):
            here, to = code.line(x, x_step, r), code.line(out, step, r)
            heard = here, x_step, code.line(x_scales, s_step, r), s_step
            arguments = [tile, scales, bias, *heard, groups, pairs, to, step]
            name = f"musicgraph_windows_16_{piece}"
            call_made(builder, name, arguments, _int16_rows(piece))

    return typed(12, "musicgraph_windows_16", write)
