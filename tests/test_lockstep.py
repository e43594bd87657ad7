"""How far compositions of one engine are brought, and in whose company."""

import contextlib
import itertools
import threading
import time

import torch
from test_shared import SOON, Counted, engine_of, tokens

from musicgraph.models.compose.composition import stream
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines import lockstep
from musicgraph.models.engines.lockstep import Lockstep, Seat
from musicgraph.models.engines.shared import seat_at
from musicgraph.nodes import host
from musicgraph.nodes.sample import FIRST_FRAMES, REPORT_FRAMES, _blocks


def counting(made):
    """Frames `[1, 1, 1]` that are their own numbers, which `made` gets as they come."""
    for number in itertools.count():
        made.append(number)
        yield torch.full((1, 1, 1), number)


def heard(seat, *how):
    return tokens(piece for piece in seat.more(*how) if piece is not None)


def settled(made):
    """How many there are when no more come."""
    count = -1
    while count < len(made):
        count = len(made)
        time.sleep(5 * lockstep.LINGERS_S)
    return count


def test_so_many_are_made_ahead_and_no_more():
    made = []
    seat = Lockstep().seat(counting(made))
    first = heard(seat, 4, 3)
    assert settled(made) == 7
    rest = heard(seat, 7 - first.shape[2])
    assert settled(made) == 7, "nobody asked for more"
    assert torch.cat([first, rest], dim=2).flatten().tolist() == list(range(7))
    seat.close()


def test_who_is_busy_with_what_has_come_stays_in_company(mono):
    class Gated(Counted):
        def _step_together(self, wishes):
            assert both_ask.wait(SOON)
            super()._step_together(wishes)

    both_ask, engine, text = threading.Event(), Gated(engine_of(mono)), mono.text.encode(["drums"])
    first, second = (
        seat_at(engine, stream(engine, Generation(12, seed, Sampling(top_k=50)), text))
        for seed in range(2)
    )
    other = threading.Thread(target=lambda: heard(second, 12))
    other.start()
    engine.lockstep.play(first, 4, 12)
    both_ask.set()
    assert heard(first, 4, 8).shape[2] >= 4  # and asks for no more while the other one plays
    other.join(SOON)
    assert engine.companies.count(1) <= 2 < 12 <= engine.companies.count(2)
    first.close(), second.close()


def test_who_composes_keeps_its_processor_between_two_steps(monkeypatch):
    class Processors:
        taken = 0

        @contextlib.contextmanager
        def one(self):
            self.taken += 1
            yield

    processors = Processors()
    monkeypatch.setattr(lockstep, "CORES", processors)
    seat = Lockstep().seat(counting([]))
    assert heard(seat, 50).shape[2] == 50
    assert processors.taken == 1
    seat.close()


class AllAtOnce(Seat):
    """Has more than is asked for."""

    def __init__(self, total):
        super().__init__(counting([]))
        self._total = total

    def more(self, count, ahead=0):
        self.made, self.is_over = self._total, True
        yield None
        yield torch.arange(self._total).view(1, 1, -1)


def test_what_has_come_while_one_was_decoded_is_one_block():
    blocks = list(_blocks(AllAtOnce(60), host.Progress(60)))
    assert [block.shape[2] for block in blocks] == [REPORT_FRAMES, REPORT_FRAMES, 10]
    assert torch.cat(blocks, dim=2).flatten().tolist() == list(range(60))


def test_blocks_are_short_where_they_come_one_by_one():
    blocks = _blocks(Seat(counting([])), host.Progress(100))
    sizes = [block.shape[2] for block in itertools.islice(blocks, len(FIRST_FRAMES) + 2)]
    assert sizes == [*FIRST_FRAMES, REPORT_FRAMES, REPORT_FRAMES]
