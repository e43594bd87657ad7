"""Electronic voices computed here: pulse, saw and triangle waves without aliasing, a stab, a pad,
basses.

Each voice is one period as a table of harmonics below the Nyquist frequency, read at the note's
pitch, in a bright and a dull form between which the note decays. Knows notes in seconds; nothing
of fonts.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .fluid import TimedNote

FONT = "chip"  # what a voice of these names as its font; its program is a place in `WAVES`
TABLE = 2048


@dataclass(frozen=True)
class Wave:
    shape: str  # "pulse", "saw", "triangle" or "sine"
    duty: float = 0.5
    bright: float = (
        1.0  # harmonics fall off as n to the power of minus this, beyond the shape's own
    )
    dull: float | None = None  # the same after `fade_s`, for voices whose brightness decays
    fade_s: float = 0.3
    attack_s: float = 0.004
    decay_s: float = 0.0  # time constant; 0 for a tone that is held
    release_s: float = 0.03
    detune_cents: float = 0.0  # a second oscillator beside the first
    drop_semitones: float = 0.0  # the pitch falls from there within 30 ms
    drive: float = 0.0


WAVES = (
    Wave("pulse", 0.5, 0.0, decay_s=1.2),
    Wave("pulse", 0.25, 0.0, decay_s=1.2),
    Wave("pulse", 0.125, 0.0, decay_s=1.2),
    Wave("saw", bright=0.25, attack_s=0.006, release_s=0.06, detune_cents=5),
    Wave("saw", bright=0.1, dull=1.2, fade_s=0.12, decay_s=0.5, release_s=0.08, detune_cents=9),
    Wave("saw", bright=1.1, attack_s=0.12, release_s=0.25, detune_cents=6),
    Wave("saw", bright=0.3, dull=1.3, fade_s=0.1, decay_s=0.6),
    Wave("sine", decay_s=0.7, attack_s=0.003, release_s=0.06, drop_semitones=9, drive=1.6),
    Wave("triangle", bright=0.0, attack_s=0.002, release_s=0.01),
)


@lru_cache(maxsize=4096)
def _table(wave: Wave, slope: float, harmonics: int) -> np.ndarray:
    """One period, float32 [TABLE + 1], of peak one."""
    n = np.arange(1, harmonics + 1)
    if wave.shape == "pulse":
        amplitude = np.sin(np.pi * n * wave.duty) / n
    elif wave.shape == "saw":
        amplitude = 1 / n
    elif wave.shape == "triangle":
        amplitude = np.where(n % 2 == 1, 1 / n**2, 0) * np.where(n % 4 == 1, 1, -1)
    else:
        amplitude = np.where(n == 1, 1.0, 0.0)
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    spectrum[n] = amplitude * n ** (-slope) * -1j
    period = np.fft.irfft(spectrum, TABLE)
    period /= np.abs(period).max()
    return np.append(period, period[0]).astype(np.float32)


def _oscillator(wave: Wave, slope: float, hz: np.ndarray, sample_rate: int) -> np.ndarray:
    harmonics = int(min(TABLE // 2 - 1, max(1, 0.45 * sample_rate // float(hz[-1]))))
    phase = np.cumsum(hz / sample_rate) % 1 * TABLE
    place = phase.astype(np.int32)
    share = (phase - place).astype(np.float32)
    table = _table(wave, slope, harmonics)
    return table[place] * (1 - share) + table[place + 1] * share


def tone(wave: Wave, pitch: int, seconds: float, sample_rate: int) -> np.ndarray:
    """One note with its release, float32 [T]."""
    t = np.arange(round((seconds + wave.release_s) * sample_rate)) / sample_rate
    hz = np.full(len(t), 440 * 2 ** ((pitch - 69) / 12))
    if wave.drop_semitones:
        hz = hz * 2 ** (wave.drop_semitones * np.exp(-t / 0.012) / 12)
    made = np.zeros(len(t), np.float32)
    for cents in (-wave.detune_cents / 2, wave.detune_cents / 2) if wave.detune_cents else (0.0,):
        shifted = hz * 2 ** (cents / 1200)
        bright = _oscillator(wave, wave.bright, shifted, sample_rate)
        if wave.dull is not None:
            fade = np.exp(-t / wave.fade_s).astype(np.float32)
            bright = bright * fade + _oscillator(wave, wave.dull, shifted, sample_rate) * (1 - fade)
        made += bright
    if wave.drive:
        made = np.tanh(wave.drive * made)
    return made * _envelope(wave, t, seconds)


def _envelope(wave: Wave, t: np.ndarray, seconds: float) -> np.ndarray:
    envelope = np.minimum(1, t / wave.attack_s)
    if wave.decay_s:
        envelope = envelope * np.exp(-t / wave.decay_s)
    return (envelope * np.clip((seconds + wave.release_s - t) / wave.release_s, 0, 1)).astype(
        np.float32
    )


def render(program: int, notes: list[TimedNote], length_s: float, sample_rate: int) -> np.ndarray:
    """float32 [T] of one part."""
    out = np.zeros(round(length_s * sample_rate), np.float32)
    for note in notes:
        start = max(0, round(note.start_s * sample_rate))
        made = tone(WAVES[program], note.pitch, max(0.02, note.end_s - note.start_s), sample_rate)
        made = made[: max(0, len(out) - start)] * (0.2 * (note.velocity / 127) ** 1.5)
        out[start : start + len(made)] += made
    return out
