"""Several runs whose compositions are made side by side.

Each run is a graph in a runner of its own. When its sampler asks for music that is not there yet,
the run is given up; when all have asked, what may be composed side by side is, and the runs begin
again: what they had computed is kept, and their samplers get what was made. So nobody needs
threads, and every node is called as it is in a run by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ...models.compose.company import SamplerCall, side_by_side
from ...models.compose.rows import MAX_ROWS
from ...models.config import MAX_BATCH
from ...models.refused import Refused
from ...nodes.host import Interrupted
from ...workflows.events import Event, Listener, NodeStarted
from ...workflows.executor import Runner
from ...workflows.problems import NodeError
from .jobs import OnMusic

Result = TypeVar("Result")
Attempt = Callable[[Runner, Listener], Result]
"""does the work in a runner, whose events go to the listener"""


class _Deferred(Interrupted):
    """This run waits for music."""


@dataclass
class Member(Generic[Result]):
    """One of the runs."""

    attempt: Attempt[Result]
    result: Result | None = None
    error: Refused | NodeError | None = None
    _calls: dict[tuple[str, int], SamplerCall] = field(default_factory=dict)
    """that wait, by the node and which of its calls it is"""
    _made: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _alone: set[tuple[str, int]] = field(default_factory=set)
    """calls that failed in company, to fail by themselves if they must"""
    _node: str = ""
    _count: int = 0

    @property
    def is_done(self) -> bool:
        return self.result is not None or self.error is not None

    def run(self, runner: Runner) -> None:
        """As far as it comes."""
        try:
            self.result = self.attempt(runner, self._watch)
        except _Deferred:
            return
        except (Refused, NodeError) as error:
            self.error = error

    def compose(self, call: SamplerCall) -> Generator[Tensor, None, None]:
        place = self._node, self._count
        self._count += 1
        if place in self._made:
            return (piece for piece in (self._made[place],))
        if place in self._alone:
            return call.stream()
        self._calls[place] = call
        raise _Deferred("waits for music")

    def _watch(self, event: Event) -> None:
        if isinstance(event, NodeStarted):
            self._node, self._count = event.node, 0


def run_together(
    runner: Runner, attempts: Sequence[Attempt[Result]], on_music: OnMusic
) -> tuple[Runner, list[Member[Result]]]:
    """The runner that has what the last run computed, models included; and what came of each.

    Raises what is nobody's refusal, and no node's failure.
    """
    members = [Member(attempt) for attempt in attempts]
    runners: list[Runner] = []
    for member in members:  # each begins with the model that the one before it has loaded
        runner = runner.beside(member.compose)
        runners.append(runner)
        member.run(runner)
    while waiting := [one for one in zip(members, runners, strict=True) if not one[0].is_done]:
        _compose([member for member, _ in waiting], on_music)
        for member, own in waiting:
            member.run(own)
    return runner, members


def _compose(members: Iterable[Member], on_music: OnMusic) -> None:
    """All that they wait for."""
    waiting = [(member, place) for member in members for place in member._calls]
    calls = [member._calls.pop(place) for member, place in waiting]
    for group in _companies(calls):
        try:
            made = _made([calls[i] for i in group], on_music)
        except Refused:
            for i in group:
                member, place = waiting[i]
                member._alone.add(place)
        else:
            for i, tokens in zip(group, made, strict=True):
                member, place = waiting[i]
                member._made[place] = tokens


def _companies(calls: Sequence[SamplerCall]) -> list[list[int]]:
    """Which of them go side by side, by their places: as many as a composition may have."""
    groups: list[list[int]] = []
    latest: dict[object, list[int]] = {}
    for i, call in enumerate(calls):
        company = _company(call)
        group = latest.get(company)
        if company is None or group is None or not _fits([calls[j] for j in group], call):
            groups.append(group := [])
            latest[company] = group
        group.append(i)
    return groups


def _company(call: SamplerCall) -> object:
    try:
        return call.company
    except Refused:  # it will be, by itself
        return None


def _fits(group: Sequence[SamplerCall], call: SamplerCall) -> bool:
    together = [*group, call]
    items, rows = sum(map(len, together)), sum(one.rows for one in together)
    return items <= MAX_BATCH and rows <= MAX_ROWS


def _made(group: Sequence[SamplerCall], on_music: OnMusic) -> list[Tensor]:
    """int64 `[B, K, T]` of each."""
    if len(group) == 1 and _company(group[0]) is None:
        frames = ((one,) for one in group[0].stream())
    else:
        frames = side_by_side(group)
    items = sum(map(len, group)) / group[0].engine.config.frame_rate
    pieces: list[tuple[Tensor, ...]] = []
    for piece in frames:
        pieces.append(piece)
        if piece[0].shape[2]:
            on_music(piece[0].shape[2] * items)
    return [torch.cat(one, dim=2) for one in zip(*pieces, strict=True)]
