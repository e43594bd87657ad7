"""How fast is it? Against transformers on the same random weights, and against what the memory
allows.

Run: `make bench`, or `make bench ARGS=--quick` (three minutes). A MusicGen step must read the
language model's weights once, so a step's bytes over the time it takes is set beside what a read
test reaches in the same process. All ways take turns within each round; figures are medians. Prints
a table and, as its last line, one JSON document; `--plot FILE` draws it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # as the product's front doors do, before torch reads it

import machine
import melody_case
import startup
import subjects
import torch
import whole_case
from codec_case import CodecCase

BATCHES = (1, 4)
LATE_PAST = 1450  # steps before a late one; a window has 1,503
MELODY_PAST = 600  # steps and, of a melody model, what it reads before them
CODEC_SECONDS = POCKET_SECONDS = 10.0


@dataclass(frozen=True)
class Effort:
    rounds: int
    steps: int  # of each way in each round
    late_steps: int
    late_ways: tuple[str, ...]


LATE = ("numba fp32", "numba int8", "numba int4")
FULL = Effort(rounds=6, steps=25, late_steps=30, late_ways=LATE)
QUICK = Effort(rounds=2, steps=12, late_steps=15, late_ways=LATE[1:])


@dataclass
class Findings:
    step_s: dict[tuple[str, int], list[float]] = field(
        default_factory=dict
    )  # (way, items) → seconds
    read_gb_per_s: list[float] = field(default_factory=list)
    read_huge_gb_per_s: list[float] = field(default_factory=list)  # from huge pages
    late_s: dict[str, tuple[float, float]] = field(default_factory=dict)  # way → (first, late)
    melody_s: tuple[float, float] = (0.0, 0.0)  # a step of a text model, of a melody model
    codec_s: dict[str, list[float]] = field(default_factory=dict)
    whole: dict[str, float | str] = field(default_factory=dict)
    loading: dict[str, float] = field(default_factory=dict)
    startup_s: dict[str, startup.Cost] = field(default_factory=dict)
    step_weights: int = 0
    head_weights: int = 0
    past_numbers: int = 0
    """that a step looks back on, for each step before it"""

    def step(self, way: str, items: int = 1) -> float:
        return median(self.step_s[way, items])

    def read_gb(self, way: str, past: int = 0) -> float:
        """What a step of one item cannot do without: all weights once, and its past."""
        heads, kept = self.head_weights, past * self.past_numbers
        layers = self.step_weights - heads
        if "int4" in way:  # whose heads and past are in 8 bits
            return (layers * 17 / 32 + heads + kept) / 1e9
        return (layers + heads + kept) * (1 if "int8" in way else 4) / 1e9

    def limit_s(self, way: str, past: int = 0) -> float:
        """The time that reading it takes, at the bandwidth of the read test."""
        return self.read_gb(way, past) / median(self.read_gb_per_s)

    def bandwidth_share(self, way: str) -> float:
        return self.limit_s(way) / self.step(way)

    def summary(self) -> dict[str, float | str]:
        """The figures that the documentation quotes."""
        codec = {way: median(took) for way, took in self.codec_s.items()}
        first, late = self.late_s["numba int8"]
        return {
            "f32_vs_transformers": self.step("transformers") / self.step("numba fp32"),
            "f32_bandwidth_share": self.bandwidth_share("numba fp32"),
            "int8_vs_transformers": self.step("transformers") / self.step("numba int8"),
            "int8_bandwidth_share": self.bandwidth_share("numba int8"),
            "int4_vs_int8": self.step("numba int4") / self.step("numba int8"),
            "int4_bandwidth_share": self.bandwidth_share("numba int4"),
            "batch4_cost_per_item": self.step("numba int8", 4) / 4 / self.step("numba int8"),
            "late_step_vs_first": late / first,
            "melody_step_vs_text": self.melody_s[1] / self.melody_s[0],
            "codec_vs_transformers": codec["transformers"] / codec["ours"],
            "stream_overhead": codec["ours, streaming"] / codec["ours"] - 1,
            **self.whole,
            "load_peak_vs_weights": self.loading["in_all"],
            "load_s": self.loading["load_s"],
            "read_gb_per_s": median(self.read_gb_per_s),
            "read_huge_pages_gb_per_s": median(self.read_huge_gb_per_s),
            "step_ms": {
                f"{way}, {n} items": 1e3 * median(took) for (way, n), took in self.step_s.items()
            },
            "late_ms": {
                way: [1e3 * first, 1e3 * late] for way, (first, late) in self.late_s.items()
            },
            "codec_s": codec,
        }


def measure(folder: Path, upstream: subjects.Upstream, effort: Effort) -> Findings:
    found = Findings(
        step_weights=subjects.step_weights(folder),
        head_weights=subjects.head_weights(folder),
        past_numbers=subjects.past_numbers(folder),
    )
    _say("starting commands")
    found.startup_s = startup.measured(effort.rounds // 2)
    _say("loading in a fresh process")
    found.loading = whole_case.loading(
        folder, torch.get_num_threads()
    )  # first: it needs the memory
    _say("pocket, the whole path")
    found.whole = whole_case.pocket(2 * effort.rounds, POCKET_SECONDS)
    ways = {"transformers": upstream, **subjects.load_ours(folder)}
    _steps(found, ways, effort)
    _say("codec")
    found.codec_s = CodecCase(folder, upstream, CODEC_SECONDS).rounds(effort.rounds)
    for way in effort.late_ways:
        _say(f"{way}: steps after {LATE_PAST} others")
        first, late = (
            median(took) for took in ways[way].first_and_late_steps(LATE_PAST, effort.late_steps)
        )
        found.late_s[way] = (first, late)
    _say(f"a melody model's steps after {MELODY_PAST} others")
    opened = subjects.checkpoint.open_checkpoint(folder)
    text = ways["numba int8"].text
    found.melody_s = melody_case.step_seconds(opened, text, MELODY_PAST, effort.late_steps)
    return found


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _steps(found: Findings, ways: dict[str, object], effort: Effort) -> None:
    reading, reading_huge = machine.ReadTest(), machine.ReadTest(huge_pages=True)
    for turn in range(effort.rounds):
        _say(f"steps, round {turn + 1} of {effort.rounds}")
        for items in BATCHES:
            for name, way in ways.items():
                found.read_gb_per_s.append(reading.gb_per_s())
                found.read_huge_gb_per_s.append(reading_huge.gb_per_s())
                found.step_s.setdefault((name, items), []).extend(way.steps(items, effort.steps))


def table(found: Findings, facts: str) -> str:
    """Markdown."""
    limit = median(found.read_gb_per_s)
    huge = median(found.read_huge_gb_per_s)
    lines = [facts, "", f"memory read at {limit:.1f} GB/s, from huge pages at {huge:.1f} GB/s", ""]
    lines += [
        "| way | items | ms a step | × real time | × transformers | reading alone, ms | share |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (way, items), took in found.step_s.items():
        step = median(took)
        bound = found.limit_s(way)
        ratio = found.step("transformers", items) / step
        lines.append(
            f"| {way} | {items} | {step * 1e3:.1f} | {items * 0.02 / step:.2f} | {ratio:.2f} | "
            f"{bound * 1e3:.1f} | {bound / step:.0%} |"
        )
    lines += [
        "",
        "| late step | first ms | after 1,450 steps ms | reading alone, ms | ratio |",
        "|---|--:|--:|--:|--:|",
    ]
    for way, (first, late) in found.late_s.items():
        bound = 1e3 * found.limit_s(way, LATE_PAST)
        lines.append(
            f"| {way} | {first * 1e3:.1f} | {late * 1e3:.1f} | {bound:.1f} | {late / first:.2f} |"
        )
    text, melody = (1e3 * seconds for seconds in found.melody_s)
    lines += ["", f"| int8 step after {MELODY_PAST} others | ms | ratio |", "|---|--:|--:|"]
    lines += [f"| text | {text:.1f} | |", f"| melody | {melody:.1f} | {melody / text:.2f} |"]
    lines += ["", f"| decode {CODEC_SECONDS:g} s | seconds |", "|---|--:|"]
    lines += [f"| {way} | {median(took):.2f} |" for way, took in found.codec_s.items()]
    return "\n".join([*lines, "", startup.table(found.startup_s)])


def draw(found: Findings, path: Path) -> None:
    """Milliseconds a step, one item, beside the time that reading the weights takes."""
    from matplotlib import pyplot

    ways = [way for way, items in found.step_s if items == 1]
    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    axes.barh(ways[::-1], [found.step(way) * 1e3 for way in ways[::-1]], color="#7c6cf0")
    for row, way in enumerate(ways[::-1]):
        bound = found.limit_s(way) * 1e3
        axes.plot(
            [bound, bound],
            [row - 0.4, row + 0.4],
            color="black",
            label="memory bound" if row == 0 else None,
        )
    axes.axvline(20, color="#2a9d5c", linestyle=":", label="real time")
    axes.set_xlabel("ms a step: musicgen-small's shape, one prompt with guidance")
    axes.legend()
    figure.savefig(path, dpi=120)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: three minutes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--plot", type=Path, help="a PNG to draw")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        upstream = subjects.write_checkpoint(Path(folder))
        found = measure(Path(folder), upstream, QUICK if args.quick else FULL)
    print(table(found, machine.facts()))
    if args.plot:
        draw(found, args.plot)
    print(json.dumps({name: _rounded(value) for name, value in found.summary().items()}))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
