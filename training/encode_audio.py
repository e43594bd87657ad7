"""Encodes every rendered piece with the trained codec, once, into token files.

Run: `python training/encode_audio.py --work-dir build/pocket`. It may run as soon as encoder and
codebooks are final, while the decoder still trains. Resumes by shard; `--again` encodes all anew.
`--start FOLDER` takes the codec of a MusicGen folder, where none was trained.

`tokens/shard-NNNN.npy` is int16 [K, frames], all pieces of the audio shard end to end, each a whole
number of frames; `shard-NNNN.jsonl` is the audio shard's. So the folder is all that the language
model needs: 1.4 MB an hour of music.
"""

import argparse
import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import codec as codec_module
import numpy as np
import torch
from codec import CODEC_FILE, TrainingCodec, codec_facts, save_codec
from extend_codec import read_codec


def load_codec(work_dir: Path, device: str) -> TrainingCodec:
    return codec_module.load_codec(work_dir / CODEC_FILE, device)


@torch.inference_mode()
def encode_piece(codec: TrainingCodec, audio: np.ndarray, device: str) -> np.ndarray:
    """float32 [T] -> int16 [K, T // hop]"""
    hop = codec.settings.hop
    waveform = torch.from_numpy(audio[: len(audio) // hop * hop]).to(device)[None, None]
    return codec.encode(waveform)[0].to(torch.int16).cpu().numpy()


def encode_shard(work_dir: Path, audio_dir: Path, device: str, name: str) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    codec, tokens = load_codec(work_dir, device), []
    audio = np.load(audio_dir / f"{name}.npy", mmap_mode="r")
    for line in map(json.loads, (audio_dir / f"{name}.jsonl").read_text().splitlines()):
        piece = audio[line["offset"] : line["offset"] + line["samples"]]
        tokens.append(encode_piece(codec, piece.astype(np.float32) / 32768, device))
    path = work_dir / "tokens" / f"{name}.npy"
    np.save(path.with_suffix(".tmp.npy"), np.concatenate(tokens, axis=1))
    path.with_suffix(".tmp.npy").rename(path)
    facts = path.with_suffix(".jsonl")  # written last: readers look for it
    shutil.copyfile(audio_dir / facts.name, facts)
    print(f"{path.name}: {sum(t.shape[1] for t in tokens)} frames", flush=True)


def encode_all(
    work_dir: Path,
    audio_dir: Path,
    device: str,
    workers: int,
    again: bool,
    most: int | None = None,
) -> None:
    """Raises ValueError while encoder and codebooks still change."""
    facts = codec_facts(work_dir / CODEC_FILE)
    if facts["frozen"] != "True":
        raise ValueError(
            f"got a codec that still changes ({facts}), expected its body done: "
            "train_codec.py goes on"
        )
    (work_dir / "tokens").mkdir(parents=True, exist_ok=True)
    names = [path.stem for path in sorted(audio_dir.glob("shard-*.jsonl"))][:most]
    missing = [n for n in names if again or not (work_dir / "tokens" / f"{n}.jsonl").exists()]
    fixed = ([value] * len(missing) for value in (work_dir, audio_dir, device))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(encode_shard, *fixed, missing))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--audio", type=Path, help="another work folder whose audio/ is encoded")
    parser.add_argument("--start", type=Path, help="a MusicGen folder; its codec, if there is none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="single-threaded processes")
    parser.add_argument("--shards", type=int, help="only so many, the first")
    parser.add_argument("--again", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    if args.start and not (args.work_dir / CODEC_FILE).exists():
        save_codec(read_codec(args.start), args.work_dir / CODEC_FILE, {"frozen": "True"})
    encode_all(
        args.work_dir,
        (args.audio or args.work_dir) / "audio",
        args.device,
        args.workers,
        args.again,
        args.shards,
    )
