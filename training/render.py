"""Renders composed pieces with FluidSynth into shards of 16-bit audio with captions.

Run: `python training/render.py --work-dir build/pocket --hours 12`. It resumes: finished shards are kept.
A shard is `shard-NNNN.npy` (int16, all pieces end to end) and `shard-NNNN.jsonl` (one line a piece: offset, samples, facts).
Pieces whose index divides by `VALIDATION_EVERY` are for validation only; no other stage decides that again.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mido
import numpy as np
from compose import Song, compose
from sound_world import FRAME_RATE, SAMPLE_RATE

SOUNDFONT = Path(os.environ.get("MUSICGRAPH_SOUNDFONT", "/usr/share/sounds/sf2/FluidR3_GM.sf2"))
TICKS_PER_BEAT = 480
PIECES_PER_SHARD = 60
VALIDATION_EVERY = 25
LEVEL_RMS = 0.1  # every piece is brought to this level, below a soft ceiling
DYNAMIC_DB = {"soft": -5.0, "normal": 0.0, "loud": 2.0}


def to_midi(song: Song) -> mido.MidiFile:
    events = []  # (tick, note-offs first, message)
    for note in song.notes:
        start = round(note.start_beats * TICKS_PER_BEAT)
        end = max(start + 1, round((note.start_beats + note.duration_beats) * TICKS_PER_BEAT))
        velocity = max(1, min(127, note.velocity))
        events.append((start, 1, mido.Message("note_on", channel=note.channel, note=note.pitch, velocity=velocity)))
        events.append((end, 0, mido.Message("note_off", channel=note.channel, note=note.pitch)))
    events.sort(key=lambda e: e[:2])
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(song.beat_s * 1e6))])
    track += [mido.Message("program_change", channel=c, program=p) for c, p in song.programs.items()]
    now = 0
    for tick, _, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    return mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT, tracks=[track])


def synthesize(song: Song) -> np.ndarray:
    """float32 [T] at `SAMPLE_RATE`, cut at the last bar line, mono, brought to the common level."""
    if not SOUNDFONT.exists():
        raise FileNotFoundError(
            f"got no soundfont at {SOUNDFONT}, expected FluidR3_GM.sf2: install fluid-soundfont-gm or set MUSICGRAPH_SOUNDFONT"
        )
    with tempfile.TemporaryDirectory() as folder:
        midi, raw = Path(folder, "a.mid"), Path(folder, "a.raw")
        to_midi(song).save(midi)
        options = ["-ni", "-q", "-R", "0", "-C", "0", "-g", "0.4", "-r", str(SAMPLE_RATE), "-O", "s16", "-T", "raw"]
        options += ["-o", "synth.dynamic-sample-loading=1"]
        subprocess.run(
            ["fluidsynth", *options, "-F", str(raw), str(SOUNDFONT), str(midi)], check=True, capture_output=True
        )
        stereo = np.fromfile(raw, "<i2").reshape(-1, 2).astype(np.float32) / 32768
    length = round(song.duration_s * SAMPLE_RATE)
    mono = np.pad(stereo.mean(1), (0, max(0, length - len(stereo))))[:length]
    return level(mono, song.facts.dynamic)


def level(mono: np.ndarray, dynamic: str) -> np.ndarray:
    rms = float(np.sqrt(np.mean(mono**2)))
    if rms < 1e-5:
        raise ValueError(f"got a silent piece (RMS {rms:.1e}), expected music: check the soundfont")
    mono = mono * (LEVEL_RMS * 10 ** (DYNAMIC_DB[dynamic] / 20) / rms)
    return np.tanh(mono / 0.9) * 0.9  # linear for all but the loudest peaks


def is_validation(index: int) -> bool:
    return index % VALIDATION_EVERY == 0


def render_shard(folder: Path, shard: int) -> float:
    """Seconds of music rendered; 0 when the shard was there."""
    audio_path, meta_path = folder / f"shard-{shard:04}.npy", folder / f"shard-{shard:04}.jsonl"
    if audio_path.exists() and meta_path.exists():
        return 0.0
    pieces, lines, offset = [], [], 0
    for index in range(shard * PIECES_PER_SHARD, (shard + 1) * PIECES_PER_SHARD):
        song = compose(index, long=index % 3 == 0)
        audio = (synthesize(song) * 32767).astype(np.int16)
        bar_frames = song.frames_per_beat * song.facts.beats_per_bar
        line = {"index": index, "offset": offset, "samples": len(audio), "bar_frames": bar_frames}
        lines.append({**line, "validation": is_validation(index), "facts": dataclasses.asdict(song.facts)})
        pieces.append(audio)
        offset += len(audio)
    np.save(audio_path.with_suffix(".tmp.npy"), np.concatenate(pieces))
    audio_path.with_suffix(".tmp.npy").rename(audio_path)
    meta_path.with_suffix(".tmp").write_text("".join(json.dumps(line) + "\n" for line in lines))
    meta_path.with_suffix(".tmp").rename(meta_path)
    return offset / SAMPLE_RATE


def render(work_dir: Path, hours: float, workers: int) -> None:
    folder = work_dir / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    mean_s = 19.8  # of a piece, measured
    shards = max(1, round(hours * 3600 / mean_s / PIECES_PER_SHARD))
    with ProcessPoolExecutor(workers) as pool:
        total_s = sum(pool.map(render_shard, [folder] * shards, range(shards)))
    print(f"rendered {total_s / 3600:.2f} h of new music; {shards} shards in {folder} ({FRAME_RATE} frames/s grid)")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--hours", type=float, default=12.0, help="hours of music to have in all")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    render(args.work_dir, args.hours, args.workers)
