"""The whole recipe: render, codec, tokens, language model, export, everyday words, evaluate.
`make pocket` calls it.

Run: `python training/run.py --hours 8`. Every stage resumes; what is finished is not done again.
The hours are those of the training stages together: a little over a third for the codec (a third
of that for its body, the rest for its decoder's detail), a twelfth for everyday words, all else
for the language model, of each of its workers. Rendering and encoding (about 25 minutes of two
cores for 24 hours of music) and evaluation come on top. A short run makes less music and judges
fewer clips: `--hours 0.05` shows that every stage works. `--start models/pocket` begins with the
codec and the language model of that folder, not from nothing.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BODY_SHARE, DETAIL_SHARE, WORDS_SHARE = 0.12, 0.24, 0.085  # of the training hours
MUSIC_PER_HOUR, MOST_MUSIC_HOURS = 3.0, 24.0  # more music needs more training to be learnt
FULL_HOURS = 2.0  # from here on the evaluation hears all its clips
ITEMS, FEW_ITEMS = 128, 16


@dataclass(frozen=True)
class Stage:
    script: str
    options: tuple[str, ...]


def music_hours(training_hours: float) -> float:
    """What is rendered where nothing else is said."""
    return min(MOST_MUSIC_HOURS, MUSIC_PER_HOUR * training_hours)


def stages(args: argparse.Namespace) -> list[Stage]:
    work, device = ("--work-dir", str(args.work_dir)), ("--device", args.device)
    cores = ("--workers", str(args.workers))
    workers = ("--workers", str(args.workers if args.device == "cpu" else 1))
    start = ("--start", str(args.start)) if args.start else ()
    shares = (BODY_SHARE, DETAIL_SHARE, WORDS_SHARE)
    body, detail, words = (str(round(share * args.hours, 4)) for share in shares)
    language = str(round((1 - sum(shares)) * args.hours, 4))
    music = music_hours(args.hours) if args.music_hours is None else args.music_hours
    items = str(ITEMS if args.hours >= FULL_HOURS else FEW_ITEMS)
    unpolished, made = str(args.work_dir / "unpolished"), str(args.to)
    codec = str(args.work_dir / "codec.safetensors")
    judged = ("--items", items, "--out", str(args.work_dir / "evaluation"))
    return [
        Stage("render.py", (*work, "--hours", f"{music:g}", *cores)),
        Stage(
            "train_codec.py", (*work, *device, *start, "--hours", body, "--detail-hours", detail)
        ),
        Stage("encode_audio.py", (*work, *device, *workers)),
        Stage("train_lm.py", (*work, *device, *start, "--hours", language, *workers)),
        Stage("evaluate_codec.py", (*work, "--codec", codec)),
        Stage("export.py", (*work, "--to", unpolished)),
        Stage("polish_text.py", (*work, "--model", unpolished, "--to", made, "--hours", words)),
        Stage("plots.py", work),
        Stage("evaluate.py", ("--model", made, *judged)),
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
    parser.add_argument("--hours", type=float, default=8.2, help="of training")
    parser.add_argument("--music-hours", type=float, help="to render; else as the training needs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    return parser.parse_args()


if __name__ == "__main__":
    run(parse_args())
