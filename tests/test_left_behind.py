"""Compositions that nobody has any more are ended where the garbage collector finds them: in any
thread, in the midst of anything. Nobody waits for ever because of that, and nothing is left behind.
"""

import gc
import threading

import pytest
import torch
from test_shared import engine_of

from musicgraph.models.compose.composition import stream
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines import lockstep, numba_engine
from musicgraph.models.engines.shared import SharedEngine, seat_at
from musicgraph.models.engines.turns import CORES

SOON = 20.0


@pytest.fixture(scope="module")
def engine(mono):
    return engine_of(mono)


@pytest.fixture
def heard(mono):
    return mono.text.encode(["drums"])


@pytest.fixture(autouse=True)
def found_when_it_is_looked_for():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def abandon(engine, heard, steps=2):
    """A composition that only itself knows."""
    frames = stream(engine, Generation(40, 0, Sampling(top_k=50)), heard)
    for _ in range(steps):
        next(frames)
    itself = [frames]
    itself.append(itself)


def ends(work):
    """Whether it does, and well; in a thread that is left behind if it does not."""
    done = threading.Event()
    threading.Thread(target=lambda: work() or done.set(), daemon=True).start()
    return done.wait(SOON)


def silence(mono):
    return torch.full((1, 4, 1), mono.config.special_token)


def test_it_is_found_by_who_has_the_processors_while_another_steps(mono, engine, heard):
    shared_engine = SharedEngine(engine)
    session = shared_engine.open()
    slot = session.admit([heard], 9)
    abandon(shared_engine, heard)
    whole, is_stepping, is_found = shared_engine._own.step, threading.Event(), threading.Event()

    def step(slots, tokens):
        is_stepping.set()
        is_found.wait(SOON)
        return whole(slots, tokens)  # for which the processors are needed

    shared_engine._own.step = step
    stepping = threading.Thread(target=session.step, args=([slot], silence(mono)), daemon=True)

    def decode():
        with CORES:
            stepping.start()
            assert is_stepping.wait(SOON)
            threading.Timer(0.05, is_found.set).start()
            gc.collect()

    assert ends(decode)
    stepping.join(SOON)
    assert not stepping.is_alive()
    assert set(shared_engine._own._slots._slots) == {slot}, "it has left all the same"


def test_it_is_found_while_processors_are_counted(engine, heard):
    shared_engine = SharedEngine(engine)
    abandon(shared_engine, heard)

    def work():
        with CORES._changed:
            gc.collect()

    assert ends(work)
    assert not shared_engine._own._slots._slots


@pytest.mark.parametrize("steps", [1, 2])
def test_it_is_found_while_another_is_admitted(melody_mono, monkeypatch, steps):
    """Also one that was being admitted itself, when it was left."""
    shared_engine = SharedEngine(engine_of(melody_mono))
    heard = melody_mono.text.encode(["drums"])
    session = shared_engine.open()
    others = [session.admit([heard], 9) for _ in range(3)]
    abandon(shared_engine, heard, steps)
    slots = shared_engine._own._slots

    class Finding(dict):
        """Finds it in the midst of being looked through."""

        def values(self):
            for number, value in enumerate(super().values()):
                if number == 1:
                    gc.collect()
                yield value

    slots._slots = Finding(slots._slots)
    others.append(session.admit([heard], 9))
    assert set(slots._slots) == set(others)


@pytest.mark.parametrize("lets_go", [False, True], ids=["held", "closed"])
def test_a_seat_is_left_wherever_it_is_found(engine, heard, monkeypatch, lets_go):
    """By the thread that plays, in the midst of bringing that very composition on."""
    monkeypatch.setattr(lockstep, "HEARS_S", 0.001)
    shared_engine = SharedEngine(engine)
    frames = stream(shared_engine, Generation(40, 0, Sampling(top_k=50)), heard)
    found, whole = [], shared_engine._own.step

    def step(slots, tokens):
        if seats and lets_go:
            seats.pop().close()
        elif seats:
            seats.clear()
        gc.collect()
        found.append(len(slots))
        return whole(slots, tokens)

    shared_engine._own.step = step
    seat = seat_at(shared_engine, frames)
    seats = [seat]
    more = seat.more(4)
    while not found:  # it is over as soon as it is closed
        next(more, None)
    del more, seat, frames
    if (thread := shared_engine.lockstep._thread) is not None:
        thread.join(SOON)
    gc.collect()
    assert not shared_engine._own._slots._slots


def test_a_seat_is_left_while_its_company_meets(engine, heard):
    shared_engine = SharedEngine(engine)
    company = shared_engine.lockstep
    seats = [
        seat_at(shared_engine, stream(shared_engine, Generation(9, i, Sampling(top_k=50)), heard))
        for i in range(3)
    ]
    for seat in seats:
        list(seat.more(1))

    class Finding(list):
        def __iter__(self):
            for number, one in enumerate(super().__iter__()):
                if number == 1:
                    seats[0].close()
                yield one

    company._seats = Finding(seats)
    assert ends(lambda: list(seats[1].more(8)) and None)
    assert ends(lambda: list(seats[2].more(8)) and None)
    assert seats[1].made == seats[2].made == 9
    seats[1].close(), seats[2].close()
    assert not shared_engine._own._slots._slots


def test_who_is_stopped_while_it_waits_holds_up_nobody(engine, heard, monkeypatch):
    """Ctrl-C may come at any time."""
    shared_engine = SharedEngine(engine)
    first, second = (
        seat_at(shared_engine, stream(shared_engine, Generation(9, i, Sampling(top_k=50)), heard))
        for i in range(2)
    )

    def stopped(patience_s):
        raise KeyboardInterrupt

    monkeypatch.setattr(first.called, "wait", stopped)
    with pytest.raises(KeyboardInterrupt):
        list(first.more(4))
    first.close()
    assert ends(lambda: list(second.more(9)) and None)
    assert second.made == 9


def test_what_finds_no_memory_leaves_none_taken(engine, heard, monkeypatch):
    session, row = engine.open(), numba_engine.RowKV
    rows = iter([row, None])

    def row_or_none(*args):
        kind = next(rows)
        if kind is None:
            raise MemoryError
        return kind(*args)

    monkeypatch.setattr(numba_engine, "RowKV", row_or_none)
    with pytest.raises(MemoryError):
        session.admit([heard, None], 9)
    assert not session._slots._slots and not session._pasts
