"""Drum kits: one-shots by the name of a drum, from Sonic Pi's CC0 samples, from the soundfonts, and
computed here.

Mixed in numpy: hits have no synthesizer behind them, and begin on the sample that they should.
Only samples that Debian's copyright file lists as CC0 are used, and none of the loops.
"""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from .fluid import DRUM_BANK, DRUM_CHANNEL, Synth, TimedNote, Voice
from .harmony import near
from .notes import Hit

SAMPLES = Path(os.environ.get("MUSICGRAPH_DRUM_SAMPLES", "/usr/share/sonic-pi/samples"))
LAYERS = (48, 84, 118)  # velocities at which a font's drum is recorded
RING_S = {
    "crash": 2.5,
    "ride": 1.6,
    "open": 1.0,
    "cymbal": 2.5,
    "timpani_lo": 1.8,
    "timpani_hi": 1.8,
    "big_drum": 1.5,
}
CHOKED = ("hat", "open", "pedal")  # each of them ends the one before
# General MIDI's keys.
KEYS = {
    "kick": 36,
    "snare": 38,
    "rim": 37,
    "clap": 39,
    "hat": 42,
    "pedal": 44,
    "open": 46,
    "crash": 49,
    "ride": 51,
    "tom_lo": 43,
    "tom_mid": 47,
    "tom_hi": 50,
    "tambourine": 54,
    "cowbell": 56,
    "shaker": 70,
    "clave": 75,
    "conga_hi": 63,
    "conga_lo": 64,
}
ORCHESTRA = Voice("fluid", 48, DRUM_BANK)
ORCHESTRA_KEYS = {"snare": 38, "big_drum": 36, "cymbal": 59, "crash": 57}
TIMPANI_LOW = 41  # keys from here to 53 are timpani of that pitch


@dataclass(frozen=True)
class Sound:
    """Where one drum comes from: a sample's name, or a font's key; `gain_db` within its kit."""

    sample: str = ""
    soft: str = ""  # the sample of soft strokes
    font: Voice | None = None
    key: int = 0
    made: str = ""  # "clap", "hat", "open", "shaker", "chip kick", ...
    gain_db: float = 0.0
    cut_s: float = 0.0  # shortens it
    high_hz: float = 0.0  # only what lies above, for hats that are cut from a cymbal
    tuned: int | None = None  # a timpano: its note above the tonic of the piece


def _font(font: str, program: int, **gains: float) -> dict[str, Sound]:
    voice = Voice(font, program, DRUM_BANK)
    levels = {"crash": -9.0, "ride": -5.0, "open": -4.0, "hat": -3.0} | gains
    return {d: Sound(font=voice, key=k, gain_db=levels.get(d, 0.0)) for d, k in KEYS.items()}


_TIMPANI = {
    "timpani_lo": Sound(font=ORCHESTRA, tuned=0, gain_db=1),
    "timpani_hi": Sound(font=ORCHESTRA, tuned=7, gain_db=1),
}
_PERCUSSION = {
    d: Sound(font=Voice("fluid", 0, DRUM_BANK), key=KEYS[d])
    for d in ("rim", "tambourine", "shaker", "clave", "conga_hi", "conga_lo", "cowbell", "ride")
}
_TOMS = {
    "tom_lo": Sound("drum_tom_lo_hard", "drum_tom_lo_soft"),
    "tom_mid": Sound("drum_tom_mid_hard", "drum_tom_mid_soft"),
    "tom_hi": Sound("drum_tom_hi_hard", "drum_tom_hi_soft"),
}
_ACOUSTIC = (
    _PERCUSSION
    | _TOMS
    | {
        "kick": Sound("drum_bass_hard", "drum_bass_soft", gain_db=2),
        "snare": Sound("drum_snare_hard", "drum_snare_soft"),
        "hat": Sound("drum_cymbal_closed", gain_db=-6),
        "pedal": Sound("drum_cymbal_pedal", gain_db=-6),
        "open": Sound("drum_cymbal_open", gain_db=-8, cut_s=0.8),
        "crash": Sound("drum_cymbal_hard", "drum_cymbal_soft", gain_db=-5),
        "clap": Sound(made="clap", gain_db=-3),
        "cowbell": Sound("drum_cowbell", gain_db=-6),
    }
)
_ELECTRONIC = _PERCUSSION | {
    "hat": Sound("drum_cymbal_closed", gain_db=-6, cut_s=0.06, high_hz=6000),
    "pedal": Sound("drum_cymbal_closed", gain_db=-8, cut_s=0.1, high_hz=6000),
    "open": Sound("drum_cymbal_open", gain_db=-8, cut_s=0.3, high_hz=5000),
    "crash": Sound("drum_cymbal_hard", gain_db=-8, high_hz=2000),
    "clap": Sound(made="clap", gain_db=-2),
    "shaker": Sound(made="shaker", gain_db=-10),
    "rim": Sound("elec_tick", gain_db=-4),
    "tom_lo": Sound(made="tom lo", gain_db=-2),
    "tom_mid": Sound(made="tom mid", gain_db=-2),
    "tom_hi": Sound(made="tom hi", gain_db=-2),
}

KITS: dict[str, dict[str, Sound]] = {
    "studio": _ACOUSTIC,
    "room": _font("fluid", 8),
    "standard": _font("musescore", 0),
    "power": _font("fluid", 16),
    "rock": _font("musescore", 16),
    "jazz": _font("musescore", 32),
    "brush": _font("musescore", 40, snare=3),
    "brushes": _font("fluid", 40, snare=3),
    "tr808": _font("fluid", 25),
    "house": _ELECTRONIC
    | {"kick": Sound("bd_haus", gain_db=3), "snare": Sound("sn_dub", gain_db=-2)},
    "club": _ELECTRONIC
    | {"kick": Sound("bd_klub", gain_db=3), "snare": Sound("elec_hi_snare", gain_db=-3)},
    "techno": _ELECTRONIC
    | {"kick": Sound("bd_tek", gain_db=3), "snare": Sound("sn_dolf", gain_db=-3)},
    "trap": _ELECTRONIC
    | {
        "kick": Sound("bd_808", gain_db=2, cut_s=0.4),
        "clap": Sound(made="clap"),
        "snare": Sound("sn_zome", gain_db=-3),
        "hat": Sound(made="hat", gain_db=-9),
        "open": Sound(made="open", gain_db=-10),
    },
    "boombap": _ACOUSTIC
    | {"kick": Sound("drum_heavy_kick", gain_db=2), "snare": Sound("sn_dolf", gain_db=-2)},
    "dusty": _ACOUSTIC
    | {
        "kick": Sound("drum_bass_soft", gain_db=3),
        "snare": Sound("drum_snare_soft", gain_db=0),
        "rim": Sound("perc_snap", gain_db=-2),
    },
    "orchestra": _TIMPANI
    | {d: Sound(font=ORCHESTRA, key=k, gain_db=-2) for d, k in ORCHESTRA_KEYS.items()},
    "march": {
        "kick": Sound(font=ORCHESTRA, key=36, gain_db=2),
        "march_snare": Sound(font=ORCHESTRA, key=38),
        "snare": Sound(font=ORCHESTRA, key=38),
        "cymbal": Sound(font=ORCHESTRA, key=59, gain_db=-3),
        "crash": Sound(font=ORCHESTRA, key=57, gain_db=-3),
    },
    "chip": {
        "kick": Sound(made="chip kick"),
        "snare": Sound(made="chip snare", gain_db=-4),
        "hat": Sound(made="chip hat", gain_db=-10),
        "crash": Sound(made="chip crash", gain_db=-8),
        "tom_lo": Sound(made="chip tom lo", gain_db=-2),
        "tom_mid": Sound(made="chip tom mid", gain_db=-2),
        "tom_hi": Sound(made="chip tom hi", gain_db=-2),
    },
}


class Drummer:
    """Keeps the one-shots of the kits that were used, at one sample rate."""

    def __init__(self, synth: Synth) -> None:
        self.synth, self.sample_rate = synth, synth.sample_rate
        self.layers = lru_cache(maxsize=None)(self._layers)

    def render(
        self, kit: str, hits: list[tuple[float, Hit]], length_s: float, tonic: int
    ) -> np.ndarray:
        """float32 [T] of hits at their times in seconds; `tonic` as a pitch class, for timpani."""
        out = np.zeros(round(length_s * self.sample_rate), np.float32)
        choking = sorted(at for at, hit in hits if hit.drum in CHOKED)
        for at, hit in hits:
            sound = KITS[kit].get(hit.drum)
            if sound is None:
                raise ValueError(
                    f"got drum {hit.drum!r} for kit {kit!r}, expected one of {sorted(KITS[kit])}"
                )
            made = self._hit(_in_tune(sound, tonic), hit)
            if hit.drum in CHOKED:
                made = self._choked(made, at, choking)
            start = max(0, round(at * self.sample_rate))
            made = made[: max(0, len(out) - start)]
            out[start : start + len(made)] += made
        return out

    def _choked(self, made: np.ndarray, at: float, choking: list[float]) -> np.ndarray:
        following = next((t for t in choking if t > at + 0.01), None)
        if following is None or (following - at) * self.sample_rate >= len(made):
            return made
        end = round((following - at) * self.sample_rate)
        fade = min(end, self.sample_rate // 100)
        return np.concatenate(
            [made[: end - fade], made[end - fade : end] * np.linspace(1, 0, fade)]
        )

    def _hit(self, sound: Sound, hit: Hit) -> np.ndarray:
        layers = self.layers(sound, hit.drum)
        level = 10 ** (sound.gain_db / 20)
        if len(layers) == len(LAYERS):
            nearest = min(range(len(LAYERS)), key=lambda i: abs(LAYERS[i] - hit.velocity))
            return layers[nearest] * (level * (hit.velocity / LAYERS[nearest]) ** 1.4)
        layer = layers[0] if len(layers) == 1 or hit.velocity >= 75 else layers[1]
        return layer * (level * (hit.velocity / 110) ** 1.6)

    def _layers(self, sound: Sound, drum: str) -> tuple[np.ndarray, ...]:
        if sound.made:
            layers = [made(sound.made, self.sample_rate)]
        elif sound.sample:
            names = [sound.sample] + ([sound.soft] if sound.soft else [])
            layers = [_peak(read_sample(n, self.sample_rate)) for n in names]
        else:
            layers = self._from_font(sound, drum)
        return tuple(self._shaped(layer, sound) for layer in layers)

    def _from_font(self, sound: Sound, drum: str) -> list[np.ndarray]:
        """The layers of a font's drum, in its own proportions; the loudest has peak 0.5."""
        length = RING_S.get(drum, 0.7)
        layers = []
        for velocity in LAYERS:
            note = TimedNote(DRUM_CHANNEL, 0.0, length, sound.key, velocity)
            out = self.synth.render({DRUM_CHANNEL: sound.font}, [note], length)[DRUM_CHANNEL]
            layers.append(_from_onset(out, self.sample_rate))
        peak = np.abs(layers[-1]).max()
        if peak < 1e-4:
            raise ValueError(f"got silence for {drum} from {sound}, expected a drum at that key")
        fade = np.linspace(1, 0, len(layers[0]) // 4)
        for layer in layers:
            layer *= 0.5 / peak
            layer[-len(fade) :] *= fade[: len(layer)]
        return layers

    def _shaped(self, layer: np.ndarray, sound: Sound) -> np.ndarray:
        if sound.high_hz:
            layer = sosfilt(
                butter(4, sound.high_hz, "high", fs=self.sample_rate, output="sos"), layer
            )
        if sound.cut_s:
            t = np.arange(len(layer)) / self.sample_rate
            layer = (layer * np.exp(-t * 3 / sound.cut_s))[
                : round(1.5 * sound.cut_s * self.sample_rate)
            ]
        return (_peak(layer) if sound.high_hz else layer).astype(np.float32)


def _in_tune(sound: Sound, tonic: int) -> Sound:
    if sound.tuned is None:
        return sound
    return replace(sound, key=near(tonic + sound.tuned, TIMPANI_LOW))


def _peak(audio: np.ndarray) -> np.ndarray:
    return audio * (0.5 / np.abs(audio).max())


def _from_onset(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Without what precedes the stroke: its first tenth of the peak lies one millisecond in."""
    first = int(np.argmax(np.abs(audio) > 0.1 * np.abs(audio).max()))
    return audio[max(0, first - sample_rate // 1000) :].copy()


def read_sample(name: str, sample_rate: int) -> np.ndarray:
    """One of Sonic Pi's, mono, float32 [T], at most 2.5 s."""
    import soundfile

    path = SAMPLES / f"{name}.flac"
    if not path.exists():
        raise FileNotFoundError(
            f"got no {path}, expected it: install sonic-pi-samples, "
            "or set MUSICGRAPH_DRUM_SAMPLES to its folder"
        )
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = resample_poly(audio.mean(1), sample_rate, rate)
    return _from_onset(mono[: round(2.5 * sample_rate)], sample_rate)


def made(name: str, sample_rate: int) -> np.ndarray:
    """Drums computed here, float32 [T], peak one half."""
    rng = np.random.default_rng(0)
    t = np.arange(round(0.5 * sample_rate)) / sample_rate
    noise = rng.standard_normal(len(t))
    if name == "clap":
        audio = _peak(_clap(noise, t, sample_rate))
    elif name in ("hat", "open", "shaker"):
        audio = _peak(_rattle(name, noise, t, sample_rate))
    elif "tom" in name:
        hz = {"lo": 90, "mid": 130, "hi": 180}[name.split()[-1]] * (1 + 0.8 * np.exp(-t / 0.03))
        audio = 0.5 * _swept(hz, sample_rate) * np.exp(-t / 0.12)
    else:
        audio = _peak(_chip_drum(name, t, rng, sample_rate))
    return audio.astype(np.float32)


def _swept(hz: np.ndarray, sample_rate: int) -> np.ndarray:
    """A sine wave whose frequency changes [T]."""
    return np.sin(2 * np.pi * np.cumsum(hz) / sample_rate)


def _clap(noise: np.ndarray, t: np.ndarray, sample_rate: int) -> np.ndarray:
    """Three short bursts and a tail."""
    bursts = sum(
        np.where(t >= d, np.exp(-np.maximum(0, t - d) / 0.006), 0) for d in (0, 0.011, 0.022)
    )
    tail = np.where(t >= 0.03, np.exp(-np.maximum(0, t - 0.03) / 0.07), 0)
    return _band(noise * (bursts + 0.7 * tail), 700, 5000, sample_rate)


def _rattle(name: str, noise: np.ndarray, t: np.ndarray, sample_rate: int) -> np.ndarray:
    """Bright noise: hats and a shaker."""
    length = {"hat": 0.018, "open": 0.12, "shaker": 0.03}[name]
    envelope = np.exp(-t / length) * np.minimum(1, t / (0.02 if name == "shaker" else 0.001))
    low = 5000 if name == "shaker" else 7000
    return _band(noise * envelope, low, 0.47 * sample_rate, sample_rate)


def _chip_drum(name: str, t: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Noise that changes some thousand times a second, as a game console's did."""
    if name == "chip kick":
        wave = _swept(45 + 260 * np.exp(-t / 0.02), sample_rate)
        return (np.sign(wave) * 0.5 + wave) * np.exp(-t / 0.06)
    rate, decay = {
        "chip snare": (9000, 0.06),
        "chip hat": (15000, 0.015),
        "chip crash": (12000, 0.2),
    }[name]
    held = rng.choice((-1.0, 1.0), size=int(rate * 0.5) + 1)[(t * rate).astype(int)]
    return held * np.exp(-t / decay)


def _band(audio: np.ndarray, low_hz: float, high_hz: float, sample_rate: int) -> np.ndarray:
    limits = (low_hz, min(high_hz, 0.47 * sample_rate))
    return sosfilt(butter(2, limits, "band", fs=sample_rate, output="sos"), audio)
