"""Measures codecs on pieces that no training heard: a table, then JSON.

Run: `python training/evaluate_codec.py --codec build/pocket/codec.safetensors --codec
models/pocket`. A codec is a file of train_codec.py or a MusicGen folder. The pieces are the
validation split of the audio folder. Beside the codecs stand what any codec can be held against:
the original's lower half as a codec at 16 kHz would keep it at best, Opus at 6 kbit/s, and silence.

    0-8 kHz    mean difference of log-mel spectra (dB) after both were brought to 16 kHz
    8-16 kHz   the same for the octave above, at 32 kHz
    SI-SDR     scale-invariant signal-to-distortion ratio (dB) at 16 kHz
    hiss       how far the quietest 30 % of the log-mel spectrum is louder than it should be (dB)
    flatness   mean spectral flatness (dB) at 16 kHz: 0 for white noise; the original's stands below
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soxr
import torch
from codec import TrainingCodec, load_codec
from common import AudioPool
from extend_codec import read_codec
from measures import flatness_db, log_mel_db, opus_round_trip, si_sdr_db

RATE, LOW_RATE = 32_000, 16_000
LOW_HOP = LOW_RATE // 50
COLUMNS = ("mel_0_8k_db", "mel_8_16k_db", "si_sdr_db", "hiss_db", "flatness_db")
Version = Callable[[np.ndarray], np.ndarray]


def mel_db(audio: np.ndarray, rate: int, low_hz: float = 0.0) -> np.ndarray:
    """[64, frames] of windows of 64 ms every 20 ms."""
    return log_mel_db(audio, rate, rate * 64 // 1000, rate // 50, low_hz)


def figures(made: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Both float32 [T] at 32 kHz."""
    low_made, low_wanted = (soxr.resample(a, RATE, LOW_RATE) for a in (made, wanted))
    below = [mel_db(a, LOW_RATE) for a in (low_made, low_wanted)]
    above = [mel_db(a, RATE, low_hz=8000) for a in (made, wanted)]
    quiet = below[1] <= np.quantile(below[1], 0.3)
    values = (
        np.abs(below[0] - below[1]).mean(),
        np.abs(above[0] - above[1]).mean(),
        si_sdr_db(low_made, low_wanted),
        (below[0] - below[1])[quiet].mean(),
        flatness_db(low_made, LOW_HOP),
    )
    return dict(zip(COLUMNS, map(float, values), strict=True))


def read(path: Path) -> TrainingCodec:
    return (read_codec(path) if path.is_dir() else load_codec(path)).eval()


def through(codec: TrainingCodec) -> Version:
    rate, hop = codec.settings.sample_rate, codec.settings.hop

    @torch.inference_mode()
    def version(audio: np.ndarray) -> np.ndarray:
        at_rate = soxr.resample(audio, RATE, rate)
        whole = torch.from_numpy(at_rate[: len(at_rate) // hop * hop])
        return soxr.resample(codec(whole[None, None])[0][0, 0].numpy(), rate, RATE)

    return version


def lower_half(audio: np.ndarray) -> np.ndarray:
    return soxr.resample(soxr.resample(audio, RATE, LOW_RATE), LOW_RATE, RATE)


def clips(work_dir: Path, items: int, seconds: float) -> list[np.ndarray]:
    """The beginnings of pieces spread evenly over the validation split."""
    pool, length = AudioPool(work_dir, True), round(seconds * RATE)
    fitting = [piece for piece in pool.pieces if piece.samples >= length]
    chosen = np.linspace(0, len(fitting) - 1, min(items, len(fitting))).round().astype(int)
    return [pool.audio(fitting[i])[:length] for i in chosen]


def codes_in_use(codec: TrainingCodec, audio: list[np.ndarray]) -> list[float]:
    """Of each codebook, the share of its codes that the clips use at least once."""
    rate, hop, used = codec.settings.sample_rate, codec.settings.hop, []
    for clip in audio:
        at_rate = torch.from_numpy(soxr.resample(clip, RATE, rate))
        used.append(codec.encode(at_rate[None, None, : len(at_rate) // hop * hop])[0])
    return [len(codes.unique()) / codec.settings.codebook_size for codes in torch.cat(used, dim=1)]


def evaluate(paths: list[Path], work_dir: Path, items: int, seconds: float) -> dict:
    audio = clips(work_dir, items, seconds)
    codecs = {str(path): read(path) for path in paths}
    versions: dict[str, Version] = {name: through(codec) for name, codec in codecs.items()}
    versions |= {
        "lower half": lower_half,
        "Opus 6 kbit/s": partial(opus_round_trip, rate=RATE),
        "silence": np.zeros_like,
    }
    flatness = [flatness_db(soxr.resample(clip, RATE, LOW_RATE), LOW_HOP) for clip in audio]
    report = {"clips": len(audio), "original_flatness_db": float(np.mean(flatness))}
    for name, version in versions.items():
        rows = []
        for clip in audio:
            made = version(clip)
            length = min(len(made), len(clip))
            rows.append(figures(made[:length], clip[:length]))
        report[name] = {column: float(np.mean([row[column] for row in rows])) for column in COLUMNS}
    for name, codec in codecs.items():
        report[name]["codes_in_use"] = codes_in_use(codec, audio)
    return report


def print_table(report: dict) -> None:
    print("| |", " | ".join(COLUMNS), "|\n|---|" + "---|" * len(COLUMNS))
    for name, row in report.items():
        if isinstance(row, dict):
            print(f"| {name} |", " | ".join(f"{row[column]:.2f}" for column in COLUMNS), "|")
    flatness = report["original_flatness_db"]
    print(f"\n{report['clips']} clips; flatness of the original {flatness:.1f} dB")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--codec", type=Path, action="append", required=True, help="may be said several times"
    )
    parser.add_argument(
        "--work-dir", type=Path, default=Path("build/pocket"), help="its audio/ is judged"
    )
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    result = evaluate(args.codec, args.work_dir, args.items, args.seconds)
    print_table(result)
    print(json.dumps(result))
