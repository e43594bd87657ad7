"""Memory of calls: used again, and never while somebody has it."""

import threading

import numpy as np
import torch

from musicgraph.models.engines.reused import MOST_BYTES, Reused


def place(array) -> int:
    return array.ctypes.data


def test_what_nobody_has_is_used_again_in_another_shape():
    memory = Reused()
    first = memory.empty((4, 6), np.float32)
    at = place(first)
    del first
    second = memory.empty((3, 2), np.int64)
    assert place(second) == at and second.shape == (3, 2) and second.dtype == np.int64


def test_what_a_tensor_or_a_part_of_it_has_is_not():
    memory = Reused()
    held = torch.from_numpy(memory.empty((4, 6), np.float32)).split(2)[1]
    held.fill_(7)
    memory.empty((4, 6), np.float32).fill(0)
    assert (held == 7).all()


def test_little_is_not_taken_from_what_more_fits():
    memory = Reused()
    big, small = memory.empty((100,), np.uint8), memory.empty((10,), np.uint8)
    places = place(big), place(small)
    del big, small
    assert place(memory.empty((8,), np.uint8)) == places[1]
    assert place(memory.empty((50,), np.uint8)) == places[0]


def test_what_grows_leaves_nothing_behind_that_is_too_small():
    memory = Reused()
    for size in range(1, 30):
        memory.empty((1000 * size,), np.uint8)
    assert [len(one) for one in memory._kept] == [29_000]
    memory.empty((MOST_BYTES + 1,), np.uint8)
    assert [len(one) for one in memory._kept] == [29_000], "what is rare and large is not kept"


def test_threads_never_have_the_same():
    memory, wrong, others = Reused(), [], threading.Barrier(4)

    def use(number):
        for _ in range(200):
            array = memory.empty((64,), np.int64)
            array[:] = number
            others.wait(60)  # everybody has written
            wrong.extend(array[array != number])
            others.wait(60)
            del array

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
