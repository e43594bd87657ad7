"""The items of a composition in a session of their own, and what each of them listens to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ..conditioning import Conditioning
from ..engines.session import Engine, Session
from .guidance import Branches, mixed


class Voices:
    """One slot for each item, and in it a row for each of its branches."""

    def __init__(
        self, engine: Engine, branches: Sequence[Branches], max_steps: int, begin_s: float
    ):
        """`begin_s`: where in the music the first step is, and so in a melody."""
        self._branches, self._begin_s = branches, begin_s
        self._session: Session = engine.open(sum(map(len, branches)), max_steps)
        self._max_steps = max_steps
        self._slots: list[int] = []

    def begin(self) -> Iterator[None]:
        """To be gone through before anything is read; yields while prefixes are, so that a stop is
        heard.
        """
        for item in self._branches:
            slot = yield from self._session.admitting(self._heard(item), self._max_steps)
            self._slots.append(slot)

    def listen(self, branches: Sequence[Branches]) -> None:
        self._branches = branches
        for slot, item in zip(self._slots, branches, strict=True):
            self._session.listen(slot, self._heard(item))

    def read(self, steps: Tensor) -> Tensor:
        """`[S, B, K]` → `[B, K, V]`, the logits of the step after them."""
        return mixed(self._session.step(self._slots, steps.permute(1, 2, 0)), self._branches)

    def _heard(self, branches: Branches) -> tuple[Conditioning | None, ...]:
        heard = (branch.conditioning for branch in branches)
        return tuple(None if one is None else one.at(self._begin_s) for one in heard)
