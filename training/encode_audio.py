"""Encodes every rendered piece with the trained codec, once, into token files.

Run: `python training/encode_audio.py --work-dir build/pocket`. Resumes by shard; `--again` encodes all anew.
`tokens/shard-NNNN.npy` is int16 [K, frames], all pieces of the audio shard end to end, each a whole number of frames.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from codec import TrainingCodec, from_checkpoint
from common import AudioPool
from sound_world import FRAME_RATE, SAMPLE_RATE

HOP = SAMPLE_RATE // FRAME_RATE


@torch.inference_mode()
def encode_piece(codec: TrainingCodec, audio: np.ndarray, device: str) -> np.ndarray:
    """float32 [T] -> int16 [K, T // hop]"""
    frames = len(audio) // HOP
    waveform = torch.from_numpy(audio[: frames * HOP]).to(device)[None, None]
    return codec.encode(waveform)[0].to(torch.int16).cpu().numpy()


def load_codec(work_dir: Path, device: str) -> TrainingCodec:
    return from_checkpoint(torch.load(work_dir / "codec.pt", map_location=device, weights_only=True)).to(device)


def encode_shard(work_dir: Path, device: str, shard: int) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    path = work_dir / "tokens" / f"shard-{shard:04}.npy"
    codec = load_codec(work_dir, device)
    pools = [AudioPool(work_dir, validation) for validation in (False, True)]
    pieces = sorted((p for pool in pools for p in pool.pieces if p.shard == shard), key=lambda p: p.offset)
    tokens = [encode_piece(codec, pools[0].audio(piece), device) for piece in pieces]
    np.save(path.with_suffix(".tmp.npy"), np.concatenate(tokens, axis=1))
    path.with_suffix(".tmp.npy").rename(path)
    print(f"{path.name}: {sum(t.shape[1] for t in tokens)} frames", flush=True)


def encode_all(work_dir: Path, device: str, workers: int, again: bool) -> None:
    (work_dir / "tokens").mkdir(parents=True, exist_ok=True)
    shards = range(len(list((work_dir / "audio").glob("shard-*.jsonl"))))
    missing = [s for s in shards if again or not (work_dir / "tokens" / f"shard-{s:04}.npy").exists()]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(encode_shard, [work_dir] * len(missing), [device] * len(missing), missing))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="single-threaded processes")
    parser.add_argument("--again", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    encode_all(args.work_dir, args.device, args.workers, args.again)
