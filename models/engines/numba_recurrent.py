"""The innermost loops of an LSTM, in LLVM's own language; see numba_vectors.

A tile is TILE outputs of a matrix, of float32 `[inputs, TILE]`: of 16 units the four gates, one
after the other (input, forget, cell, output), so that who has a tile's outputs can go on to the
units' state.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_llvm import F32, FLOATS, I64, ZEROS, Code, call_made, typed
from .numba_sizes import LANES, TILE

PIECES = (5, 4, 2, 1)
"""rows that share a weight in hand: a block of the codec's frames, or a frame of some streams"""
GATES = TILE // LANES


def _tile_of_rows(rows: int):
    """A tile's outputs for some rows. Each sum is over the inputs in their order."""

    def write(builder, tile, x, x_step, inputs, out, step):
        code = Code(builder)
        sums = [code.variables([ZEROS] * GATES) for _ in range(rows)]
        with cgutils.for_range(builder, inputs) as k:
            line, here = code.at(tile, k.index, TILE * 4), code.at(x, k.index, 4)
            weights = [code.past(line, i, int8=False) for i in range(GATES)]
            for r in range(rows):
                heard = code.broadcast(code.load(code.line(here, x_step, r), F32))
                for i in range(GATES):
                    code.add_product(sums[r][i], weights[i], heard)
        for r in range(rows):
            for i in range(GATES):
                place = code.after(code.line(out, step, r), 4 * i * LANES)
                code.store(builder.load(sums[r][i]), place)

    return write


@intrinsic
def float32_tile_product(typing, tile, x, x_step, rows, inputs, out, step):
    def write(builder, tile, x, x_step, rows, inputs, out, step):
        code, begin = Code(builder), ir.Constant(I64, 0)
        for piece in PIECES:
            each = ir.Constant(I64, piece)
            count = builder.sdiv(builder.sub(rows, begin), each)
            with cgutils.for_range(builder, count) as loop:
                r = builder.add(begin, builder.mul(loop.index, each))
                here, to = code.line(x, x_step, r), code.line(out, step, r)
                arguments = [tile, here, x_step, inputs, to, step]
                call_made(builder, f"musicgraph_lstm_tile_{piece}", arguments, _tile_of_rows(piece))
            begin = builder.add(begin, builder.mul(count, each))

    return typed(7, "musicgraph_lstm_product", write)


def _sigmoid(code: Code, builder: ir.IRBuilder, x):
    """1 / (1 + e^-x), of e to the power of -|x|, which cannot overflow."""
    one = code.constant(1.0)
    small = code.exp(builder.fneg(code.absolute(x)))
    is_positive = builder.fcmp_ordered(">", x, ZEROS)
    return builder.fdiv(builder.select(is_positive, one, small), builder.fadd(one, small))


def _tanh(code: Code, builder: ir.IRBuilder, x):
    """2 σ(2x) - 1"""
    two = code.constant(2.0)
    return code.fma(two, _sigmoid(code, builder, builder.fmul(two, x)), code.constant(-1.0))


@intrinsic
def gate(typing, by_input, by_past, bias, c, h):
    """16 units of one row: from what is said to their gates, their state, in place, and what they
    say. Gates hide what is no number.
    """

    def write(builder, by_input, by_past, bias, c, h):
        code, said = Code(builder), []
        for i in range(GATES):
            parts = (code.load(code.after(a, 4 * i * LANES), FLOATS) for a in (by_input, by_past))
            bias_there = code.load(code.after(bias, 4 * i * LANES), FLOATS)
            said.append(builder.fadd(builder.fadd(*parts), bias_there))
        entering, kept, new, leaving = said
        opened = (_sigmoid(code, builder, one) for one in (entering, kept, leaving))
        let_in, let_stay, let_out = opened
        brought = builder.fmul(let_in, _tanh(code, builder, new))
        state = code.fma(let_stay, code.load(c, FLOATS), brought)
        code.store(state, c)
        code.store(builder.fmul(let_out, _tanh(code, builder, state)), h)

    return typed(5, "musicgraph_lstm_gate", write)
