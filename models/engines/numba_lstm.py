"""Some steps of an LSTM, all layers in one call, for several rows at once: see numba_step, whose
threads and phases these are.

    phase             items                    for each layer
    inputs            tiles                    what all steps' inputs say to the gates
    each step         tiles, 16 units each     what the past says to them, and the units' state
"""

from __future__ import annotations

import numpy as np

from .numba_job import ASKED_FOR, LSTM_JOB
from .numba_parts import compiled, reader_of
from .numba_recurrent import float32_tile_product, gate, int8_tile_product
from .numba_sizes import LANES, TILE
from .numba_step import claim, finish, wait
from .numba_vectors import address_at, prefetch

job_at = reader_of(LSTM_JOB)
INPUT, PAST = np.arange(2)


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
def multiply(job, layer, which, tile, x, rows, out, step):
    weights, line = tile_of(job, layer, which, tile), 4 * job.width
    if job.int8:
        scales = address_at(job.scales, 2 * layer + which) + 4 * TILE * tile
        int8_tile_product(weights, scales, x, line, rows, job.width, out, step)
    else:
        float32_tile_product(weights, 0, x, line, rows, job.width, out, step)


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
    while tile < tiles:
        out, step = job.gates + 4 * TILE * tile, 16 * job.width
        multiply(job, layer, INPUT, tile, x, job.steps * job.rows, out, step)
        done += 1
        tile = claim(job, me, phase, tiles)
    finish(job, phase, done)
    return tiles


@compiled
def of_units(job, me, layer, t, tile):
    """A tile's units go one step on."""
    own, before = job.scratch + me * job.scratch_bytes, said_at(job, layer, t)
    multiply(job, layer, PAST, tile, before, job.rows, own, 4 * TILE)
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
    while tile < tiles:
        of_units(job, me, layer, t, tile)
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
