"""Genres of machines: clubs, beats, consoles, and sound without a beat. Tables only."""

from . import chords
from .genre import BEATS, Genre, patterns, weights

ELECTRONIC = (
    Genre(
        name="house",
        chords=chords.HOUSE,
        beat_frames={25: 4, 23: 2, 27: 1},
        leads=weights("synth 3, piano 3, e-piano 1, brass 0.5, vibraphone 0.7"),
        backings=weights("piano 2, synth stab 3, e-piano 1, pad 1"),
        basses=weights("synth bass 1"),
        seconds=weights("pad 2, strings 1"),
        textures=BEATS,
        backing_patterns=patterns(
            "x.....x.....x... ..x..x....x..x.. x..x..x...x..x.. ..x...x...x...x."
        ),
        bass_patterns=patterns(
            "..1...1...1...1. ..11..11..11..18 1..1..1...1..8.. ..1-..1-..8-..1-"
        ),
        feel="dance",
        kits=("house", "club"),
        minor=0.55,
        riff=0.7,
        fills=("hats", "snare"),
        jitter_s=0.0,
        effects=("duck",),
        levels={"drums": 1, "lead": -1},
    ),
    Genre(
        name="techno",
        chords=chords.TECHNO,
        beat_frames={23: 3, 21: 3, 25: 1},
        leads=weights("synth 3, square lead 0.3"),
        backings=weights("synth stab 3, pad 1"),
        basses=weights("synth bass 1"),
        seconds=weights("pad 1"),
        scales=weights("diatonic 1, pentatonic 1"),
        textures=BEATS | weights("drums 0.16"),
        dynamics=weights("normal 0.5, loud 0.5"),
        backing_patterns=patterns("..x...x...x...x. ...x..x...x..x.. x..x..x..x..x..."),
        bass_patterns=patterns(
            "..11..11..11..11 .111.111.111.111 1.11.11.1.11.118 ..1.1.1...1.1.8."
        ),
        feel="dance",
        kits=("techno", "club"),
        minor=0.88,
        riff=1.0,
        fills=("hats",),
        jitter_s=0.0,
        legato=0.6,
        effects=("duck",),
        levels={"lead": -3, "drums": 1.5, "bass": 1},
    ),
    Genre(
        name="trap",
        chords=chords.TRAP,
        beat_frames={23: 3, 21: 3, 25: 1},
        leads=weights(
            "piano 2, music box 1, synth 1, flute 1.5, guitar 1.5, strings 0.7, vibraphone 1, "
            "choir 0.5"
        ),
        backings=weights("piano 1, pad 3, strings 1, guitar 1"),
        basses=weights("808 bass 1"),
        seconds=weights("pad 1, choir 1"),
        textures=BEATS,
        densities=weights("sparse 0.5, medium 0.4, busy 0.1"),
        backing_patterns=patterns("x------- x---x--- 0-1-2-1-"),
        bass_patterns=patterns(
            "1------1--1----- 1-----1----1---- 1---------1---1- 1-----------8---"
        ),
        feel="sixteenth",
        kits=("trap",),
        minor=0.9,
        riff=0.8,
        fills=("hats",),
        crashes=False,
        jitter_s=0.0,
        levels={"bass": 2.5, "drums": 1},
    ),
    Genre(
        name="hip hop",
        chords=chords.SOUL,
        beat_frames={35: 3, 32: 3, 38: 1},
        leads=weights(
            "piano 2, e-piano 2, sax 1, trumpet 1, flute 1, strings 1, vibraphone 1, synth 1"
        ),
        backings=weights("e-piano 2, piano 2, strings 1, clean guitar 1"),
        basses=weights("bass 2, synth bass 2"),
        seconds=weights("strings 1, choir 0.5"),
        scales=weights("pentatonic 2, diatonic 1"),
        textures=BEATS,
        densities=weights("sparse 0.4, medium 0.5, busy 0.1"),
        backing_patterns=patterns("x------- x---x--- x--x---- x..x..x-"),
        bass_patterns=patterns("1------1..1..... 1--1......1-5--- 1-----5-..1---7-"),
        feel="sixteenth",
        kits=("boombap", "studio", "tr808"),
        minor=0.7,
        riff=0.7,
        swing=(0.25, 0.56),
        fills=("snare", "hats"),
        crashes=False,
    ),
    Genre(
        name="lo-fi",
        chords=chords.SOUL,
        beat_frames={42: 2, 38: 3, 35: 3},
        leads=weights(
            "e-piano 3, piano 2, guitar 2, vibraphone 1, sax 1, flute 0.5, music box 0.5"
        ),
        backings=weights("e-piano 4, piano 1, guitar 1"),
        basses=weights("bass 2, acoustic bass 1"),
        seconds=weights("pad 1"),
        scales=weights("pentatonic 2, diatonic 1"),
        textures=weights("band 0.82, solo 0.04, duo 0.06, trio 0.03, drums 0.05"),
        densities=weights("sparse 0.5, medium 0.45, busy 0.05"),
        dynamics=weights("soft 0.5, normal 0.5"),
        backing_patterns=patterns("x------- x-----x- x--x---- 0-1-2-1-"),
        bass_patterns=patterns("1-----1---5----- 1--------1--5--- 1------5--1-----"),
        feel="straight",
        kits=("dusty", "boombap"),
        minor=0.45,
        swing=(0.25, 0.6),
        fills=("hats",),
        crashes=False,
        jitter_s=0.005,
        effects=("lo-fi",),
        weight=1.3,
    ),
    Genre(
        name="chiptune",
        chords=chords.POP,
        beat_frames={25: 2, 23: 2, 21: 3, 19: 2, 17: 1},
        leads=weights("square lead 1"),
        backings=weights("square lead 1"),
        basses=weights("chip bass 1"),
        textures=weights(
            "band 0.74, trio 0.08, duo 0.06, solo 0.04, lead and drums 0.05, drums 0.03"
        ),
        densities=weights("sparse 0.05, medium 0.45, busy 0.5"),
        backing_patterns=patterns(
            "0120120120120120 0123012301230123 s.s.s.s.s.s.s.s. 0.1.2.1.0.1.2.1."
        ),
        bass_patterns=patterns("1.8.1.8.1.8.1.8. 11811181 1.1.1.1.1.1.1.1. 1.5.8.5.1.5.8.5."),
        feel="sixteenth",
        kits=("chip",),
        fills=("snare",),
        crashes=False,
        jitter_s=0.0,
        legato=0.8,
        weight=1.1,
    ),
    Genre(
        name="ambient",
        chords=chords.AMBIENT,
        beat_frames={50: 4, 46: 2, 42: 1},
        leads=weights(
            "pad 3, piano 2, choir 1.5, e-piano 1, strings 1.5, flute 0.7, vibraphone 0.7, guitar "
            "0.7, synth 0.5"
        ),
        backings=weights("pad 5, choir 0.5"),
        basses=weights("low strings 1"),
        textures=weights("solo 0.18, duo 0.6, trio 0.22"),
        densities=weights("sparse 0.35, medium 0.5, busy 0.15"),
        dynamics=weights("soft 0.8, normal 0.2"),
        backing_patterns=patterns("x-------"),
        bass_patterns=patterns("1-------"),
        feel="long",
        fills=(),
        crashes=False,
        legato=1.05,
        effects=("hall",),
        weight=1.3,
    ),
)
