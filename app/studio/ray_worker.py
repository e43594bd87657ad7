"""Replicas on Ray Serve as a worker: this process has page, API, keys and takes, and its jobs are
made by as many replicas as they need.

A replica is a queue of its own with a model behind it, in which jobs share steps as they do here.
Serve gives a job to one with little to do, and starts and ends replicas by how many jobs there are
for each. A lost replica takes along what it was making, which is said to who waits for that;
everything else goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...nodes.host import Interrupted
from .failures import LOST, JobFailed, failure_of
from .job import Job, JobResult
from .queue import JobQueue
from .ray_cluster import LOCAL, joined, prepare_actor, share_of

if TYPE_CHECKING:
    from ...workflows.events import Listener

log = logging.getLogger("musicgraph")

NAME = "musicgraph"
EVENT, RESULT, FAILURE = "event", "result", "failure"
AT_ONCE = 16
"""jobs that a replica has taken: those that it makes, and the next ones"""
WANTED = 4
"""jobs for each replica; where there are more, another one is started"""
LOOK_S = 0.2
ASKING, ASKING_LONGEST, ASKING_S = (
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S",
    "RAY_SERVE_MAX_QUEUE_LENGTH_RESPONSE_DEADLINE_S",
    2.0,
)
"""for so long a replica is asked how much it has to do: one that makes music on a busy machine
takes longer than Serve's 0.1 s, and would get nothing while another one gets all
"""


class Replica:
    """Runs in a process of Ray's."""

    def __init__(self, processors: int):
        prepare_actor(processors)
        from .worker import LocalWorker

        self._queue = JobQueue(LocalWorker(), max_waiting=AT_ONCE)

    async def run(self, job: Job) -> AsyncIterator[tuple[str, Any]]:
        """(event | result | failure, value), each of which can be sent to another process. Whoever
        stops listening stops the job.
        """
        loop, found = asyncio.get_running_loop(), asyncio.Queue[tuple[str, Any]]()

        def report(kind: str, value: Any) -> None:
            loop.call_soon_threadsafe(found.put_nowait, (kind, value))

        def end() -> None:
            error = handle.error()
            if error is None:
                report(RESULT, handle.result())
            else:
                assert isinstance(error, Exception), error
                report(FAILURE, failure_of(error))

        owner = str(id(job))  # owners took their turns in the queue before this one
        handle = self._queue.submit(owner, job, listener=lambda event: report(EVENT, event))
        handle.when_done(end)
        try:
            kind = EVENT
            while kind == EVENT:
                kind, value = await found.get()
                yield kind, value
        finally:
            handle.cancel()


class RayWorker:
    """Runs jobs on replicas, from `least` to `most` of them. See `job.Worker`."""

    def __init__(self, address: str, least: int, most: int):
        """Raises Refused if Ray Serve is not installed or there is no such cluster."""
        ray = joined(address)
        self._serve, self._most = _serve(), most
        # a cluster may grow: replicas beyond the least ask for machines that are not there yet
        share = share_of(ray, most if address == LOCAL else least)
        replicas = {"min_replicas": least, "max_replicas": most, "initial_replicas": least,
                    "target_ongoing_requests": WANTED, "upscale_delay_s": 3.0}  # fmt: skip
        kind = self._serve.deployment(Replica).options(
            name=NAME, ray_actor_options=share, max_ongoing_requests=AT_ONCE,
            autoscaling_config=replicas,
        )  # fmt: skip
        self._serve.start(proxy_location="Disabled")  # this process speaks HTTP
        bound = kind.bind(max(1, int(share["num_cpus"])))
        self._handle = self._serve.run(bound, name=NAME, route_prefix=None)

    def run(self, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
        """Raises JobFailed for whatever went wrong there, and where the replica was lost."""
        reports = self._handle.options(stream=True).run.remote(job)
        with _watched(reports, stopped), _lost_is_said(stopped):
            for kind, value in reports:
                if kind == EVENT:
                    listener(value)
                elif kind == FAILURE:
                    raise JobFailed(value)
                else:
                    return value
        raise AssertionError("a run ends with a result or a failure")

    def has_room(self, job: Job, running: Sequence[Job]) -> bool:
        """Also for what waits there: by that Serve sees that another replica is needed."""
        return len(running) < self._most * AT_ONCE

    def forget(self) -> None:
        """Replicas do so by themselves."""


def leave_cluster() -> None:
    """Ends the replicas, and this process's part in the cluster."""
    import ray

    _serve().delete(NAME)
    ray.shutdown()


def _serve() -> Any:
    os.environ.setdefault(ASKING, str(ASKING_S))
    os.environ.setdefault(ASKING_LONGEST, str(ASKING_S))
    try:
        from ray import serve
    except ModuleNotFoundError as error:
        remedy = "pip install 'musicgraph[ray]'"
        got = f"a Python without {error.name}"
        raise Refused("--ray", got=got, expected="Ray Serve", remedy=remedy) from None
    return serve


@contextlib.contextmanager
def _watched(reports: Any, stopped: Callable[[], bool]) -> Iterator[None]:
    """Cancels the job there when it is stopped here, also while nothing is reported."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            if stopped():
                reports.cancel()
                return

    threading.Thread(target=watch, name="musicgraph-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextlib.contextmanager
def _lost_is_said(stopped: Callable[[], bool]) -> Iterator[None]:
    """Raises JobFailed where the replica is gone, Interrupted where the job was cancelled."""
    from ray.exceptions import RayActorError, RayError
    from ray.serve.exceptions import RayServeException, RequestCancelledError

    try:
        yield
    except (RequestCancelledError, RayError, RayServeException, asyncio.CancelledError) as error:
        if stopped():
            raise Interrupted("stopped by the user") from error
        if not isinstance(error, RayActorError):
            raise
        log.warning("a replica was lost: %s", type(error).__name__)
        raise JobFailed(LOST) from error
