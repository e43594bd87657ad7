"""The bookkeeping of a session's slots: which rows each has, and how far it has read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from ..refused import Refused


@dataclass
class _Slot:
    rows: tuple[int, ...]
    position: int = 0


class Slots:
    """Rows are given out from the lowest that is free, so that slots that begin together lie
    together.
    """

    def __init__(self) -> None:
        self._slots: dict[int, _Slot] = {}
        self._numbers = count()

    def admit(self, rows: int) -> int:
        """A new slot with so many rows."""
        taken = {row for slot in self._slots.values() for row in slot.rows}
        free = (row for row in count() if row not in taken)
        number = next(self._numbers)
        self._slots[number] = _Slot(tuple(next(free) for _ in range(rows)))
        return number

    def rows(self, slot: int) -> tuple[int, ...]:
        return self._slots[slot].rows

    def advance(self, slots: Sequence[int], steps: int) -> list[int]:
        """The position, for each row of these slots, at which its next `steps` steps begin."""
        begins = []
        for number in slots:
            slot = self._slots[number]
            begins += [slot.position] * len(slot.rows)
            slot.position += steps
        return begins

    def keep(self, slot: int, count: int) -> tuple[int, ...]:
        """Of a slot's rows the first `count`; those that are free now."""
        rows = self._slots[slot].rows
        self._slots[slot].rows = rows[:count]
        return rows[count:]

    def leave(self, slot: int) -> tuple[int, ...]:
        """The rows that are free now."""
        return self._slots.pop(slot).rows

    def check_same_number(self, slot: int, heard: Sequence[object]) -> None:
        """Raises Refused if what a slot is to listen to has another number of branches: they would
        have no past.
        """
        if len(heard) != len(self.rows(slot)):
            raise Refused(
                "branches",
                got=f"{len(heard)} for a slot of {len(self.rows(slot))}",
                expected="as many as it began with",
                remedy="begin with all that will be needed, the unused ones with weight 0",
            )
