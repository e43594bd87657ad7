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
class Apart:
    """How far two sounds of one length, rate and number of channels are apart."""

    most: float
    """between samples of ±1"""
    count: int
    """samples that differ, of all channels"""
    samples: int
    """samples that there are, of all channels"""
    from_s: float
    """when the first of them differs; 0 without any"""


@dataclass(frozen=True)
class Remade:
    """A sound file beside what its graph makes now."""

    apart: Apart | None
    """None if nothing of its length, rate and channels came of the graph"""
    says: bool
    """whether the file says what it was made with"""
    changed: Mapping[str, tuple[Any, Any]]
    """where that is not what it was made with now: both"""

    @property
    def is_same(self) -> bool:
        return self.apart is not None and not self.apart.count

    @property
    def is_rounded(self) -> bool:
        """Whether it is the same music, and one step of 16 bits apart somewhere."""
        return self.apart is not None and 0 < self.apart.most < ROUNDING


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
    apart = {}
    for end, link in ends.items():
        made = [path for path in saved[end] if path.suffix.lower() == suffix]
        made += _written(result, end, link, valid.graph, folder / f"{end}{suffix}")
        apart[end] = _closest(_apart(sound, read_audio(path)) for path in made)
    closest = _closest(apart.values())
    best = next(end for end in ends if apart[end] == closest)
    then, now = told_in(read_tags(file).get(TAG)), _told_now(result, best, valid)
    names = [name for name in {**then, **now} if name not in OF_THE_BATCH]
    changed = {
        name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)
    }
    return Remade(closest, bool(then), changed if then else {})


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


def _apart(one: tuple[Tensor, int], other: tuple[Tensor, int]) -> Apart | None:
    (first, rate), (second, second_rate) = one, other
    if first.shape != second.shape or rate != second_rate:
        return None
    differences = (first - second).abs()
    others = differences > 0
    begun = int(others.any(0).int().argmax()) if others.any() else 0
    most = float(differences.max()) if others.any() else 0.0
    return Apart(most, int(others.sum()), others.numel(), begun / rate)


def _closest(pairs: Iterable[Apart | None]) -> Apart | None:
    known = (one for one in pairs if one is not None)
    return min(known, key=lambda one: (one.most, one.count), default=None)


def _told_now(result: RunResult, end: str, valid: Validation) -> dict[str, Any]:
    provenance = Provenance(valid.graph, None, valid.specs, result.made_with)
    _, beside = provenance.of(end)
    return told_in(json.dumps(beside[TAG]))
