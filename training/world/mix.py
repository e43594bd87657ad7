"""From parts to a piece: levels by role, rooms, a low-fidelity record, ducking; loudness and
limiter at the end.

Knows audio as float32 [T] at one sample rate, and names of roles and effects; nothing of genres
and notes.
"""

from functools import lru_cache, reduce

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import butter, oaconvolve, resample_poly, sosfilt

TARGET_LUFS = -16.0
CEILING_DB = -1.1
OVERSAMPLING = 4  # peaks lie between samples
CRESTS_DB = {"drums": 12.0, "bass": 9.0}
MOST_LIMITING_DB = 2.0  # peaks that stick out further make the piece quieter instead
# Loudness of each role below the lead's. The weighting of LUFS hears little below 100 Hz.
ROLE_DB = {"lead": 0.0, "hand": -5.0, "backing": -6.0, "second": -9.0, "bass": -5.5, "drums": -1.5}
REVERB = {
    "hall": (1.8, -14.0),
    "room": (0.9, -15.0),
}  # seconds to -60 dB, level in dB
GATE_DB = -25.0  # blocks that far below the loudest are pauses


@lru_cache(maxsize=8)
def _weighting(sample_rate: int) -> np.ndarray:
    """Sections near BS.1770's K weighting: a shelf above 1.5 kHz, nothing below 40 Hz."""
    high_pass = butter(2, 38.0, "high", fs=sample_rate, output="sos")
    gain, w = 10 ** (4 / 20), np.tan(np.pi * 1680 / sample_rate)
    # A first-order high shelf by the bilinear transform: 1 at low frequencies, `gain` at high ones.
    b0, b1, a0, a1 = gain + w, w - gain, 1 + w, w - 1
    shelf = np.array([[b0 / a0, b1 / a0, 0, 1, a1 / a0, 0]])
    return np.concatenate([high_pass, shelf])


def loudness_db(audio: np.ndarray, sample_rate: int) -> float:
    """Weighted power of the blocks of 0.1 s that are no pauses; -100 for silence. Half a dB
    above LUFS on music.
    """
    weighted = sosfilt(_weighting(sample_rate), audio)
    size = sample_rate // 10
    blocks = (weighted[: len(weighted) // size * size].reshape(-1, size) ** 2).mean(1)
    if not len(blocks) or blocks.max() < 1e-12:
        return -100.0
    heard = blocks[blocks > blocks.max() * 10 ** (GATE_DB / 10)]
    return float(-0.691 + 10 * np.log10(heard.mean()))


def at_level(audio: np.ndarray, level_db: float, sample_rate: int) -> np.ndarray:
    heard = loudness_db(audio, sample_rate)
    return audio * np.float32(10 ** ((level_db - heard) / 20)) if heard > -90 else audio


def rounded(audio: np.ndarray, crest_db: float, sample_rate: int) -> np.ndarray:
    """Peaks bent towards a limit that far above its loudness, as tape would."""
    limit = np.float32(10 ** ((loudness_db(audio, sample_rate) + crest_db) / 20))
    return limit * np.tanh(audio / limit)


@lru_cache(maxsize=8)
def _impulse(name: str, sample_rate: int) -> np.ndarray:
    """A room: noise that decays, darker as it goes."""
    seconds, level_db = REVERB[name]
    rng = np.random.default_rng(len(name))
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = rng.standard_normal(len(t)) * 10 ** (-3 * t / seconds)
    dark = sosfilt(butter(1, 3500, fs=sample_rate, output="sos"), noise)
    dark[: round(0.012 * sample_rate)] = 0  # the room answers later
    return (dark * 10 ** (level_db / 20) / np.sqrt((dark**2).sum())).astype(np.float32)


def reverberant(audio: np.ndarray, name: str, sample_rate: int) -> np.ndarray:
    return audio + oaconvolve(audio, _impulse(name, sample_rate))[: len(audio)].astype(np.float32)


def ducked(
    audio: np.ndarray, kicks_s: list[float], sample_rate: int, depth: float = 0.65
) -> np.ndarray:
    """Quieter under each kick, back after a fifth of a second: the pump of dance music."""
    gain = np.ones(len(audio), np.float32)
    shape = 1 - depth * np.exp(-np.arange(round(0.35 * sample_rate)) / (0.09 * sample_rate))
    for at in kicks_s:
        start = max(0, round(at * sample_rate))
        part = gain[start : start + len(shape)]
        np.minimum(part, shape[: len(part)], out=part)
    return audio * gain


def low_fidelity(audio: np.ndarray, sample_rate: int, seed: int) -> np.ndarray:
    """A worn record: little above 5 kHz and below 60 Hz, hiss and crackle 38 dB below the music."""
    rng = np.random.default_rng(seed)
    band = butter(2, (60, 5200), "band", fs=sample_rate, output="sos")
    audio = sosfilt(band, audio).astype(np.float32)
    hiss = sosfilt(
        butter(1, (400, 7000), "band", fs=sample_rate, output="sos"),
        rng.standard_normal(len(audio)),
    )
    crackle = np.zeros(len(audio))
    places = rng.integers(0, len(audio), size=max(1, len(audio) * 6 // sample_rate))
    crackle[places] = rng.standard_normal(len(places)) * 14
    crackle = sosfilt(butter(1, (900, 6000), "band", fs=sample_rate, output="sos"), crackle)
    noise = (hiss + crackle).astype(np.float32)
    return audio + noise * np.float32(
        np.sqrt((audio**2).mean() / (noise**2).mean()) * 10 ** (-38 / 20)
    )


def mastered(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """At `TARGET_LUFS`, or below it where peaks stick out, and under the ceiling."""
    import pyloudnorm

    measured = pyloudnorm.Meter(sample_rate).integrated_loudness(audio.astype(np.float64))
    audio = audio * np.float32(10 ** ((TARGET_LUFS - measured) / 20))
    ceiling = 10 ** (CEILING_DB / 20)
    sticking_out = peaks(audio)
    excess_db = 20 * np.log10(sticking_out.max() / ceiling)
    if excess_db > MOST_LIMITING_DB:
        quieter = np.float32(10 ** ((MOST_LIMITING_DB - excess_db) / 20))
        audio, sticking_out = audio * quieter, sticking_out * quieter
    return limited(audio, sticking_out, ceiling, sample_rate)


def peaks(audio: np.ndarray) -> np.ndarray:
    """The greatest absolute value of the waveform around each sample, [T]."""
    finer = np.abs(resample_poly(audio, OVERSAMPLING, 1))
    between = (finer[first::OVERSAMPLING] for first in range(OVERSAMPLING))
    return reduce(np.maximum, between)


def limited(audio: np.ndarray, heights: np.ndarray, ceiling: float, sample_rate: int) -> np.ndarray:
    """Looks 4 ms ahead: the gain is down before a peak comes, and rises over 4 ms after it.

    `heights` [T]: `peaks` of the audio.
    """
    wanted = np.minimum(1.0, ceiling / np.maximum(heights, 1e-9))
    width = 2 * (sample_rate // 250) + 1
    gain = uniform_filter1d(minimum_filter1d(wanted, width), width // 2 * 2 - 1)
    return (audio * gain).astype(np.float32)
