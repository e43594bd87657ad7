"""One engine for compositions of several threads: each has the tokens that it has by itself."""

import sys
import threading
import time
from dataclasses import replace

import pytest
import torch

from musicgraph.models.automation import Automation
from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines import shared as shared_engine
from musicgraph.models.engines import turns
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.engines.shared import SharedEngine, _Wish
from musicgraph.models.engines.turns import CORES
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


def in_company(engine, pieces):
    """What came of each, composed by a thread of its own: tokens, or an error."""
    made = [None] * len(pieces)
    begin = threading.Barrier(len(pieces))

    def compose(i):
        begin.wait(SOON)
        try:
            made[i] = tokens(pieces[i](engine))
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
    for piece, beside in zip(pieces, in_company(shared, pieces), strict=True):
        assert torch.equal(tokens(piece(engine)), beside)
    assert max(shared.companies) > 1, "they have met"
    assert not shared._own._slots._slots, "nobody is left behind"


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


def test_who_decodes_is_waited_for(engine, monkeypatch):
    """Whoever asks first would else go on alone, and soon everybody would."""
    monkeypatch.setattr(shared_engine, "MOST_DECODING_S", SOON)
    shared = Counted(engine)
    sessions = [shared.open() for _ in range(2)]
    slots = [one.admit([None], 8) for one in sessions]
    step = torch.zeros(1, 4, 1, dtype=torch.long)

    def ask(i):
        sessions[i].step([slots[i]], step)

    def asked(*who):
        threads = [threading.Thread(target=ask, args=(i,)) for i in who]
        for thread in threads:
            thread.start()
        return threads

    monkeypatch.setattr(shared, "_expected", set(sessions))
    with CORES:
        first = asked(0)
        time.sleep(10 * shared_engine.MOST_PATIENCE_S)
        second = asked(1)
        while len(shared._waiting) < 2 and not shared._is_stepping:
            time.sleep(0.001)
    for thread in (*first, *second):
        thread.join(SOON)
    assert shared.companies == [2]


def test_who_comes_and_goes_at_any_step_disturbs_nobody(engine, piece):
    shared = Counted(engine)
    patient = piece("drums", frames=60, seed=1)
    alone = tokens(patient(engine))
    frames = patient(shared)
    made, threads = [], []
    for i, some in enumerate(frames):
        made.append(some)
        if i % 20 == 10:
            other = piece("pads", seed=i, frames=5 + i % 7)
            threads.append(threading.Thread(target=lambda o=other: list(o(shared))))
            threads[-1].start()
        if i % 30 == 15:
            leaver = piece("gone", seed=i, frames=200)(shared)
            next(leaver), next(leaver), leaver.close()
    for thread in threads:
        thread.join(SOON)
    assert torch.equal(alone, tokens(made))
    assert not shared._own._slots._slots


def test_one_thread_may_play_several_in_turn(engine, piece):
    """As live performances do, whose steps then are by themselves."""
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
    wishes = [_Wish(one, [slot], silence) for one, slot in zip(sessions[:2], slots, strict=False)]
    whole, shared._own.step = shared._own.step, breaks
    shared._compute(wishes)
    for wish in wishes:
        with pytest.raises(MemoryError):
            wish.outcome()
    shared._own.step = whole
    for one in sessions[:2]:
        one.leave(slots[sessions.index(one)])
    assert sessions[2].step(slots[2:], silence).isfinite().all()


def test_an_engine_whose_rows_depend_on_their_neighbours_is_not_shared(mono):
    with pytest.raises(AssertionError, match="neighbours"):
        SharedEngine(TorchEngine(mono.lm))


def test_one_thread_at_a_time_draws(engine, piece, monkeypatch):
    """Side by side they would take the interpreter from each other at every operation."""
    at_once, most = [], []
    draw = engine.draw

    def watched(*args):
        at_once.append(None)
        most.append(len(at_once))
        time.sleep(0.001)  # lets go of the interpreter, as an operation does
        at_once.pop()
        return draw(*args)

    monkeypatch.setattr(turns, "MOST_WAITED_S", SOON)
    monkeypatch.setattr(shared_engine, "PYTHON", turns.Python())
    monkeypatch.setattr(engine, "draw", watched)
    shared = Counted(engine)
    made = in_company(shared, [piece("drums", seed=i) for i in range(4)])
    assert all(isinstance(one, torch.Tensor) for one in made)
    assert max(most) == 1 and max(shared.companies) > 1


def test_a_turn_that_nobody_passes_on_is_taken_once():
    python = turns.Python()
    gone = threading.Thread(target=python.take)
    gone.start()
    gone.join(SOON)
    began = time.monotonic()
    for _ in range(100):
        python.take()
        python.pass_on()
    assert time.monotonic() - began < 50 * turns.MOST_WAITED_S
    assert python.whose == 0


def test_turns_that_are_taken_while_they_are_passed_on_harm_nobody(monkeypatch):
    """Threads that wait hardly at all, on an interpreter that changes its mind all the time."""
    monkeypatch.setattr(turns, "MOST_WAITED_S", 1e-6)
    python, took = turns.Python(), []

    def take_and_pass_on():
        for _ in range(300):
            python.take()
            python.pass_on()
        took.append(True)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=take_and_pass_on) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
    finally:
        sys.setswitchinterval(interval_s)
    assert len(took) == 8
    assert python.whose == 0


def test_who_decodes_lets_others_draw():
    others = []

    def take_and_pass_on():
        turns.PYTHON.take()
        others.append(turns.PYTHON.whose == threading.get_ident())
        turns.PYTHON.pass_on()

    turns.PYTHON.take()
    with CORES:
        other = threading.Thread(target=take_and_pass_on)
        other.start()
        other.join(SOON)
    assert others == [True]
    assert turns.PYTHON.whose == 0
