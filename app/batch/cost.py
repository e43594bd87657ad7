"""What a batch will cost, by a trial: so many workers at once make a short group of each kind of
settings, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...models.refused import Refused
from .course import groups_of, left_of
from .crew import Crew
from .destination import output_at
from .jobs import BatchJob, RequestWork

TRIAL_S, WARM_UP_S = 3.0, 0.5
"""of music in each piece of a trial, and before it"""


@dataclass(frozen=True)
class Cost:
    jobs: int
    """that are to be made"""
    earlier: int
    music_h: float
    hours: float
    workers: int
    x_real_time: float

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 4) for name, value in vars(self).items()}

    def words(self) -> str:
        done = f" ({self.earlier} are done)" if self.earlier else ""
        return (
            f"{self.jobs} jobs{done}, {self.music_h:.2f} h of music: about {self.hours:.2f} h of "
            f"{self.workers} worker(s), {self.x_real_time:.1f} × real time"
        )


def cost_of(
    jobs: Sequence[BatchJob], output: str, crew: Callable[[], Crew], together: int, workers: int
) -> Cost:
    """`crew` makes one whose results go nowhere.

    Raises Refused for workflows, whose music nobody can shorten, and what `left_of` raises.
    """
    left, earlier = left_of(jobs, output_at(output))
    seconds = 0.0
    for alike in _by_model(left).values():
        rate = _music_a_second(alike, crew(), together, workers)
        seconds += sum(job.music_s for job in alike) / rate
    music_s = sum(job.music_s for job in left)
    rate = music_s / seconds if seconds else 0.0
    return Cost(len(left), earlier, music_s / 3600, seconds / 3600, workers, rate)


def _by_model(jobs: Sequence[BatchJob]) -> dict[tuple, list[BatchJob]]:
    """What decides how long a second of music takes."""
    found: dict[tuple, list[BatchJob]] = {}
    for job in jobs:
        if not isinstance(job.work, RequestWork):
            expected = "a list of prompts"
            raise Refused("--dry-run", got="a workflow", expected=expected, remedy="leave it out")
        request = job.work.request
        key = (request.model, request.precision, request.device, request.loras, request.cfg != 1)
        found.setdefault(key, []).append(job)
    return found


def _music_a_second(jobs: Sequence[BatchJob], crew: Crew, together: int, workers: int) -> float:
    """Of all workers, each of which makes a little first, and so has loaded the model."""
    group = next(groups_of(jobs, together, workers))
    warm_up = [[_shortened(jobs[0], WARM_UP_S, f"warm-up {i}")] for i in range(workers)]
    trials = [[_shortened(job, TRIAL_S, f"{job.id} {i}") for job in group] for i in range(workers)]
    music_s = {job.id: job.music_s for trial in trials for job in trial}
    seconds = 0.0
    for outcome in crew.outcomes([*warm_up, *trials], lambda _: None):
        if outcome.error:
            raise Refused(f"trial of {outcome.id.rpartition(' ')[0]}: {outcome.error}")
        seconds += outcome.seconds if outcome.id in music_s else 0.0
    return workers * sum(music_s.values()) / seconds


def _shortened(job: BatchJob, seconds: float, job_id: str) -> BatchJob:
    assert isinstance(job.work, RequestWork)
    request = job.work.request
    if request.schedule or request.automation:
        seconds = request.duration_s  # their times are within the piece
    duration_s = min(seconds, request.duration_s)
    work = replace(job.work, request=replace(request, duration_s=duration_s))
    return replace(job, id=job_id, music_s=duration_s * job.takes, work=work)
