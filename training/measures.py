"""Signal analysis for the evaluation: distances, features, a small classifier, tempo, mode, sanity. Not run by itself.

It knows audio as float32 [T] at `SAMPLE_RATE` and nothing of models.
"""

import io
from dataclasses import dataclass

import av
import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sound_world import SAMPLE_RATE, TONICS

HOP = 320
KEY_PROFILES = {  # Krumhansl and Kessler's probe-tone ratings, from the tonic
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def log_mel_db(audio: np.ndarray) -> np.ndarray:
    """[64, frames] in dB, floored at -80."""
    mel = librosa.feature.melspectrogram(y=audio, sr=SAMPLE_RATE, n_fft=1024, hop_length=HOP, n_mels=64)
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


def flatness_db(audio: np.ndarray) -> float:
    """How much like noise it sounds: the mean spectral flatness, 0 dB for white noise, less for clear notes."""
    spectra = np.abs(librosa.stft(audio, n_fft=1024, hop_length=HOP))
    return float(10 * np.log10(librosa.feature.spectral_flatness(S=spectra) + 1e-9).mean())


def si_sdr_db(made: np.ndarray, wanted: np.ndarray) -> float:
    length = min(len(made), len(wanted))
    made, wanted = made[:length], wanted[:length]
    target = wanted * (made @ wanted) / (wanted @ wanted + 1e-9)
    return float(10 * np.log10((target @ target + 1e-9) / ((made - target) @ (made - target) + 1e-9)))


def opus_round_trip(audio: np.ndarray, bit_rate: int = 6000) -> np.ndarray:
    """Through libopus and back, the encoder's delay taken out."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = bit_rate
        samples = (np.clip(audio, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in stream.encode(frame) + stream.encode(None):
            container.mux(packet)
    buffer.seek(0)
    with av.open(buffer) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        parts = [f.to_ndarray()[0] for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    decoded = np.concatenate(parts)
    lag = int(np.argmax(np.correlate(decoded[:48000], audio[:32000], "valid")[:2000]))
    return decoded[lag : lag + len(audio)]


def features(audio: np.ndarray) -> np.ndarray:
    """One vector a clip, nearly blind to level, key and tempo: shape of the spectrum and of its changes."""
    mel = log_mel_db(audio)
    mel = np.maximum(mel, mel.max() - 60)
    mel -= mel.mean()
    change = np.maximum(0, np.diff(mel, axis=1))
    cepstrum = librosa.feature.mfcc(S=mel, n_mfcc=20)
    parts = [mel.mean(1), mel.std(1), change.mean(1), change.std(1), cepstrum.mean(1), cepstrum.std(1)]
    quantiles = [np.quantile(mel, q, axis=1) for q in (0.1, 0.9)]
    harmonic, percussive = librosa.decompose.hpss(librosa.db_to_amplitude(mel))
    ratio = np.log(percussive.sum(1) + 1e-6) - np.log(harmonic.sum(1) + 1e-6)
    return np.concatenate([*parts, *quantiles, ratio])


@dataclass
class Classifier:
    """Logistic regression on `features`; `accuracy` is on clips that it did not see."""

    accuracy: float
    model: object

    def predict(self, clips: list[np.ndarray]) -> list[str]:
        return list(self.model.predict(np.stack([features(c) for c in clips])))


def train_classifier(train: list[tuple[np.ndarray, str]], test: list[tuple[np.ndarray, str]]) -> Classifier:
    """Pairs of (features, label)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
    model.fit(np.stack([x for x, _ in train]), [label for _, label in train])
    right = model.predict(np.stack([x for x, _ in test])) == np.array([label for _, label in test])
    return Classifier(float(right.mean()), model)


def onset_envelope(audio: np.ndarray) -> np.ndarray:
    return librosa.onset.onset_strength(y=audio, sr=SAMPLE_RATE, hop_length=160, n_mels=64)


def tempo_bpm(audio: np.ndarray) -> float:
    """The strongest periodicity, summed over its first multiples, between 55 and 180 bpm; the caller allows octaves."""
    envelope = onset_envelope(audio)
    rate_hz = SAMPLE_RATE / 160
    auto = librosa.autocorrelate(envelope - envelope.mean(), max_size=int(rate_hz * 5))
    grid = np.arange(55, 180.5, 0.5)
    lags = rate_hz * 60 / grid
    scores = sum(np.interp(lags * m, np.arange(len(auto)), auto) for m in (1, 2, 4)) + 0.5 * np.interp(
        lags / 2, np.arange(len(auto)), auto
    )
    return float(grid[np.argmax(scores)])


def tempo_matches(estimated: float, asked: float, tolerance: float = 0.08) -> bool:
    return any(abs(estimated * octave / asked - 1) <= tolerance for octave in (0.5, 1, 2))


def mode(audio: np.ndarray) -> str:
    """Major or minor: the best of the sound world's key profiles against the mean chroma."""
    chroma = librosa.feature.chroma_cqt(
        y=audio, sr=SAMPLE_RATE, hop_length=512, fmin=librosa.note_to_hz("C2"), n_octaves=5
    )
    mean = chroma.mean(1)
    scores = {
        name: max(np.corrcoef(np.roll(profile, tonic), mean)[0, 1] for tonic in TONICS.values())
        for name, profile in KEY_PROFILES.items()
    }
    return max(scores, key=scores.get)


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
