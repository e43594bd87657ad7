"""Does `musicgraph tune` teach pocket an instrument that it does not know?

Run: `python benchmarks/tune_timbre.py` (minutes of one core; needs FluidSynth and the sound
fonts of training/README.md). It renders ten minutes of solos with captions, trains a LoRA on them,
and asks for the instrument in other words than the captions', with the LoRA and without.
What is heard is for a judge to say: a logistic regression on rendered solos of this instrument and
of pocket's own after pocket's codec, checked on solos that it has not heard. Prints a table and, as
its last line, one JSON document; sounds and a page of spectrograms are left in `--work-dir`. A
training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import measures
import numpy as np
import soundfile
import torch
from plots import spectrogram_page
from sound_world import SAMPLE_RATE
from timbre_pieces import KNOWN, NEW, PROMPTS, said, solos

from musicgraph.app.studio.music import make_music
from musicgraph.models.weights import checkpoint
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Lora, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

POCKET = Path(__file__).parents[1] / "models" / "pocket"
SOUNDS, SOUND_S = 60, 10.0
JUDGED_FROM = 1_000_000  # indices of solos that no training hears
JUDGED, CHECKED = 20, 4  # solos of each instrument, and how many of them only check the judge
CLIP_S = 6.0
DRAWN = 4  # prompts whose spectrograms are drawn


@dataclass(frozen=True)
class Tuned:
    before: float  # held-out loss
    after: float
    best_step: int
    cpu_minutes: float  # of this call


def render(folder: Path, lead: str) -> None:
    """Ten minutes of solos, each with its caption beside it; kept if they are there."""
    if folder.is_dir() and len(list(folder.glob("*.txt"))) == SOUNDS:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number, solo in enumerate(solos(lead, SOUNDS, 0, SOUND_S)):
        soundfile.write(folder / f"{number:03}.wav", solo.audio, SAMPLE_RATE)
        (folder / f"{number:03}.txt").write_text(f"{solo.caption}\n")


def tune_command(args: argparse.Namespace) -> list[str]:
    names = ("steps", "seconds", "batch", "every")
    wanted = {f"--{name}": getattr(args, name) for name in names}
    options = [str(one) for pair in wanted.items() for one in pair]
    places = [str(args.work_dir / "sounds"), "--model", "pocket", "--device", "cpu"]
    output = ["--output", str(args.work_dir / "lora"), "--json"]
    return [sys.executable, "-m", "musicgraph", "tune", *places, *output, *options]


def finished(process: subprocess.Popen) -> Tuned:
    """Of the only child that this process has ever waited for."""
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    cpu, outcome = os.times(), json.loads(told.splitlines()[-1])
    minutes = (cpu.children_user + cpu.children_system) / 60
    return Tuned(outcome["before"], outcome["after"], outcome["best_step"], minutes)


def train_judge(lead: str) -> measures.Classifier:
    """Which of pocket's instruments, or `lead`, plays a solo."""
    codec = checkpoint.load_codec(checkpoint.open_checkpoint(POCKET))
    train, check = [], []
    for label in (*KNOWN, lead):
        for number, solo in enumerate(solos(label, JUDGED, JUDGED_FROM, CLIP_S)):
            heard = torch.from_numpy(solo.audio)[None, None]
            with torch.inference_mode():
                made = codec.decode(codec.encode(heard, codec.config.num_codebooks), 1)[0, 0]
            rows = train if number < JUDGED - CHECKED else check
            rows.append((measures.features(made.numpy()), label))
    return measures.train_classifier(train, check)


def play(
    texts: Sequence[str], loras: tuple[Lora, ...], cfg: float, folder: Path
) -> list[np.ndarray]:
    """As `musicgraph generate --seed 0` does; kept as files, too."""
    folder.mkdir(parents=True, exist_ok=True)
    runner, clips = Runner(), []
    for number, text in enumerate(texts):
        request = Request(text, duration_s=CLIP_S, seed=0, cfg=cfg, loras=loras)
        music = make_music(runner, request)
        clips.append(music.waveform[0, 0].numpy())
        soundfile.write(folder / f"{number:02}.wav", clips[-1], music.sample_rate)
    return clips


def draw(path: Path, lead: str, without: list[np.ndarray], tuned: list[np.ndarray]) -> None:
    rows = []
    for text, *clips in list(zip(PROMPTS, without, tuned, strict=False))[:DRAWN]:
        for name, clip in zip(("without", "with the LoRA"), clips, strict=True):
            rows.append((f"{said(text, lead=lead)}: {name}", clip, None))
    spectrogram_page(path, rows)


def table(found: dict) -> str:
    tuned, count = found["tune"], len(PROMPTS)
    heard = {way: found[way]["asked for it"] for way in ("without", "with")}
    known = {way: found[way]["asked for a known one"] for way in ("without", "with")}
    lead, asked = found["lead"], len(KNOWN)
    return "\n".join(
        [
            f"| {lead} | pocket | with the LoRA |",
            "|---|---|---|",
            f"| held-out loss, nats | {tuned['before']:.3f} | {tuned['after']:.3f} |",
            f"| heard when asked for | {heard['without'].get(lead, 0)} of {count} "
            f"| {heard['with'].get(lead, 0)} of {count} |",
            f"| a known instrument heard when asked for | {known['without']} of {asked} "
            f"| {known['with']} of {asked} |",
            "",
            f"judge right on {found['judge']:.0%} of held-out solos, on "
            f"{found['judge of it']:.0%} of those of the {lead}; "
            f"training: {tuned['cpu_minutes']:.1f} CPU minutes",
        ]
    )


def main(args: argparse.Namespace) -> None:
    lead = args.lead
    render(args.work_dir / "sounds", lead)
    with subprocess.Popen(tune_command(args), stdout=subprocess.PIPE, text=True) as process:
        judge = train_judge(lead)
        tuned = finished(process)
    found = {"lead": lead, "tune": vars(tuned), "strength": args.strength, "cfg": args.cfg}
    found |= {"judge": judge.accuracy, "judge of it": judge.by_label[lead], "clips": CLIP_S}
    texts = [said(text, lead=lead) for text in PROMPTS]
    texts += [said(text, lead=one) for text, one in zip(PROMPTS, KNOWN, strict=False)]
    lora = Lora(str(args.work_dir / "lora"), args.strength)
    clips = {}
    for way, loras in (("without", ()), ("with", (lora,))):
        clips[way] = play(texts, loras, args.cfg, args.work_dir / way)
        heard = judge.predict(clips[way])
        asked, known = heard[: len(PROMPTS)], heard[len(PROMPTS) :]
        right = sum(one == name for one, name in zip(known, KNOWN, strict=True))
        found[way] = {"asked for it": Counter(asked), "asked for a known one": right}
    draw(args.work_dir / "spectrograms.png", lead, clips["without"], clips["with"])
    print(table(found), json.dumps(found), sep="\n\n")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("build/timbre"))
    parser.add_argument("--lead", choices=sorted(NEW), default="sitar")
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a piece in training")
    parser.add_argument("--batch", type=int, default=3, help="pieces a step")
    parser.add_argument("--every", type=int, default=90)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--cfg", type=float, default=3.0, help="guidance; see docs/lora.md")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
