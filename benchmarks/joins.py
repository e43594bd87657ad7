"""How well do joins hold: continuations, regions made anew, loops?

Pocket makes pieces of twelve seconds, several kinds of music. Then, on each of them,

- real: how likely what follows a place is after what really was before it (teacher-forced), at
  some places: what a join that is none scores;
- repaint: four seconds are made anew with 1, 4 and 16 candidates (the first, the first four and all
  of the same sixteen); how likely the old music is after each, how far the spectrum jumps at the
  two seams, beside how far it jumps there in the music on either side, and whether all outside is
  equal;
- continuation: the sound is continued as if it were a recording (44.1 kHz, stereo, 6 dB louder),
  and the same is asked at the crossfade;
- loop: of other texts, takes until one has the tempo that was asked for (as `--until tempo=N±1`
  does), then a loop of its two steadiest bars, eight times in a row: the largest step at a seam
  against the steps inside, the jump of the spectrum, and by how much beats are longer or shorter
  from bar to bar, over the seams too.

Run: `python benchmarks/joins.py [--pieces 0 3 …] [--only repaint …] [--model FOLDER]`, less than
half a minute for each of the eight pieces on a free core. A line of JSON for each, and last of all
one for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import numpy as np
import torch
from torch import Tensor

from musicgraph.models import dsp
from musicgraph.models.bars import Bars
from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.direction import Direction
from musicgraph.models.compose.filling import Filling, Gap, bounds_of
from musicgraph.models.compose.loop import rounds, sound_of
from musicgraph.models.compose.splice import Region, fitted, spliced
from musicgraph.models.conditioning import Conditioning
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.encodec import Codec
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.rhythm import (
    FRAME_RATE,
    HOP,
    RATE,
    WINDOW,
    band_db,
    onsets,
    power_spectrum,
    tempo,
)
from musicgraph.models.weights.checkpoint import load_codec, load_text_encoder, open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

TEXTS = (
    "a rock band with drums, 120 bpm",
    "techno with a four on the floor beat, 130 bpm",
    "funky bass and drums, 100 bpm",
    "calm solo piano, 90 bpm",
    "happy chiptune with drums, 140 bpm",
    "slow strings, sad, 70 bpm",
    "acoustic guitar, folk, 110 bpm",
    "drum and bass, 170 bpm",
)
SECONDS, BEGIN_S, END_S = 12.0, 4.0, 8.0
CANDIDATES = 1, 4, 16
PLACES_S = 3.0, 4.5, 6.0, 7.5, 9.0
ROUNDS, TRIES = 8, 8
LOOPS = (
    ("a rock band with drums, 120 bpm", 120),
    ("techno with a four on the floor beat, 120 bpm", 120),
    ("funky bass and drums, 100 bpm", 100),
    ("calm solo piano, 100 bpm", 100),
    ("happy 8-bit tune with drums, 120 bpm", 120),
    ("sad strings, 120 bpm", 120),
    ("acoustic guitar, folk, 100 bpm", 100),
    ("pop song with synths and punchy drums, 100 bpm", 100),
)
"""at tempi whose beats are whole frames"""
SMOOTH_MS, OFFBEAT, REACH_MS = 15, 0.6, 50
FAST_RATE, LOUDER, NEAR_FRAMES = 44_100, 2.0, 3
SAMPLING = Sampling()


@dataclass(frozen=True)
class Player:
    """Pocket, and one text."""

    engine: NumbaEngine
    codec: Codec
    heard: Conditioning
    seed: int

    @property
    def rate(self) -> int:
        return self.codec.sample_rate

    @property
    def frame_rate(self) -> float:
        return self.engine.config.frame_rate

    def made(self, seconds: float, prompt: Tensor | None = None, seed: int = 0) -> Tensor:
        frames = self.engine.config.frames(seconds)
        generation = Generation(frames, self.seed + seed, SAMPLING)
        return torch.cat(list(stream(self.engine, generation, self.heard, prompt=prompt)), dim=2)

    def sound(self, tokens: Tensor) -> Tensor:
        """`[C, samples]` of one item"""
        return self.codec.decode(tokens, 1)[0]

    def filled(self, piece: Tensor, gap: Gap, candidates: int) -> Filling:
        heard = self.heard.repeated(candidates)
        bounds = bounds_of(piece.expand(candidates, -1, -1), gap, self.engine.config)
        filling = Filling(
            self.engine, Direction(heard, None, SAMPLING), bounds, seed=self.seed + 50
        )
        for _ in filling.play():
            pass
        return filling


# ---------------------------------------------------------------- how a join sounds


def flux_of(sound: Tensor, rate: int) -> Tensor:
    """How far the spectrum jumps, 10 ms by 10 ms."""
    return onsets(band_db(power_spectrum(sound, rate, WINDOW, HOP)))


def jump(sound: Tensor, rate: int, at_s: float) -> tuple[float, float]:
    """Around a second: how far the spectrum jumps, and which part of the piece jumps less."""
    flux, place = flux_of(sound, rate), round(at_s * FRAME_RATE)
    here = flux[max(0, place - NEAR_FRAMES) : place + NEAR_FRAMES + 1].max()
    return float(here), float((flux < here).float().mean())


def edges(one: Tensor, other: Tensor) -> tuple[int, int]:
    """The first and the last sample in which two sounds differ."""
    places = (one != other).any(dim=0).nonzero().flatten()
    return int(places[0]), int(places[-1])


# ---------------------------------------------------------------- what is measured


def real(player: Player, piece: Tensor) -> list[float]:
    """Nats a token of what follows, at places where nothing was joined."""
    frames = [round(second * player.frame_rate) for second in PLACES_S]
    return [-float(player.filled(piece, Gap(at, at), 1).likelihood[0]) for at in frames]


def repaint(player: Player, piece: Tensor) -> dict[str, Any]:
    gap = Gap(*(round(second * player.frame_rate) for second in (BEGIN_S, END_S)))
    there = -float(player.filled(piece, Gap(gap.end, gap.end), 1).likelihood[0])
    filling = player.filled(piece, gap, max(CANDIDATES))
    nats = [-one for one in filling.likelihood.tolist()]
    original = player.sound(piece)
    found: dict[str, Any] = {"real_nats": there, "candidates_nats": nats}
    for count in CANDIDATES:
        best = min(range(count), key=nats.__getitem__)
        parts = [piece[:, :, : gap.begin], filling.tokens[best : best + 1], piece[:, :, gap.end :]]
        changed = player.sound(torch.cat(parts, dim=2))
        region = Region.between(BEGIN_S, END_S, player.rate, original.shape[1])
        sound = spliced(original, changed, player.rate, region)
        first, last = edges(sound, original)
        equal = first >= region.begin and last < (region.end or 0)
        places = [at / player.rate for at in (first, last)]
        jumps = [jump(sound, player.rate, at) for at in places]
        beside = [
            max(jump(one, player.rate, at)[0] for one in (original, changed)) for at in places
        ]
        found[f"best_of_{count}"] = {
            "nats": nats[best],
            "jump_ranks": [rank for _, rank in jumps],
            "jumps_against_beside": [one / by for (one, _), by in zip(jumps, beside, strict=True)],
            "outside_equal": equal,
        }
    return found


def continuation(player: Player, piece: Tensor) -> dict[str, Any]:
    """Of the piece's first six seconds, as a recording of another kind."""
    begin_s = SECONDS / 2
    whole = player.sound(piece)[None] * LOUDER
    recording = fitted(whole, player.rate, 2, FAST_RATE)[0][:, : round(begin_s * FAST_RATE)]
    heard = dsp.resample(dsp.with_channels(recording[None], 1), FAST_RATE, player.rate)
    prompt = player.codec.encode(heard, 4)[:, :, : round(begin_s * player.frame_rate)]
    changed = fitted(player.sound(player.made(SECONDS, prompt, 9))[None], player.rate, 2, FAST_RATE)
    length = recording.shape[1]
    sound = spliced(recording, changed[0], FAST_RATE, Region(length, None))
    first, _ = edges(sound[:, :length], recording)
    near = length - round(FAST_RATE)
    return {
        "equal_until_s": first / FAST_RATE,
        "jump_rank": jump(sound, FAST_RATE, first / FAST_RATE)[1],
        "codec_db": dsp.rms_db(changed[0][:, near:length]) - dsp.rms_db(recording[:, near:]),
        "new_db": dsp.rms_db(sound[:, length:]) - dsp.rms_db(recording),
    }


def in_time(player: Player, bpm: float) -> tuple[Tensor, int]:
    """The first take whose tempo is what was asked for, within 1, and how many it took; the last
    one if none is.
    """
    piece = player.made(SECONDS)
    for tries in range(1, TRIES + 1):
        sound = player.sound(piece)
        heard = tempo(band_db(power_spectrum(sound, player.rate, WINDOW, HOP)))
        if heard is not None and abs(heard.bpm - bpm) <= 1:
            return piece, tries
        piece = player.made(SECONDS, seed=100_000 + tries)
    return piece, 0


def loop(player: Player, bpm: float) -> dict[str, Any]:
    """Of the two bars of a take whose beat is the steadiest."""
    bars, config = Bars(2, bpm), player.engine.config
    piece, tries = in_time(player, bpm)
    apart = bar_shifts_ms(player.sound(piece), player.rate, bars)
    first = min(range(len(apart)), key=apart.__getitem__)
    once = bars.cut(piece, first * bars.seconds / bars.bars, config)
    filling = player.filled(*rounds(once, bars.bridge_frames(2, config)), 4)
    best = int(filling.likelihood.argmax())
    once = torch.cat([once[:, :, : -filling.tokens.shape[2]], filling.tokens[best : best + 1]], 2)
    samples = bars.samples(player.rate)
    sound = sound_of(once, player.codec, 1, samples)[0].repeat(1, ROUNDS)
    steps, seams = sound.diff(dim=1).abs()[0], torch.arange(1, ROUNDS) * samples - 1
    inside = torch.ones(len(steps), dtype=torch.bool)
    inside[seams] = False
    shifts_ms = bar_shifts_ms(sound, player.rate, bars)
    return {
        "tries": tries,
        "nats": -float(filling.likelihood[best]),
        "samples_are_bars": sound.shape[1] == ROUNDS * round(bars.seconds * player.rate),
        "step": float(steps[seams].max()),
        "step_inside_999": float(steps[inside].quantile(0.999)),
        "jump_rank": jump(sound, player.rate, samples / player.rate)[1],
        "beat_differs_ms": max(shifts_ms) / bars.beats,
        "beat_differs_in_the_take_ms": max(apart) / bars.beats,
    }


def bar_shifts_ms(sound: Tensor, rate: int, bars: Bars) -> list[int]:
    """By how much, from each bar to the next, the beat comes earlier or later than bars of this
    tempo; in music that is looped, over its seams too. That, over a bar's beats, is by how much its
    beats are shorter or longer.
    """
    flux = onsets(band_db(power_spectrum(sound, rate, WINDOW, RATE // 1000)))  # each millisecond
    flux = torch.nn.functional.avg_pool1d(flux[None, None], SMOOTH_MS, 1, SMOOTH_MS // 2)[0, 0]
    half_ms = 30_000 / bars.bpm
    eighths = torch.arange(2 * bars.beats) * half_ms
    weights = torch.tensor([1.0, OFFBEAT] * bars.beats)
    begins = torch.arange(int(len(flux) / half_ms) // len(eighths)) * half_ms * len(eighths)

    def strengths(shifts: Tensor) -> Tensor:
        """`[bars, shifts]`: of what begins on the beat, so much later."""
        places = begins[:, None, None] + shifts[:, None] + eighths
        return (flux[places.round().long().clamp(0, len(flux) - 1)] * weights).sum(dim=-1)

    anywhere = torch.arange(-int(half_ms / 2), int(half_ms / 2))
    usual = anywhere[strengths(anywhere).sum(dim=0).argmax()]
    near = usual + torch.arange(-REACH_MS, REACH_MS + 1)
    return near[strengths(near).argmax(dim=1)].diff().abs().tolist()


# ---------------------------------------------------------------- all of it


def together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summed = {"repaint": repaints, "continuation": continuations, "loop": all_loops}
    return {"pieces": len(found)} | {
        name: figures(found) for name, figures in summed.items() if name in found[0]
    }


def repaints(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    nats = [one for piece in found for one in piece["real"]]
    most = float(np.quantile(nats, 0.9))
    figures: dict[str, Any] = {"real_nats_median": float(np.median(nats)), "real_nats_90th": most}
    for count in CANDIDATES:
        best = [piece["repaint"][f"best_of_{count}"] for piece in found]
        pairs = list(zip(best, found, strict=True))
        ranks = [rank for one in best for rank in one["jump_ranks"]]
        figures[f"best_of_{count}"] = {
            "nats_median": float(np.median([one["nats"] for one in best])),
            "nats_above_real_mean": float(
                np.mean([one["nats"] - piece["repaint"]["real_nats"] for one, piece in pairs])
            ),
            "within_90th_of_real": float(np.mean([one["nats"] <= most for one in best])),
            "within_90th_of_its_own_piece": float(
                np.mean([one["nats"] <= np.quantile(piece["real"], 0.9) for one, piece in pairs])
            ),
            "jump_rank_worst": max(ranks),
            "jumps_below_99th": float(np.mean([rank < 0.99 for rank in ranks])),
            "jump_against_beside_worst": max(
                ratio for one in best for ratio in one["jumps_against_beside"]
            ),
            "outside_equal": all(one["outside_equal"] for one in best),
        }
    return figures


def continuations(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    going_on = [piece["continuation"] for piece in found]
    return {
        "jump_rank_worst": max(one["jump_rank"] for one in going_on),
        "earliest_change_before_seam_s": SECONDS / 2 - min(o["equal_until_s"] for o in going_on),
        "new_db": [round(one["new_db"], 1) for one in going_on],
    }


def all_loops(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    loops = [piece["loop"] for piece in found]
    return {
        "samples_are_bars": all(one["samples_are_bars"] for one in loops),
        "step_against_999": [round(one["step"] / one["step_inside_999"], 3) for one in loops],
        "jump_ranks": [round(one["jump_rank"], 4) for one in loops],
        "tries": [one["tries"] for one in loops],
        "beat_differs_ms": [one["beat_differs_ms"] for one in loops],
        "beat_differs_in_the_take_ms": [one["beat_differs_in_the_take_ms"] for one in loops],
    }


WHAT = ["repaint", "continuation", "loop"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, nargs="*", default=list(range(len(TEXTS))))
    parser.add_argument("--only", nargs="*", default=WHAT, choices=WHAT)
    parser.add_argument("--model", type=Path, default=POCKET_FOLDER)
    asked = parser.parse_args()
    weights = open_checkpoint(asked.model)
    engine, codec = NumbaEngine(weights, "int8"), load_codec(weights)
    texts, found = load_text_encoder(weights), []
    for number in asked.pieces:
        text, (loop_text, bpm) = TEXTS[number], LOOPS[number]
        player, looper = (
            Player(engine, codec, texts.encode([one]), 100 * number) for one in (text, loop_text)
        )
        piece = player.made(SECONDS)
        found.append({"text": text})
        if "repaint" in asked.only:
            found[-1] |= {"real": real(player, piece), "repaint": repaint(player, piece)}
        if "continuation" in asked.only:
            found[-1] |= {"continuation": continuation(player, piece)}
        if "loop" in asked.only:
            found[-1] |= {"loop_text": loop_text, "loop": loop(looper, bpm)}
        print(json.dumps(found[-1]), flush=True)
    print(json.dumps(together(found)))


if __name__ == "__main__":
    main()
