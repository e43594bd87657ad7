"""Following a job: in order, to the end, from a thread and from an event loop."""

import asyncio
import threading
import time

import pytest
from workers import FakeWorker

from musicgraph.app.studio.follow import JobStream
from musicgraph.app.studio.queue import JobQueue
from musicgraph.nodes.host import Interrupted


async def all_of(stream):
    return [item async for item in stream.each()]


def reported(stream, count):
    for number in range(count):
        stream.put(number)
    stream.end()


def test_a_thread_gets_all_in_order_and_the_last_batch_says_so():
    stream = JobStream()
    batches = stream.batches()
    stream.put("first")
    assert next(batches) == ["first"] and not stream.over
    threading.Thread(target=reported, args=(stream, 1000)).start()
    assert [item for batch in batches for item in batch] == list(range(1000))
    assert stream.over


def test_what_was_over_before_anybody_looked_is_one_batch():
    stream = JobStream()
    reported(stream, 3)
    assert list(stream.batches()) == [[0, 1, 2]]
    assert list(stream.batches()) == [[]], "and nothing comes twice"


def test_an_event_loop_gets_all_in_order():
    async def go():
        stream = JobStream()
        threading.Thread(target=reported, args=(stream, 1000)).start()
        return await asyncio.wait_for(all_of(stream), 10)

    assert asyncio.run(go()) == list(range(1000))


def test_an_event_loop_gets_what_was_over_before_it_looked():
    async def go():
        stream = JobStream()
        reported(stream, 3)
        return await asyncio.wait_for(all_of(stream), 10)

    assert asyncio.run(go()) == [0, 1, 2]


def test_items_come_as_they_are_made_and_not_all_at_the_end():
    async def go():
        stream = JobStream()
        pieces = stream.each()
        stream.put("first")
        assert await asyncio.wait_for(anext(pieces), 10) == "first"
        later = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        assert not later.done()
        stream.put("second")
        assert await asyncio.wait_for(later, 10) == "second"

    asyncio.run(go())


@pytest.mark.parametrize("ending", ["result", "failure", "cancel", "close"])
def test_whoever_follows_is_let_go_however_the_job_ends(ending):
    queue, stream, started = JobQueue(FakeWorker()), JobStream(), threading.Event()

    def job(_worker, stopped):
        stream.put("at work")
        started.set()
        while ending in ("cancel", "close") and not stopped():
            time.sleep(0.001)
        return 1 / (ending != "failure")

    handle = queue.submit("ann", job, listener=stream.put)
    handle.when_done(stream.end)
    assert started.wait(10)
    if ending == "cancel":
        handle.cancel()
    if ending == "close":
        queue.close()
    assert [event for batch in stream.batches() for event in batch] == ["at work"]
    if ending == "result":
        assert handle.result(0) == 1
    else:
        with pytest.raises(ZeroDivisionError if ending == "failure" else Interrupted):
            handle.result(0)
    queue.close()
