"""The graph in a sound file, run once more: are the samples the same?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...workflows.events import Event, Listener, NodeOutput
from ...workflows.graph import Graph, Link
from ...workflows.media.audio import read_audio, write_audio
from ...workflows.media.encode import CODINGS
from ...workflows.media.tags import read_tags
from ...workflows.provenance import TAG, Provenance, told_in

if TYPE_CHECKING:
    from torch import Tensor

    from ...workflows.executor import RunResult
    from ...workflows.validate import Validation

OF_THE_BATCH = ("take", "takes")
"""what a file says of the others that were made beside it, whom its graph does not know"""
ROUNDING = 1.01 / 32768
"""one step of 16 bits: sound that is decoded beside other items is rounded otherwise"""


@dataclass(frozen=True)
class Remade:
    """A sound file beside what its graph makes now."""

    largest_difference: float | None
    """between samples of ±1; None if nothing of its length, rate and channels came of the graph"""
    says: bool
    """whether the file says what it was made with"""
    changed: Mapping[str, tuple[Any, Any]]
    """where that is not what it was made with now: both"""

    @property
    def is_same(self) -> bool:
        return self.largest_difference == 0

    @property
    def is_rounded(self) -> bool:
        """Whether it is the same music, and one step of 16 bits apart somewhere."""
        return self.largest_difference is not None and 0 < self.largest_difference < ROUNDING


def made_again(
    file: Path, valid: Validation, folder: Path, run: Callable[[Listener], RunResult]
) -> Remade:
    """`run` runs the graph `valid`, which `file` carries, with `folder` for its results.

    Raises Refused for a graph that saves no sound, and what `run` raises.
    """
    ends = _sound_ends(valid.graph, valid.outputs)
    if not ends:
        expected, remedy = "a graph that saves sound", "musicgraph run makes its other results"
        raise Refused(f"again: {file.name}", got="no sound", expected=expected, remedy=remedy)
    sound, saved = read_audio(file), dict[str, tuple[Path, ...]]()

    def listen(event: Event) -> None:
        if isinstance(event, NodeOutput):
            saved[event.node] = event.files

    result, suffix = run(listen), file.suffix.lower()
    differences = {}
    for end, link in ends.items():
        made = [path for path in saved[end] if path.suffix.lower() == suffix]
        made += _written(result, end, link, valid.graph, folder / f"{end}{suffix}")
        differences[end] = _least(_difference(sound, read_audio(path)) for path in made)
    least = _least(differences.values())
    best = next(end for end in ends if differences[end] == least)
    then, now = told_in(read_tags(file).get(TAG)), _told_now(result, best, valid)
    names = [name for name in {**then, **now} if name not in OF_THE_BATCH]
    changed = {
        name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)
    }
    return Remade(least, bool(then), changed if then else {})


def _sound_ends(graph: Graph, outputs: Iterable[str]) -> dict[str, Link]:
    """The outputs that take sound, and where theirs comes from."""
    return {node: graph[node].links["audio"] for node in outputs if "audio" in graph[node].links}


def _written(result: RunResult, end: str, link: Link, graph: Graph, path: Path) -> Iterator[Path]:
    """What reaches a saver, in a format that may not be its own, as `generate` writes it."""
    if path.suffix not in CODINGS:
        return
    widgets = graph[end].widgets
    quality = widgets.get("quality") or widgets.get("format.quality")
    quality = quality if quality in CODINGS[path.suffix].qualities else None
    values = result.outputs.get(link.node, ())
    sounds = [one for one in (values[link.slot] if values else ()) if one is not None]
    items = [(item, one["sample_rate"]) for one in sounds for item in one["waveform"]]
    for number, (item, rate) in enumerate(items):
        place = path.with_stem(f"{path.stem}_{number}")
        write_audio(place, item, rate, quality=quality)
        yield place


def _difference(one: tuple[Tensor, int], other: tuple[Tensor, int]) -> float | None:
    (first, first_rate), (second, second_rate) = one, other
    if first.shape != second.shape or first_rate != second_rate:
        return None
    return float((first - second).abs().max())


def _least(differences: Iterable[float | None]) -> float | None:
    return min((one for one in differences if one is not None), default=None)


def _told_now(result: RunResult, end: str, valid: Validation) -> dict[str, Any]:
    provenance = Provenance(valid.graph, None, valid.specs, result.made_with)
    _, beside = provenance.of(end)
    return told_in(json.dumps(beside[TAG]))
