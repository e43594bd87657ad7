"""How often pocket's first take has the tempo, the mode and the drums that it was asked for, and
how often a take of `--until` has them.

Run: `python benchmarks/until_hits.py` (`--prompts 16 --tries 8 --model pocket --vary temperature`).
With `--vary` each try is drawn otherwise, which the product does not do. Who judges is not who
chose: the evaluation's own measures in `training/measures.py`, by librosa and with other key
profiles. Needs what training needs. Each line says what the kept take lacks, the last is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from musicgraph.app.studio.music import Music, make_music
from musicgraph.app.studio.retakes import MeasuredTake, takes_until
from musicgraph.models.weights.checkpoint import open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER
from musicgraph.models.wishes import read_wishes
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

STYLES = (
    *(("rock", 130), ("jazz", 143), ("house", 120), ("folk", 100)),
    *(("hip hop", 94), ("pop", 111), ("funk", 100), ("lo-fi", 79)),
)
"""and a tempo (bpm) that each is played in"""
SPREAD_BPM = 3
DURATION_S = 8.0


@dataclass(frozen=True)
class Asked:
    tempo_bpm: int
    mode: str
    style: str

    @property
    def prompt(self) -> str:
        return f"{self.style} with piano and drums, {self.mode}, {self.tempo_bpm} bpm"

    @property
    def wishes(self) -> str:
        return f"tempo={self.tempo_bpm}±{SPREAD_BPM} mode={self.mode} drums"

    def judged(self, music: Music) -> bool:
        """By the other judge: tempo (its half and double too) and mode."""
        from measures import listen, tempo_within
        from sound_world import SAMPLE_RATE

        assert music.sample_rate == SAMPLE_RATE
        sound = np.ascontiguousarray(music.waveform[0].mean(dim=0).numpy())
        wanted = self.tempo_bpm - SPREAD_BPM, self.tempo_bpm + SPREAD_BPM
        heard = listen(sound)
        return tempo_within(heard.beat_bpm, wanted) and heard.mode_by_profiles == self.mode


def varied(request: Request, what: str | None) -> Request:
    """The request of a try: warmer with each, or guided otherwise."""
    place = request.seed % 1000
    if what == "temperature":
        return replace(request, temperature=1 + 0.06 * place)
    if what == "cfg":
        return replace(request, cfg=(3, 4.5, 2, 6, 1.5, 3.8, 2.5, 5)[place % 8])
    return request


def asked(count: int) -> list[Asked]:
    return [
        Asked(tempo_bpm, ("minor", "major")[(place + place // 8) % 2], style)
        for place in range(count)
        for style, tempo_bpm in [STYLES[place % 8]]
    ]


def rate_of(model: str) -> int:
    """At which the other judge is to hear it."""
    folder = POCKET_FOLDER if model == "pocket" else Path(model)
    return open_checkpoint(folder).config.codec.sample_rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tries", type=int, default=8)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--vary", choices=["temperature", "cfg"])
    given = parser.parse_args()
    os.environ["MUSICGRAPH_SAMPLE_RATE"] = str(rate_of(given.model))
    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    runner, rows = Runner(), []
    for seed, one in enumerate(asked(given.prompts)):
        request = Request(one.prompt, model=given.model, seed=1000 * seed, duration_s=DURATION_S)
        wishes = read_wishes(one.wishes)
        takes = list(takes_until(
            lambda request: make_music(runner, varied(request, given.vary)), request, wishes,
            given.tries,
        ))  # fmt: skip
        kept: MeasuredTake = min(takes, key=lambda take: take.distance)
        rows.append((not takes[0].missed, not kept.missed, one.judged(takes[0].music),
                     one.judged(kept.music), len(takes)))  # fmt: skip
        print(one.prompt, *rows[-1], kept.analysis.words(), *kept.missed, sep="; ", flush=True)
    first, kept, judged_first, judged_kept, tries = np.array(rows, float).mean(axis=0).round(3)
    print(json.dumps({"prompts": len(rows), "first_take": first, "kept_take": kept,
                      "first_take_judged": judged_first, "kept_take_judged": judged_kept,
                      "takes_each": tries}))  # fmt: skip


if __name__ == "__main__":
    main()
