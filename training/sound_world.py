"""The sound world of the pocket model: rates, tempi, keys and instruments. What a genre makes of
them: `world/genres.py`.

Everything that the composer may use is listed in these two and nowhere else, so that they say
what the model can know. They know no MIDI events and no audio.
"""

import os
from dataclasses import dataclass

from world import chip, melody
from world.fluid import Voice

SAMPLE_RATE = int(
    os.environ.get("MUSICGRAPH_SAMPLE_RATE", "32000")
)  # 16000 for models of that rate; a hi-hat needs 32000
FRAME_RATE = (
    50  # codec frames a second; beats are whole numbers of frames: onsets meet the codec's grid
)
# Thirteen tempi, 6 to 12 % apart, of which every tempo from 58 to 180 is near one.
BEAT_FRAMES = (50, 46, 42, 38, 35, 32, 30, 27, 25, 23, 21, 19, 17)
TEMPI_BPM = tuple(round(60 * FRAME_RATE / frames) for frames in BEAT_FRAMES)

# No two a minor third apart: C major and A minor are the same seven notes, and a model of this size
# that learns both plays the one for the other. Every tonic is within two semitones of one of these.
TONICS = {"C": 0, "D": 2, "G": 7}
SCALES = {mode: melody.SCALES["diatonic", mode] for mode in ("major", "minor")}


@dataclass(frozen=True)
class Instrument:
    """What can play a part. `lead_s`: how long its tone takes to be there, by which its notes begin
    earlier.
    """

    name: str
    family: str
    low: int  # lowest comfortable MIDI pitch of a melody or of a chord
    high: int
    chords: bool  # can play several notes at once
    voices: tuple[Voice, ...]  # one is drawn for each piece
    lead_s: float = 0.0


def _both(program: int, bank: int = 0) -> tuple[Voice, ...]:
    return (Voice("fluid", program, bank), Voice("musescore", program, bank))


def _fluid(program: int, bank: int = 0) -> tuple[Voice, ...]:
    return (Voice("fluid", program, bank),)


def _musescore(program: int, bank: int = 0) -> tuple[Voice, ...]:
    return (Voice("musescore", program, bank),)


def _chip(*programs: int) -> tuple[Voice, ...]:
    return tuple(Voice(chip.FONT, program) for program in programs)


# Fonts by measurement: level of a held note's harmonics over the rest, cents out of tune, time to
# half its level. MuseScore's piano and saw lead are cleaner; FluidR3's strings, choir and pads are
# there sooner, its synth basses purer.
_INSTRUMENTS = (
    Instrument("piano", "piano", 57, 84, True, _musescore(0)),
    Instrument("e-piano", "e-piano", 55, 81, True, _both(4)),
    Instrument("music box", "music box", 72, 93, True, _both(10)),
    Instrument("celesta", "music box", 72, 93, True, _both(8)),
    Instrument("vibraphone", "vibraphone", 57, 84, True, _both(11)),
    Instrument("marimba", "marimba", 55, 84, True, _both(12)),
    Instrument("organ", "organ", 55, 81, True, _fluid(19), 0.06),
    Instrument("hammond organ", "hammond organ", 55, 81, True, _both(17), 0.01),
    Instrument("accordion", "accordion", 57, 81, True, _both(21), 0.03),
    Instrument("harmonica", "harmonica", 60, 84, False, _both(22), 0.02),
    Instrument("guitar", "guitar", 52, 76, True, _both(24)),
    Instrument("ukulele", "guitar", 60, 81, True, _both(24, 8)),
    Instrument("steel guitar", "guitar", 52, 76, True, _both(25)),
    Instrument("clean guitar", "electric guitar", 52, 79, True, _both(27)),
    Instrument("distorted guitar", "distorted guitar", 52, 79, True, _both(30), 0.01),
    Instrument("mandolin", "banjo", 60, 84, True, _both(25, 16)),
    Instrument("banjo", "banjo", 55, 81, True, _both(105)),
    Instrument("harp", "harp", 55, 88, True, _both(46)),
    Instrument("strings", "strings", 55, 84, True, _fluid(48), 0.06),
    Instrument("choir", "choir", 57, 79, True, _both(53), 0.05),
    Instrument("trumpet", "trumpet", 60, 81, False, _both(56)),
    Instrument("trombone", "trombone", 46, 67, False, _both(57), 0.03),
    Instrument("horn", "horn", 48, 72, True, _both(60), 0.05),
    Instrument("brass", "brass", 55, 79, True, _both(61), 0.03),
    Instrument("sax", "sax", 55, 79, False, _both(66), 0.02),
    Instrument("clarinet", "clarinet", 58, 84, False, _both(71), 0.025),
    Instrument("flute", "flute", 67, 91, False, _fluid(73), 0.035),
    Instrument("recorder", "flute", 67, 91, False, _both(74), 0.015),
    Instrument("pan flute", "flute", 67, 88, False, _both(75), 0.03),
    Instrument("synth", "synth", 57, 84, True, (*_musescore(81), *_chip(3))),
    Instrument("square lead", "chip", 60, 88, True, _chip(0, 1, 2)),
    Instrument("synth stab", "synth", 55, 79, True, _chip(4)),
    Instrument("pad", "pad", 52, 76, True, (*_chip(5), *_fluid(91)), 0.06),
    Instrument("bass", "bass", 28, 48, False, _both(33)),
    Instrument("pick bass", "bass", 28, 48, False, _both(34), 0.015),
    Instrument("acoustic bass", "bass", 28, 50, False, _fluid(32), 0.01),
    Instrument("slap bass", "bass", 28, 50, False, _both(36)),
    Instrument("synth bass", "synth bass", 28, 48, False, (*_fluid(39), *_fluid(38), *_chip(6))),
    Instrument("808 bass", "synth bass", 26, 43, False, _chip(7)),
    Instrument("chip bass", "chip", 36, 55, False, _chip(8)),
    Instrument("tuba", "bass", 29, 48, False, _both(58), 0.04),
    Instrument("low strings", "strings", 36, 55, False, _fluid(48), 0.06),
)
INSTRUMENTS = {i.name: i for i in _INSTRUMENTS}
_BASS_NAMES = (
    *("bass", "pick bass", "acoustic bass", "slap bass", "synth bass", "808 bass", "chip bass"),
    *("tuba", "low strings"),
)
BASSES = {name: INSTRUMENTS[name] for name in _BASS_NAMES}
LEADS = {i.name: i for i in _INSTRUMENTS if i.name not in BASSES and i.name != "synth stab"}
BACKINGS = {i.name: i for i in _INSTRUMENTS if i.chords}
