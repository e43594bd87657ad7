"""What a graph makes, measured against the run's limits: asked for in its literals, and kept while
it runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.limits import Limits
from ..models.refused import Refused
from .calls import Arguments, Outcome
from .media.video import Pictures
from .registry import NodeSpec

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = "AUDIO_TOKENS"
LENGTHS = frozenset({"duration", "candidates"})
OPEN_REGION_S = 30.0
"""of music that is made anew up to its end, wherever that is: no region is longer than a window"""


def composes(spec: NodeSpec) -> bool:
    """Whether a node makes music, or a part of it anew: a sampler, a repainter."""
    return TOKENS in spec.output_types and not LENGTHS.isdisjoint(spec.inputs)


def music_asked_s(inputs: Mapping[str, Any]) -> float:
    """Duration times variations of a sampler's literals, or a region's length times its candidates;
    what is linked or no number counts as nothing yet.
    """
    if "candidates" in inputs:
        return _product(_remade_s(inputs), inputs["candidates"])
    return _product(inputs.get("duration"), inputs.get("variations", 1))


def _remade_s(inputs: Mapping[str, Any]) -> float | None:
    """A region's length, and of a loop that of its bridge; None: it is not known yet."""
    if "bridge" in inputs:
        beats, bpm = inputs["bridge"], inputs.get("bpm")
        return _product(beats, 60 / bpm) if isinstance(bpm, (int, float)) and bpm > 0 else None
    begin, end = inputs.get("begin"), inputs.get("end")
    if not (isinstance(begin, (int, float)) and isinstance(end, (int, float))):
        return None
    return end - begin if end > begin else OPEN_REGION_S


def _product(one: Any, other: Any) -> float:
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return float(one * other) if numbers else 0.0


class Ledger:
    """The sound, pictures and texts that a run keeps, by node. What shares its memory counts
    once.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._held: dict[str, list[int]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}  # address → bytes, how many results hold it
        self._music_s = 0.0
        self._written: dict[Path, int] = {}
        self.kept_samples = 0

    def __contains__(self, node_id: str) -> bool:
        return bool(self._held.get(node_id))

    @property
    def is_full(self) -> bool:
        return self.kept_samples > self._limits.kept_samples

    def check(self) -> None:
        """Raises Refused if more is kept than the limits allow."""
        self._limits.check_kept(self.kept_samples)

    def compose(self, arguments: Arguments) -> None:
        """Counts what a sampler is about to make; raises Refused if that is too much."""
        self._music_s += sum(map(music_asked_s, _each(arguments)))
        self._limits.check_music(self._music_s)

    def keep(self, node_id: str, outcome: Outcome) -> None:
        """Counts a result; raises Refused if one of its sounds is too large, or holds NaN or
        infinity.
        """
        import torch

        for audio in _sounds(outcome):
            waveform = audio["waveform"]
            if waveform.ndim == 3:
                self._limits.check_sound(waveform.shape, audio["sample_rate"])
            if waveform.numel() and not all(map(math.isfinite, torch.aminmax(waveform))):
                raise Refused(
                    "the node made sound that cannot be heard",
                    got="samples that are NaN or infinite",
                    expected="numbers",
                    remedy="use less gain, or check what goes into this node",
                )
        self._held[node_id] = []
        for value in _held(outcome):
            if isinstance(value, str):
                self._count(node_id, id(value), 4 * len(value))
            else:
                storage = value.untyped_storage()
                self._count(node_id, storage.data_ptr(), storage.nbytes())
        self._check_files(outcome)

    def _check_files(self, outcome: Outcome) -> None:
        """Raises Refused if all files of the run together have become too large."""
        sizes = {path: path.stat().st_size for path in outcome.files if path.exists()}
        self._written |= sizes
        self._limits.check_written(sum(self._written.values()))

    def _count(self, node_id: str, address: int, size: int) -> None:
        _, holders = self._sizes.get(address, (size, 0))
        if not holders:
            self.kept_samples += size // 4
        self._sizes[address] = (size, holders + 1)
        self._held[node_id].append(address)

    def drop(self, node_id: str) -> None:
        for address in self._held.pop(node_id, ()):
            size, holders = self._sizes[address]
            if holders > 1:
                self._sizes[address] = (size, holders - 1)
            else:
                del self._sizes[address]
                self.kept_samples -= size // 4


def _each(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """The arguments of each call, where shorter lists repeat their last value."""
    for index in range(max(map(len, arguments.values()), default=0)):
        yield {
            name: values[min(index, len(values) - 1)]
            for name, values in arguments.items()
            if values
        }


def _values(outcome: Outcome) -> Iterator[Any]:
    for values in outcome.outputs:
        yield from values


def _sounds(outcome: Outcome) -> Iterator[Mapping[str, Any]]:
    import torch

    for value in _values(outcome):
        sound = value.audio if isinstance(value, Pictures) else value
        if isinstance(sound, Mapping) and isinstance(sound.get("waveform"), torch.Tensor):
            yield sound


def _held(outcome: Outcome) -> Iterator[Tensor | str]:
    """Texts, tensors, and those of dictionaries and videos. Models are objects: they are not
    counted.
    """
    import torch

    for value in _values(outcome):
        if isinstance(value, Pictures):
            inners = [value.images, *(value.audio or {}).values()]
        else:
            inners = value.values() if isinstance(value, Mapping) else (value,)
        yield from (one for one in inners if isinstance(one, (torch.Tensor, str)))
