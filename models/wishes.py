"""What a take has to measure: `tempo=120±3 key=Dm drums`, read, and compared with an analysis.

wishes    one or more, separated by spaces; each kind once
tempo=    bpm: 120±3, 120+-3 or 117..123; a number alone allows 3 either way
loud=     LUFS: -16±2, -16+-2 or -18..-14; a number alone allows 1 either way
key=      a letter from A to G, # or b behind it, m for minor: Dm, F#, Bbm
mode=     major or minor
drums     there are some; `no drums`: there are none
clipping, silence, stuck    the same: `no clipping`
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .quoting import one_line, shown
from .refused import Refused
from .tonality import MODES, Key, read_key

if TYPE_CHECKING:
    from .analysis import Analysis

EXAMPLE = "such as --until 'tempo=120+-3 key=Dm drums'"
MAX_CHARACTERS = 200
NUMBER = r"[-−]?\d{1,4}(?:\.\d{1,3})?"
AROUND = re.compile(rf"({NUMBER})(?:(?:±|\+/?-)(\d{{1,3}}(?:\.\d{{1,3}})?))?")
FROM_TO = re.compile(rf"({NUMBER})\.\.({NUMBER})")
SILENT_SHARE = 0.05

SURE = 1 / 3
"""the confidence from which a key, or a mode, is taken for what it was measured to be: of rendered
pieces, less than that is right in three of seven, and more in 96 %
"""

FLAGS: dict[str, Callable[[Analysis], bool]] = {
    "drums": lambda heard: heard.drums,
    "clipping": lambda heard: heard.clipped,
    "silence": lambda heard: heard.silence_share > SILENT_SHARE,
    "stuck": lambda heard: heard.stuck,
}


@dataclass(frozen=True)
class Range:
    """Of tempi (bpm) or loudness (LUFS)."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class TempoWish:
    """Half or double fit too, where the analysis says that it may be heard so."""

    text: str
    range: Range

    def missed_by(self, heard: Analysis) -> float:
        if heard.tempo is None:
            return 1.0
        readings = heard.tempo.bpm, *heard.tempo.also_bpm
        return min(1.0, *(self._octaves_off(bpm) for bpm in readings))

    def _octaves_off(self, bpm: float) -> float:
        nearest = min(max(bpm, self.range.low), self.range.high)
        return abs(math.log2(bpm / nearest))


@dataclass(frozen=True)
class LoudnessWish:
    text: str
    range: Range

    def missed_by(self, heard: Analysis) -> float:
        value = heard.loudness_lufs
        return min(1.0, max(self.range.low - value, value - self.range.high, 0) / 70)


@dataclass(frozen=True)
class KeyWish:
    text: str
    key: Key

    def missed_by(self, heard: Analysis) -> float:
        if heard.key is None:
            return 1.0
        return 0.0 if heard.key.name == self.key.name else (1 + self.key.fifths_to(heard.key)) / 8

    def doubted_by(self, heard: Analysis) -> float:
        return _doubt(heard.key.confidence if heard.key else 0.0)


@dataclass(frozen=True)
class ModeWish:
    text: str
    mode: str

    def missed_by(self, heard: Analysis) -> float:
        return float(heard.key is None or heard.key.mode != self.mode)

    def doubted_by(self, heard: Analysis) -> float:
        return _doubt(heard.key.mode_confidence if heard.key else 0.0)


@dataclass(frozen=True)
class FlagWish:
    text: str
    flag: str
    wanted: bool

    def missed_by(self, heard: Analysis) -> float:
        return float(FLAGS[self.flag](heard) != self.wanted)


Wish = TempoWish | LoudnessWish | KeyWish | ModeWish | FlagWish


def missed(wishes: tuple[Wish, ...], heard: Analysis) -> dict[str, float]:
    """The wishes that are not fulfilled, by their text, with how far off each is: 0 … 1."""
    found = {wish.text: wish.missed_by(heard) for wish in wishes}
    return {text: off for text, off in found.items() if off > 0}


def doubted(wishes: tuple[Wish, ...], heard: Analysis) -> dict[str, float]:
    """The wishes that are fulfilled but not surely so, by their text, with how unsure: 0 … 1."""
    asked = [wish for wish in wishes if isinstance(wish, KeyWish | ModeWish)]
    found = {wish.text: wish.doubted_by(heard) for wish in asked if not wish.missed_by(heard)}
    return {text: doubt for text, doubt in found.items() if doubt > 0}


def _doubt(confidence: float) -> float:
    return max(0.0, 1 - confidence / SURE)


def distance(missed: dict[str, float], doubted: dict[str, float]) -> tuple[int, float, float]:
    """By which the closest take is the least: fewest wishes missed first, then how far off, then
    how unsure.
    """
    return len(missed), sum(missed.values()), sum(doubted.values())


# ---------------------------------------------------------------- reading


def read_wishes(text: str) -> tuple[Wish, ...]:
    """Raises Refused for the first that makes no sense."""
    if len(text) > MAX_CHARACTERS:
        got = f"{len(text)} characters"
        raise Refused("until", got=got, expected=f"at most {MAX_CHARACTERS}", remedy=EXAMPLE)
    found: dict[str, Wish] = {}
    for word, wanted in _words(text):
        name, _, value = word.partition("=")
        if name in found:
            raise Refused(f"until: {name}", got="it twice", expected="it once")
        found[name] = _wish(word, name, value, wanted)
    if not found:
        raise Refused("until", got="no wish", expected=_known(), remedy=EXAMPLE)
    return tuple(found.values())


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """Each word, and whether it is wanted: false for the one that follows a `no`."""
    words = iter(text.split())
    for word in words:
        if word != "no":
            yield word, True
        elif (denied := next(words, "")) in FLAGS:
            yield denied, False
        else:
            raise Refused(
                "until: no", got=_quoted(denied), expected=f"one of {', '.join(FLAGS)} behind it"
            )


def _wish(word: str, name: str, value: str, wanted: bool) -> Wish:
    if word in FLAGS:
        return FlagWish(word if wanted else f"no {word}", word, wanted)
    if name == "tempo":
        return TempoWish(word, _range(name, value, spread=3, low=20, high=400))
    if name == "loud":
        return LoudnessWish(word, _range(name, value, spread=1, low=-70, high=0))
    if name == "key":
        return KeyWish(word, _key(value))
    if name == "mode" and value in MODES:
        return ModeWish(word, value)
    if name == "mode":
        raise Refused("until: mode", got=_quoted(value), expected=" or ".join(MODES))
    raise Refused("until", got=_quoted(word), expected=_known(), remedy=EXAMPLE)


def _key(value: str) -> Key:
    found = read_key(value)
    if found is None:
        expected = "a letter from A to G, # or b behind it, m for minor: Dm, F#, Bbm"
        raise Refused("until: key", got=_quoted(value), expected=expected)
    return found


def _range(name: str, value: str, *, spread: float, low: float, high: float) -> Range:
    """120±3, 120+-3, 117..123, or 120, which allows `spread` either way."""
    if around := AROUND.fullmatch(value):
        middle, width = _number(around[1]), _number(around[2] or str(spread))
        found, ends = Range(middle - width, middle + width), (middle, middle)
    elif between := FROM_TO.fullmatch(value):
        found = Range(_number(between[1]), _number(between[2]))
        ends = (found.low, found.high)
    else:
        expected = f"{name}=120±3, 120+-3 or 117..123" if name == "tempo" else (
            f"{name}=-16±2, -16+-2 or -18..-14"
        )  # fmt: skip
        raise Refused(f"until: {name}", got=_quoted(value), expected=expected)
    if not low <= ends[0] <= ends[1] <= high:
        expected = f"from {low:g} to {high:g}, the lower one first"
        raise Refused(f"until: {name}", got=_quoted(value), expected=expected)
    return found


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _quoted(text: str) -> str:
    return one_line(shown(text))


def _known() -> str:
    return f"tempo=, key=, mode=, loud=, or {', '.join(FLAGS)}, each also after no"
