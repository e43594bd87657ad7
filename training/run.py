"""The whole recipe: render, codec, tokens, language model, export, everyday words, evaluate. `make
pocket` calls it.

Run: `python training/run.py --device cpu --hours 3`. Every stage resumes; what is finished is not
done again. The hours are those of the three training stages together; rendering and encoding (about
25 minutes on two cores) and evaluation come on top.
`--start models/pocket` begins with the codec and the language model of that folder, not from nothing.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CODEC_SHARE, WORDS_SHARE = 0.4, 0.1  # of the training hours


@dataclass(frozen=True)
class Stage:
    script: str
    options: tuple[str, ...]


def stages(args: argparse.Namespace) -> list[Stage]:
    work, device = ("--work-dir", str(args.work_dir)), ("--device", args.device)
    workers = args.workers if args.device == "cpu" else 1
    start = ("--start", str(args.start)) if args.start else ()
    codec_hours, words_hours = CODEC_SHARE * args.hours, WORDS_SHARE * args.hours
    lm_hours = args.hours - codec_hours - words_hours
    unpolished = str(args.work_dir / "unpolished")
    half = str(codec_hours / 2)
    return [
        Stage(
            "render.py", (*work, "--hours", str(args.music_hours), "--workers", str(args.workers))
        ),
        Stage("train_codec.py", (*work, *device, *start, "--hours", half, "--detail-hours", half)),
        Stage("encode_audio.py", (*work, *device, "--workers", str(workers))),
        Stage(
            "train_lm.py",
            (*work, *device, *start, "--hours", str(lm_hours), "--workers", str(workers)),
        ),
        Stage("evaluate_codec.py", (*work, "--codec", str(args.work_dir / "codec.safetensors"))),
        Stage("export.py", (*work, "--to", unpolished)),
        Stage(
            "polish_text.py",
            (*work, "--model", unpolished, "--to", str(args.to), "--hours", str(words_hours)),
        ),
        Stage("plots.py", work),
        Stage("evaluate.py", ("--model", str(args.to), "--out", str(args.work_dir / "evaluation"))),
    ]


def run(args: argparse.Namespace) -> None:
    for stage in stages(args):
        command = [sys.executable, str(HERE / stage.script), *stage.options]
        print("$", " ".join(command), flush=True)
        subprocess.run(command, check=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument(
        "--to",
        type=Path,
        default=Path("build/pocket/model"),
        help="models/pocket to replace the shipped one",
    )
    parser.add_argument("--start", type=Path, help="a MusicGen folder to begin with")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--music-hours", type=float, default=28.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    return parser.parse_args()


if __name__ == "__main__":
    run(parse_args())
