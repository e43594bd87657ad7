"""How a stranger's prompts are served, through the product's defaults. A table with the data's own
ceiling, then JSON.

Run: `python training/evaluate_everyday.py --model models/pocket`. Two seeds a prompt; `--prompts
FILE` takes other prompts (`everyday.read_prompts`). Judges are trained on rendered pieces after the
codec, whose accuracy stands in the table; beat, tempo, mode by profiles and levels are signal
analysis and know nothing of any training.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import measures
import numpy as np
import soundfile
import torch
from everyday import EVERYDAY, Expected, read_prompts
from judges import Judges, data_ceiling, level_figures, train_judges
from plots import spectrogram_page
from sound_world import SAMPLE_RATE
from subject import Pocket, load

from musicgraph.models.config import Sampling

SEEDS = (0, 1000)
PRECISION = "int8"  # what the product takes on a CPU


@dataclass(frozen=True)
class Clip:
    asked: Expected
    audio: np.ndarray
    sound: measures.Sound
    drums: bool
    family: str
    mode: str


def play(
    pocket: Pocket, prompts: tuple[Expected, ...], sampling: Sampling, seconds: float
) -> list[list[np.ndarray]]:
    """Audio by seed and prompt."""
    texts = [p.text for p in prompts]
    return [pocket.generate(texts, seconds, sampling, seed, PRECISION) for seed in SEEDS]


def judge(
    judges: Judges, prompts: tuple[Expected, ...], audio: list[list[np.ndarray]]
) -> list[Clip]:
    clips = []
    for row in audio:
        vectors = np.stack([measures.features(a) for a in row])
        drums, families = judges.drums.model.predict(vectors), judges.family.model.predict(vectors)
        for asked, sound, heard, family in zip(prompts, row, drums, families, strict=True):
            listened = measures.listen(sound)
            mode = judges.mode.mode(np.array(listened.chromas))
            clips.append(Clip(asked, sound, listened, heard == "True", family, mode))
    return clips


def figures(clips: list[Clip]) -> dict[str, float]:
    wanted, unwanted = ([c for c in clips if c.asked.drums is told] for told in (True, False))
    timed = [c for c in clips if c.asked.bpm]
    keyed = [c for c in clips if c.asked.mode]
    led = [c for c in clips if c.asked.families]
    shares = {
        "drums": [c.drums for c in wanted],
        "unwanted_drums": [c.drums for c in unwanted],
        "beat_strength": [c.sound.beat for c in wanted],
        "steady": [c.sound.steady for c in wanted],
        "tempo_exact": [
            measures.tempo_within(c.sound.beat_bpm, c.asked.bpm, octaves=(1,)) for c in timed
        ],
        "tempo_octave": [measures.tempo_within(c.sound.beat_bpm, c.asked.bpm) for c in timed],
        "mode": [c.mode == c.asked.mode for c in keyed],
        "mode_by_profiles": [c.sound.mode_by_profiles == c.asked.mode for c in keyed],
        "family": [c.family in c.asked.families for c in led],
    }
    made = {name: np.mean(values) for name, values in shares.items() if values}
    return {name: float(v) for name, v in (made | level_figures([c.sound for c in clips])).items()}


def variety(audio: list[list[np.ndarray]]) -> dict[str, float]:
    """How unlike two seeds of one prompt are, in notes and in rhythm."""
    apart = np.array(
        [measures.distance_in_time(one, other) for one, other in zip(*audio, strict=True)]
    )
    return {
        "variety_of_notes": float(apart[:, 0].mean()),
        "variety_of_rhythm": float(apart[:, 1].mean()),
    }


def everyday_figures(
    pocket: Pocket,
    judges: Judges,
    prompts: tuple[Expected, ...],
    sampling: Sampling,
    seconds: float,
    out: Path,
) -> dict[str, float]:
    audio = play(pocket, prompts, sampling, seconds)
    clips = judge(judges, prompts, audio)
    keep(out, clips)
    return figures(clips) | variety(audio)


def keep(out: Path, clips: list[Clip]) -> None:
    """Audio, spectrograms and one line a clip."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "clips.txt").open("w") as lines:
        for number, clip in enumerate(clips):
            soundfile.write(out / f"{number:03}.wav", clip.audio, SAMPLE_RATE)
            s = clip.sound
            drums = "drums" if clip.drums else "no drums"
            heard = f"beat {s.beat:.2f} at {s.beat_bpm:.0f}, {drums}, {clip.mode}, {clip.family}"
            lines.write(
                f"{number:03} {clip.asked.text!r}: {heard}, {s.lufs:.1f} LUFS"
                f" {' '.join(s.faults)}\n"
            )
    half = len(clips) // len(SEEDS)
    for start in range(0, half, 20):
        rows = [(c.asked.text, c.audio, None) for c in clips[start : min(start + 20, half)]]
        spectrogram_page(out / f"spectrograms-{start // 20}.png", rows)


def print_table(made: dict[str, float], ceiling: dict[str, float]) -> None:
    print(f"{'':28} {'made':>8} {'data':>8}")
    for name, value in made.items():
        print(
            f"{name:28} {value:8.3f} {ceiling[name]:8.3f}"
            if name in ceiling
            else f"{name:28} {value:8.3f}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=Path("models/pocket"))
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--temperature", type=float, default=Sampling.temperature)
    parser.add_argument(
        "--judges", type=Path, help="keep there what the judges heard, or take it from there"
    )
    parser.add_argument("--threads", type=int, default=2)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--prompts", type=Path, help="JSON instead of the forty of everyday.py")
    parser.add_argument("--judged-pieces", type=int, default=512)
    parser.add_argument(
        "--out", type=Path, default=Path("build/pocket/everyday"), help="audio and spectrograms"
    )
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    subject = load(args.model)
    judging = train_judges(subject, args.judged_pieces, args.judges)
    asked_for = read_prompts(args.prompts) if args.prompts else EVERYDAY
    sampled = Sampling(temperature=args.temperature)
    report = everyday_figures(subject, judging, asked_for, sampled, args.seconds, args.out)
    ceilings = data_ceiling(judging)
    print_table(report, ceilings)
    print(json.dumps({"everyday": report, "data": ceilings}))
