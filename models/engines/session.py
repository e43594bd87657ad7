"""Engines: what runs the LM, step by step.

An engine opens sessions; a session holds slots. A slot is one item of music: it is admitted,
listens, and leaves. Slots at different positions share a step, and each gets what it would get
alone. All state is the session's: two sessions of one engine cannot disturb each other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from ..conditioning import Conditioning
from ..config import LMConfig, Sampling
from ..lm import MusicGenLM, Reading, TextKV, seen_from, together
from ..precision import NAMES
from .drawing import BranchWeights, NoiseSource, States, TorchNoise, tokens_from
from .slots import Slots
from .whole import WholePiece

Heard = Sequence[Conditioning | None]
"""what each branch of a slot listens to: a conditioning of one item, or nothing"""


Admitting = Generator[None, None, int]
Answer = Callable[[], Tensor]
PREFIX_STEPS = 50  # of a prefix are read at a time


class Session(Protocol):
    in_company = False
    """whether others may ask for steps, between `ask` and its answer, that are computed with it"""

    def admit(self, heard: Heard, max_steps: int) -> int:
        """A new slot with a row for each of `heard`, and room for `max_steps` steps.

        A prefix is read at once.
        """
        ...

    def admitting(self, heard: Heard, max_steps: int) -> Admitting:
        """`admit`, which yields after each piece of a prefix, so that a stop is heard meanwhile."""
        ...

    def listen(self, slot: int, heard: Heard) -> None:
        """From the next step on, the slot's rows listen to something else.

        As many rows. A prefix has been read: a model that has one hears what it began with.
        """
        ...

    def keep(self, slot: int, count: int) -> None:
        """From the next step on a slot has only the first `count` of its rows; the others' memory
        goes.
        """
        ...

    def leave(self, slot: int) -> None:
        """Ends a slot; its memory goes."""
        ...

    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        """Each slot reads its next S steps, int64 `[N, K, S]` on the engine's device.

        Returns float32 logits `[R, K, V]` of the step after them: a row for each branch, slot by
        slot.
        """
        ...

    def ask(self, slots: Sequence[int], tokens: Tensor) -> Answer:
        """`step`, in two. To be answered before anything else is asked of these slots."""
        return partial(self.step, slots, tokens)


class Engine(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def config(self) -> LMConfig: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def precision(self) -> str:
        """fp32, int8, int4, fp16 or bf16"""
        ...

    @property
    def reads_exactly(self) -> bool:
        """Whether steps that are read at once give, to the last bit, what they give one by one."""
        ...

    def open(self, rows: int = 0, max_steps: int = 0) -> Session:
        """A session with room for so many rows and steps from the start; it grows when it needs
        more.
        """
        ...

    def noise(self, states: States) -> NoiseSource:
        """Noise to draw with, the same whatever the engine."""
        return TorchNoise(states)

    def draw(
        self, logits: Tensor, weights: BranchWeights, noise: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """From a step's logits to tokens: see `drawing.tokens_from`. On the engine's device."""
        ...


class TorchEngine:
    """The reference: plain torch, any device, any float type."""

    name = "torch"
    reads_exactly = False

    def __init__(self, lm: MusicGenLM):
        self.lm = lm
        self.config = lm.config

    @property
    def device(self) -> torch.device:
        return self.lm.norm.weight.device

    @property
    def precision(self) -> str:
        return NAMES[self.lm.norm.weight.dtype]

    def whole(self, heard: Heard, frames: int) -> WholePiece:
        """Rows, one for each of `heard`, that read pieces of so many frames at once."""
        return WholePiece(self.lm, heard, frames)

    def open(self, rows: int = 0, max_steps: int = 0) -> TorchSession:
        return TorchSession(self.lm, rows, max_steps)

    def noise(self, states: States) -> NoiseSource:
        return TorchNoise(states)

    def draw(
        self, logits: Tensor, weights: BranchWeights, noise: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        return tokens_from(logits, weights, noise, sampling)


@dataclass(frozen=True)
class Plan:
    """What a step of the same slots, listening to the same, has in common with the last one."""

    rows: tuple[int, ...]
    item_of_row: Tensor | None
    """which slot each row belongs to; None if all have one row each"""
    where: slice | Tensor
    text: TextKV | None
    listeners: slice | Tensor


class TorchSession(Session):
    """Rows of all slots lie in one set of caches, so that a step of all of them at one position
    copies nothing.
    """

    def __init__(self, lm: MusicGenLM, rows: int, max_steps: int):
        self._lm, self._caches, self._slots = lm, lm.allocate(rows, max_steps), Slots()
        self._texts: dict[int, TextKV | None] = {}  # by row
        self._plans: dict[tuple[int, ...], Plan] = {}  # by slots

    def admit(self, heard: Heard, max_steps: int) -> int:
        return drained(self.admitting(heard, max_steps))

    @torch.inference_mode()
    def admitting(self, heard: Heard, max_steps: int) -> Admitting:
        prefix = self._lm.read_prefix(heard)
        length = 0 if prefix is None else prefix.shape[1]
        slot = self._slots.admit(len(heard))
        self._caches.make_room(max(self._slots.rows(slot)) + 1, length + max_steps)
        self._hear(slot, heard)
        for piece in () if prefix is None else prefix.split(PREFIX_STEPS, dim=1):
            self._read(self._plan((slot,)), self._slots.advance((slot,), piece.shape[1]), piece)
            yield
        return slot

    @torch.inference_mode()
    def listen(self, slot: int, heard: Heard) -> None:
        self._slots.check_same_number(slot, heard)
        self._hear(slot, heard)

    def keep(self, slot: int, count: int) -> None:
        self._forget(self._slots.keep(slot, count))

    def leave(self, slot: int) -> None:
        self._forget(self._slots.leave(slot))

    @torch.inference_mode()
    def step(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        plan = self._plan(tuple(slots))
        begins = self._slots.advance(slots, tokens.shape[-1])
        read = tokens if plan.item_of_row is None else tokens[plan.item_of_row]
        return self._lm.logits(self._read(plan, begins, self._lm.embed(read))[:, -1:])[:, 0]

    def _forget(self, rows: Sequence[int]) -> None:
        self._plans.clear()
        for row in rows:
            del self._texts[row]

    def _hear(self, slot: int, heard: Heard) -> None:
        self._plans.clear()
        for row, one in zip(self._slots.rows(slot), heard, strict=True):
            self._texts[row] = self._lm.read_text(one)

    def _plan(self, slots: tuple[int, ...]) -> Plan:
        if slots not in self._plans:
            device, each = self._lm.norm.weight.device, [self._slots.rows(slot) for slot in slots]
            rows = tuple(row for some in each for row in some)
            items = [item for item, some in enumerate(each) for _ in some]
            texts = {i: text for i, row in enumerate(rows) if (text := self._texts[row])}
            self._plans[slots] = Plan(
                rows,
                None if len(rows) == len(slots) else torch.tensor(items, device=device),
                indexed(rows, device),
                together(list(texts.values())) if texts else None,
                indexed(tuple(texts), device),
            )
        return self._plans[slots]

    def _read(self, plan: Plan, begins: Sequence[int], x: Tensor) -> Tensor:
        steps = torch.arange(x.shape[1], device=x.device)
        end = max(begins) + len(steps)
        numbers = None
        if len(set(begins)) == 1:
            positions = steps + begins[0]
            mask = seen_from(positions, end) if len(steps) > 1 else None
        else:
            positions = torch.tensor(begins, device=x.device).unsqueeze(-1) + steps
            mask = seen_from(positions, end).unsqueeze(1)
            numbers = torch.tensor(plan.rows, device=x.device).unsqueeze(-1)
        reading = Reading(plan.where, positions, end, mask, numbers, plan.text, plan.listeners)
        return self._lm(x, self._caches, reading)


def drained(admitting: Admitting) -> int:
    """What it returns at its end."""
    while True:
        try:
            next(admitting)
        except StopIteration as end:
            return end.value


def indexed(numbers: tuple[int, ...], device: torch.device) -> slice | Tensor:
    """An index for these places: a slice where they are evenly spaced, which copies nothing."""
    first = numbers[0] if numbers else 0
    stride = max(1, numbers[1] - first) if len(numbers) > 1 else 1
    evenly = range(first, first + stride * len(numbers), stride)
    if numbers == tuple(evenly):
        return slice(evenly.start, evenly.stop, stride)
    return torch.tensor(numbers, device=device)
