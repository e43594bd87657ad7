"""How surely a model follows what it is told while it plays. A table, then JSON.

Run: `python training/evaluate_steering.py --model models/pocket`. Needs FluidSynth as `evaluate.py`
does. Each performance plays eight seconds of one thing and is then told another: half another
instrument, alone before and after; half drums where there were none, or none where there were. From
three seconds after that on, judges are asked what they hear; and of the same words from the
beginning, at the same time after it, which is the model's plain figure: it cannot be steered better
than it plays. Judges are trained on rendered pieces after the codec, of the same length.

`--leads` names those of the sound world that the model knows.
"""

import argparse
import itertools
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import measures
import numpy as np
import torch
from asks import Ask
from render import piece, synthesize
from sound_world import FRAME_RATE, LEADS, SAMPLE_RATE
from subject import HELD_OUT_FROM, Pocket, load

from musicgraph.models.compose.composition import Composition
from musicgraph.models.compose.direction import Direction
from musicgraph.models.compose.rows import Room
from musicgraph.models.config import MAX_BATCH, Sampling

PRECISION = "int8"  # what the product takes on a CPU
BEFORE_S, AFTER_S = 8.0, 3.0  # until it is told; from there until it is judged
FIRST_PIECE = HELD_OUT_FROM + 60_000
TEMPI_BPM = (80, 100, 120, 140)


@dataclass(frozen=True)
class Told:
    """What a performance begins with, and what it is told then."""

    before: Ask
    after: Ask

    @property
    def of_drums(self) -> bool:
        return self.before.drums != self.after.drums


def tellings(items: int, leads: Sequence[str], seed: int = 0) -> list[Told]:
    """Each fourth with drums that come in, each fourth with drums that go; leads evenly spread."""
    rng, made = random.Random(seed), []
    for i in range(items):
        lead = leads[i // 2 % len(leads)]
        mode, tempo_bpm = rng.choice(("major", "minor")), rng.choice(TEMPI_BPM)
        if i % 2:
            after = _ask(lead, i % 4 == 1, mode, tempo_bpm)
            before = _ask(lead, not after.drums, mode, tempo_bpm)
        else:
            after = _ask(lead, False, mode, tempo_bpm)
            family = LEADS[lead].family
            others = [other for other in leads if LEADS[other].family != family]
            before = _ask(rng.choice(others), False, mode, tempo_bpm)
        made.append(Told(before, after))
    return made


def _ask(lead: str, drums: bool, mode: str, tempo_bpm: int) -> Ask:
    mood = {"major": "happy", "minor": "sad"}[mode]
    words = f"{lead} tune with drums" if drums else f"solo {lead} tune, no drums"
    return Ask(f"a {mood} {words}, in {mode}, {tempo_bpm} bpm", lead, drums, tempo_bpm, mode)


# ---------------------------------------------------------------- playing


@dataclass(frozen=True)
class Way:
    """How it is steered."""

    blend_s: float
    sampling: Sampling
    seconds: float
    """of what is judged"""


@torch.inference_mode()
def steered(pocket: Pocket, told: Sequence[Told], way: Way, seed: int) -> list[np.ndarray]:
    """What is heard from `AFTER_S` after the change on, a clip each."""
    before, after = (
        Direction(pocket.text.encode([ask.text for ask in asks]), None, way.sampling)
        for asks in ([one.before for one in told], [one.after for one in told])
    )
    after = replace(after, blend_frames=round(way.blend_s * FRAME_RATE))
    room = Room.for_all([before, after]).widened(1)
    composition = Composition(pocket.engines[PRECISION], before, seed=seed, room=room)
    frames = round((BEFORE_S + AFTER_S + way.seconds) * FRAME_RATE)
    pieces, count = [], 0
    for made in composition.frames(frames):
        if made.shape[2] and count == round(BEFORE_S * FRAME_RATE):
            composition.steer(after)
        pieces.append(made)
        count += made.shape[2]
    return _heard(pocket, torch.cat(pieces, dim=2), BEFORE_S + AFTER_S)


@torch.inference_mode()
def plain(pocket: Pocket, told: Sequence[Told], way: Way, seed: int) -> list[np.ndarray]:
    """The same of what follows the new words from its beginning."""
    direction = Direction(pocket.text.encode([one.after.text for one in told]), None, way.sampling)
    composition = Composition(pocket.engines[PRECISION], direction, seed=seed)
    frames = composition.frames(round((AFTER_S + way.seconds) * FRAME_RATE))
    return _heard(pocket, torch.cat(list(frames), dim=2), AFTER_S)


def _heard(pocket: Pocket, tokens: torch.Tensor, begin_s: float) -> list[np.ndarray]:
    sound = pocket.codec.decode(tokens, 1)[:, 0].numpy()
    return list(sound[:, round(begin_s * SAMPLE_RATE) :])


# ---------------------------------------------------------------- judging


@dataclass(frozen=True)
class Hearing:
    """A rendered piece after the codec, from `AFTER_S` on."""

    lead: str
    solo: bool
    drums: bool
    features: list[float]


def hearings(
    pocket: Pocket, leads: Sequence[str], of_each: int, seconds: float
) -> Iterator[Hearing]:
    """So many solos of each lead, and as many pieces with drums in all as there are leads times
    half of that.
    """
    solos, drummed = dict.fromkeys(leads, 0), dict.fromkeys(leads, 0)
    for index in itertools.count(FIRST_PIECE):
        facts = (song := piece(index)).facts
        solo = facts.texture == "solo"
        counted, most = (solos, of_each) if solo else (drummed, of_each // 2)
        if counted.get(facts.lead, most) >= most or not (solo or facts.drums):
            continue
        counted[facts.lead] += 1
        audio = synthesize(song)[: round((AFTER_S + seconds) * SAMPLE_RATE)]
        clip = pocket.reconstruct(audio)[0][round(AFTER_S * SAMPLE_RATE) :]
        yield Hearing(facts.lead, solo, facts.drums, measures.features(clip).tolist())
        if min(solos.values()) >= of_each and min(drummed.values()) >= of_each // 2:
            return


def trained(heard: Sequence[Hearing]) -> dict[str, measures.Classifier]:
    """Each fifth piece only shows how often they are right."""
    pairs = {
        "drums": [(one.features, str(one.drums)) for one in heard],
        "instrument": [(one.features, LEADS[one.lead].family) for one in heard if one.solo],
    }
    return {
        name: measures.train_classifier([pair for i, pair in enumerate(some) if i % 5], some[::5])
        for name, some in pairs.items()
    }


def rated(
    judges: dict[str, measures.Classifier], told: Sequence[Told], clips: Sequence[np.ndarray]
) -> dict[str, float]:
    """Shares that are heard as they were asked for."""
    both = list(zip(told, clips, strict=True))
    wanted = {
        "instrument": [(LEADS[o.after.lead].family, c) for o, c in both if not o.of_drums],
        "drums_in": [("True", c) for o, c in both if o.of_drums and o.after.drums],
        "drums_out": [("False", c) for o, c in both if o.of_drums and not o.after.drums],
    }
    found = {}
    for name, pairs in wanted.items():
        heard = judges[name.partition("_")[0]].predict([clip for _, clip in pairs])
        found[name] = [want == has for (want, _), has in zip(pairs, heard, strict=True)]
    found["all"] = [one for some in found.values() for one in some]
    return {name: float(np.mean(right)) for name, right in found.items()}


# ---------------------------------------------------------------- all of it


def kept_hearings(pocket: Pocket, args: argparse.Namespace) -> list[Hearing]:
    """What was heard before, if the file has it; else it is written there."""
    if args.heard and args.heard.exists():
        return [Hearing(**row) for row in json.loads(args.heard.read_text())]
    heard = list(hearings(pocket, args.leads, args.of_each, args.seconds))
    if args.heard:
        args.heard.write_text(json.dumps([vars(one) for one in heard]))
    return heard


def evaluate(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    pocket = load(args.model)
    judges = trained(kept_hearings(pocket, args))
    report = {"judges": {name: judge.accuracy for name, judge in judges.items()}}
    sampling = Sampling(temperature=args.temperature, cfg=args.cfg)
    told = tellings(args.items, args.leads)
    batches = [told[at : at + MAX_BATCH] for at in range(0, len(told), MAX_BATCH)]
    for name, way in (
        ("plain", Way(0.0, sampling, args.seconds)),
        *((f"blend_{blend:g}_s", Way(blend, sampling, args.seconds)) for blend in args.blends),
    ):
        play = plain if name == "plain" else steered
        clips = [c for i, some in enumerate(batches) for c in play(pocket, some, way, 1000 * i)]
        report[name] = rated(judges, told, clips)
        print(name, report[name], flush=True)
    return report


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("models/pocket"))
    parser.add_argument("--leads", nargs="+", default=list(LEADS), choices=list(LEADS))
    parser.add_argument("--items", type=int, default=64, help="performances")
    parser.add_argument("--seconds", type=float, default=6.0, help="that are judged of each")
    parser.add_argument("--blends", type=float, nargs="*", default=[0.0, 2.0])
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--cfg", type=float, default=3.0)
    parser.add_argument("--of-each", type=int, default=30, help="solos of each lead, for judges")
    parser.add_argument("--heard", type=Path, help="keeps what judges are trained on")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    print(json.dumps(evaluate(args)))
