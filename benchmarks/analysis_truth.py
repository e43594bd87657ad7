"""How often the analysis is right, on pieces whose tempo, bars, key and drums are known.

Run: `python benchmarks/analysis_truth.py` (`--pieces 80 --first 9100000`). The pieces are such as
pocket is trained on, by the same composer and instruments, from indices that no training uses; of
each the first ten seconds are heard. Needs what rendering needs (training/README.md). The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgraph.models.analysis import Analysis, analyse
from musicgraph.models.bar_lines import grid
from musicgraph.models.tonality import Key, read_key

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

HEARD_S = 10
TOLERANCE = 0.02
NEAR_S = 0.05
"""of a bar line"""
MIREX = {"right": 1.0, "fifth": 0.5, "relative": 0.3, "parallel": 0.2}
"""what the yearly evaluation of music retrieval gives for a key"""


@dataclass(frozen=True)
class Case:
    """What is true of a piece, and what was measured."""

    tempo_bpm: float
    key: Key | None
    drums: bool
    heard: Analysis
    analysis_s: float
    beats_off: float | None
    """the last bar line from the true one, in beats; None: none was found"""

    def within(self, factors: tuple[float, ...]) -> bool:
        bpm = self.heard.tempo.bpm if self.heard.tempo else 0
        return any(abs(bpm * factor / self.tempo_bpm - 1) <= TOLERANCE for factor in factors)

    @property
    def read_either_way(self) -> bool:
        """By the tempo, or by the half or double that is named beside it."""
        others = self.heard.tempo.also_bpm if self.heard.tempo else ()
        return self.within((1,)) or any(
            abs(bpm / self.tempo_bpm - 1) <= TOLERANCE for bpm in others
        )

    @property
    def key_is(self) -> str:
        """Of a piece with a key: right, or the kind of error."""
        assert self.key
        heard = self.heard.key
        if heard is None:
            return "none"
        if heard.name == self.key.name:
            return "right"
        if heard.tonic == self.key.tonic:
            return "parallel"
        apart = heard.fifths_to(self.key)
        return {(0, False): "relative", (1, True): "fifth"}.get(
            (apart, heard.mode == self.key.mode), "other"
        )


def heard_piece(index: int) -> Case:
    from render import piece, synthesize
    from sound_world import FRAME_RATE, SAMPLE_RATE

    song = piece(index)
    sound = torch.from_numpy(synthesize(song))[None, : HEARD_S * SAMPLE_RATE]
    started, facts = time.process_time(), song.facts
    heard = analyse(sound, SAMPLE_RATE)
    taken = time.process_time() - started
    beat_s = song.frames_per_beat / FRAME_RATE
    off = _beats_off(sound, SAMPLE_RATE, beat_s, facts.beats_per_bar)
    key = read_key(facts.tonic + ("m" if facts.mode == "minor" else "")) if facts.tonic else None
    return Case(60 / beat_s, key, facts.drums, heard, taken, off)


def _beats_off(sound: torch.Tensor, rate: int, beat_s: float, beats_per_bar: int) -> float | None:
    found = grid(sound, rate)
    line_s = found and found.last_before(HEARD_S - 1.5)
    if line_s is None:
        return None
    return (line_s / beat_s + beats_per_bar / 2) % beats_per_bar - beats_per_bar / 2


def share(values: list[bool]) -> float:
    return round(sum(values) / max(1, len(values)), 3)


def figures(cases: list[Case]) -> dict[str, Any]:
    keyed = [case for case in cases if case.key]
    kinds = [case.key_is for case in keyed]
    beside = [case for case in cases if case.within((1,)) and case.heard.tempo]
    lines = [(c.beats_off, 60 / c.tempo_bpm) for c in cases if c.beats_off is not None]
    off = [abs(c.heard.tempo.bpm - c.tempo_bpm) for c in beside if c.heard.tempo]
    return {
        "pieces": len(cases),
        "tempo": share([case.within((1,)) for case in cases]),
        "tempo_or_what_is_named_beside_it": share([case.read_either_way for case in cases]),
        "tempo_octaves_aside": share([case.within((0.5, 1, 2)) for case in cases]),
        "tempo_median_error_bpm": round(sorted(off)[len(off) // 2], 2) if off else None,
        "pieces_with_a_key": len(keyed),
        "key": share([kind == "right" for kind in kinds]),
        "key_where_confident": _confident(keyed),
        "key_mirex": round(sum(MIREX.get(kind, 0.0) for kind in kinds) / max(1, len(kinds)), 3),
        "key_kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "mode": share([bool(c.heard.key and c.key and c.heard.key.mode == c.key.mode)
                       for c in keyed]),
        "drums": share([case.heard.drums == case.drums for case in cases]),
        "drums_found": share([case.heard.drums for case in cases if case.drums]),
        "drums_imagined": share([case.heard.drums for case in cases if not case.drums]),
        "bar_line_on_a_beat": share([abs(off - round(off)) * beat < NEAR_S for off, beat in lines]),
        "bar_line": share([abs(off) * beat < NEAR_S for off, beat in lines]),
        "called_stuck": share([case.heard.stuck for case in cases]),
        "called_clipped": share([case.heard.clipped for case in cases]),
        "cpu_s_each": round(sum(case.analysis_s for case in cases) / len(cases), 3),
    }  # fmt: skip


def _confident(keyed: list[Case]) -> dict[str, float]:
    """Of the pieces whose key has a confidence of at least one half."""
    sure = [case for case in keyed if case.heard.key and case.heard.key.confidence >= 0.5]
    return {"of": share([case in sure for case in keyed]),
            "right": share([case.key_is == "right" for case in sure])}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=80)
    parser.add_argument("--first", type=int, default=9_100_000)
    given = parser.parse_args()
    cases = []
    for index in range(given.first, given.first + given.pieces):
        cases.append(heard_piece(index))
        print(index, cases[-1].heard.words(), flush=True)
    print(json.dumps(figures(cases)))


if __name__ == "__main__":
    main()
