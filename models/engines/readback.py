"""From the device to the CPU, step by step, without the device ever waiting for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LAG_STEPS = 8
"""On a GPU: how many steps the reading stays behind the drawing, and thus how many the CPU may be
ahead of the GPU.

So many are still computed after a stop. Fewer would do for a CPU that is never late; these cover
its pauses.
"""


def lag_on(device: torch.device) -> int:
    return LAG_STEPS if device.type == "cuda" else 0


def bring_back(
    drawn: Iterator[tuple[Tensor, ...] | None], places: tuple[Tensor, ...], first: int, lag: int
) -> Iterator[int | None]:
    """Copies what each step gives, from step `first` on, into its row of each of `places` `[S, …]`
    on the CPU.

    Yields the last step that has arrived: after each step drawn, and at the end for each that is
    still under way. Before any has arrived, what it yields is below `first`. None where None is
    drawn, which is no step.
    """
    under_way: deque[Callable[[], None]] = deque()
    step = first - 1
    for given in drawn:
        if given is None:
            yield None
            continue
        step += 1
        under_way.append(_send(given, step, places))
        if len(under_way) > lag:
            under_way.popleft()()
        yield step - lag
    for left in range(len(under_way) - 1, -1, -1):
        under_way.popleft()()
        yield step - left


def _send(given: tuple[Tensor, ...], step: int, places: tuple[Tensor, ...]) -> Callable[[], None]:
    """Starts copies into pinned memory; what is returned waits for their end.

    Elsewhere than on a GPU they end at once.
    """
    device = given[0].device
    if device.type == "cpu":  # by NumPy, to which others do not take Python from this thread
        for tensor, place in zip(given, places, strict=True):
            place.numpy()[step] = tensor.numpy()
        return _nothing
    for tensor, place in zip(given, places, strict=True):
        place[step].copy_(tensor, non_blocking=device.type == "cuda")
    if device.type != "cuda":
        return _nothing
    done = torch.cuda.Event(blocking=True)  # waiting leaves the core to others
    done.record(torch.cuda.current_stream(device))
    return done.synchronize


def _nothing() -> None:
    pass
