"""What was played, as a take: its sound, and the graph that plays the same samples again.

The graph plays the performance from its beginning, and keeps what was recorded of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ...models.refused import Refused
from ...workflows.registry import node_classes
from ..studio.music import music_job, tags_of
from .take_library import Library, Note, Take

if TYPE_CHECKING:
    from torch import Tensor

    from ..studio.performance import Performance

SETTLED_FRAMES = 10
"""before the last frame of a graph: what its end cannot change"""
LEAST_S = 1.0
ROOM_S = 30.0
"""as much as must be left for a recording to begin"""


class Recording:
    """Sound by the number of its samples: what a performance takes back, it takes back too."""

    def __init__(self, performance: Performance):
        """Raises Refused where the performance has become too long for a graph."""
        self._performance = performance
        left_s = (performance.most_frames - performance.frames) / performance.frame_rate
        if left_s < ROOM_S:
            raise Refused(
                "the recording",
                got="music that has played for long, or changed often",
                expected="as much as a graph holds",
                remedy="begin anew, and record that",
            )
        self._lock = threading.Lock()  # guards all that follows
        self._begin: int | None = None
        self._end = 0
        self._pieces: list[tuple[int, Tensor]] = []
        """first sample of each, in order and without gaps"""

    @property
    def seconds(self) -> float:
        with self._lock:
            return (self._end - (self._begin or 0)) / self._performance.sample_rate

    def push(self, begin: int, sound: Tensor) -> None:
        """`[C, n]` from sample `begin` on, which may lie before what came last."""
        performance = self._performance
        longest = performance.most_frames / performance.frame_rate * performance.sample_rate
        with self._lock:
            if self._begin is None or begin < self._begin:
                self._begin = self._end = begin
            if begin > self._end or begin >= longest:
                return  # of what was taken back meanwhile, or behind all that a graph holds
            self._pieces = [
                (at, piece[:, : begin - at]) for at, piece in self._pieces if at < begin
            ]
            self._pieces.append((begin, sound.float().cpu()))
            self._end = begin + sound.shape[1]

    def keep(self, library: Library, title: str, named_models: Mapping[str, str]) -> Take:
        """Raises Refused for what is too short, or too long for a graph."""
        import torch

        performance = self._performance
        rate = performance.sample_rate
        frames = min(performance.frames, performance.most_frames)
        request = performance.score(frames)
        with self._lock:
            begin = self._begin or 0
            end = min(self._end, self._settled(frames))
            if end - begin < LEAST_S * rate:
                got = f"{max(0, end - begin) / rate:.1f} s"
                raise Refused("the recording", got=got, expected=f"at least {LEAST_S:g} s")
            sound = torch.cat([piece for _, piece in self._pieces], dim=1)[:, : end - begin]
        request = replace(request, excerpt_s=(begin / rate, end / rate))
        job = music_job(request, node_classes(), named_models=named_models)
        (tags,) = tags_of(job, {})
        note = Note(title or "Played live", (end - begin) / rate, came="played")
        return library.add(sound, rate, note, tags)

    def _settled(self, frames: int) -> int:
        """The sample up to which a graph of so many frames is what was heard."""
        performance = self._performance
        hop = performance.sample_rate / performance.frame_rate
        if performance.is_over and frames == performance.frames:
            return round(frames * hop)
        settled = round((frames - SETTLED_FRAMES) * hop)
        return min(settled, performance.fades_from or settled)
