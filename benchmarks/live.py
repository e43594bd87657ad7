"""Live music measured.

    long      a steered performance, as fast as it goes: is its graph the same samples; how much
              memory after 30 s and at the end; the level of each 30 s
    company   whether it is the same samples beside others
    latency   performances in time: from the call to the first changed sample, with 1 and 4 of them
    quiet     the same where nobody else computes: its clock is the processor time that was spent,
              and what would be waited for is skipped
    onset     where, beside the announced frame, the sound begins to be another one, by a twin that
              is not told: the first sample that differs, and where the difference is loud

Run: `python benchmarks/live.py long company latency`, some minutes. The last line is one JSON
document.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import statistics
import threading
import time
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import torch

from musicgraph.app.studio.music import make_music, music_job
from musicgraph.app.studio.performance import Performance, loaded_model
from musicgraph.app.studio.said import Said
from musicgraph.app.studio.stage import LivePlace, Stage
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

TEXTS = (
    "a happy techno tune for synth with drums, in major, 125 bpm",
    "a sad solo piano tune, no drums, in minor, 94 bpm",
    "a happy rock tune for guitar with drums, in major, 107 bpm",
    "a sad solo violin tune, no drums, in minor, 75 bpm",
)
PIECE_S = 30.0


def sayings(length_s: float, seed: int) -> list[tuple[float, Said]]:
    """Every 12 s another text, and settings, drums or a new idea in between."""
    dice, told = random.Random(seed), []
    second = 5.0
    while second < length_s - 3:
        text = Said(text=f"{dice.choice(TEXTS)}")
        other = dice.choice(
            [
                Said(cfg=dice.choice([2.0, 3.0, 4.0])),
                Said(temperature=dice.choice([0.9, 1.0, 1.1])),
                Said(drums=dice.choice(["in", "out", "free"])),
                Said(seed=dice.randrange(2**32)),
                Said(text=f"{dice.choice(TEXTS)} 0.6 + {dice.choice(TEXTS)} 0.4"),
            ]
        )
        told += [(second, text), (second + dice.uniform(0.5, 8), other)]
        second += 12
    return told


class Measured:
    """A performance that says its part as it goes; keeps no sound."""

    def __init__(self, performance: Performance, length_s: float, seed: int):
        self.performance, self.length_s = performance, length_s
        self.to_say = sayings(length_s, seed)
        self.digest, self.levels_db = hashlib.sha256(), []
        self._energy, self._count = 0.0, 0
        self.peak_mb_at_30_s = 0.0

    def play_some(self) -> bool:
        sound = self.performance.play()
        if sound is None:
            return False
        self.digest.update(sound.numpy().tobytes())
        self._measure(sound)
        second = self.performance.samples / self.performance.sample_rate
        while self.to_say and self.to_say[0][0] <= second:
            self.performance.say(self.to_say.pop(0)[1])
        if second >= PIECE_S and not self.peak_mb_at_30_s:
            self.peak_mb_at_30_s = peak_mb()
        return True

    def _measure(self, sound: torch.Tensor) -> None:
        self._energy += float(sound.double().square().sum())
        self._count += sound.shape[1]
        if self._count >= PIECE_S * self.performance.sample_rate:
            level = 10 * torch.log10(torch.tensor(self._energy / self._count + 1e-12))
            self.levels_db.append(round(float(level), 2))
            self._energy, self._count = 0.0, 0


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def digest_of(sound: torch.Tensor) -> str:
    return hashlib.sha256(sound.contiguous().numpy().tobytes()).hexdigest()


def measure_long(model: str, length_s: float) -> dict[str, Any]:
    runner = Runner()
    request = Request(TEXTS[0], model=model, seed=1, blend_s=2.0)
    loaded = loaded_model(runner, music_job(request, runner.classes, named_models={}), bool)
    frames = round(length_s * loaded.engine.config.frame_rate)
    began = time.perf_counter()
    alone = Measured(Performance(loaded, request, frames=frames), length_s, 1)
    while alone.play_some():
        pass
    took_s, peak_at_end = time.perf_counter() - began, peak_mb()
    again = make_music(runner, alone.performance.score()).waveform[0]
    return {
        "seconds": length_s,
        "changes": len(alone.performance.score().schedule.split(";")),
        "took_s": round(took_s, 1),
        "sha256": alone.digest.hexdigest(),
        "the graph gives the same samples": digest_of(again) == alone.digest.hexdigest(),
        "peak_mb": {"after 30 s": alone.peak_mb_at_30_s, "at the end": peak_at_end},
        "levels_db": alone.levels_db,
        "level_beside_first_db": [round(x - alone.levels_db[0], 2) for x in alone.levels_db],
    }


def measure_company(model: str, length_s: float, others: int) -> dict[str, Any]:
    """The long performance among others."""
    runner = Runner()
    request = Request(TEXTS[0], model=model, seed=1, blend_s=2.0)
    loaded = loaded_model(runner, music_job(request, runner.classes, named_models={}), bool)
    frames = round(length_s * loaded.engine.config.frame_rate)
    playing = together = [
        Measured(Performance(loaded, one, frames=frames), length_s, one.seed)
        for one in (
            replace(request, prompt=TEXTS[i % len(TEXTS)], seed=1 + i) for i in range(1 + others)
        )
    ]
    while playing:
        playing = [one for one in playing if one.play_some()]
    return {"seconds": length_s, "others": others, "sha256": together[0].digest.hexdigest()}


# ---------------------------------------------------------------- latency


class Listener:
    """Plays from the moment when the first sound comes."""

    def __init__(self) -> None:
        self.began, self.arrived = 0.0, [(0, 0.0)]

    def __call__(self, sound: torch.Tensor | None) -> None:
        if sound is not None:
            now = time.monotonic()
            self.began = self.began or now
            self.arrived.append((self.arrived[-1][0] + sound.shape[1], now))

    def arrival_of(self, sample: int) -> float:
        return next((at for until, at in self.arrived if until > sample), float("nan"))


def measure_latency(model: str, listeners: int, calls: int) -> dict[str, Any]:
    stage, news = Stage(places=listeners), []
    places = []
    for seed in range(listeners):
        request = Request(TEXTS[seed], model=model, seed=seed, blend_s=0.0)
        place = stage.open(str(seed), request, news.append, named_models={})
        place.listen(listener := Listener())
        places.append((place, listener))
    said: list[tuple[Listener, float, float, int]] = []
    threads = [
        threading.Thread(target=_talk, args=(place, listener, calls, said, seed))
        for seed, (place, listener) in enumerate(places)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = [listener.began + sample / rate - at for listener, at, rate, sample in said]
    there = [listener.arrival_of(sample) - at for listener, at, _, sample in said]
    late = sum(told["by_s"] for told in news if told["event"] == "late")
    stage.close()
    return {
        "listeners": listeners,
        "calls": len(said),
        "changed sound heard after s": _spread(heard),
        "changed sound there after s": _spread(there),
        "late_s": round(late, 2),
    }


def _talk(place: Any, listener: Listener, calls: int, said: list, seed: int) -> None:
    dice = random.Random(seed)
    time.sleep(2)
    rate, hop = place.performance.sample_rate, place.performance.sample_rate / 50
    for _ in range(calls):
        time.sleep(dice.uniform(1, 2))
        at = time.monotonic()
        announced = place.say(Said(text=dice.choice(TEXTS), cfg=dice.choice([2.5, 3.0, 3.5])))
        said.append((listener, at, rate, round(announced.frame * hop)))
    time.sleep(2)


def _ignore(_: dict[str, Any]) -> None:
    pass


def measure_quiet(model: str, listeners: int, length_s: float) -> dict[str, Any]:
    runner, stage, now, spent_s = Runner(), Stage(), 0.0, []
    request = Request(TEXTS[0], model=model, blend_s=0.0)
    loaded = loaded_model(runner, music_job(request, runner.classes, named_models={}), bool)
    places = [
        LivePlace(
            stage, "", Performance(loaded, replace(request, prompt=text, seed=seed)), _ignore, {}
        )
        for seed, text in enumerate(TEXTS[:listeners])
    ]
    dice, told, late_s = random.Random(1), [], 0.0
    calls = sorted((dice.uniform(3, length_s - 3), i % listeners) for i in range(8 * listeners))
    rate, hop = places[0].performance.sample_rate, loaded.codec.hop
    for place in places:
        place.go_on(now)
    while now < length_s:
        place = min(places, key=LivePlace.due_at)
        if calls and calls[0][0] <= max(now, place.due_at()):
            at, number = calls.pop(0)
            now, began = max(now, at), time.process_time()
            said = Said(text=dice.choice(TEXTS), cfg=dice.choice([2.5, 3.0, 3.5]))
            announced = places[number].say(said)
            now += time.process_time() - began
            made_s = places[number].heard_s
            told.append((places[number], at, announced.frame * hop / rate, made_s))
            continue
        due_at = place.due_at()
        now, began = max(now, due_at), time.process_time()
        place.performance.play()
        spent_s.append(time.process_time() - began)
        now += spent_s[-1]
        late_s += place.note_played(now, due_at)
    heard = [_began(place) + second - at for place, at, second, _ in told]
    first = [_began(place) + second - at for place, at, _, second in told]
    return {
        "listeners": listeners,
        "calls": len(told),
        "changed sound heard after s": _spread(heard),
        "first sample that may differ heard after s": _spread(first),
        "ahead at the end s": [round(place.ahead_s, 3) for place in places],
        "late_s": round(late_s, 2),
        "processor time": round(sum(spent_s) / length_s / listeners, 3),
    }


def _began(place: LivePlace) -> float:
    """When the first sample was heard, or would have been."""
    return place.due_at() - place.heard_s + place.ahead_s


# ---------------------------------------------------------------- where the sound is another one

LOUD_DB = -20.0
"""of the difference, beside the music"""
STEP_S = 0.01


def measure_onset(model: str, calls: int) -> dict[str, Any]:
    """In seconds of music, from what was made when it was told, and from the announced frame."""
    runner, dice = Runner(), random.Random(2)
    request = Request(TEXTS[0], model=model, blend_s=0.0)
    loaded = loaded_model(runner, music_job(request, runner.classes, named_models={}), bool)
    found: dict[str, list[float]] = {"first": [], "loud": [], "loud beside announced": []}
    for seed in range(calls):
        one, other = (Performance(loaded, replace(request, seed=seed)) for _ in range(2))
        pieces = dice.randint(10, 30)
        for performance in (one, other):
            for _ in range(pieces):
                performance.play()
        made_s = one.samples / one.sample_rate
        announced = one.say(Said(text=dice.choice(TEXTS[1:]), cfg=dice.choice([2.5, 3.5])))
        sounds = [torch.cat([p.play() for _ in range(20)], dim=1)[0] for p in (one, other)]
        first, loud = _differs(*sounds, one.sample_rate)
        found["first"].append(first)
        found["loud"].append(loud)
        found["loud beside announced"].append(made_s + loud - announced.second)
    return {"calls": calls, **{name: _spread(values) for name, values in found.items()}}


def _differs(one: torch.Tensor, other: torch.Tensor, rate: int) -> tuple[float, float]:
    """When two sounds `[samples]` first differ, and when they differ loudly, in seconds."""
    apart, step = one - other, round(STEP_S * rate)
    first = int((apart != 0).nonzero()[0]) / rate
    levels = apart[: len(apart) // step * step].unflatten(0, (-1, step)).square().mean(dim=1)
    loud = levels > other.square().mean() * 10 ** (LOUD_DB / 10)
    return first, int(loud.nonzero()[0]) * STEP_S


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[round(0.95 * (len(ordered) - 1))], 3),
        "most": round(ordered[-1], 3),
    }


WHAT = ["long", "company", "latency", "quiet", "onset"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Live music measured.")
    parser.add_argument("what", nargs="+", choices=WHAT)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--others", type=int, default=3, help="beside the long performance")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if "long" in asked.what:
        found["long"] = measure_long(asked.model, asked.seconds)
    if "company" in asked.what:
        found["company"] = measure_company(asked.model, asked.seconds, asked.others)
    if "long" in found and "company" in found:
        same = found["company"]["sha256"] == found["long"]["sha256"]
        found["company"]["the same samples as alone"] = same
    if "latency" in asked.what:
        found["latency"] = [measure_latency(asked.model, n, asked.calls) for n in (1, 4)]
    if "quiet" in asked.what:
        found["quiet"] = [measure_quiet(asked.model, n, 24.0) for n in (1, 4)]
    if "onset" in asked.what:
        found["onset"] = measure_onset(asked.model, asked.calls)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
