"""The line in front of the runner: one at a time, owners in turn, and nobody disturbs anybody else."""

import threading
import time
import weakref

import pytest

from musicgraph.app.page.follow import visitor_of
from musicgraph.app.studio.queue import QueueFull, Studio, StudioClosed
from musicgraph.nodes import wires
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.default_graph import Request, make_music

SOON = 5.0


class FakeRunner:
    def __init__(self):
        self.forgotten = threading.Event()

    def forget(self):
        self.forgotten.set()


class Gate:
    """Work that says when it starts, and ends when it may."""

    def __init__(self, result=None):
        self.started, self.may_end, self.result = threading.Event(), threading.Event(), result

    def __call__(self, runner, stopped):
        self.started.set()
        while not self.may_end.wait(0.005):
            if stopped():
                raise Interrupted("stopped")
        return self.result


def wait_for(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def studio():
    studio = Studio(max_waiting=16, runner=FakeRunner())
    yield studio
    studio.close()


@pytest.fixture
def gate(studio):
    """Somebody's work that holds the device until `may_end` is set."""
    gate = Gate("held")
    gate.ticket = studio.submit("holder", gate)
    assert gate.started.wait(SOON)
    return gate


def test_no_thread_before_the_first_work():
    before = threading.active_count()
    studio = Studio(runner=FakeRunner())
    assert threading.active_count() == before
    studio.close()


def test_work_gets_the_runner_and_its_result_comes_back(studio):
    assert studio.submit("a", lambda runner, stopped: (runner, stopped())).result(SOON) == (
        studio.runner,
        False,
    )


def test_one_at_a_time(studio):
    at_work, most = [0], [0]

    def work(runner, stopped):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.002)
        at_work[0] -= 1

    tickets = [studio.submit(str(i % 3), work) for i in range(12)]
    for ticket in tickets:
        ticket.result(SOON)
    assert most == [1]


def test_owners_are_served_in_turn(studio, gate):
    order = []
    first = [studio.submit("many", lambda *_, i=i: order.append(f"many {i}")) for i in range(4)]
    others = [
        studio.submit(name, lambda *_, name=name: order.append(name)) for name in ("one", "two")
    ]
    assert [ticket.position() for ticket in [*first, *others]] == [1, 4, 5, 6, 2, 3]
    gate.may_end.set()
    for ticket in [*first, *others]:
        ticket.result(SOON)
    assert order == ["many 0", "one", "two", "many 1", "many 2", "many 3"]


def test_who_is_having_a_turn_comes_after_those_who_had_none(studio, gate):
    again = studio.submit("holder", Gate())
    newcomer = studio.submit("newcomer", Gate())
    assert (gate.ticket.position(), newcomer.position(), again.position()) == (0, 1, 2)
    another = studio.submit("another", Gate())
    assert (newcomer.position(), another.position(), again.position()) == (1, 2, 3)


def test_newcomers_do_not_hold_up_who_waits(studio, gate):
    patient = studio.submit("patient", Gate())
    for i in range(5):
        studio.submit(f"newcomer {i}", Gate())
    assert patient.position() == 1


def test_the_line_has_an_end(gate):
    studio = Studio(max_waiting=2, runner=FakeRunner())
    first = Gate()
    tickets = [
        studio.submit("a", first)
    ]  # counts as running, whether the thread has taken it or not
    tickets += [studio.submit("b", Gate()), studio.submit("c", Gate())]
    with pytest.raises(QueueFull, match="the queue is full: .* try again in .* s") as caught:
        studio.submit("d", Gate())
    assert caught.value.retry_after_s >= 1
    tickets[1].cancel()
    assert first.started.wait(SOON)
    studio.submit("d", Gate())
    studio.close()


def test_nobody_can_take_all_places_by_asking_often(gate, studio):
    for _ in range(studio.max_waiting):
        studio.submit("greedy", Gate())
    with pytest.raises(QueueFull):
        studio.submit("greedy", Gate())
    newcomer = studio.submit("newcomer", Gate())
    assert newcomer.position() == 2
    with pytest.raises(QueueFull):
        studio.submit("newcomer", Gate())


def test_without_room_to_wait_one_at_a_time_is_still_served():
    studio = Studio(max_waiting=0, runner=FakeRunner())
    gate = Gate("done")
    ticket = studio.submit("a", gate)
    with pytest.raises(QueueFull):
        studio.submit("a", Gate())
    gate.may_end.set()
    assert ticket.result(SOON) == "done"
    studio.close()


def test_cancelling_in_line_leaves_it_at_once(studio, gate):
    leaver, stayer = Gate(), Gate("stayed")
    left, stayed = studio.submit("a", leaver), studio.submit("b", stayer)
    left.cancel()
    assert left.done() and stayed.position() == 1
    with pytest.raises(Interrupted):
        left.result(0)
    gate.may_end.set()
    stayer.may_end.set()
    assert stayed.result(SOON) == "stayed"
    assert not leaver.started.is_set()


def test_cancelling_stops_the_running_one_and_nobody_else(studio, gate):
    next_one = Gate("next")
    ticket = studio.submit("b", next_one)
    gate.ticket.cancel()
    with pytest.raises(Interrupted):
        gate.ticket.result(SOON)
    next_one.may_end.set()
    assert ticket.result(SOON) == "next"


def test_a_strangers_cancel_touches_no_other(studio, gate):
    waiting = studio.submit("stranger", Gate())
    waiting.cancel()
    waiting.cancel()
    assert not gate.ticket.done()
    gate.may_end.set()
    assert gate.ticket.result(SOON) == "held"
    gate.ticket.cancel()
    assert gate.ticket.result(SOON) == "held"


def test_cancelled_work_that_ends_all_the_same_has_no_result(studio):
    started, go_on = threading.Event(), threading.Event()

    def deaf(runner, stopped):
        started.set()
        go_on.wait(SOON)
        return "done"

    ticket = studio.submit("a", deaf)
    assert started.wait(SOON)
    ticket.cancel()
    go_on.set()
    with pytest.raises(Interrupted):
        ticket.result(SOON)


def test_a_failure_reaches_its_owner_and_harms_nobody(studio):
    def broken(runner, stopped):
        raise MemoryError("too much")

    failed, fine = studio.submit("a", broken), studio.submit("a", lambda *_: "fine")
    with pytest.raises(MemoryError, match="too much"):
        failed.result(SOON)
    assert isinstance(failed.error(), MemoryError)
    assert fine.result(SOON) == "fine" and fine.error() is None


def test_when_done_calls_back_once_also_when_it_is_done_already(studio, gate):
    calls = []
    gate.ticket.when_done(lambda: calls.append("running"))
    gate.may_end.set()
    gate.ticket.result(SOON)
    gate.ticket.when_done(lambda: calls.append("done"))
    wait_for(lambda: len(calls) == 2)
    assert calls == ["running", "done"]


def test_the_model_is_forgotten_when_idle_and_work_goes_on_after():
    runner = FakeRunner()
    studio = Studio(idle_unload_s=0.03, runner=runner)
    studio.submit("a", lambda *_: None).result(SOON)
    assert runner.forgotten.wait(SOON)
    assert studio.submit("a", lambda *_: "again").result(SOON) == "again"
    studio.close()


def test_a_forgotten_model_is_let_go(mono):
    studio = Studio(idle_unload_s=0.05)
    request = Request("calm piano", model=str(mono.folder), duration_s=0.2, top_k=50)
    studio.submit("a", lambda runner, stopped: make_music(runner, request, stopped=stopped)).result(
        SOON
    )
    outputs = [
        one
        for outcome in studio.runner._kept.values()
        for values in outcome.outputs
        for one in values
    ]
    model = weakref.ref(next(one for one in outputs if isinstance(one, wires.Model)))
    del outputs
    wait_for(lambda: model() is None)
    studio.close()


def test_the_model_is_not_forgotten_while_there_is_work():
    runner = FakeRunner()
    studio = Studio(idle_unload_s=0.02, runner=runner)
    studio.submit("a", lambda *_: time.sleep(0.1)).result(SOON)
    assert not runner.forgotten.is_set()
    studio.close()


def test_closing_ends_all_of_it(studio, gate):
    waiting = studio.submit("a", Gate())
    studio.close()
    for ticket in (gate.ticket, waiting):
        with pytest.raises(Interrupted):
            ticket.result(0)
    with pytest.raises(Interrupted, match="closed"):
        studio.submit("a", Gate())
    studio.close()


def test_busy_and_waiting_say_how_it_stands(studio, gate):
    assert studio.busy() and studio.waiting() == 0
    studio.submit("a", Gate())
    assert studio.waiting() == 1


def test_many_threads_submit_and_cancel_at_once(studio):
    outcomes = []

    def client(name):
        for i in range(20):
            try:
                ticket = studio.submit(name, lambda *_: name)
            except QueueFull:
                outcomes.append("full")
                continue
            if i % 3 == 0:
                ticket.cancel()
            try:
                outcomes.append(ticket.result(SOON) == name)
            except Interrupted:
                outcomes.append("stopped")

    threads = [threading.Thread(target=client, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * SOON)
    assert len(outcomes) == 160 and False not in outcomes and True in outcomes
    wait_for(lambda: not studio.busy())
    assert studio.waiting() == 0


def test_visitors_without_a_session_are_strangers_to_each_other():
    assert visitor_of("a session") == "a session"
    assert visitor_of(None) != visitor_of(None)


def test_a_studio_that_closes_tells_all_at_once_even_where_work_cannot_be_stopped():
    studio, may_end, started = Studio(), threading.Event(), threading.Event()
    stuck = studio.submit("ann", lambda *_: started.set() or may_end.wait(10))
    waiting = studio.submit("ben", lambda *_: None)
    assert started.wait(10)
    assert not studio.close(0.01), "the work goes on"
    for ticket in (stuck, waiting):
        with pytest.raises(StudioClosed):
            ticket.result(0)
    may_end.set()
    assert studio.close(10)
    with pytest.raises(StudioClosed):
        stuck.result(0)


def test_whoever_had_left_before_the_studio_closed_has_left():
    studio, may_end, started = Studio(), threading.Event(), threading.Event()
    ticket = studio.submit("ann", lambda *_: started.set() or may_end.wait(10))
    assert started.wait(10)
    ticket.cancel()
    may_end.set()
    studio.close()
    with pytest.raises(Interrupted) as ended:
        ticket.result(10)
    assert not isinstance(ended.value, StudioClosed)
