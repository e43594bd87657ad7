"""Drawing in machine code: from the logits of a step's rows to tokens, all items in one call.

What `drawing.tokens_from` does in torch. The k likeliest are all from the k-th largest probability
on, and the fewest that reach `top_p` all from some probability on, too. Which one is found bit by
bit, because positive floats lie in the order of their bits, and counting takes next to nothing.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_job import DRAW_JOB
from .numba_llvm import F32, FLOATS, I32, I64, INTS, ZEROS, Code
from .numba_parts import compiled, f32, reader_of
from .numba_sizes import LANES
from .numba_vectors import address_at, number, put, put_int64, softmax

job_at = reader_of(DRAW_JOB)
INFINITE = np.int64(0x7F800000)
"""infinity's bits; those of what is no number are above them"""
SIGNLESS = 0x7FFFFFFF
NO_NUMBER = f32(np.nan)

# ---------------------------------------------------------------- looks at many numbers


def _of_all(builder, x, vectors, first, each, join):
    """One number of all of `x`: what `each(code, values, so far)` makes of them, joined."""
    code = Code(builder)
    (found,) = code.variables([first])
    with cgutils.for_range(builder, vectors) as vector:
        values = code.load(code.at(x, vector.index, 4 * LANES), FLOATS)
        builder.store(each(code, values, builder.load(found)), found)
    return code.reduced(builder.load(found), join)


def _bits_of_all_lanes(builder, bits):
    return Code(builder).broadcast(builder.trunc(bits, I32))


@intrinsic
def count_from(typing, x, vectors, least):
    """How many are not negative and have at least these bits."""

    def write(context, builder, signature, arguments):
        x, vectors, least = arguments
        least = _bits_of_all_lanes(builder, least)

        def each(code, values, so_far):
            is_more = builder.icmp_signed(">=", builder.bitcast(values, INTS), least)
            return builder.add(so_far, builder.zext(is_more, INTS))

        nothing = ir.Constant(INTS, [0] * LANES)
        return builder.zext(_of_all(builder, x, vectors, nothing, each, builder.add), I64)

    return types.int64(types.int64, types.int64, types.int64), write


@intrinsic
def sum_above(typing, x, vectors, least):
    """The sum of those with more than these bits."""

    def write(context, builder, signature, arguments):
        x, vectors, least = arguments
        least = _bits_of_all_lanes(builder, least)

        def each(code, values, so_far):
            is_more = builder.icmp_signed(">", builder.bitcast(values, INTS), least)
            return builder.fadd(so_far, builder.select(is_more, values, ZEROS))

        return _of_all(builder, x, vectors, ZEROS, each, builder.fadd)

    return types.float32(types.int64, types.int64, types.int64), write


@intrinsic
def greatest(typing, x, vectors):
    def write(context, builder, signature, arguments):
        lowest = ir.Constant(FLOATS, [-np.inf] * LANES)

        def each(code, values, so_far):
            return code.maximum(values, so_far)

        return _of_all(builder, *arguments, lowest, each, Code(builder).maximum)

    return types.float32(types.int64, types.int64), write


@intrinsic
def largest_bits(typing, x, vectors):
    """Of their sizes."""

    def write(context, builder, signature, arguments):
        def larger(a, b):
            return builder.select(builder.icmp_signed(">", a, b), a, b)

        def each(code, values, so_far):
            mask = ir.Constant(INTS, [SIGNLESS] * LANES)
            return larger(builder.and_(builder.bitcast(values, INTS), mask), so_far)

        nothing = ir.Constant(INTS, [0] * LANES)
        return builder.zext(_of_all(builder, *arguments, nothing, each, larger), I64)

    return types.int64(types.int64, types.int64), write


@intrinsic
def race(typing, x, noise, vectors, least):
    """x / noise, in place, of those from these bits on; 0 of the others."""

    def write(context, builder, signature, arguments):
        x, noise, vectors, least = arguments
        code, least = Code(builder), _bits_of_all_lanes(builder, least)
        with cgutils.for_range(builder, vectors) as vector:
            place = code.at(x, vector.index, 4 * LANES)
            values = code.load(place, FLOATS)
            by = code.load(code.at(noise, vector.index, 4 * LANES), FLOATS)
            takes_part = builder.icmp_signed(">=", builder.bitcast(values, INTS), least)
            code.store(builder.select(takes_part, builder.fdiv(values, by), ZEROS), place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), write


@intrinsic
def bits_of(typing, value):
    def write(context, builder, signature, arguments):
        return builder.zext(builder.bitcast(arguments[0], I32), I64)

    return types.int64(types.float32), write


@intrinsic
def float_of(typing, bits):
    def write(context, builder, signature, arguments):
        return builder.bitcast(builder.trunc(arguments[0], I32), F32)

    return types.float32(types.int64), write


# ---------------------------------------------------------------- one codebook of one item


@compiled
def row_at(job, branch, codebook):
    """The logits of one of the rows that count."""
    row = address_at(job.rows, branch)
    return job.logits + 4 * (row * job.codebooks + codebook) * job.codebook_size


@compiled
def mix(job, item, codebook, x):
    """As `drawing.mixed`, in the same order."""
    last = address_at(job.ends, item) - 1
    base = row_at(job, last, codebook)
    for i in range(job.codebook_size):
        put(x, i, number(base, i))
    for branch in range(address_at(job.ends, item - 1) if item else 0, last):
        one, weight = row_at(job, branch, codebook), number(job.weights, branch)
        for i in range(job.codebook_size):
            put(x, i, number(x, i) + weight * (number(one, i) - number(base, i)))


@compiled
def kth_largest(x, vectors, k):
    """Its bits; or some below, from which on there are k and no more."""
    found = np.int64(0)
    for bit in range(30, -1, -1):
        tried = found | np.int64(1) << bit
        count = count_from(x, vectors, tried)
        if count >= k:
            found = tried
        if count == k:
            break
    return found


@compiled
def least_before(x, vectors, most):
    """The bits of the smallest that has no more than `most` before it, where larger ones come
    first.
    """
    zero = np.int64(0)
    if sum_above(x, vectors, zero) <= most:
        return zero
    found = zero
    for bit in range(30, -1, -1):
        tried = found | np.int64(1) << bit
        if sum_above(x, vectors, tried) > most:
            found = tried
    return found + 1


@compiled
def drop_equals(x, size, least, kept):
    """Of those with exactly these bits only the first `kept` stay."""
    for i in range(size):
        if bits_of(number(x, i)) == least:
            kept -= 1
            if kept < 0:
                put(x, i, f32(0.0))


@compiled
def first_k(job, x):
    """The bits from which on a probability takes part; of equals there, those that are one too many
    are taken out.
    """
    size, k = job.codebook_size, job.top_k
    vectors = size // LANES
    least = kth_largest(x, vectors, k)
    if count_from(x, vectors, least) > k:
        drop_equals(x, size, least, k - count_from(x, vectors, least + 1))
    return least


@compiled
def first_p(job, x, most):
    """The same, of those that have at most so much before them."""
    size, vectors = job.codebook_size, job.codebook_size // LANES
    least = least_before(x, vectors, most)
    before, kept = sum_above(x, vectors, least), 0
    while before <= most and kept < size:
        before, kept = before + float_of(least), kept + 1
    if count_from(x, vectors, least) - count_from(x, vectors, least + 1) > kept:
        drop_equals(x, size, least, kept)
    return least


@compiled
def first_equal(x, size, value):
    for i in range(size):
        if number(x, i) == value:
            return i
    return 0


@compiled
def winner(job, x, noise):
    """Of the race for one codebook, whose mixed logits are in `x`: an exponential number each."""
    size, vectors = job.codebook_size, job.codebook_size // LANES
    if noise:
        temperature, top_p = number(job.settings, 0), number(job.settings, 1)
        for i in range(size):
            put(x, i, number(x, i) / temperature)
        total = x + 4 * size
        softmax(x, vectors, total)
        least = first_p(job, x, top_p * number(total, 0)) if top_p > 0 else first_k(job, x)
        race(x, noise, vectors, least)
    return first_equal(x, size, greatest(x, vectors))


# ---------------------------------------------------------------- what is called


@compiled
def draw(address, me):
    """The tokens of all items, and for each a sum: 0, or no number where a logit was none."""
    job, x = job_at(address), job_at(address).scratch
    size, vectors = job.codebook_size, job.codebook_size // LANES
    for item in range(job.items):
        put(job.sums, item, f32(0.0))
        for codebook in range(job.codebooks):
            mix(job, item, codebook, x)
            if largest_bits(x, vectors) >= INFINITE:
                put(job.sums, item, NO_NUMBER)
            at = item * job.codebooks + codebook
            noise = job.noise + 4 * at * size if job.noise else 0
            put_int64(job.tokens, at, winner(job, x, noise))
