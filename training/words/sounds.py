"""Instruments, drums, keys and what they are called. Not run by itself."""

from .tables import table

INSTRUMENTS = table(
    {
        "piano": "piano, grand piano, upright piano, pianos, piano keys, solo pianist, pianoforte, "
        "piano chords, pianist",
        "electric piano": "electric piano, rhodes, wurlitzer, e-piano, keys, keyboard, keyboards, "
        "electric keys, fender rhodes",
        "harpsichord": "harpsichord, clavinet, clavichord, spinet",
        "acoustic guitar": "acoustic guitar, guitar, guitars, acoustic guitars, nylon guitar, "
        "classical guitar, fingerpicked guitar, strummed guitar, steel guitar, spanish guitar, "
        "fingerstyle guitar, guitarist, acoustic strumming, slide guitar, pedal steel, 12-string "
        "guitar",
        "electric guitar": "electric guitar, electric guitars, clean guitar, guitar solo, guitar "
        "riff, guitar riffs, lead guitar, rhythm guitar, wah guitar, guitar licks",
        "distorted guitar": "distorted guitar, distorted guitars, distortion, power chords, "
        "overdriven guitar, fuzz guitar, shredding, crunchy guitars",
        "ukulele": "ukulele, uke, ukuleles",
        "banjo": "banjo, mandolin, dobro, banjos, balalaika",
        "plucked": "harp, sitar, lute, koto, zither, oud, pizzicato, plucked strings, "
        "dulcimer, shamisen, bouzouki, lyre",
        "violin": "violin, violins, fiddle, viola, fiddles, solo violin, erhu",
        "cello": "cello, cellos, double bass solo, contrabass, celli",
        "strings": "strings, string section, orchestra, string ensemble, bowed strings, "
        "symphony orchestra, full orchestra, string orchestra, synth strings, string pads",
        "flute": "flute, flutes, piccolo, pan flute, panpipes, flutist, bamboo flute, shakuhachi",
        "recorder": "recorder, tin whistle, whistle, ocarina, whistling, penny whistle, bagpipes",
        "clarinet": "clarinet, oboe, bassoon, woodwinds, woodwind, english horn, clarinets, reeds",
        "trumpet": "trumpet, trumpets, cornet, muted trumpet, flugelhorn, bugle",
        "brass": "brass, brass section, horn, horns, trombone, trombones, tuba, french horn, "
        "horn section, brass band, french horns",
        "saxophone": "saxophone, sax, alto sax, tenor sax, saxophones, sax solo, soprano sax",
        "organ": "organ, church organ, pipe organ, organs, cathedral organ",
        "hammond": "hammond, hammond organ, rock organ, electric organ, farfisa",
        "accordion": "accordion, harmonica, concertina, harmonium, melodica, mouth organ, "
        "bandoneon",
        "choir": "choir, voices, vocal choir, chorus, choirs, humming, vocal pads, chanting",
        "synth": "synth, synths, synthesizer, synthesizers, analog synth, synth lead, lead synth, "
        "synth stabs, arpeggiated synth, arpeggiator, moog, synth melody, electronic sounds, "
        "sawtooth, synth arpeggios, theremin, plucky synth, electronic keyboard, square wave, "
        "samples, synthesiser, synth riff",
        "pad": "synth pad, synth pads, pads, pad, warm pad, lush pads, ethereal pads, drones, "
        "ambient pads, warm pads, soft pads, textures",
        "music box": "music box, toy piano, musical box, chimes, wind chimes, hand bells",
        "bells": "bells, glockenspiel, celesta, tubular bells, church bells, sleigh bells",
        "mallets": "xylophone, marimba, vibraphone, kalimba, vibes, steelpan, steel drum, "
        "steel drums, mallets, balafon, gamelan, hang drum, handpan",
        "bass": "bass, bass guitar, bass line, bassline, electric bass, deep bass, walking bass, "
        "upright bass, double bass, slap bass, fretless bass, basslines, acoustic bass, low end",
        "synth bass": "synth bass, 808, 808s, sub bass, acid bass, reese bass, wobble bass, "
        "808 bass, sub-bass, bass drop, bass synth",
    }
)
BASSES = ("bass", "synth bass")  # which never play alone

DRUMS = table(
    {
        "on": "drums, drum kit, drum set, a beat, a drum beat, drum machine, percussion, "
        "heavy drums, bassy drums, punchy drums, groovy drums, big drums, loud drums, "
        "tight drums, live drums, programmed drums, electronic drums, acoustic drums, "
        "a strong beat, a steady beat, kick and snare, a driving kick, a kick drum, hi-hats, "
        "snare, claps, handclaps, a breakbeat loop, a four on the floor kick, a backbeat, "
        "driving drums, drums and bass, bongos, congas, tambourine, shaker, timpani, taiko, "
        "taiko drums, thunderous percussion, pounding drums, a drummer, rhythm section, "
        "a solid groove, brushed drums, cymbals, toms, a hard beat, heavy beats, fat beats, "
        "a groovy beat, a boom bap beat, trap hi-hats, cowbell, hand drums, a rhythm, 808 drums, "
        "crisp snares, a dance beat, rolling drums, drum fills, boomy drums, a heavy kick",
        "off": "no drums, without drums, no percussion, without percussion, no beat, drumless, "
        "beatless, without a beat, no drum kit, without any drums, no beats, percussion-free, "
        "drums off, no drum, without beats, not any drums, minus the drums, free of drums, "
        "nothing percussive, no drums at all, no drums please, without drum machine",
        "only": "drums only, only drums, just drums, drum solo, drum beat, drum loop, solo drums, "
        "drum track, percussion only, just a beat, a drum groove, breakbeat only",
    }
)

SOLO = table({"solo": "solo, alone, unaccompanied, on its own, by itself, a cappella"})

MODES = table(
    {
        "major": "in major, major key, in a major key, major scale, major chords, lydian, "
        "mixolydian, major tonality",
        "minor": "in minor, minor key, in a minor key, minor scale, minor chords, dorian, "
        "phrygian, harmonic minor, minor tonality, natural minor, aeolian",
    }
)
TONICS = "C C# D Eb E F F# G Ab A Bb B".split()
TONIC_NAMES = {
    "C": "C",
    "C#": "C#, C sharp, Db, D flat",
    "D": "D",
    "Eb": "Eb, E flat, D#",
    "E": "E",
    "F": "F",
    "F#": "F#, F sharp, Gb",
    "G": "G",
    "Ab": "Ab, A flat, G#",
    "A": "A",
    "Bb": "Bb, B flat, A#",
    "B": "B",
}

# What a listener hears of an instrument without asking for another one.
SOUND_WORDS = (
    "bright, warm, lush, crunchy, catchy, simple, beautiful, gorgeous, crisp, rich, deep, jangly, "
    "twangy, shimmering, sparkling, smooth, muted, plucked, melodic, clean, big, fat, nice, great, "
    "subtle, intricate, organic, airy, distant, swirling, echoing, rhythmic, chunky, expressive, "
    "virtuoso, amazing, cool, wavy, detuned, reverb-soaked, wobbly, glittering, acoustic-sounding"
).split(", ")
PART_WORDS = (
    "melody, melodies, riff, riffs, solo part, chords, arpeggios, licks, line, lines, stabs, "
    "sound, theme, motif, hook, part, accompaniment, harmonies, strumming, picking, "
    "improvisation, intro"
).split(", ")
BASS_PART_WORDS = [words for words in PART_WORDS if words != "solo part"]
