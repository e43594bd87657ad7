"""The whole recipe: render, codec, tokens, language model, export, everyday words, evaluate.
`make pocket` calls it.

Run: `python training/run.py --hours 8`. Every stage resumes; what is finished is not done again.
The hours are those of the training stages together: a little over a third for the codec (a third
of that for its body, the rest for its decoder's detail), a twelfth for everyday words, all else
for the language model, of each of its workers. Rendering and encoding (about 40 minutes of two
cores for 90 hours of music) and evaluation come on top. A short run makes less music and judges
fewer clips: `--hours 0.05` shows that every stage works; give it a `--work-dir` of its own, for
the stages would go on with whatever lies in the usual one. `--start models/pocket` begins with the
codec and the language model of that folder, not from nothing.
"""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BODY_SHARE, DETAIL_SHARE, WORDS_SHARE = 0.12, 0.24, 0.085  # of the training hours
MUSIC_PER_HOUR, MOST_MUSIC_HOURS = 11.0, 90.0  # what is heard five times is known by heart
FULL_HOURS = 2.0  # from here on the evaluation hears all its clips
ITEMS, FEW_ITEMS = 128, 16
ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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
    unpolished, made = str(args.work_dir / "unpolished"), str(args.to or args.work_dir / "model")
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
        run_stage(command)


def run_stage(command: list[str]) -> None:
    """Raises CalledProcessError if it fails, and SystemExit once somebody asked for the end.

    The stage hears of that once, as of Ctrl-C, and may finish what it is at and write its state.
    """
    asked: list[int] = []

    def pass_on(number: int, _: object) -> None:
        asked.append(number)
        stage.send_signal(signal.SIGINT)

    stage = subprocess.Popen(command, start_new_session=True)  # a terminal reaches this one alone
    before = {number: signal.signal(number, pass_on) for number in ENDS}
    code = stage.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    if asked:
        raise SystemExit(128 + asked[0])
    if code:
        raise subprocess.CalledProcessError(code, command)


def parse_args(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument(
        "--to",
        type=Path,
        help="models/pocket to replace the shipped one; else model/ in the work folder",
    )
    parser.add_argument("--start", type=Path, help="a MusicGen folder to begin with")
    parser.add_argument("--hours", type=float, default=8.2, help="of training")
    parser.add_argument("--music-hours", type=float, help="to render; else as the training needs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    return parser.parse_args(given)


if __name__ == "__main__":
    run(parse_args())
