"""A convolution of the codec in one call, or several: see numba_step, whose threads and phases
these are.

phase        items                            what
activate     some positions of a piece        ELU, and rounding to 16 bits
multiply     a tile of outputs, some rows     the product

And of several: before all others the inputs that each has from before, after them those for the
next call; behind each what is added to its outputs.
"""

from __future__ import annotations

import numpy as np

from .numba_job import CHAIN_JOB, CHAIN_PHASES, CONV_JOB
from .numba_parts import add, compiled, reader_of
from .numba_sizes import GROUP, LANES, TILE
from .numba_step import claim, finish, wait
from .numba_vectors import address_at, number, put
from .numba_windows import (
    activate,
    activate_32,
    activate_64,
    float32_windows,
    int16_windows,
)

POSITIONS, ROWS = 48, 48  # that a thread takes at a time

SUMS = 4096  # that a thread takes at a time

job_at, chain_at = reader_of(CONV_JOB), reader_of(CHAIN_JOB)
CONV_BYTES = CONV_JOB.itemsize


@compiled
def chunks(count, size):
    return (count + size - 1) // size


@compiled
def hear_in_32_bits(job, own, x, out, count):
    """Numbers lie in one line; the last few go through this thread's own memory, by the same
    code.
    """
    whole = count // LANES
    activate(x, whole, job.elu, out)
    if count % LANES:
        begin = whole * LANES
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
def hear(job, own, piece, first):
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
        hear_in_32_bits(job, own, x, out, known * C)
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
def convolve_in(team, phase, job, me):
    """By those who have the counters and the memory of `team`, in two of their phases."""
    own, done = team.scratch + me * team.scratch_bytes, np.int64(0)
    each = chunks(job.room, POSITIONS)
    items = job.pieces * each
    item = claim(team, me, phase, items)
    while item < items:
        hear(job, own, item // each, item % each * POSITIONS)
        done += 1
        item = claim(team, me, phase, items)
    finish(team, phase, done)
    each, heard, done = chunks(job.rows, ROWS), items, np.int64(0)
    items = job.outputs // TILE * job.pieces * each
    item = claim(team, me, phase + 1, items)
    wait(team, phase, heard)
    while item < items:
        some = item % (job.pieces * each)
        multiply(job, item // (job.pieces * each), some // each, some % each * ROWS)
        done += 1
        item = claim(team, me, phase + 1, items)
    finish(team, phase + 1, done)
    wait(team, phase + 1, items)


@compiled
def convolve(address, me):
    """See numba_job.CONV_JOB."""
    job = job_at(address)
    convolve_in(job, 0, job, me)


# ---------------------------------------------------------------- several


@compiled
def copy(source, to, count):
    for i in range(count):
        put(to, i, number(source, i))


@compiled
def bring_held(job, me, phase, is_after):
    """From the state to where it is read or, after all, from there to the next one."""
    done = np.int64(0)
    item = claim(job, me, phase, job.count)
    while item < job.count:
        offset, front = address_at(job.held, 4 * item), address_at(job.held, 4 * item + 1)
        count, behind = address_at(job.held, 4 * item + 2), address_at(job.held, 4 * item + 3)
        if is_after:
            copy(behind, job.next_state + 4 * offset, count)
        else:
            copy(job.state + 4 * offset, front, count)
        done += 1
        item = claim(job, me, phase, job.count)
    finish(job, phase, done)
    wait(job, phase, job.count)


@compiled
def add_beside(job, me, phase, i):
    beside, out = address_at(job.beside, 3 * i), address_at(job.beside, 3 * i + 1)
    count, done = address_at(job.beside, 3 * i + 2), np.int64(0)
    items = chunks(count, SUMS)
    item = claim(job, me, phase, items)
    while item < items:
        begin = 4 * SUMS * item
        add(out + begin, beside + begin, min(SUMS, count - SUMS * item))
        done += 1
        item = claim(job, me, phase, items)
    finish(job, phase, done)
    wait(job, phase, items)


@compiled
def convolve_all(address, me):
    """See numba_job.CHAIN_JOB."""
    job = chain_at(address)
    bring_held(job, me, 0, False)
    for i in range(job.count):
        phase = 1 + CHAIN_PHASES * i
        convolve_in(job, phase, job_at(job.convolutions + i * CONV_BYTES), me)
        add_beside(job, me, phase + 2, i)
    bring_held(job, me, 1 + CHAIN_PHASES * job.count, True)
