"""One engine for compositions of several threads: each has the tokens that it has by itself."""

import gc
import threading
import time
import weakref
from dataclasses import replace

import pytest
import torch

from musicgraph.models.automation import Automation
from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines import lockstep
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.engines.shared import SharedEngine, seat_at
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused

SOON = 60.0
FEW = Sampling(top_k=50)


def engine_of(tiny, precision="int8"):
    """With one thread for its own work: here others are what is looked at."""
    engine = NumbaEngine(tiny.checkpoint, precision)
    engine.threads = Threads(1)
    return engine


@pytest.fixture(scope="module")
def engine(mono):
    return engine_of(mono)


@pytest.fixture(scope="module")
def piece(mono):
    """A way to make pieces, to be composed on whatever engine."""

    def make(*texts, frames=10, seed=0, negative=None, sampling=FEW, positive=None, **more):
        away = None if negative is None else mono.text.encode([negative])
        heard = mono.text.encode(texts) if positive is None else positive
        generation = Generation(frames, seed, sampling)
        return lambda engine: stream(engine, generation, heard, away, **more)

    return make


def tokens(frames):
    return torch.cat(list(frames), dim=2)


class Counted(SharedEngine):
    """Notes how many take part in each step."""

    def __init__(self, engine):
        super().__init__(engine)
        self.companies = []

    def _step_together(self, wishes):
        self.companies.append(len(wishes))
        super()._step_together(wishes)


def heard_from(seat, *counts):
    """All that is made of it, asked for in such blocks, and then to its end."""
    pieces = []
    for count in (*counts, 1000):
        pieces += [piece for piece in seat.more(count) if piece is not None]
    seat.close()
    return tokens(pieces)


def in_company(engine, pieces, *counts):
    """What came of each, asked for by a thread of its own: tokens, or an error."""
    made = [None] * len(pieces)
    begin = threading.Barrier(len(pieces))

    def compose(i):
        begin.wait(SOON)
        try:
            made[i] = heard_from(seat_at(engine, pieces[i](engine)), *counts)
        except Exception as error:
            made[i] = error

    threads = [threading.Thread(target=compose, args=(i,)) for i in range(len(pieces))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    return made


def assert_as_alone(engine, pieces):
    shared = Counted(engine)
    for piece, beside in zip(pieces, in_company(shared, pieces, 5, 3), strict=True):
        assert torch.equal(tokens(piece(engine)), beside)
    assert max(shared.companies) > 1, "they have met"
    assert is_empty(shared), "nobody is left behind"


def is_empty(shared):
    """Soon: who has a composition at work ends it."""
    until = time.monotonic() + SOON
    while shared._own._slots._slots and time.monotonic() < until:
        time.sleep(0.001)
    return not shared._own._slots._slots


@pytest.mark.parametrize("precision", ["int8", "int4", "fp32"])
def test_each_has_its_own_tokens_whatever_its_neighbours_are(mono, piece, precision):
    now, then = mono.text.encode(["drums"]), mono.text.encode(["pads"])
    pieces = [
        piece("drums", seed=5),
        piece("a slow piano", seed=2**64 - 1, frames=16),
        piece("one", "another", seed=5, negative="noise", sampling=replace(FEW, cfg=2.0)),
        piece("", seed=9, sampling=replace(FEW, temperature=0)),
        piece(positive=combined([(now, 1), (then, 2)]), seed=3),
        piece(positive=Timeline(now, (Change(0.1, then),)), frames=14),
        piece("b", automation=Automation.parse("cfg 0: 1, 0.2: 4"), frames=14),
        piece("go on", prompt=torch.randint(0, 64, (1, 4, 6)), frames=14),
    ]
    assert_as_alone(engine_of(mono, precision), pieces)


def test_music_of_several_windows_is_the_same_in_company(mono, piece):
    short = engine_of(mono, "fp32")
    short.config = replace(short.config, window_frames=20)
    assert_as_alone(short, [piece("drums", frames=50, seed=i) for i in (3, 8, 4)])


def test_a_model_that_reads_a_prefix_keeps_company_as_well(melody_mono, piece):
    engine = engine_of(melody_mono)
    heard = melody_mono.text.encode(["drums"])
    pieces = [piece(positive=heard, seed=i, frames=8 + 4 * i) for i in range(3)]
    assert_as_alone(engine, pieces)


def test_all_that_is_asked_for_by_then_is_one_step(mono, engine):
    shared = Counted(engine)
    sessions = [shared.open() for _ in range(3)]
    slots = [one.admit([mono.text.encode(["drums"])], 9) for one in sessions]
    step = torch.full((1, 4, 1), mono.config.special_token)
    answers = [one.ask([slot], step) for one, slot in zip(sessions[:2], slots, strict=False)]
    apart = [answer() for answer in answers]
    late = sessions[2].step(slots[2:], step)
    assert shared.companies == [2, 1]
    assert torch.equal(apart[0], apart[1]) and torch.equal(apart[0], late)


def test_a_step_that_was_asked_for_and_left_is_not_computed(mono, engine):
    shared = Counted(engine)
    sessions = [shared.open() for _ in range(2)]
    slots = [one.admit([mono.text.encode(["drums"])], 9) for one in sessions]
    step = torch.full((1, 4, 1), mono.config.special_token)
    answers = [one.ask([slot], step) for one, slot in zip(sessions, slots, strict=True)]
    sessions[0].leave(slots[0])
    assert answers[1]().isfinite().all() and shared.companies == [1]


def test_who_comes_and_goes_at_any_step_disturbs_nobody(engine, piece):
    shared = Counted(engine)
    patient = piece("drums", frames=60, seed=1)
    alone = tokens(patient(engine))
    seat, made, threads = seat_at(shared, patient(shared)), [], []
    for i in range(30):
        made += [some for some in seat.more(2) if some is not None]
        if i % 10 == 5:
            other = seat_at(shared, piece("pads", seed=i, frames=5 + i % 7)(shared))
            threads.append(threading.Thread(target=heard_from, args=(other,)))
            threads[-1].start()
        if i % 15 == 8:
            leaver = seat_at(shared, piece("gone", seed=i, frames=200)(shared))
            next(leaver.more(3 if i == 8 else 200))
            leaver.close()
    for thread in threads:
        thread.join(SOON)
    assert torch.equal(alone, tokens(made))
    seat.close()
    assert is_empty(shared)


def test_one_thread_may_play_several_in_turn_without_a_seat(engine, piece):
    shared = SharedEngine(engine)
    pieces = [piece("drums", seed=i, frames=20) for i in range(3)]
    under_way, made = [one(shared) for one in pieces], [[], [], []]
    while any(under_way):
        for i, frames in enumerate(under_way):
            if frames is not None and (some := next(frames, None)) is not None:
                made[i].append(some)
            else:
                under_way[i] = None
    for one, own in zip(pieces, made, strict=True):
        assert torch.equal(tokens(one(engine)), tokens(own))


def test_logits_that_are_no_numbers_are_only_their_owners_trouble(engine, piece):
    shared = SharedEngine(engine)
    whole = shared._own.step

    def poisoned(slots, tokens):
        logits = whole(slots, tokens)
        if 1 in slots:
            row = 2 * slots.index(1)
            logits[row : row + 2] = float("nan")
        return logits

    shared._own.step = poisoned
    pieces = [piece("drums", seed=i, frames=10) for i in range(3)]
    made = in_company(shared, pieces)
    failed = [i for i, one in enumerate(made) if isinstance(one, Refused)]
    assert len(failed) == 1 and "NaN" in str(made[failed[0]])
    for i in {0, 1, 2} - set(failed):
        assert torch.equal(made[i], tokens(pieces[i](engine)))


def test_a_step_that_fails_fails_for_those_in_it_and_the_next_go_on(mono, engine):
    def breaks(slots, tokens):
        raise MemoryError("too much")

    shared = SharedEngine(engine)
    sessions = [shared.open() for _ in range(3)]
    slots = [one.admit((mono.text.encode(["drums"]), None), 9) for one in sessions]
    silence = torch.full((1, 4, 1), mono.config.special_token)
    answers = [one.ask([slot], silence) for one, slot in zip(sessions[:2], slots, strict=False)]
    whole, shared._own.step = shared._own.step, breaks
    for answer in answers:
        with pytest.raises(MemoryError):
            answer()
    shared._own.step = whole
    for one in sessions[:2]:
        one.leave(slots[sessions.index(one)])
    assert sessions[2].step(slots[2:], silence).isfinite().all()


def test_an_engine_whose_rows_depend_on_their_neighbours_is_not_shared(mono):
    with pytest.raises(AssertionError, match="neighbours"):
        SharedEngine(TorchEngine(mono.lm))


def test_one_thread_draws_for_all(engine, piece, monkeypatch):
    """Side by side they would take the interpreter from each other at every operation."""
    threads, draw = set(), engine.draw

    def watched(*args):
        threads.add(threading.get_ident())
        return draw(*args)

    monkeypatch.setattr(engine, "draw", watched)
    monkeypatch.setattr(lockstep, "LINGERS_S", SOON / 10)
    shared = Counted(engine)
    made = in_company(shared, [piece("drums", seed=i) for i in range(4)], 4)
    assert all(isinstance(one, torch.Tensor) for one in made)
    assert len(threads) == 1 and threads.isdisjoint({threading.get_ident()})


def test_no_more_is_made_than_was_asked_for(engine, piece):
    """What is said now holds from the next frame on."""
    shared = SharedEngine(engine)
    frames = piece("drums", frames=40)(shared)
    seat, asked = seat_at(shared, frames), []
    for count in (1, 3, 5):
        list(seat.more(count))
        asked.append(shared.lockstep.asked)
    assert seat.made == 9
    delay = engine.config.max_delay  # a frame is whole when its last codebook is drawn
    assert asked == [1 + delay, 4 + delay, 9 + delay]
    seat.close()


def test_who_waits_is_asked_now_and_then_whether_it_still_does(engine, piece, monkeypatch):
    monkeypatch.setattr(lockstep, "HEARS_S", 0.001)
    shared = SharedEngine(engine)
    own, may_go_on = shared._own.step, threading.Event()

    def slow(*args):
        may_go_on.wait(SOON)
        return own(*args)

    monkeypatch.setattr(shared._own, "step", slow)
    seat = seat_at(shared, piece("drums")(shared))
    more = seat.more(10)
    assert next(more) is None and next(more) is None
    seat.close()
    assert shared._own._slots._slots, "it is at work, and nobody waits for its end"
    may_go_on.set()
    assert is_empty(shared)


def test_the_thread_that_plays_ends_and_begins_again(engine, piece, monkeypatch):
    monkeypatch.setattr(lockstep, "LINGERS_S", 0.001)
    shared = SharedEngine(engine)
    seat, made = seat_at(shared, piece("drums", frames=6)(shared)), []
    for _ in range(3):
        made += [some for some in seat.more(2) if some is not None]
        thread = shared.lockstep._thread
        if thread is not None:
            thread.join(SOON)
        assert shared.lockstep._thread is None
    assert torch.equal(tokens(made), tokens(piece("drums", frames=6)(engine)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_another_plays_on_where_the_thread_that_plays_breaks(engine, piece, monkeypatch):
    monkeypatch.setattr(lockstep, "HEARS_S", 0.01)
    shared, bring_on = SharedEngine(engine), lockstep.Lockstep._bring_on
    breaks = iter([True])

    def broken(self, seat):
        if next(breaks, False):
            raise MemoryError
        bring_on(self, seat)

    monkeypatch.setattr(lockstep.Lockstep, "_bring_on", broken)
    made = heard_from(seat_at(shared, piece("drums", frames=9)(shared)))
    assert torch.equal(made, tokens(piece("drums", frames=9)(engine)))


def test_an_engine_that_nobody_has_any_more_is_gone_at_once(engine, piece):
    """Its weights are most of a machine's memory, and the garbage collector comes late."""
    gc.collect()
    gc.disable()
    try:
        shared = SharedEngine(engine)
        seat = seat_at(shared, piece("drums", frames=6)(shared))
        list(seat.more(6)), seat.close()
        while shared.lockstep._thread is not None:
            time.sleep(0.001)
        own = weakref.ref(shared)
        del seat, shared
        assert own() is None
    finally:
        gc.enable()
