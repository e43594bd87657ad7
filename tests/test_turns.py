"""Who has which processors, where many ask for them."""

import threading

import pytest

from musicgraph.models.engines.turns import Cores

SOON = 20.0


def having(cores, most):
    with cores.some(most) as count:
        return count


def test_a_call_has_all_that_are_free():
    cores = Cores(4)
    assert having(cores, 3) == 3
    assert having(cores, 16) == 4
    with cores.some(3) as count:
        assert count == 3
        assert having(cores, 16) == 1
    assert having(cores, 16) == 4


@pytest.mark.parametrize("taken", [lambda cores: cores.one(), lambda cores: cores])
def test_who_has_one_takes_the_others_with_it(taken):
    cores = Cores(2)
    with taken(cores):
        assert having(cores, 1) == 1
        assert having(cores, 2) == 2
        with taken(cores):
            assert having(cores, 2) == 2
        assert having(cores, 2) == 2
    assert cores._taken == 0


def test_who_composes_never_waits():
    cores = Cores(1)
    with cores:
        counts = []
        other = threading.Thread(target=lambda: counts.append(having(cores, 2)))
        other.start()
        other.join(SOON)
        assert counts == [1]
    assert cores._taken == 0


def test_who_decodes_waits_for_one_and_gets_it():
    cores, has_one, may_go = Cores(2), threading.Semaphore(0), threading.Semaphore(0)

    def decode():
        with cores:
            has_one.release()
            assert may_go.acquire(timeout=SOON)

    threads = [threading.Thread(target=decode) for _ in range(3)]
    with cores.one():
        for thread in threads:
            thread.start()
        assert has_one.acquire(timeout=SOON)
        assert not has_one.acquire(timeout=0.05), "the other one is taken"
    assert has_one.acquire(timeout=SOON)
    assert not has_one.acquire(timeout=0.05)
    for _ in threads:
        may_go.release()
    assert has_one.acquire(timeout=SOON)
    for thread in threads:
        thread.join(SOON)
    assert cores._taken == 0


def test_on_one_processor_decoding_goes_on_beside_composing():
    cores, has_one = Cores(1), threading.Semaphore(0)

    def decode():
        with cores:
            has_one.release()

    with cores.one():
        thread = threading.Thread(target=decode)
        thread.start()
        assert has_one.acquire(timeout=SOON)
        thread.join(SOON)
        with cores:
            pass
    with cores:
        thread = threading.Thread(target=decode)
        thread.start()
        assert not has_one.acquire(timeout=0.05), "one at a time"
    thread.join(SOON)
    assert cores._taken == cores._decoding == 0


def test_what_fails_gives_its_processors_back():
    cores = Cores(2)
    with pytest.raises(MemoryError), cores, cores.some(2):
        raise MemoryError
    assert having(cores, 2) == 2


def test_where_all_compose_one_who_decodes_shares_their_processors():
    cores, composing, may_end = Cores(2), threading.Barrier(3), threading.Event()

    def compose():
        with cores.one():
            composing.wait(SOON)
            assert may_end.wait(SOON)

    threads = [threading.Thread(target=compose) for _ in range(2)]
    for thread in threads:
        thread.start()
    composing.wait(SOON)
    got = []
    with cores:
        other = threading.Thread(target=lambda: cores.__enter__() or got.append(1))
        other.start()
        other.join(0.1)
        assert not got, "only one does"
    other.join(SOON)
    assert got
    may_end.set()
    for thread in threads:
        thread.join(SOON)
