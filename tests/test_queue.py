"""The queue in front of the worker: as many at once as it has room for, owners in turn, and nobody
disturbs anybody else.
"""

import threading
import time
import weakref

import pytest
from workers import FakeWorker

from musicgraph.app.page.visitors import visitor_of
from musicgraph.app.studio.music import music_job
from musicgraph.app.studio.queue import JobQueue, QueueClosed, QueueFull
from musicgraph.app.studio.worker import LocalWorker
from musicgraph.nodes import wires
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.calls import Outcome
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

SOON = 5.0


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
def queue():
    queue = JobQueue(FakeWorker(), max_waiting=16)
    yield queue
    queue.close()


@pytest.fixture
def gate(queue):
    """Somebody's work that holds the device until `may_end` is set."""
    gate = Gate("held")
    gate.handle = queue.submit("holder", gate)
    assert gate.started.wait(SOON)
    return gate


def test_no_thread_before_the_first_work():
    before = threading.active_count()
    queue = JobQueue(FakeWorker())
    assert threading.active_count() == before
    queue.close()


def test_a_job_gets_the_worker_and_its_result_comes_back(queue):
    assert queue.submit("a", lambda worker, stopped: (worker, stopped())).result(SOON) == (
        queue.worker,
        False,
    )


def test_as_many_run_at_once_as_there_is_room_for():
    queue = JobQueue(FakeWorker(at_once=3))
    gates = [Gate(i) for i in range(5)]
    handles = [queue.submit("a", gate) for gate in gates]
    for gate in gates[:3]:
        assert gate.started.wait(SOON)
    assert queue.running() == 3 and queue.waiting() == 2
    assert [handle.position() for handle in handles] == [0, 0, 0, 1, 2]
    gates[1].may_end.set()
    assert gates[3].started.wait(SOON) and not gates[4].started.is_set()
    for gate in gates:
        gate.may_end.set()
    assert [handle.result(SOON) for handle in handles] == [0, 1, 2, 3, 4]
    queue.close()


def test_who_waits_begins_when_the_worker_finds_room_though_nobody_has_ended():
    queue, gates = JobQueue(FakeWorker(at_once=1)), [Gate(), Gate()]
    for gate in gates:
        queue.submit("a", gate)
    assert gates[0].started.wait(SOON) and not gates[1].started.wait(0.05)
    queue.worker.at_once = 2
    assert gates[1].started.wait(SOON)
    queue.close()


def test_of_several_that_run_one_may_be_cancelled_and_one_may_fail():
    def broken(worker, stopped):
        raise ValueError("broken")

    queue, gates = JobQueue(FakeWorker(at_once=3)), [Gate("x"), Gate("y")]
    handles = [queue.submit("a", gate) for gate in gates]
    failed = queue.submit("b", broken)
    for gate in gates:
        assert gate.started.wait(SOON)
    handles[0].cancel()
    with pytest.raises(ValueError):
        failed.result(SOON)
    gates[1].may_end.set()
    assert handles[1].result(SOON) == "y"
    wait_for(lambda: not queue.busy())
    queue.close()


def test_closing_ends_all_that_run():
    queue, gates = JobQueue(FakeWorker(at_once=3)), [Gate() for _ in range(3)]
    handles = [queue.submit(str(i), gate) for i, gate in enumerate(gates)]
    for gate in gates:
        assert gate.started.wait(SOON)
    assert queue.close(SOON)
    for handle in handles:
        with pytest.raises(QueueClosed):
            handle.result(0)


def test_the_model_is_kept_while_somebody_plays_with_it_without_a_job():
    worker = LocalWorker(Runner({}))
    kept = worker.runner._kept
    kept.keep("a model", Outcome(()))
    worker.borrow()
    worker.forget()
    assert kept.get("a model") is not None
    worker.give_back()
    assert kept.get("a model") is None


def test_one_at_a_time(queue):
    at_work, most = [0], [0]

    def work(worker, stopped):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.002)
        at_work[0] -= 1

    handles = [queue.submit(str(i % 3), work) for i in range(12)]
    for handle in handles:
        handle.result(SOON)
    assert most == [1]


def test_owners_are_served_in_turn(queue, gate):
    order = []
    first = [queue.submit("many", lambda *_, i=i: order.append(f"many {i}")) for i in range(4)]
    others = [
        queue.submit(name, lambda *_, name=name: order.append(name)) for name in ("one", "two")
    ]
    assert [handle.position() for handle in [*first, *others]] == [1, 4, 5, 6, 2, 3]
    gate.may_end.set()
    for handle in [*first, *others]:
        handle.result(SOON)
    assert order == ["many 0", "one", "two", "many 1", "many 2", "many 3"]


def test_who_is_having_a_turn_comes_after_those_who_had_none(queue, gate):
    again = queue.submit("holder", Gate())
    newcomer = queue.submit("newcomer", Gate())
    assert (gate.handle.position(), newcomer.position(), again.position()) == (0, 1, 2)
    another = queue.submit("another", Gate())
    assert (newcomer.position(), another.position(), again.position()) == (1, 2, 3)


def test_newcomers_do_not_hold_up_who_waits(queue, gate):
    patient = queue.submit("patient", Gate())
    for i in range(5):
        queue.submit(f"newcomer {i}", Gate())
    assert patient.position() == 1


def test_the_line_has_an_end(gate):
    queue = JobQueue(FakeWorker(), max_waiting=2)
    first = Gate()
    handles = [
        queue.submit("a", first)
    ]  # counts as running, whether the thread has taken it or not
    handles += [queue.submit("b", Gate()), queue.submit("c", Gate())]
    with pytest.raises(QueueFull, match="the queue is full: .* try again in .* s") as caught:
        queue.submit("d", Gate())
    assert caught.value.retry_after_s >= 1
    handles[1].cancel()
    assert first.started.wait(SOON)
    queue.submit("d", Gate())
    queue.close()


def test_nobody_can_take_all_places_by_asking_often(gate, queue):
    for _ in range(queue.max_waiting):
        queue.submit("greedy", Gate())
    with pytest.raises(QueueFull):
        queue.submit("greedy", Gate())
    newcomer = queue.submit("newcomer", Gate())
    assert newcomer.position() == 2
    with pytest.raises(QueueFull):
        queue.submit("newcomer", Gate())


def test_without_room_to_wait_one_at_a_time_is_still_served():
    queue = JobQueue(FakeWorker(), max_waiting=0)
    gate = Gate("done")
    handle = queue.submit("a", gate)
    with pytest.raises(QueueFull):
        queue.submit("a", Gate())
    gate.may_end.set()
    assert handle.result(SOON) == "done"
    queue.close()


def test_cancelling_in_line_leaves_it_at_once(queue, gate):
    leaver, stayer = Gate(), Gate("stayed")
    left, stayed = queue.submit("a", leaver), queue.submit("b", stayer)
    left.cancel()
    assert left.done() and stayed.position() == 1
    with pytest.raises(Interrupted):
        left.result(0)
    gate.may_end.set()
    stayer.may_end.set()
    assert stayed.result(SOON) == "stayed"
    assert not leaver.started.is_set()


def test_what_is_cancelled_when_its_turn_has_come_does_not_begin(queue, gate, monkeypatch):
    begun = []
    late = queue.submit("late", lambda *_: begun.append("late"))
    monkeypatch.setattr(queue, "_leave", lambda _: None)  # it has just left the line by itself
    late.cancel()
    gate.may_end.set()
    queue.submit("next", lambda *_: begun.append("next")).result(SOON)
    assert begun == ["next"]


def test_cancelling_stops_the_running_one_and_nobody_else(queue, gate):
    next_one = Gate("next")
    handle = queue.submit("b", next_one)
    gate.handle.cancel()
    with pytest.raises(Interrupted):
        gate.handle.result(SOON)
    next_one.may_end.set()
    assert handle.result(SOON) == "next"


def test_a_strangers_cancel_touches_no_other(queue, gate):
    waiting = queue.submit("stranger", Gate())
    waiting.cancel()
    waiting.cancel()
    assert not gate.handle.done()
    gate.may_end.set()
    assert gate.handle.result(SOON) == "held"
    gate.handle.cancel()
    assert gate.handle.result(SOON) == "held"


def test_cancelled_work_that_ends_all_the_same_has_no_result(queue):
    started, go_on = threading.Event(), threading.Event()

    def deaf(worker, stopped):
        started.set()
        go_on.wait(SOON)
        return "done"

    handle = queue.submit("a", deaf)
    assert started.wait(SOON)
    handle.cancel()
    go_on.set()
    with pytest.raises(Interrupted):
        handle.result(SOON)


def test_a_failure_reaches_its_owner_and_harms_nobody(queue):
    def broken(worker, stopped):
        raise MemoryError("too much")

    failed, fine = queue.submit("a", broken), queue.submit("a", lambda *_: "fine")
    with pytest.raises(MemoryError, match="too much"):
        failed.result(SOON)
    assert isinstance(failed.error(), MemoryError)
    assert fine.result(SOON) == "fine" and fine.error() is None


def test_when_done_calls_back_once_also_when_it_is_done_already(queue, gate):
    calls = []
    gate.handle.when_done(lambda: calls.append("running"))
    gate.may_end.set()
    gate.handle.result(SOON)
    gate.handle.when_done(lambda: calls.append("done"))
    wait_for(lambda: len(calls) == 2)
    assert calls == ["running", "done"]


def test_the_model_is_forgotten_when_idle_and_work_goes_on_after():
    worker = FakeWorker()
    queue = JobQueue(worker, idle_unload_s=0.03)
    queue.submit("a", lambda *_: None).result(SOON)
    assert worker.forgotten.wait(SOON)
    assert queue.submit("a", lambda *_: "again").result(SOON) == "again"
    queue.close()


def test_a_forgotten_model_is_let_go(mono):
    queue = JobQueue(LocalWorker(), idle_unload_s=0.05)
    request = Request("calm piano", model=str(mono.folder), duration_s=0.2, top_k=50)
    job = music_job(
        request, queue.worker.runner.classes, named_models={request.model: request.model}
    )
    queue.submit("a", job).result(SOON)
    outputs = [
        one
        for outcome in queue.worker.runner._kept._outcomes.values()
        for values in outcome.outputs
        for one in values
    ]
    model = weakref.ref(next(one for one in outputs if isinstance(one, wires.Model)))
    del outputs
    wait_for(lambda: model() is None)
    queue.close()


def test_the_model_is_not_forgotten_while_there_is_work():
    worker = FakeWorker()
    queue = JobQueue(worker, idle_unload_s=0.02)
    queue.submit("a", lambda *_: time.sleep(0.1)).result(SOON)
    assert not worker.forgotten.is_set()
    queue.close()


def test_closing_ends_all_of_it(queue, gate):
    waiting = queue.submit("a", Gate())
    queue.close()
    for handle in (gate.handle, waiting):
        with pytest.raises(Interrupted):
            handle.result(0)
    with pytest.raises(Interrupted, match="closed"):
        queue.submit("a", Gate())
    queue.close()


def test_busy_and_waiting_say_how_it_stands(queue, gate):
    assert queue.busy() and queue.waiting() == 0
    queue.submit("a", Gate())
    assert queue.waiting() == 1


def test_many_threads_submit_and_cancel_at_once(queue):
    outcomes = []

    def client(name):
        for i in range(20):
            try:
                handle = queue.submit(name, lambda *_: name)
            except QueueFull:
                outcomes.append("full")
                continue
            if i % 3 == 0:
                handle.cancel()
            try:
                outcomes.append(handle.result(SOON) == name)
            except Interrupted:
                outcomes.append("stopped")

    threads = [threading.Thread(target=client, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * SOON)
    assert len(outcomes) == 160 and False not in outcomes and True in outcomes
    wait_for(lambda: not queue.busy())
    assert queue.waiting() == 0


def test_visitors_without_a_session_are_strangers_to_each_other():
    assert visitor_of("a session") == "a session"
    assert visitor_of(None) != visitor_of(None)


def test_a_queue_that_closes_tells_all_at_once_even_where_work_cannot_be_stopped():
    queue, may_end, started = JobQueue(FakeWorker()), threading.Event(), threading.Event()
    stuck = queue.submit("ann", lambda *_: started.set() or may_end.wait(10))
    waiting = queue.submit("ben", lambda *_: None)
    assert started.wait(10)
    assert not queue.close(0.01), "the work goes on"
    for handle in (stuck, waiting):
        with pytest.raises(QueueClosed):
            handle.result(0)
    may_end.set()
    assert queue.close(10)
    with pytest.raises(QueueClosed):
        stuck.result(0)


def test_whoever_had_left_before_the_queue_closed_has_left():
    queue, may_end, started = JobQueue(FakeWorker()), threading.Event(), threading.Event()
    handle = queue.submit("ann", lambda *_: started.set() or may_end.wait(10))
    assert started.wait(10)
    handle.cancel()
    may_end.set()
    queue.close()
    with pytest.raises(Interrupted) as ended:
        handle.result(10)
    assert not isinstance(ended.value, QueueClosed)
