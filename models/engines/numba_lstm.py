"""Some steps of an LSTM, all layers in one call, for several rows at once: see numba_step, whose
threads and phases these are.

    phase             items                    for each layer
    inputs            tiles                    what all steps' inputs say to the gates
    each step         tiles, 16 units each     what the past says to them, and the units' state
"""

from __future__ import annotations

import numpy as np

from .numba_job import ASKED_FOR, LSTM_JOB
from .numba_parts import Operand, compiled, f32, quantise_groups, reader_of, x_of
from .numba_products import int8_product
from .numba_recurrent import float32_tile_product, gate
from .numba_sizes import GROUP, LANES, PAD, TILE
from .numba_step import claim, finish, wait
from .numba_vectors import address_at, byte, number, prefetch, put

job_at = reader_of(LSTM_JOB)
INPUT, PAST = np.arange(2)


@compiled
def group_of(width):
    """Inputs that are rounded together."""
    return GROUP if width % GROUP == 0 else LANES


@compiled
def operand_of(place, rows, width, group):
    """As numba_parts.operand_at, for groups of any size."""
    quantised = place + rows * (4 * width + PAD)
    scales = quantised + rows * (width + PAD)
    offsets = scales + 4 * rows * (width // group)
    return Operand(place, quantised, scales, offsets, rows, width, group)


@compiled
def tile_of(job, layer, which, tile):
    size = TILE * job.width * (1 if job.int8 else 4)
    return address_at(job.weights, 2 * layer + which) + tile * size


@compiled
def ask_for(job, layer, which, tile, tiles):
    """The beginning of a tile, while there is something to wait for."""
    if tile < tiles:
        size = TILE * job.width * (1 if job.int8 else 4)
        prefetch(tile_of(job, layer, which, tile), min(size, ASKED_FOR) // 64)


@compiled
def rows_in_8_bits(job, me, x, rows):
    """Each row as two: in 8 bits, and what that leaves over, in 8 bits again."""
    width, group = job.width, group_of(job.width)
    by = operand_of(job.scratch + me * job.scratch_bytes, 2 * rows, width, group)
    for row in range(rows):
        first, second, at = x_of(by, 2 * row), x_of(by, 2 * row + 1), 2 * row * (width // group)
        rough = by.quantised + 2 * row * (width + PAD)
        for i in range(width):
            put(first, i, number(x + 4 * row * width, i))
        quantise_groups(by, 2 * row, 0, width // group)
        for i in range(width):
            found = f32(byte(rough, i)) * number(by.scales, at + i // group)
            put(second, i, number(first, i) - found)
        quantise_groups(by, 2 * row + 1, 0, width // group)
    return by


@compiled
def multiply_in_8_bits(job, me, layer, which, tile, by, out, step):
    """Its two products are added for each row."""
    own = job.scratch + (me + 1) * job.scratch_bytes - 4 * TILE * by.rows
    weights, groups = tile_of(job, layer, which, tile), by.inputs // by.group
    scales = address_at(job.scales, 2 * layer + which) + 4 * TILE * tile
    int8_product(
        weights, scales, TILE // LANES, by.quantised, by.inputs + PAD, by.scales, by.offsets,
        by.rows, groups, by.group // 4, own, 4 * TILE,
    )  # fmt: skip
    for row in range(by.rows // 2):
        for i in range(TILE):
            parts = own + 8 * TILE * row
            put(out + row * step, i, number(parts, i) + number(parts, TILE + i))


@compiled
def multiply(job, me, layer, which, tile, by, x, rows, out, step):
    if job.int8:
        multiply_in_8_bits(job, me, layer, which, tile, by, out, step)
    else:
        weights, line = tile_of(job, layer, which, tile), 4 * job.width
        float32_tile_product(weights, x, line, rows, job.width, out, step)


@compiled
def heard_in_8_bits(job, me, x, rows):
    """Of float32 there is nothing to prepare."""
    return rows_in_8_bits(job, me, x, rows if job.int8 else 0)


@compiled
def said_at(job, layer, step):
    """What a layer says at a step; at 0 what it said before all of them."""
    return job.h + 4 * (layer * (job.steps + 1) + step) * job.rows * job.width


@compiled
def hear_inputs(job, me, phase, before, layer):
    tiles, done = job.width // LANES, 0
    tile = claim(job, me, phase, tiles)
    ask_for(job, layer, INPUT, tile, tiles)
    wait(job, phase - 1, before)
    x = said_at(job, layer - 1, 1) if layer else job.x
    by = heard_in_8_bits(job, me, x, job.steps * job.rows if tile < tiles else 0)
    while tile < tiles:
        out, step = job.gates + 4 * TILE * tile, 16 * job.width
        multiply(job, me, layer, INPUT, tile, by, x, job.steps * job.rows, out, step)
        done += 1
        tile = claim(job, me, phase, tiles)
    finish(job, phase, done)
    return tiles


@compiled
def of_units(job, me, layer, t, tile, by):
    """A tile's units go one step on."""
    own = job.scratch + (me + 1) * job.scratch_bytes - 12 * TILE * job.rows
    multiply(job, me, layer, PAST, tile, by, said_at(job, layer, t), job.rows, own, 4 * TILE)
    said, first = said_at(job, layer, t + 1), 4 * LANES * tile
    for row in range(job.rows):
        line = 4 * row * job.width
        gate(
            job.gates + 16 * (t * job.rows + row) * job.width + 4 * TILE * tile,
            own + 4 * TILE * row,
            job.biases + 16 * layer * job.width + 4 * TILE * tile,
            job.c + 4 * layer * job.rows * job.width + line + first,
            said + line + first,
        )


@compiled
def go_on(job, me, phase, before, layer, t):
    tiles, done = job.width // LANES, 0
    tile = claim(job, me, phase, tiles)
    ask_for(job, layer, PAST, tile, tiles)
    wait(job, phase - 1, before)
    by = heard_in_8_bits(job, me, said_at(job, layer, t), job.rows if tile < tiles else 0)
    while tile < tiles:
        of_units(job, me, layer, t, tile, by)
        done += 1
        tile = claim(job, me, phase, tiles)
    finish(job, phase, done)
    return tiles


@compiled
def lstm(address, me):
    """Reads `steps` inputs of each row; see numba_job.LSTM_JOB."""
    job, phase, items = job_at(address), np.int64(0), np.int64(0)
    for layer in range(job.layers):
        items = hear_inputs(job, me, phase, items, layer)
        phase += 1
        for t in range(job.steps):
            items = go_on(job, me, phase, items, layer, t)
            phase += 1
    wait(job, phase - 1, items)
