"""A convolution of the codec in one call: see numba_step, whose threads and phases these are.

phase        items                            what
activate     some positions of a piece        ELU, and rounding to 16 bits
multiply     a tile of outputs, some rows     the product
"""

from __future__ import annotations

import numpy as np

from .numba_job import CONV_JOB
from .numba_parts import compiled, reader_of
from .numba_sizes import GROUP, LANES, TILE
from .numba_step import claim, finish, wait
from .numba_vectors import number, put
from .numba_windows import activate, activate_32, activate_64, float32_windows, int16_windows

POSITIONS, ROWS = 48, 48  # that a thread takes at a time

job_at = reader_of(CONV_JOB)


@compiled
def chunks(count, size):
    return (count + size - 1) // size


@compiled
def hear_in_32_bits(job, me, x, out, count):
    """Numbers lie in one line; the last few go through memory of this thread, by the same code."""
    whole = count // LANES
    activate(x, whole, job.elu, out)
    if count % LANES:
        own, begin = job.scratch + me * job.scratch_bytes, whole * LANES
        for i in range(begin, count):
            put(own, i - begin, number(x, i))
        activate(own, 1, job.elu, own)
        for i in range(begin, count):
            put(out, i, number(own, i - begin))


@compiled
def hear_in_16_bits(job, x, out, scales, positions):
    """Group after group, which lie in one line, too."""
    for group in range(positions * job.channels // job.group):
        begin = group * job.group
        here, to = x + 4 * begin, out + 2 * begin
        if job.group == GROUP:
            activate_64(here, job.elu, to, scales + 4 * group)
        else:
            activate_32(here, job.elu, to, scales + 4 * group)


@compiled
def silence(place, count):
    """`count` float32 zeros."""
    for i in range(count):
        put(place, i, np.float32(0.0))


@compiled
def hear(job, me, piece, first):
    """Some positions of a piece; behind the last there is silence."""
    C, end = job.channels, min(first + POSITIONS, job.room)
    known = max(0, min(end, job.positions) - first)
    at, rest = piece * job.room + first, end - first - known
    x = job.x + 4 * (piece * job.positions + first) * C
    if job.int16:
        groups = C // job.group
        out, scales = job.heard + 2 * at * C, job.heard_scales + 4 * at * groups
        hear_in_16_bits(job, x, out, scales, known)
        silence(out + 2 * known * C, rest * C // 2)
        silence(scales + 4 * known * groups, rest * groups)
    else:
        out = job.heard + 4 * at * C
        hear_in_32_bits(job, me, x, out, known * C)
        silence(out + 4 * known * C, rest * C)


@compiled
def multiply(job, tile, piece, first):
    """A tile's outputs of some rows."""
    C, inputs = job.channels, job.window * job.channels
    rows, at = min(ROWS, job.rows - first), piece * job.room + first * job.step
    bias, line = job.bias + 4 * TILE * tile, 4 * job.outputs
    out = job.out + (piece * job.rows + first) * line + 4 * TILE * tile
    if job.int16:
        groups = C // job.group
        weights, scales = job.weights + 2 * TILE * inputs * tile, job.scales + 4 * TILE * tile
        x, x_scales = job.heard + 2 * at * C, job.heard_scales + 4 * at * groups
        x_step, s_step = 2 * job.step * C, 4 * job.step * groups
        int16_windows(
            weights, scales, bias, x, x_step, x_scales, s_step,
            rows, job.window * groups, job.group // 2, out, line,
        )  # fmt: skip
    else:
        weights, x = job.weights + 4 * TILE * inputs * tile, job.heard + 4 * at * C
        float32_windows(weights, bias, x, 4 * job.step * C, rows, inputs, out, line)


@compiled
def convolve(address, me):
    """See numba_job.CONV_JOB."""
    job, done = job_at(address), np.int64(0)
    each = chunks(job.room, POSITIONS)
    items = job.pieces * each
    item = claim(job, me, 0, items)
    while item < items:
        hear(job, me, item // each, item % each * POSITIONS)
        done += 1
        item = claim(job, me, 0, items)
    finish(job, 0, done)
    each, heard, done = chunks(job.rows, ROWS), items, np.int64(0)
    items = job.outputs // TILE * job.pieces * each
    item = claim(job, me, 1, items)
    wait(job, 0, heard)
    while item < items:
        some = item % (job.pieces * each)
        multiply(job, item // (job.pieces * each), some // each, some % each * ROWS)
        done += 1
        item = claim(job, me, 1, items)
    finish(job, 1, done)
    wait(job, 1, items)
