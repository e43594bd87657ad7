"""The innermost loops of a step, in LLVM's own language, since no compiler finds them by itself;
and counters and numbers in memory.

Everything is addresses, strides in bytes and counts, as 64-bit numbers; nothing is checked. A tile
is the keys of TILE positions, `[head_size, TILE]`.
"""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_llvm import (
    BYTES,
    F32,
    FLOATS,
    I8,
    I32,
    I64,
    INTS,
    ZEROS,
    Code,
    typed,
)
from .numba_sizes import LANES, TEXT_TILE, TILE

NORM_EPSILON = 1e-5
ERF = (
    1.061405429,
    -1.453152027,
    1.421413741,
    -0.284496736,
    0.254829592,
    0.0,
)  # of 1 / (1 + 0.3275911 x)

# ---------------------------------------------------------------- rounding and attention


@intrinsic
def quantise_group(typing, x, vectors, quantised, scale, offset):
    """Float32 numbers in 8 bits, x ≈ quantised · scale.

    Weights w are kept as w + 128, since processors multiply unsigned bytes by signed ones; the
    offset is what that makes too much: -128 times the sum of `quantised`.
    """

    def write(builder, x, vectors, quantised, scale, offset):
        code = Code(builder)
        (top,) = code.variables([ir.Constant(FLOATS, [1e-30] * LANES)])
        (total,) = code.variables([ir.Constant(INTS, [0] * LANES)])
        with cgutils.for_range(builder, vectors) as vector:
            size = code.absolute(code.load(code.at(x, vector.index, 4 * LANES), FLOATS))
            builder.store(code.maximum(size, builder.load(top)), top)
        largest = code.reduced(builder.load(top), code.maximum)
        steps = ir.Constant(F32, 127.0)
        code.store(builder.fdiv(largest, steps), scale)
        inverse = code.broadcast(builder.fdiv(steps, largest))
        rint = builder.module.declare_intrinsic(
            f"llvm.rint.v{LANES}f32", (), ir.FunctionType(FLOATS, [FLOATS])
        )
        with cgutils.for_range(builder, vectors) as vector:
            scaled = builder.fmul(code.load(code.at(x, vector.index, 4 * LANES), FLOATS), inverse)
            number = builder.fptosi(builder.call(rint, [scaled]), INTS)
            builder.store(builder.add(number, builder.load(total)), total)
            code.store(builder.trunc(number, BYTES), code.at(quantised, vector.index, LANES))
        code.store(
            builder.mul(code.reduced(builder.load(total), builder.add), ir.Constant(I32, -128)),
            offset,
        )

    return typed(5, "musicgraph_quantise_group", write)


@intrinsic
def normalise(typing, x, vectors, weight, bias, out):
    """The layer norm of one row."""

    def write(builder, x, vectors, weight, bias, out):
        code = Code(builder)
        total, squares = code.variables([ZEROS, ZEROS])
        count = builder.sitofp(builder.mul(vectors, ir.Constant(I64, LANES)), F32)
        with cgutils.for_range(builder, vectors) as vector:
            value = code.load(code.at(x, vector.index, 4 * LANES), FLOATS)
            builder.store(builder.fadd(value, builder.load(total)), total)
        mean = code.broadcast(builder.fdiv(code.reduced(builder.load(total), builder.fadd), count))
        with cgutils.for_range(builder, vectors) as vector:
            away = builder.fsub(code.load(code.at(x, vector.index, 4 * LANES), FLOATS), mean)
            code.add_product(squares, away, away)
        variance = builder.fdiv(code.reduced(builder.load(squares), builder.fadd), count)
        deviation = code.sqrt(builder.fadd(variance, ir.Constant(F32, NORM_EPSILON)))
        scale = code.broadcast(builder.fdiv(ir.Constant(F32, 1.0), deviation))
        with cgutils.for_range(builder, vectors) as vector:
            value, factor, shift = (
                code.load(code.at(a, vector.index, 4 * LANES), FLOATS) for a in (x, weight, bias)
            )
            normal = builder.fmul(builder.fsub(value, mean), scale)
            code.store(code.fma(normal, factor, shift), code.at(out, vector.index, 4 * LANES))

    return typed(5, "musicgraph_normalise", write)


@intrinsic
def gelu(typing, x, vectors):
    """In place: h · (1 + erf(h / √2)) / 2, with erf to 1.5e-7 by formula 7.1.26 of Abramowitz and
    Stegun's handbook.
    """

    def write(builder, x, vectors):
        code = Code(builder)
        one = code.constant(1.0)
        with cgutils.for_range(builder, vectors) as vector:
            place = code.at(x, vector.index, 4 * LANES)
            h = code.load(place, FLOATS)
            size = code.absolute(h)
            z = builder.fmul(size, code.constant(0.5**0.5))
            t = builder.fdiv(one, code.fma(z, code.constant(0.3275911), one))
            left = builder.fmul(code.polynomial(t, ERF), code.exp(builder.fneg(builder.fmul(z, z))))
            code.store(
                builder.fmul(code.fma(size, builder.fsub(one, left), h), code.constant(0.5)), place
            )

    return typed(2, "musicgraph_gelu", write)


@intrinsic
def softmax(typing, scores, vectors, total):
    """In place, but for the division by their sum, which is written to `total`."""

    def write(builder, scores, vectors, total):
        code = Code(builder)
        top, sums = code.variables([code.constant(-3e38), ZEROS])
        with cgutils.for_range(builder, vectors) as vector:
            value = code.load(code.at(scores, vector.index, 4 * LANES), FLOATS)
            builder.store(code.maximum(value, builder.load(top)), top)
        highest = code.broadcast(code.reduced(builder.load(top), code.maximum))
        with cgutils.for_range(builder, vectors) as vector:
            place = code.at(scores, vector.index, 4 * LANES)
            probability = code.exp(builder.fsub(code.load(place, FLOATS), highest))
            code.store(probability, place)
            builder.store(builder.fadd(probability, builder.load(sums)), sums)
        code.store(code.reduced(builder.load(sums), builder.fadd), total)

    return typed(3, "musicgraph_softmax", write)


def _key_scores(int8: bool, tile: int):
    """What a query says to the keys of a tile: `[tile]`."""
    size, vectors = (1 if int8 else 4), tile // LANES

    @intrinsic
    def scores(typing, query, keys, head_size, out):
        def write(builder, query, keys, head_size, out):
            code = Code(builder)
            sums = code.variables([ZEROS] * vectors)
            with cgutils.for_range(builder, head_size) as channel:
                asked = code.broadcast(code.load(code.at(query, channel.index, 4), F32))
                line = code.at(keys, channel.index, tile * size)
                for i in range(vectors):
                    code.add_product(sums[i], code.past(line, i, int8), asked)
            for i in range(vectors):
                code.store(builder.load(sums[i]), code.after(out, i * LANES * 4))

        return typed(4, f"musicgraph_scores_{size}_{tile}", write)

    return scores


def _add_values(int8: bool, vectors: int):
    """out += probabilities · values, for a part of a head's channels."""
    size = 1 if int8 else 4

    @intrinsic
    def add(typing, probabilities, values, stride, count, out):
        def write(builder, probabilities, values, stride, count, out):
            code = Code(builder)
            places = [code.after(out, i * LANES * 4) for i in range(vectors)]
            sums = code.variables([code.load(place, FLOATS) for place in places])
            with cgutils.for_range(builder, count) as position:
                probability = code.broadcast(
                    code.load(code.at(probabilities, position.index, 4), F32)
                )
                line = builder.add(values, builder.mul(position.index, stride))
                for i in range(vectors):
                    code.add_product(sums[i], code.past(line, i, int8), probability)
            for i in range(vectors):
                code.store(builder.load(sums[i]), places[i])

        return typed(5, f"musicgraph_add_values_{size}_{vectors}", write)

    return add


int8_scores, float32_scores = _key_scores(True, TILE), _key_scores(False, TILE)
text_scores = _key_scores(False, TEXT_TILE)
add_int8_values_4, add_int8_values_1 = _add_values(True, 4), _add_values(True, 1)
add_float32_values_4, add_float32_values_1 = _add_values(False, 4), _add_values(False, 1)


@intrinsic
def add_and_get(typing, address, amount):
    """Adds to a counter that threads share; what it was before."""

    def write(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], I64.as_pointer())
        return builder.atomic_rmw("add", place, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), write


@intrinsic
def get(typing, address):
    """A counter that threads share."""

    def write(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], I64.as_pointer()), "acquire", 8)

    return types.int64(types.int64), write


@intrinsic
def pause(typing):
    """Tells the processor that this thread only waits, which leaves more of a core to the other one
    on it.
    """

    def write(context, builder, signature, arguments):
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])
        elif machine in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [I32])
            hint = builder.module.declare_intrinsic("llvm.aarch64.hint", (), kind)
            builder.call(hint, [ir.Constant(I32, 1)])  # "yield"
        return context.get_dummy_value()

    return types.void(), write


@intrinsic
def let_others_run(typing):
    """Gives the core to another thread that is ready, if there is one: the system's call."""

    def write(context, builder, signature, arguments):
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        kind = ir.FunctionType(I32, [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), write


@intrinsic
def prefetch(typing, address, lines):
    """Asks memory for some lines of the cache."""

    def write(context, builder, signature, arguments):
        code = Code(builder)
        with cgutils.for_range(builder, arguments[1]) as line:
            code.prefetch(code.at(arguments[0], line.index, 64))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), write


def _place(builder: ir.IRBuilder, address, index, kind):
    """Of an array's element, said so that LLVM sees the array, which it must to vectorise loops."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _reader(kind, typing):
    @intrinsic
    def read(context, address, index):
        def write(context, builder, signature, arguments):
            return builder.load(_place(builder, *arguments, kind))

        return typing(types.int64, types.int64), write

    return read


def _writer(kind, typing):
    @intrinsic
    def put(context, address, index, value):
        def write(context, builder, signature, arguments):
            builder.store(arguments[2], _place(builder, *arguments[:2], kind))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, typing), write

    return put


number, byte, address_at = (
    _reader(F32, types.float32),
    _reader(I8, types.int8),
    _reader(I64, types.int64),
)
put, put_byte, put_int64 = (
    _writer(F32, types.float32),
    _writer(I8, types.int8),
    _writer(I64, types.int64),
)
