"""Workers on the machines of a Ray cluster: actors that are given groups of jobs.

For an actor that is lost, with its machine or without it, another one is started, and its jobs are
tried again: one that Ray itself starts anew refuses what is asked of it until it is there. Groups
are taken from the list when an actor is free, so nothing piles up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..studio.ray_cluster import joined, prepare_actor, share_of
from .crew import Group, Retries
from .jobs import BatchJob, JobOutcome, OnMusic


class RayMaker:
    """The actor: a `Maker`, and jobs as plain data."""

    def __init__(self, destination: str, processors: int):
        """`processors`: for how many of the machine's it has work."""
        prepare_actor(processors)
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
        joined(address)
        self._count, self._destination = count, destination

    def outcomes(self, groups: Iterable[Group], on_music: OnMusic) -> Iterator[JobOutcome]:
        """Music is told of when a group is done."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayActorError, WorkerCrashedError

        work, busy = Retries(groups), dict[Any, tuple[Any, Group]]()
        share = share_of(ray, self._count)
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
