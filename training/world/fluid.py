"""FluidSynth's library by ctypes: one synthesizer a process, one output a part, notes in seconds
in, audio out.

The program `fluidsynth` would load its fonts for every piece and mix all parts before they can
be brought to a level. Knows soundfonts and MIDI numbers; nothing of pieces, genres or levels.
"""

import ctypes
import ctypes.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("MUSICGRAPH_SOUNDFONTS", "/usr/share/sounds/sf2"))
FONTS = {"fluid": "FluidR3_GM.sf2", "musescore": "MuseScore_General_Full.sf2"}
PARTS = 8  # MIDI channels in use, each with an output of its own; the ninth would be drums
DRUM_CHANNEL = 9  # its output is that of channel 1
DRUM_BANK = 128
BLOCK = 64  # samples that FluidSynth computes at a time: notes begin on these
GAIN = 0.5


@dataclass(frozen=True)
class Voice:
    """One preset of one font."""

    font: str
    program: int
    bank: int = 0


@dataclass(frozen=True)
class TimedNote:
    channel: int
    start_s: float
    end_s: float
    pitch: int
    velocity: int


def _font_path(font: str) -> Path:
    path = FOLDER / FONTS[font]
    if not path.exists():
        raise FileNotFoundError(
            f"got no {path.name} in {FOLDER}, expected it there: install fluid-soundfont-gm and "
            "musescore-general-soundfont-lossless, or set MUSICGRAPH_SOUNDFONTS to their folder"
        )
    return path


def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("fluidsynth")
    if name is None:
        raise FileNotFoundError("got no libfluidsynth, expected version 2.2 or newer: install it")
    library = ctypes.CDLL(name)
    for function in ("new_fluid_settings", "new_fluid_synth", "fluid_synth_get_sfont_by_id"):
        getattr(library, function).restype = ctypes.c_void_p
    return library


class Synth:
    """Renders parts at `sample_rate` without reverb and chorus; presets stay in memory once they
    were used.

    A fresh synthesizer of the library plays each piece: its voices remember what they played
    before, even when they are told to be silent. The fonts move from one to the next.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.lib = _library()
        self.lib.fluid_set_log_function(2, None, None)  # warnings about presets that have no sound
        self.settings = ctypes.c_void_p(self.lib.new_fluid_settings())
        numbers = {"synth.sample-rate": float(sample_rate), "synth.gain": GAIN}
        switches = {"audio-channels": PARTS, "audio-groups": PARTS, "reverb.active": 0}
        switches |= {"chorus.active": 0, "dynamic-sample-loading": 1, "threadsafe-api": 0}
        for name, value in numbers.items():
            self.lib.fluid_settings_setnum(self.settings, name.encode(), ctypes.c_double(value))
        for name, value in switches.items():
            self.lib.fluid_settings_setint(self.settings, f"synth.{name}".encode(), value)
        self.keeper = self._new()  # holds what pins presets
        self.fonts: dict[str, ctypes.c_void_p] = {}
        self.pinned: set[Voice] = set()

    def _new(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.lib.new_fluid_synth(self.settings))

    def _font(self, name: str) -> ctypes.c_void_p:
        if name not in self.fonts:
            number = self.lib.fluid_synth_sfload(self.keeper, str(_font_path(name)).encode(), 0)
            self.fonts[name] = ctypes.c_void_p(
                self.lib.fluid_synth_get_sfont_by_id(self.keeper, number)
            )
            self.lib.fluid_synth_remove_sfont(self.keeper, self.fonts[name])
        return self.fonts[name]

    def _select(self, synth: ctypes.c_void_p, channel: int, voice: Voice, number: int) -> None:
        if voice not in self.pinned:
            self.lib.fluid_synth_pin_preset(synth, number, voice.bank, voice.program)
            self.pinned.add(voice)
        if (
            self.lib.fluid_synth_program_select(synth, channel, number, voice.bank, voice.program)
            != 0
        ):
            raise ValueError(f"got {voice}, expected a preset of {FONTS[voice.font]}")

    def render(
        self, voices: dict[int, Voice], notes: list[TimedNote], length_s: float
    ) -> dict[int, np.ndarray]:
        """Mono float32 [T] of every channel in `voices`. The same notes give the same samples."""
        synth = self._new()
        fonts = {name: self._font(name) for name in sorted({v.font for v in voices.values()})}
        numbers = {
            name: self.lib.fluid_synth_add_sfont(synth, font) for name, font in fonts.items()
        }
        for channel, voice in voices.items():
            self._select(synth, channel, voice, numbers[voice.font])
        out = self._played(synth, notes, length_s)
        for font in fonts.values():
            self.lib.fluid_synth_remove_sfont(synth, font)
        self.lib.delete_fluid_synth(synth)
        left = {channel: 2 * (channel % PARTS) for channel in voices}
        return {channel: (out[row] + out[row + 1]) / 2 for channel, row in left.items()}

    def _played(
        self, synth: ctypes.c_void_p, notes: list[TimedNote], length_s: float
    ) -> np.ndarray:
        """float32 [2 * PARTS, T], left and right of every channel."""
        blocks = -(-round(length_s * self.sample_rate) // BLOCK)
        out = np.zeros((2 * PARTS, blocks * BLOCK), np.float32)
        now = 0
        for block, is_on, note in self._events(notes, blocks):
            self._advance(synth, out, now, block)
            now = block
            if is_on:
                self.lib.fluid_synth_noteon(synth, note.channel, note.pitch, note.velocity)
            else:
                self.lib.fluid_synth_noteoff(synth, note.channel, note.pitch)
        self._advance(synth, out, now, blocks)
        return out

    def _events(self, notes: list[TimedNote], blocks: int) -> list[tuple[int, bool, TimedNote]]:
        """Ends before starts where both fall together, so that repeated notes sound again."""
        per_s = self.sample_rate / BLOCK
        events = []
        for note in notes:
            start = max(0, round(note.start_s * per_s))
            events.append((start, True, note))
            events.append((max(start + 1, round(note.end_s * per_s)), False, note))
        events.sort(key=lambda e: (e[0], e[1], e[2].channel, e[2].pitch))
        return [e for e in events if e[0] < blocks]

    def _advance(self, synth: ctypes.c_void_p, out: np.ndarray, start: int, end: int) -> None:
        if end <= start:
            return
        first = out.ctypes.data + start * BLOCK * 4
        rows = (ctypes.c_void_p * len(out))(*(first + r * out.strides[0] for r in range(len(out))))
        self.lib.fluid_synth_process(synth, (end - start) * BLOCK, 0, None, len(out), rows)
