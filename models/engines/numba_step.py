"""One step of the LM in machine code for the processor at hand, made by Numba: all layers in one
call.

A step must read each weight once, so everything serves one aim: that memory never waits. Threads
share a step in phases, between which nothing is started or woken. Within a phase each takes the
next item; who comes late finds fewer left, and who never comes is not missed. Before it waits for
the others, a thread asks memory for the weights of its next item.

    phase         items                      a thread first makes for itself
    Q, K, V       heads, with attention      the norm of x, in 8 bits for int8 and int4
    OUT           chunks of x                what was heard, in 8 bits
    TEXT_Q        heads, with attention      the norm of the rows that hear text
    TEXT_OUT      chunks of x                what was heard
    FC1           chunks, with GELU          the norm of x
    FC2           chunks of x

A step reads N positions of R rows of the batch, each of which has caches of its own: one new
position of each, or several of a prompt, rows at different positions side by side. The first M of
the N hear text.
"""

from __future__ import annotations

import numpy as np

from .numba_job import (
    ASKED_FOR,
    CACHE,
    FC1,
    FC2,
    FFN_NORM,
    JOB,
    KEY_SCALES,
    KEYS,
    LINE_BYTES,
    LOOKS,
    MATRICES,
    NORM,
    NORMS,
    OUT,
    ROOM,
    TEXT_HEARD,
    TEXT_K,
    TEXT_KEYS,
    TEXT_LENGTH,
    TEXT_NORM,
    TEXT_OUT,
    TEXT_Q,
    TEXT_ROOM,
    TEXT_VALUES,
    VALUE_SCALES,
    VALUES,
    Q,
)
from .numba_parts import (
    HeadCache,
    add,
    attend,
    compiled,
    f32,
    group_size,
    matrix_bytes,
    operand_at,
    operand_bytes,
    product,
    quantise_groups,
    quantise_rows,
    reader_of,
    scale,
    x_of,
)
from .numba_sizes import CHUNK, GROUP, LANES, PAD, TEXT_TILE, TILE
from .numba_vectors import (
    add_and_get,
    address_at,
    byte,
    gelu,
    get,
    let_others_run,
    normalise,
    number,
    pause,
    prefetch,
    put,
    put_byte,
    quantise_group,
)

job_at = reader_of(JOB)


# ---------------------------------------------------------------- threads


@compiled
def counter(job, phase, index):
    return job.counters + (phase * (job.threads + 1) + index) * LINE_BYTES


@compiled
def claim(job, me, phase, items):
    """The number of an item of this phase that nobody else does, or `items` when all are taken.

    Each thread has a share of its own that lies together, because memory is read fastest in long
    runs, and then helps others.
    """
    for i in range(job.threads):
        whose = (me + i) % job.threads
        begin, end = items * whose // job.threads, items * (whose + 1) // job.threads
        at = counter(job, phase, whose)
        if get(at) < end - begin:
            taken = add_and_get(at, 1)
            if taken < end - begin:
                return begin + taken
    return items


@compiled
def finish(job, phase, count):
    if count:
        add_and_get(counter(job, phase, job.threads), count)


@compiled
def wait(job, phase, items):
    """Until all items of a phase are done: at once nearly always, so it looks some times before it
    lets others run.
    """
    if items:
        at, looks = counter(job, phase, job.threads), 0
        while get(at) < items:
            if looks < LOOKS:
                pause()
                looks += 1
            else:
                let_others_run()


@compiled
def matrix(job, layer, which):
    return address_at(job.matrices, layer * MATRICES + which)


@compiled
def ask_for(job, matrix, item, items, outputs, inputs):
    """Asks memory for the beginning of an item's part of a matrix, while there is something to wait
    for.
    """
    if item < items:
        size = matrix_bytes(job.bits, outputs, inputs)
        prefetch(matrix + item * size, min(size, ASKED_FOR) // 64)


# ---------------------------------------------------------------- a thread's own memory


@compiled
def own_memory(job, me):
    """Where a thread's operand, outputs, scores and bytes begin."""
    N = job.positions
    begin = job.scratch + me * job.scratch_bytes
    outputs = begin + operand_bytes(job.bits, N, job.width)
    scores = outputs + 4 * N * max(3 * job.head_size, GROUP)
    return begin, outputs, scores, scores + 4 * max(job.room, job.text_room) + 4


@compiled
def normal_x(job, me, layer, which, rows):
    """The norm of the first rows of x, ready to be multiplied with a matrix."""
    norm = job.norms + 8 * (layer * NORMS + which) * job.width
    by = operand_at(job.bits, own_memory(job, me)[0], rows, job.width)
    for n in range(rows):
        x = job.x + 4 * n * job.width
        normalise(x, job.width // LANES, norm, norm + 4 * job.width, x_of(by, n))
    if job.bits < 32:
        quantise_rows(by)
    return by


@compiled
def normal_last(job, me):
    """The same of each row's last position, by the norm before the heads."""
    by = operand_at(job.head_bits, own_memory(job, me)[0], job.rows, job.width)
    for row in range(job.rows):
        x = job.x + 4 * address_at(job.last, row) * job.width
        norm = job.last_norm
        normalise(x, job.width // LANES, norm, norm + 4 * job.width, x_of(by, row))
    if job.bits < 32:
        quantise_rows(by)
    return by


@compiled
def copied(job, place, x, rows):
    """Rows as they are, ready to be multiplied with a matrix."""
    by = operand_at(job.bits, place, rows, job.width)
    for n in range(rows):
        for i in range(job.width):
            put(x_of(by, n), i, number(x + 4 * n * job.width, i))
    if job.bits < 32:
        quantise_rows(by)
    return by


# ---------------------------------------------------------------- the phases


@compiled
def multiply_by(job, layer, which, first, last, by, out, step):
    scales = address_at(job.scales, layer * MATRICES + which)
    product(job.bits, matrix(job, layer, which), scales, first, last, by, out, step)


@compiled
def of_row(job, row, which):
    return address_at(job.caches, row * len(CACHE) + which)


@compiled
def row_of(job, n):
    return address_at(job.places, 2 * n)


@compiled
def place_of(job, n):
    return address_at(job.places, 2 * n + 1)


@compiled
def cache_of(job, layer, row, head):
    width = job.past_bits // 8
    past = (layer * job.heads + head) * of_row(job, row, ROOM)
    lines, scales = width * past * job.head_size, 4 * past
    return HeadCache(
        of_row(job, row, KEYS) + lines,
        of_row(job, row, KEY_SCALES) + scales,
        of_row(job, row, VALUES) + lines,
        of_row(job, row, VALUE_SCALES) + scales,
    )


@compiled
def remember(job, cache, position, key, value, quantised):
    """Writes a position's key and value; `quantised` is room for a key in 8 bits."""
    D, tile, place = job.head_size, position // TILE, position % TILE
    if job.past_bits == 8:
        keys = cache.keys + tile * D * TILE + place
        quantise_group(key, D // LANES, quantised, cache.key_scales + 4 * position, quantised + D)
        for i in range(D):
            put_byte(keys, i * TILE, byte(quantised, i))
        to = cache.values + position * D
        quantise_group(value, D // LANES, to, cache.value_scales + 4 * position, quantised + D)
    else:
        keys = cache.keys + 4 * (tile * D * TILE + place)
        for i in range(D):
            put(keys, i * TILE, number(key, i))
            put(cache.values + 4 * position * D, i, number(value, i))


@compiled
def one_head(job, me, layer, head, by):
    """A head's self-attention: its q, k and v; what it finds goes to its columns of `heard`."""
    D, N = job.head_size, by.rows
    _, q, scores, quantised = own_memory(job, me)
    k, v = q + 4 * N * D, q + 8 * N * D
    for which in range(3):
        multiply_by(job, layer, which, head * D, (head + 1) * D, by, q + 4 * which * N * D, 4 * D)
    scale(q, f32(1.0 / np.sqrt(D)), N * D)
    for n in range(N):
        cache, position, at = (
            cache_of(job, layer, row_of(job, n), head),
            place_of(job, n),
            4 * n * D,
        )
        remember(job, cache, position, k + at, v + at, quantised)
        out = job.heard + 4 * (n * job.width + head * D)
        attend(job.past_bits == 8, q + at, cache, 0, position + 1, D, scores, out)


@compiled
def text_cache(job, layer, row, head):
    begin = 4 * (layer * job.heads + head) * of_row(job, row, TEXT_ROOM) * job.head_size
    keys, values = of_row(job, row, TEXT_KEYS), of_row(job, row, TEXT_VALUES)
    return HeadCache(keys + begin, 0, values + begin, 0)


@compiled
def one_head_of_text(job, me, layer, head, by):
    """Cross-attention, as `one_head`."""
    D = job.head_size
    _, q, scores, _ = own_memory(job, me)
    multiply_by(job, layer, TEXT_Q, head * D, (head + 1) * D, by, q, 4 * D)
    for n in range(by.rows):
        row, out = row_of(job, n), job.heard + 4 * (n * job.width + head * D)
        cache, length = text_cache(job, layer, row, head), of_row(job, row, TEXT_LENGTH)
        attend(0, q + 4 * n * D, cache, of_row(job, row, TEXT_HEARD), length, D, scores, out)


@compiled
def hear(job, me, phase, before, layer, text):
    """Attention to the past or, if `text`, to the text, for the rows that hear it."""
    which, norm = (TEXT_Q, TEXT_NORM) if text else (Q, NORM)
    head, done = claim(job, me, phase, job.heads), 0
    ask_for(job, matrix(job, layer, which), head, job.heads, job.head_size, job.width)
    wait(job, phase - 1, before)
    if head < job.heads:
        by = normal_x(job, me, layer, norm, job.listening if text else job.positions)
        while head < job.heads:
            if text:
                one_head_of_text(job, me, layer, head, by)
            else:
                one_head(job, me, layer, head, by)
            done += 1
            head = claim(job, me, phase, job.heads)
    finish(job, phase, done)
    return job.heads


@compiled
def add_chunk(job, me, layer, which, chunk, by):
    """x += some outputs of a matrix."""
    out, first = own_memory(job, me)[1], chunk * CHUNK
    multiply_by(job, layer, which, first, first + CHUNK, by, out, 4 * CHUNK)
    for n in range(by.rows):
        add(job.x + 4 * (n * job.width + first), out + 4 * n * CHUNK, CHUNK)


@compiled
def add_heard(job, me, phase, before, layer, which, rows):
    """x += a matrix times what attention found."""
    chunks, done = job.width // CHUNK, 0
    chunk = claim(job, me, phase, chunks)
    ask_for(job, matrix(job, layer, which), chunk, chunks, CHUNK, job.width)
    wait(job, phase - 1, before)
    if chunk < chunks:
        by = copied(job, own_memory(job, me)[0], job.heard, rows)
        while chunk < chunks:
            add_chunk(job, me, layer, which, chunk, by)
            done += 1
            chunk = claim(job, me, phase, chunks)
    finish(job, phase, done)
    return chunks


@compiled
def ffn_chunk(job):
    """Outputs of fc1 that a thread takes at a time: whole groups, in any number of bits."""
    return group_size(32, job.ffn_size)


@compiled
def expand_chunk(job, layer, chunk, by, hidden):
    """Some of hidden = gelu(fc1 · norm x), at once in 8 bits for matrices of fewer than 32."""
    size = ffn_chunk(job)
    first, line = chunk * size, 4 * job.ffn_size + PAD
    multiply_by(job, layer, FC1, first, first + size, by, hidden.x + 4 * first, line)
    for n in range(by.rows):
        gelu(x_of(hidden, n) + 4 * first, size // LANES)
        if job.bits < 32:
            quantise_groups(hidden, n, first // hidden.group, (first + size) // hidden.group)


@compiled
def expand(job, me, phase, before, layer):
    size, done = ffn_chunk(job), 0
    chunks = job.ffn_size // size
    chunk = claim(job, me, phase, chunks)
    ask_for(job, matrix(job, layer, FC1), chunk, chunks, size, job.width)
    wait(job, phase - 1, before)
    if chunk < chunks:
        by = normal_x(job, me, layer, FFN_NORM, job.positions)
        hidden = operand_at(job.bits, job.hidden, by.rows, job.ffn_size)
        while chunk < chunks:
            expand_chunk(job, layer, chunk, by, hidden)
            done += 1
            chunk = claim(job, me, phase, chunks)
    finish(job, phase, done)
    return chunks


@compiled
def contract(job, me, phase, before, layer):
    """x += fc2 · hidden"""
    chunks, done = job.width // CHUNK, 0
    chunk = claim(job, me, phase, chunks)
    ask_for(job, matrix(job, layer, FC2), chunk, chunks, CHUNK, job.ffn_size)
    wait(job, phase - 1, before)
    hidden = operand_at(job.bits, job.hidden, job.positions, job.ffn_size)
    while chunk < chunks:
        add_chunk(job, me, layer, FC2, chunk, hidden)
        done += 1
        chunk = claim(job, me, phase, chunks)
    finish(job, phase, done)
    return chunks


@compiled
def predict(job, me, phase, before):
    """The logits after the last step of each row."""
    each, done = job.codebook_size // GROUP, 0
    chunks = job.codebooks * each
    chunk = claim(job, me, phase, chunks)
    wait(job, phase - 1, before)
    if chunk < chunks:
        by = normal_last(job, me)
        while chunk < chunks:
            k, first = chunk // each, chunk % each * GROUP
            matrix, scales = address_at(job.logit_matrices, k), address_at(job.logit_scales, k)
            out, step = (
                job.logits + 4 * (k * job.codebook_size + first),
                4 * job.codebooks * job.codebook_size,
            )
            product(job.head_bits, matrix, scales, first, first + GROUP, by, out, step)
            done += 1
            chunk = claim(job, me, phase, chunks)
    finish(job, phase, done)
    return chunks


# ---------------------------------------------------------------- what a thread runs


@compiled
def step(address, me):
    """Reads N positions; `x` holds their embeddings, `logits` what comes after the last of each
    row.
    """
    job, phase, items = job_at(address), np.int64(0), np.int64(0)
    N, listening = job.positions, job.listening
    for layer in range(job.layers):
        items = hear(job, me, phase, items, layer, False)
        items = add_heard(job, me, phase + 1, items, layer, OUT, N)
        phase += 2
        if listening:
            items = hear(job, me, phase, items, layer, True)
            items = add_heard(job, me, phase + 1, items, layer, TEXT_OUT, listening)
            phase += 2
        items = expand(job, me, phase, items, layer)
        items = contract(job, me, phase + 1, items, layer)
        phase += 2
    items = predict(job, me, phase, items)
    wait(job, phase, items)


@compiled
def read_text(address, me):
    """All layers' keys and values of one text, from projected states in `text`."""
    job = job_at(address)
    D, L, items = job.head_size, job.text_length, job.layers * job.heads
    place, out, _, _ = own_memory(job, me)
    factor = f32(1.0 / np.sqrt(D))
    by = copied(job, place, job.text, L)
    item = claim(job, me, np.int64(0), items)
    while item < items:
        layer, head = item // job.heads, item % job.heads
        begin = 4 * item * job.text_room * D
        for which in range(2):
            multiply_by(job, layer, TEXT_K + which, head * D, (head + 1) * D, by, out, 4 * D)
            for t in range(L):
                tile, column = t // TEXT_TILE, t % TEXT_TILE
                key = job.text_keys + begin + 4 * (tile * D * TEXT_TILE + column)
                for i in range(D):
                    value = number(out + 4 * t * D, i)
                    if which:
                        put(job.text_values + begin + 4 * t * D, i, value)
                    else:
                        put(key, i * TEXT_TILE, value * factor)
        item = claim(job, me, np.int64(0), items)
