"""Renders composed pieces into shards of 16-bit audio with their facts.

Run: `python training/render.py --work-dir build/pocket --hours 20`. It resumes: finished shards
are kept as they are, for each carries the facts of its own pieces; the same index gives the same
piece. A shard is `shard-NNNN.npy` (int16, all pieces
end to end), `shard-NNNN.jsonl` (one line a piece: offset, samples, facts) and `tune-NNNN.jsonl`
(one line a piece: the lead's notes as start, end in codec frames, pitch). Pieces whose index
divides by `VALIDATION_EVERY` are for validation only; no other stage decides that again.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from compose import Song, compose
from sound_world import FRAME_RATE, SAMPLE_RATE
from world.studio import studio

PIECES_PER_SHARD = 60
VALIDATION_EVERY = 25
LONG_EVERY = 6  # pieces of 31 s, for crops of 30; no divisor of the other: some are held out
MEAN_PIECE_S = 17.1  # measured


def synthesize(song: Song) -> np.ndarray:
    """float32 [T] at `SAMPLE_RATE`, whole bars, mono, at the common loudness."""
    return studio(SAMPLE_RATE).play(song)


def is_validation(index: int) -> bool:
    return index % VALIDATION_EVERY == 0


def piece(index: int) -> Song:
    """The piece of that index, in training and in evaluation."""
    return compose(index, long=index % LONG_EVERY == 0)


def tune(song: Song) -> list[tuple[int, int, int]]:
    """The lead's notes: first frame, frame after the last, MIDI pitch."""
    notes = next((p.notes for p in song.parts if p.role == "lead"), ())
    beat = song.frames_per_beat
    return [
        (round(n.start_beats * beat), round((n.start_beats + n.duration_beats) * beat), n.pitch)
        for n in notes
    ]


def render_shard(folder: Path, shard: int) -> float:
    """Seconds of music rendered; 0 when the shard was there."""
    names = [
        folder / f"shard-{shard:04}.npy",
        folder / f"tune-{shard:04}.jsonl",
        folder / f"shard-{shard:04}.jsonl",
    ]
    if all(name.exists() for name in names):
        return 0.0
    pieces, lines, tunes, offset = [], [], [], 0
    for index in range(shard * PIECES_PER_SHARD, (shard + 1) * PIECES_PER_SHARD):
        song = piece(index)
        audio = np.round(synthesize(song) * 32767).astype(np.int16)
        bar_frames = song.frames_per_beat * song.facts.beats_per_bar
        line = {"index": index, "offset": offset, "samples": len(audio), "bar_frames": bar_frames}
        lines.append(
            {**line, "validation": is_validation(index), "facts": dataclasses.asdict(song.facts)}
        )
        tunes.append(tune(song))
        pieces.append(audio)
        offset += len(audio)
    audio_path, tune_path, facts_path = names  # the facts last: a shard with facts is whole
    np.save(audio_path.with_suffix(".tmp.npy"), np.concatenate(pieces))
    audio_path.with_suffix(".tmp.npy").rename(audio_path)
    _write_lines(tune_path, tunes)
    _write_lines(facts_path, lines)
    return offset / SAMPLE_RATE


def _write_lines(path: Path, values: list) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text("".join(json.dumps(value) + "\n" for value in values))
    beside.rename(path)


def render(work_dir: Path, hours: float, workers: int) -> None:
    folder = work_dir / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    shards = max(1, round(hours * 3600 / MEAN_PIECE_S / PIECES_PER_SHARD))
    os.environ["OMP_NUM_THREADS"] = "1"  # one thread a worker
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        total_s = sum(pool.map(render_shard, [folder] * shards, range(shards)))
    print(
        f"rendered {total_s / 3600:.2f} h of new music; "
        f"{shards} shards in {folder} ({FRAME_RATE} frames/s grid)"
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--hours", type=float, default=20.0, help="hours of music to have in all")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    render(args.work_dir, args.hours, args.workers)
