"""The items of a composition in a session of their own, and what each of them listens to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..conditioning import Conditioning
from ..config import Sampling
from ..engines.drawing import BranchWeights
from ..engines.session import Answer, Engine, Session
from .guidance import Branches, weights_of
from .rows import Groups


class Voices:
    """A slot for each group of each item, and in it a row for each branch."""

    def __init__(self, engine: Engine, items: Sequence[Groups], max_steps: int, begin_s: float):
        """`begin_s`: where in the music the first step is, and so in a melody."""
        self._engine, self._items, self._begin_s = engine, items, begin_s
        groups = [(i, group) for i, item in enumerate(items) for group in item]
        self._session: Session = engine.open(sum(len(group) for _, group in groups), max_steps)
        self._max_steps = max_steps
        self._slots: list[int] = []
        several = len(groups) > len(items)
        numbers = [item for item, _ in groups]
        self._item_of_slot = torch.tensor(numbers, device=engine.device) if several else None
        self.weights = _weights(items)

    def begin(self) -> Iterator[None]:
        """To be gone through before anything is read; yields while prefixes are, so that a stop is
        heard.
        """
        for item in self._items:
            for group in item:
                slot = yield from self._session.admitting(self._heard(group), self._max_steps)
                self._slots.append(slot)

    def leave(self) -> None:
        """Ends its slots, for others to have their room."""
        while self._slots:
            self._session.leave(self._slots.pop())

    def hears(self, items: Sequence[Groups]) -> bool:
        """Whether this is what the rows are listening to, whatever its weights."""
        return all(
            _same_heard(before, now)
            for old, new in zip(self._items, items, strict=True)
            for before, now in zip(old, new, strict=True)
        )

    def listen(self, items: Sequence[Groups]) -> None:
        """Rows that hear what they heard are not told again: weights may change at every step.

        Where there are fewer branches, those that were last leave.
        """
        if items is self._items:
            return
        before = [group for item in self._items for group in item]
        now = [group for item in items for group in item]
        for slot, old, new in zip(self._slots, before, now, strict=True):
            if len(new) < len(old):
                self._session.keep(slot, len(new))
            if not _same_heard(old[: len(new)], new):
                self._session.listen(slot, self._heard(new))
        self._items, self.weights = items, _weights(items)

    @property
    def in_company(self) -> bool:
        """See `Session`."""
        return self._session.in_company

    def read(self, steps: Tensor) -> Tensor:
        """`[S, B, K]` → `[R, K, V]`, every row's logits of the step after them: each counts as
        `weights` say.
        """
        return self.ask(steps)()

    def ask(self, steps: Tensor) -> Answer:
        """`read`, in two: see `Session.ask`."""
        tokens = steps.permute(1, 2, 0)
        if self._item_of_slot is not None:
            tokens = tokens[self._item_of_slot]
        return self._session.ask(self._slots, tokens)

    def draw(
        self, logits: Tensor, noise: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """`[R, K, V]` → tokens `[B, K]` and a sum `[B]`: see `Engine.draw`."""
        return self._engine.draw(logits, self.weights, noise, sampling)

    def _heard(self, branches: Branches) -> tuple[Conditioning | None, ...]:
        heard = (branch.conditioning for branch in branches)
        return tuple(None if one is None else one.at(self._begin_s) for one in heard)


def _weights(items: Sequence[Groups]) -> BranchWeights:
    """Of each item's branches in a row, as its slots lie."""
    return weights_of(tuple(branch for group in item for branch in group) for item in items)


def _same_heard(one: Branches, other: Branches) -> bool:
    """Whether both are to hear the same, whatever the weights."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a.conditioning is b.conditioning for a, b in pairs)
