"""Exponential noise in machine code, as torch draws it: the same numbers from the same state.

The state is a torch.Generator's own (`Generator.get_state`): a Mersenne Twister (Matsumoto and
Nishimura 1998; the constants are MT19937's) of 624 words, two of which make a number of 53 bits,
u; the noise is −log(1 − u), in double and then rounded. 1 − u is exact here, so that its logarithm
is log1p's of −u, which torch takes, but for the last digits of a double.

A vector is 8 numbers of 16 words: a state is read in 39 of them, and then twisted.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_job import LEFT, NOISE_JOB, WORDS
from .numba_llvm import F32, I64, Code
from .numba_parts import compiled, reader_of
from .numba_vectors import address_at, put_int64

job_at = reader_of(NOISE_JOB)

NUMBERS = 8
WORD_COUNT, FAR = 624, 397
UPPER, LOWER, MATRIX = 0x80000000, 0x7FFFFFFF, 0x9908B0DF
MASKS = (7, 0x9D2C5680), (15, 0xEFC60000)
LEAST = float(np.finfo(np.float32).tiny)
"""no number is smaller, for it is divided by"""
TERMS = 11
"""of atanh's series; the next one would be less than a double tells"""
HALF_ROOT = int(np.float64(math.sqrt(0.5)).view(np.int64))

PAIRS, LONGS, DOUBLES, FLOATS = (
    ir.VectorType(kind, count)
    for kind, count in (
        (I64, 2 * NUMBERS),
        (I64, NUMBERS),
        (ir.DoubleType(), NUMBERS),
        (F32, NUMBERS),
    )
)


def _like(vector, value):
    """A constant in all lanes."""
    return ir.Constant(vector.type, [value] * vector.type.count)


def _tempered(builder, words):
    def mixed(words, shifted, mask=None):
        return builder.xor(words, shifted if mask is None else builder.and_(shifted, mask))

    words = mixed(words, builder.lshr(words, _like(words, 11)))
    for shift, mask in MASKS:
        words = mixed(words, builder.shl(words, _like(words, shift)), _like(words, mask))
    return mixed(words, builder.lshr(words, _like(words, 18)))


def _one_less_uniform(builder, words):
    """16 words → 8 doubles in (0, 1]."""
    code = Code(builder)
    high, low = (code.lanes(words, range(first, 2 * NUMBERS, 2)) for first in (0, 1))
    number = builder.or_(builder.shl(high, _like(high, 32)), low)
    number = builder.and_(number, _like(number, 2**53 - 1))
    rest = builder.sitofp(builder.sub(_like(number, 2**53), number), DOUBLES)
    return builder.fmul(rest, _like(rest, 2.0**-53))


def _logarithm(builder, x):
    """Of doubles, but for their last digits: x is 2 to a whole number times m, where √½ ≤ m < √2,
    and log m is 2 · atanh((m − 1) / (m + 1)).
    """
    fma = builder.module.declare_intrinsic(
        f"llvm.fma.v{NUMBERS}f64", (), ir.FunctionType(DOUBLES, [DOUBLES] * 3)
    )
    bits = builder.bitcast(x, LONGS)
    power = builder.ashr(builder.sub(bits, _like(bits, HALF_ROOT)), _like(bits, 52))
    m = builder.bitcast(builder.sub(bits, builder.shl(power, _like(bits, 52))), DOUBLES)
    s = builder.fdiv(builder.fsub(m, _like(m, 1.0)), builder.fadd(m, _like(m, 1.0)))
    square = builder.fmul(s, s)
    series = _like(s, 2.0 / (2 * TERMS - 1))
    for term in range(TERMS - 2, -1, -1):
        series = builder.call(fma, [series, square, _like(s, 2.0 / (2 * term + 1))])
    whole = builder.fmul(builder.sitofp(power, DOUBLES), _like(s, math.log(2)))
    return builder.call(fma, [series, s, whole])


@intrinsic
def put_noise(typing, words, vectors, out):
    """From 16 words each vector of 8 numbers."""

    def write(context, builder, signature, arguments):
        words, vectors, out = arguments
        code = Code(builder)
        with cgutils.for_range(builder, vectors) as vector:
            read = code.load(code.at(words, vector.index, 2 * NUMBERS * 8), PAIRS)
            x = _one_less_uniform(builder, _tempered(builder, read))
            noise = builder.fptrunc(builder.fneg(_logarithm(builder, x)), FLOATS)
            noise = code.maximum(noise, _like(noise, LEAST))
            code.store(noise, code.at(out, vector.index, NUMBERS * 4))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), write


@compiled
def twisted(words, i, following, far):
    """Word i of the next state."""
    upper, lower = address_at(words, i) & UPPER, address_at(words, following) & LOWER
    odd = address_at(words, following) & 1
    put_int64(words, i, address_at(words, far) ^ (upper | lower) >> 1 ^ odd * MATRIX)


@compiled
def twist(words):
    for i in range(WORD_COUNT - FAR):
        twisted(words, i, i + 1, i + FAR)
    for i in range(WORD_COUNT - FAR, WORD_COUNT - 1):
        twisted(words, i, i + 1, i + FAR - WORD_COUNT)
    twisted(words, WORD_COUNT - 1, 0, FAR - 1)


@compiled
def noise(address, me):
    """For each item so many numbers, a multiple of 8, from its own state, which goes on."""
    job = job_at(address)
    for item in range(job.items):
        state, out = job.states + item * job.stride, job.noise + 4 * item * job.count
        # in torch's terms: words that are left, and one
        left, made = address_at(state + LEFT, 0) & 0xFFFFFFFF, 0
        while made < job.count:
            if left == 1:
                twist(state + WORDS)
                left = WORD_COUNT + 1
            vectors = min((left - 1) // (2 * NUMBERS), (job.count - made) // NUMBERS)
            read = state + WORDS + 8 * (WORD_COUNT + 1 - left)
            put_noise(read, vectors, out + 4 * made)
            made, left = made + NUMBERS * vectors, left - 2 * NUMBERS * vectors
        put_int64(state + LEFT, 0, left | 1 << 32)
        put_int64(state + LEFT, 1, WORD_COUNT + 1 - left)
