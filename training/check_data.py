"""Judges composed and rendered pieces: does one hear what their facts say? A table by genre, and
spectrograms.

Run: `python training/check_data.py --pieces 200 --pictures build/pocket/pictures`. The judges
know audio only. Tempo within 4 % (and with octaves), beat strength, loudness and true peak, mode
by Krumhansl and Kessler's profiles, and how often a classifier of the spectrum tells the genre:
what a model trained on this data can at most be asked for.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import librosa
import measures
import numpy as np
from compose import Song, compose_in
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sound_world import SAMPLE_RATE, TONICS
from world.genres import GENRES
from world.studio import studio

CHECKED_FROM = 2_000_000  # seeds far above those of training and evaluation


def beat(audio: np.ndarray) -> tuple[float, float]:
    """Strength and bpm of the strongest pulse; between octaves, of the one people would tap."""
    bpm, strengths = measures.pulses(audio)
    likely = np.exp(-0.5 * (np.log2(bpm / 115) / 0.8) ** 2)
    best = int(np.argmax(strengths * likely))
    return float(strengths[best]), float(bpm[best])


def _with_overtones(profile: tuple[float, ...]) -> np.ndarray:
    """What a profile looks like in audio, where each note brings its overtones' pitch classes
    (after Gomez, 2006).
    """
    return sum(
        0.7**number * np.roll(profile, step) for number, step in enumerate((0, 0, 7, 0, 4, 7))
    )


def key(audio: np.ndarray) -> tuple[int, str]:
    """Pitch class and mode of the best of 24 profiles; what is not held is left out, as drums have
    no key.
    """
    low = librosa.note_to_hz("C2")
    notes = np.abs(librosa.cqt(audio, sr=SAMPLE_RATE, hop_length=1024, fmin=low, n_bins=60))
    harmonic = librosa.decompose.hpss(notes, kernel_size=(9, 17))[0]
    chroma = harmonic.reshape(5, 12, -1).sum((0, 2))
    heard = {m: _with_overtones(p) for m, p in measures.KEY_PROFILES.items()}
    scores = {
        (t, m): np.corrcoef(np.roll(p, t), chroma)[0, 1]
        for m, p in heard.items()
        for t in range(12)
    }
    return max(scores, key=scores.get)


@dataclass(frozen=True)
class Judged:
    song: Song
    strength: float
    tempo_exact: bool
    tempo_octave: bool
    mode_right: bool
    key_right: bool
    lufs: float
    peak_db: float
    features: np.ndarray


def judge(song: Song, audio: np.ndarray) -> Judged:
    strength, bpm = beat(audio)
    true_bpm = 60 / song.beat_s
    tonic, mode = key(audio) if song.facts.lead else (None, None)
    return Judged(
        song,
        strength,
        abs(bpm / true_bpm - 1) <= 0.04,
        measures.tempo_matches(bpm, true_bpm),
        mode == song.facts.mode,
        song.facts.tonic is None or tonic == TONICS[song.facts.tonic],
        measures.loudness_lufs(audio),
        measures.true_peak_db(audio),
        measures.features(audio),
    )


def genre_accuracy(judged: list[Judged]) -> dict[str, float]:
    """Share recognised by genre, five-fold: each piece by a classifier that never heard it."""
    labels = np.array([j.song.facts.style for j in judged])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
    predicted = cross_val_predict(model, np.stack([j.features for j in judged]), labels, cv=5)
    for wanted in GENRES:
        wrong = predicted[(labels == wanted) & (predicted != wanted)]
        names, counts = np.unique(wrong, return_counts=True)
        if len(names):
            print(f"  {wanted}: taken for {names[counts.argmax()]} {counts.max()} times")
    return {g: float((predicted[labels == g] == g).mean()) for g in GENRES}


COLUMNS = ("pieces", "beat", "tempo", "octave", "mode", "key", "lufs", "peak", "genre")


def row(name: str, judged: list[Judged], accuracy: float) -> str:
    tonal = [j for j in judged if j.song.facts.lead]
    beaten = [j.strength for j in judged if j.song.facts.drums] or [float("nan")]
    values = (
        len(judged),
        np.mean(beaten),
        *(np.mean([getattr(j, n) for j in judged]) for n in ("tempo_exact", "tempo_octave")),
        *(np.mean([getattr(j, n) for j in tonal]) for n in ("mode_right", "key_right")),
        np.mean([j.lufs for j in judged]),
        max(j.peak_db for j in judged),
        accuracy,
    )
    return f"{name:12}" + "".join(f"{v:8.2f}" for v in values)


def check(pieces: int, pictures: Path | None, per_genre: int) -> list[Judged]:
    judged, player = [], studio(SAMPLE_RATE)
    each = max(1, pieces // len(GENRES))
    for genre in GENRES.values():
        for number in range(each):
            song = compose_in(genre, CHECKED_FROM + number)
            audio = player.play(song)
            judged.append(judge(song, audio))
            if pictures and number < per_genre:
                picture(song, audio, pictures / f"{genre.name.replace(' ', '-')}-{number}.png")
    return judged


def picture(song: Song, audio: np.ndarray, path: Path) -> None:
    """The mel spectrogram of ten seconds with bar lines, under the piece's facts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    clip = audio[: 10 * SAMPLE_RATE]
    power = librosa.feature.melspectrogram(
        y=clip, sr=SAMPLE_RATE, n_fft=2048, hop_length=320, n_mels=160
    )
    figure, axes = pyplot.subplots(figsize=(16, 6))
    axes.imshow(librosa.power_to_db(power, top_db=70), origin="lower", aspect="auto", cmap="magma")
    bar_frames = song.beat_s * song.facts.beats_per_bar * 100
    for line in np.arange(0, power.shape[1], bar_frames):
        axes.axvline(line, color="cyan", linewidth=0.5)
    facts = song.facts
    axes.set_title(
        f"{facts.style} {facts.texture}: {facts.lead}, {facts.backing}, {facts.second}, "
        f"{facts.bass}, {facts.kit}; {facts.tempo_bpm} bpm {facts.tonic} {facts.mode} "
        f"{facts.density} {facts.dynamic} {facts.sections}",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--pictures", type=Path, help="folder for spectrograms")
    parser.add_argument("--per-genre", type=int, default=2, help="spectrograms of each genre")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    found = check(args.pieces, args.pictures, args.per_genre)
    accuracy = genre_accuracy(found)
    print(f"{'':12}" + "".join(f"{c:>8}" for c in COLUMNS))
    for name in GENRES:
        print(row(name, [j for j in found if j.song.facts.style == name], accuracy[name]))
    print(row("all", found, float(np.mean(list(accuracy.values())))))
