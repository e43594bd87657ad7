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
    pieces = [heard(seat, 4, 3)]  # more of them where this thread is slow
    assert settled(made) == 7
    pieces += [piece for piece in seat.more(7 - pieces[0].shape[2]) if piece is not None]
    assert settled(made) == 7, "nobody asked for more"
    assert torch.cat(pieces, dim=2).flatten().tolist() == list(range(7))
    seat.close()


def test_who_is_busy_with_what_has_come_stays_in_company(mono):
    class Gated(Counted):
        """Whose first step waits until both have asked for frames."""

        def _step_together(self, wishes):
            until = time.monotonic() + SOON
            while len(self.lockstep._seats) < 2 and not self.companies:
                assert time.monotonic() < until
                time.sleep(0.001)
            super()._step_together(wishes)

    engine, text = Gated(engine_of(mono)), mono.text.encode(["drums"])
    first, second = (
        seat_at(engine, stream(engine, Generation(12, seed, Sampling(top_k=50)), text))
        for seed in range(2)
    )
    other = threading.Thread(target=lambda: heard(second, 12))
    other.start()
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

    def asking(company):
        for frame in counting([]):
            company.asked += 1
            yield frame[:, :, :0]
            yield frame

    processors, company = Processors(), Lockstep()
    monkeypatch.setattr(lockstep, "CORES", processors)
    seat = company.seat(asking(company))
    assert heard(seat, 50).shape[2] == 50
    assert company.asked >= 50 and processors.taken == 1
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
