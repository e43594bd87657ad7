"""How often pocket's first take has the tempo and the mode that it was asked for, and how often a
take of `--until` has them.

Run: `python benchmarks/until_hits.py` (`--prompts 24 --tries 8 --model pocket --tonic`; `--judges
FILE` keeps what judges learn from). With `--tonic` prompts and wishes say a key, and not its mode
alone. Who judges is not who chose: onsets and chroma by librosa, and a judge that has learnt from
rendered pieces after the codec what keys sound like (`training/key_judge.py`). Needs what training
needs. Each line says what the kept take lacks, the last is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import numpy as np

from musicgraph.app.studio.music import Music, make_music
from musicgraph.app.studio.retakes import MeasuredTake, takes_until
from musicgraph.models.weights.checkpoint import open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER
from musicgraph.models.wishes import read_wishes
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

if TYPE_CHECKING:
    from key_judge import KeyJudge

STYLES = (
    *(("rock", 130), ("jazz", 143), ("house", 120), ("folk", 100)),
    *(("hip hop", 94), ("pop", 111), ("funk", 100), ("lo-fi", 79)),
)
"""and a tempo (bpm) that each is played in"""
TONICS = "C", "D", "G"
SPREAD_BPM = 3
DURATION_S = 8.0
ALIKE, NEAR = 0.8, 0.03
"""a tempo is heard where onsets repeat so strongly, beside the strongest repetition, within so much
of it, its half or its double: true of 90 % of rendered pieces, and of 6 % of other tempi
"""
JUDGED_PIECES = 512


@dataclass(frozen=True)
class Asked:
    tempo_bpm: int
    tonic: str | None
    mode: str
    style: str

    @property
    def prompt(self) -> str:
        key = f"{self.tonic} {self.mode}" if self.tonic else self.mode
        return f"{self.style} with piano and drums, in {key}, {self.tempo_bpm} bpm"

    @property
    def wishes(self) -> str:
        key = f"{self.tonic}{'m' if self.mode == 'minor' else ''}"
        return f"tempo={self.tempo_bpm}±{SPREAD_BPM} " + (
            f"key={key}" if self.tonic else f"mode={self.mode}"
        )

    def judged(self, judge: KeyJudge, music: Music) -> tuple[bool, bool]:
        """By the other judges: tempo, and mode or key."""
        from measures import chromas, pulses
        from sound_world import SAMPLE_RATE

        assert music.sample_rate == SAMPLE_RATE
        sound = np.ascontiguousarray(music.waveform[0].mean(dim=0).numpy())
        bpm, strengths = pulses(sound)
        near = np.any([abs(bpm / (by * self.tempo_bpm) - 1) < NEAR for by in (0.5, 1, 2)], axis=0)
        in_time = strengths[near].max() >= ALIKE * strengths.max()
        heard = chromas(sound)
        if self.tonic is None:
            return bool(in_time), judge.mode(heard) == self.mode
        return bool(in_time), judge.key(heard) == (self.tonic, self.mode)


def asked(count: int, tonics: bool) -> list[Asked]:
    return [
        Asked(
            tempo_bpm,
            TONICS[(place + place // 8) % 3] if tonics else None,
            ("minor", "major")[(place + place // 8) % 2],
            style,
        )
        for place in range(count)
        for style, tempo_bpm in [STYLES[place % 8]]
    ]


def folder_of(model: str) -> Path:
    return POCKET_FOLDER if model == "pocket" else Path(model)


def key_judge(model: str, kept: Path | None) -> KeyJudge:
    from judges import heard_pieces, key_judge_of
    from subject import load

    judge = key_judge_of(heard_pieces(load(folder_of(model)), JUDGED_PIECES, kept))
    print(f"the judge is right on the mode of {judge.accuracy:.1%} of rendered pieces", flush=True)
    return judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tries", type=int, default=8)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--tonic", action="store_true")
    parser.add_argument("--judges", type=Path)
    given = parser.parse_args()
    rate = open_checkpoint(folder_of(given.model)).config.codec.sample_rate
    os.environ["MUSICGRAPH_SAMPLE_RATE"] = str(rate)  # at which the judges are to hear it
    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    judge, runner, rows = key_judge(given.model, given.judges), Runner(), []
    for seed, one in enumerate(asked(given.prompts, given.tonic)):
        request = Request(one.prompt, model=given.model, seed=1000 * seed, duration_s=DURATION_S)
        wishes = read_wishes(one.wishes)
        takes = list(takes_until(
            lambda request: make_music(runner, request), request, wishes, given.tries,
        ))  # fmt: skip
        kept: MeasuredTake = min(takes, key=lambda take: take.distance)
        rows.append((not takes[0].missed, *one.judged(judge, takes[0].music),
                     not kept.missed, *one.judged(judge, kept.music), len(takes)))  # fmt: skip
        print(one.prompt, *rows[-1], kept.analysis.words(), *kept.missed, sep="; ", flush=True)
    found = {"first_take": shares(rows, 0), "kept_take": shares(rows, 3)}
    takes_each = round(float(np.mean([row[6] for row in rows])), 2)
    print(json.dumps({"prompts": len(rows), **found, "takes_each": takes_each}))


def shares(rows: list[tuple[bool | int, ...]], at: int) -> dict[str, float]:
    """Of those three columns."""
    own, tempo, key = np.array(rows, bool)[:, at : at + 3].T
    named = {"own": own, "judged": tempo & key, "judged_tempo": tempo, "judged_key": key}
    return {name: round(float(one.mean()), 3) for name, one in named.items()}


if __name__ == "__main__":
    main()
