"""Workers on the machines of a Ray cluster: actors that are given groups of jobs.

For an actor that is lost, with its machine or without it, another one is started, and its jobs are
tried again: one that Ray itself starts anew refuses what is asked of it until it is there. Groups
are taken from the list when an actor is free, so nothing piles up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from ...models.engines.processors import SHARE, prepare_threads
from ...models.refused import Refused
from .crew import Group, Retries
from .jobs import BatchJob, JobOutcome, OnMusic

LOCAL = "local"


class RayMaker:
    """The actor: a `Maker`, and jobs as plain data."""

    def __init__(self, destination: str, processors: int):
        """`processors`: for how many of the machine's it has work."""
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's, which would change torch's results
        os.environ[SHARE] = str(processors)
        prepare_threads()
        from .destination import destination_at
        from .maker import Maker

        self._maker = Maker(destination_at(destination))

    def make(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made = self._maker.make([BatchJob.read(job) for job in jobs], lambda _: None)
        return [outcome.as_json() for outcome in made]


class RayCrew:
    def __init__(self, address: str, count: int, destination: str):
        """`address`: local, auto, or where a cluster is. `destination`: as `destination_at` takes
        it; every machine has to reach it.

        Raises Refused if Ray is not installed or there is no such cluster.
        """
        if find_spec("ray") is None:
            remedy = "pip install 'musicgraph[ray]'"
            raise Refused("--ray", got="no ray", expected="it", remedy=remedy)
        import ray

        try:
            ray.init(
                address=address, include_dashboard=False, logging_level=logging.ERROR,
                ignore_reinit_error=True,
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            expected = "local, auto, or the address of a Ray cluster"
            raise Refused(f"--ray {address}", got=error, expected=expected) from error
        self._count, self._destination = count, destination

    def outcomes(self, groups: Iterable[Group], on_music: OnMusic) -> Iterator[JobOutcome]:
        """Music is told of when a group is done."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayActorError, WorkerCrashedError

        work, busy = Retries(groups), dict[Any, tuple[Any, Group]]()
        share = _share(ray, self._count)
        kind = ray.remote(RayMaker).options(**share)
        processors = max(1, int(share["num_cpus"]))

        def engage(actor: Any) -> None:
            if (group := work.next()) is not None:
                actor = actor or kind.remote(self._destination, processors)
                busy[actor.make.remote([job.as_json() for job in group])] = actor, group

        for _ in range(self._count):
            engage(None)
        while busy:
            (told,), _ = ray.wait(list(busy))
            actor, group = busy.pop(told)
            try:
                yield from map(JobOutcome.read, ray.get(told))
                on_music(sum(job.music_s for job in group))
            except (RayActorError, OutOfMemoryError, WorkerCrashedError) as error:
                yield from work.lost(group, type(error).__name__)
                actor = None
            engage(actor)


def _share(ray: Any, count: int) -> dict[str, float]:
    """What an actor asks a cluster for: its share of processors, within the smallest machine, and a
    GPU where there is one for each.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    smallest = min((node["CPU"] for node in machines if node.get("CPU")), default=1.0)
    total = sum(node.get("CPU", 0.0) for node in machines)
    share = max(1.0, min(smallest, total // count)) if total >= count else total / count
    gpus = sum(node.get("GPU", 0.0) for node in machines)
    return {"num_cpus": share, "num_gpus": 1.0 if gpus >= count else 0.0}
