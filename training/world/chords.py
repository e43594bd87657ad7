"""Progressions by genre and mode: those of the A sections, then those of the B sections.

Numerals as in `harmony.py`, a word a bar. Each is full of its tonic: the mode is to be heard.
"""

POP = {
    "major": (
        ("I V vi IV", "I IV I V", "I V I IV", "I IV V I", "I V IV I"),
        ("IV V I I", "IV I V I", "ii V I I"),
    ),
    "minor": (
        ("i bVI iv V", "i iv i V", "i bVII i bVI", "i iv bVI V", "i bVI i V"),
        ("bVI V i i", "iv i V i"),
    ),
}
ROCK = {
    "major": (("I5 IV5 V5 IV5", "I5 IV5 I5 V5", "I5 V5 IV5 I5"), ("IV5 V5 I5 I5", "IV5 I5 V5 I5")),
    "minor": (
        ("i5 bVII5 bVI5 V5", "i5 i5 bVI5 bVII5", "i5 iv5 i5 V5"),
        ("bVI5 V5 i5 i5", "iv5 i5 V5 i5"),
    ),
}
METAL = {
    "major": (("I5 I5 IV5 V5", "I5 IV5 V5 I5"), ("IV5 V5 I5 I5",)),
    "minor": (
        ("i5 i5 bVI5 V5", "i5 i5 iv5 bVI5", "i5 bVI5 i5 V5"),
        ("bVI5 V5 i5 i5", "i5 i5 bVI5 V5"),
    ),
}
FUNK = {
    "major": (("I9 I9 IV9 I9", "I7 I7 IV7 I7"), ("IV9 IV9 I9 I9", "IV7 V7 I7 I7")),
    "minor": (("i7 i7 iv7 i7", "i7 i7 i7 V7", "i9 i9 iv9 i9"), ("iv7 iv7 i7 i7", "bVI7 V7 i7 i7")),
}
HOUSE = {
    "major": (("I I IV V", "I IV I V", "I V IV I"), ("IV V I I",)),
    "minor": (("i7 iv7 i7 V", "i7 i7 iv7 V", "i bVI i V"), ("bVI V i i", "iv7 i7 V i")),
}
TECHNO = {
    "major": (("I I I I", "I I IV I"), ("IV IV I I",)),
    "minor": (("i i i i", "i i iv i", "i i i V"), ("bVI bVI i i", "iv iv i i")),
}
TRAP = {
    "major": (("I I IV V", "I IV I V"), ("IV V I I",)),
    "minor": (("i i bVI V", "i bVI iv V", "i i iv V", "i iv i V"), ("bVI V i i", "iv iv i V")),
}
SOUL = {
    "major": (
        ("Imaj7 Imaj7 ii7 V7", "Imaj7 IVmaj7 Imaj7 V7", "Imaj7 vi7 ii7 V7"),
        ("IVmaj7 V7 Imaj7 Imaj7",),
    ),
    "minor": (
        ("i7 iv7 i7 V7", "i7 i7 bVImaj7 V7", "i9 iv9 i9 iv9", "i7 iv7 bVImaj7 V7"),
        ("bVImaj7 V7 i7 i7",),
    ),
}
COUNTRY = {
    "major": (
        ("I I IV I", "I IV I V", "I V I I", "I IV V I", "I I V I"),
        ("IV IV I I", "IV I V I"),
    ),
    "minor": (("i i iv i", "i iv i V", "i bVI i V"), ("bVI V i i", "iv iv i V")),
}
JAZZ = {
    "major": (
        (
            "Imaj7 Imaj7 ii7 V7",
            "Imaj7/vi7 ii7/V7 Imaj7/vi7 ii7/V7",
            "Imaj7 vi7 ii7 V7",
            "I6 IV7 I6 V7",
        ),
        ("ii7 V7 Imaj7 Imaj7", "IVmaj7 iv7 Imaj7 ii7/V7"),
    ),
    "minor": (
        ("i7 i7 iih7 V7", "i6 bVI7 iih7 V7", "i7 iv7 i7 iih7/V7", "i7/bVI7 iih7/V7 i7 V7"),
        ("iv7 iv7 i7 i7", "iv7 i7 iih7 V7"),
    ),
}
BOSSA = {
    "major": (
        ("Imaj7 Imaj7 ii7 V7", "Imaj7 II7 ii7 V7", "Imaj7 ii7 V7 Imaj7"),
        ("IVmaj7 iv6 Imaj7 V7", "ii7 V7 Imaj7 Imaj7"),
    ),
    "minor": (("i7 i7 iih7 V7", "i9 iv7 i9 V7", "i7 iv7 iih7 V7"), ("iv7 V7 i7 i7",)),
}
CLASSICAL = {
    "major": (
        ("I V I V", "I IV V I", "I IV I V", "I vi ii V", "I V7 I IV"),
        ("V V7 I I", "IV I V I", "ii V I I"),
    ),
    "minor": (
        ("i iv V i", "i V i V", "i bVI iv V", "i iv i V"),
        ("V V7 i i", "iv i V i", "bVI iv i V"),
    ),
}
EPIC = {
    "major": (("I V vi IV", "I V I IV", "I IV I V"), ("IV V I I", "IV I V I")),
    "minor": (
        ("i bVI i V", "i i bVI V", "i iv bVI V", "i bVII bVI V"),
        ("bVI V i i", "iv bVI i V"),
    ),
}
AMBIENT = {
    "major": (
        ("Imaj7 Imaj7 IVmaj7 IVmaj7", "Iadd9 IVmaj7 Iadd9 Isus4", "I I IVmaj7 I"),
        ("IVmaj7 IVmaj7 I I",),
    ),
    "minor": (("i7 i7 iv7 iv7", "iadd9 iv iadd9 V", "i7 i7 bVImaj7 i7"), ("iv7 iv7 i7 i7",)),
}
BLUES = {
    "major": (
        ("I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7", "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7"),
    )
    * 2,
    "minor": (
        ("i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7", "i7 iv7 i7 i7 iv7 iv7 i7 i7 V7 iv7 i7 V7"),
    )
    * 2,
}
REGGAE = {
    "major": (("I IV I IV", "I V I IV", "I I IV V", "I IV V IV"), ("IV IV I I", "IV V I I")),
    "minor": (("i iv i iv", "i iv i V", "i bVI i V", "i i iv iv"), ("bVI V i i", "iv iv i i")),
}
LATIN = {
    "major": (("I IV V IV", "I V V I", "I IV I V"), ("IV V I I", "ii V I I")),
    "minor": (("i iv V iv", "i V V i", "i bVII bVI V"), ("iv V i i", "bVI V i i")),
}
MARCH = {
    "major": (("I I V V", "I V I V", "I IV V I", "I I II7 V"), ("IV I V I", "IV IV I V")),
    "minor": (("i V i V", "i iv V i", "i i V V"), ("iv i V i", "iv iv i V")),
}
