"""Signal analysis for the evaluation: distances, features, a small classifier, tempo, mode, sanity.
Not run by itself.

It knows audio as float32 [T] at `SAMPLE_RATE` and nothing of models.
"""

import io
from dataclasses import dataclass

import av
import librosa
import numpy as np
import pyloudnorm
import soxr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sound_world import SAMPLE_RATE, TONICS

HOP = 320
OPUS_RATE = 48_000
STEADY = 0.25  # beat strength from which a listener can clap along
KEY_PROFILES = {  # Krumhansl and Kessler's probe-tone ratings, from the tonic
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def log_mel_db(
    audio: np.ndarray,
    rate: int = SAMPLE_RATE,
    window: int = 1024,
    hop: int = HOP,
    low_hz: float = 0.0,
) -> np.ndarray:
    """[64, frames] in dB, floored at -80."""
    mel = librosa.feature.melspectrogram(
        y=audio, sr=rate, n_fft=window, hop_length=hop, n_mels=64, fmin=low_hz
    )
    return librosa.power_to_db(mel, ref=1.0, amin=1e-8, top_db=None)


def mel_distance_db(made: np.ndarray, wanted: np.ndarray) -> float:
    """Mean absolute difference of log-mel spectra."""
    length = min(len(made), len(wanted))
    return float(np.abs(log_mel_db(made[:length]) - log_mel_db(wanted[:length])).mean())


def hiss_db(made: np.ndarray, wanted: np.ndarray, quietest: float = 0.3) -> float:
    """How far the quietest share of the log-mel spectrum is louder than it should be."""
    length = min(len(made), len(wanted))
    made, wanted = log_mel_db(made[:length]), log_mel_db(wanted[:length])
    quiet = wanted <= np.quantile(wanted, quietest)
    return float((made - wanted)[quiet].mean())


def flatness_db(audio: np.ndarray, hop: int = HOP) -> float:
    """How much like noise it sounds: the mean spectral flatness, 0 dB for white noise, less for
    clear notes.
    """
    spectra = np.abs(librosa.stft(audio, n_fft=1024, hop_length=hop))
    return float(10 * np.log10(librosa.feature.spectral_flatness(S=spectra) + 1e-9).mean())


def si_sdr_db(made: np.ndarray, wanted: np.ndarray) -> float:
    length = min(len(made), len(wanted))
    made, wanted = made[:length], wanted[:length]
    target = wanted * (made @ wanted) / (wanted @ wanted + 1e-9)
    return float(
        10 * np.log10((target @ target + 1e-9) / ((made - target) @ (made - target) + 1e-9))
    )


def opus_round_trip(audio: np.ndarray, bit_rate: int = 6000, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Through libopus at its own 48 kHz and back, the encoder's delay taken out."""
    high, buffer = soxr.resample(audio, rate, OPUS_RATE), io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=OPUS_RATE, layout="mono")
        stream.bit_rate = bit_rate
        samples = (np.clip(high, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = OPUS_RATE
        for packet in stream.encode(frame) + stream.encode(None):
            container.mux(packet)
    buffer.seek(0)
    with av.open(buffer) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=OPUS_RATE)
        parts = [
            f.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for f in resampler.resample(frame)
        ]
    decoded = np.concatenate(parts)
    lag = int(np.argmax(np.correlate(decoded[:72_000], high[:60_000], "valid")[:3000]))
    return soxr.resample(decoded[lag : lag + len(high)], OPUS_RATE, rate)[: len(audio)]


def features(audio: np.ndarray) -> np.ndarray:
    """One vector a clip, nearly blind to level, key and tempo: shape of the spectrum and of its
    changes.
    """
    mel = log_mel_db(audio)
    mel = np.maximum(mel, mel.max() - 60)
    mel -= mel.mean()
    change = np.maximum(0, np.diff(mel, axis=1))
    cepstrum = librosa.feature.mfcc(S=mel, n_mfcc=20)
    parts = [
        mel.mean(1),
        mel.std(1),
        change.mean(1),
        change.std(1),
        cepstrum.mean(1),
        cepstrum.std(1),
    ]
    quantiles = [np.quantile(mel, q, axis=1) for q in (0.1, 0.9)]
    harmonic, percussive = librosa.decompose.hpss(librosa.db_to_amplitude(mel))
    ratio = np.log(percussive.sum(1) + 1e-6) - np.log(harmonic.sum(1) + 1e-6)
    return np.concatenate([*parts, *quantiles, ratio])


@dataclass
class Classifier:
    """Logistic regression on `features`; how often it is right is of clips that it did not see."""

    accuracy: float
    by_label: dict[str, float]
    model: object

    def predict(self, clips: list[np.ndarray]) -> list[str]:
        return list(self.model.predict(np.stack([features(c) for c in clips])))


def train_classifier(
    train: list[tuple[np.ndarray, str]], test: list[tuple[np.ndarray, str]]
) -> Classifier:
    """Pairs of (features, label)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
    model.fit(np.stack([x for x, _ in train]), [label for _, label in train])
    labels = np.array([label for _, label in test])
    right = model.predict(np.stack([x for x, _ in test])) == labels
    by_label = {str(label): float(right[labels == label].mean()) for label in np.unique(labels)}
    return Classifier(float(right.mean()), by_label, model)


def onset_envelope(audio: np.ndarray) -> np.ndarray:
    return librosa.onset.onset_strength(y=audio, sr=SAMPLE_RATE, hop_length=160, n_mels=64)


def tempo_bpm(audio: np.ndarray) -> float:
    """The strongest periodicity, summed over its first multiples, between 55 and 180 bpm; the
    caller allows octaves.
    """
    envelope = onset_envelope(audio)
    rate_hz = SAMPLE_RATE / 160
    auto = librosa.autocorrelate(envelope - envelope.mean(), max_size=int(rate_hz * 5))
    grid = np.arange(55, 180.5, 0.5)
    lags = rate_hz * 60 / grid
    scores = sum(
        np.interp(lags * m, np.arange(len(auto)), auto) for m in (1, 2, 4)
    ) + 0.5 * np.interp(lags / 2, np.arange(len(auto)), auto)
    return float(grid[np.argmax(scores)])


def tempo_matches(estimated: float, asked: float, tolerance: float = 0.04) -> bool:
    """The tempi of the sound world are 6 to 12 % apart."""
    return any(abs(estimated * octave / asked - 1) <= tolerance for octave in (0.5, 1, 2))


def tempo_within(
    estimated: float, asked: tuple[float, float], octaves: tuple[float, ...] = (0.5, 1, 2)
) -> bool:
    return any(asked[0] <= estimated * octave <= asked[1] for octave in octaves)


def pulses(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bpm from 50 to 200, and how strongly each repeats: 1 for exact repetition, near 0 for none.

    The normalised autocorrelation of the onset envelope, averaged over one, two and four beats.
    """
    envelope = onset_envelope(audio)
    envelope = envelope - envelope.mean()
    rate_hz, length = SAMPLE_RATE / 160, len(envelope)
    auto = np.correlate(envelope, envelope, "full")[length - 1 :]
    auto = auto / (auto[0] + 1e-9) * length / (length - np.arange(length))
    grid, strengths = np.arange(50, 200.5, 0.5), []
    for bpm in grid:
        lags = [m * rate_hz * 60 / bpm for m in (1, 2, 4) if m * rate_hz * 60 / bpm < 0.8 * length]
        near = [max(np.interp([lag - 1, lag, lag + 1], np.arange(length), auto)) for lag in lags]
        strengths.append(np.mean(near))
    return grid, np.array(strengths)


def beat(audio: np.ndarray) -> tuple[float, float]:
    """Strength and bpm of the strongest of the `pulses`."""
    grid, strengths = pulses(audio)
    best = int(np.argmax(strengths))
    return float(strengths[best]), float(grid[best])


def chroma(audio: np.ndarray) -> np.ndarray:
    """[12, frames], 31 frames a second."""
    return librosa.feature.chroma_cqt(
        y=audio, sr=SAMPLE_RATE, hop_length=512, fmin=librosa.note_to_hz("C2"), n_octaves=5
    )


def chromas(audio: np.ndarray) -> np.ndarray:
    """[4, 12]: mean of the whole, of the bass (two octaves from C2), median, mean of the first
    second.
    """
    whole, low_hz = chroma(audio), librosa.note_to_hz("C2")
    bass = librosa.feature.chroma_cqt(
        y=audio, sr=SAMPLE_RATE, hop_length=512, fmin=low_hz, n_octaves=2
    )
    second = SAMPLE_RATE // 512
    means = whole.mean(1), bass.mean(1), np.median(whole, axis=1), whole[:, :second].mean(1)
    return np.stack(means)


def _mode_of(mean: np.ndarray, tonics: tuple[int, ...]) -> str:
    """The best of the key profiles on the tonics against the mean chroma."""
    scores = {
        name: max(np.corrcoef(np.roll(profile, tonic), mean)[0, 1] for tonic in tonics)
        for name, profile in KEY_PROFILES.items()
    }
    return max(scores, key=scores.get)


def loudness_lufs(audio: np.ndarray) -> float:
    return float(pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(audio.astype(np.float64)))


def true_peak_db(audio: np.ndarray) -> float:
    """Of the waveform between the samples, at four times the rate."""
    return float(
        20 * np.log10(np.abs(soxr.resample(audio, SAMPLE_RATE, 4 * SAMPLE_RATE)).max() + 1e-9)
    )


def floor_db(audio: np.ndarray) -> float:
    """How far the quiet tenth of the spectrogram lies below its loud twentieth: what sounds between
    the notes, hiss above all.
    """
    mel = log_mel_db(audio)
    return float(np.quantile(mel, 0.1) - np.quantile(mel, 0.95))


def onsets_per_s(audio: np.ndarray) -> float:
    onsets = librosa.onset.onset_detect(y=audio, sr=SAMPLE_RATE, hop_length=160)
    return len(onsets) / (len(audio) / SAMPLE_RATE)


def faults(audio: np.ndarray) -> list[str]:
    """Names of what is wrong with a clip: silent, clipped, stuck."""
    found = []
    rms = float(np.sqrt(np.mean(audio**2)))
    if not 0.01 <= rms <= 0.35:
        found.append("level")
    if float(np.mean(np.abs(audio) > 0.99)) > 1e-3:
        found.append("clipped")
    tail = log_mel_db(audio[-2 * SAMPLE_RATE :])
    if (
        float(np.abs(np.diff(tail, axis=1)).mean()) < 0.3
        or float(np.sqrt(np.mean(audio[-2 * SAMPLE_RATE :] ** 2))) < 0.003
    ):
        found.append("stuck")
    return found


@dataclass(frozen=True)
class Sound:
    """What the measures say of one clip."""

    beat: float
    beat_bpm: float
    tempo_bpm: float
    mode_by_profiles: str
    chromas: list[list[float]]
    lufs: float
    peak_db: float
    floor_db: float
    flatness_db: float
    onsets_per_s: float
    faults: tuple[str, ...]

    @property
    def steady(self) -> bool:
        return self.beat > STEADY


def listen(audio: np.ndarray) -> Sound:
    heard = chromas(audio)
    keys = _mode_of(heard[0], tuple(TONICS.values())), heard.tolist()
    levels = loudness_lufs(audio), true_peak_db(audio), floor_db(audio), flatness_db(audio)
    return Sound(
        *beat(audio), tempo_bpm(audio), *keys, *levels, onsets_per_s(audio), tuple(faults(audio))
    )


def distance_in_time(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """How unlike two clips are, in notes and in rhythm:

    1 minus the correlation of chroma and of onsets; 0 for the same music.
    """
    pairs = ((chroma(one), chroma(other)), (onset_envelope(one)[None], onset_envelope(other)[None]))
    return tuple(float(1 - np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs)
