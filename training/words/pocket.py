"""Pocket's sound world as its text encoder is to see it: a wish -> the piece that it stands for.

Not run by itself. Facts that a wish leaves out take the defaults of its genre, use or mood: told
half, the decoder plays the mean of several answers as mush. The piece is always one that the
composer can compose; where a wish asks for what is never played together, the piece that comes
nearest is taken: in the genre itself, or in one that is related to it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from captions import canonical, hides_genre, typical
from compose import WITH_BACKING, WITH_BASS, WITH_DRUMS, Facts, beside
from sound_world import FRAME_RATE, INSTRUMENTS, TONICS
from world import phrases
from world.genres import GENRES as STYLES

from . import pieces, sounds
from .pieces import Ground
from .wishes import Wish

# What it costs to leave something that was said.
OTHER_DRUMS = 9.0
NOT_ALONE = 8.0
OCTAVE, WORDS_OCTAVE = 6.0, 3.6  # of tempo, from a number and from what a word means
HALF, DOUBLE = 2.0, 2.4  # but half or twice a number of bpm is nearly what it says
OTHER_LEAD = 4.0
OTHER_BACKING = 1.5
OTHER_BASS = 1.2
OTHER_DYNAMIC = 1.0
OTHER_DENSITY = 0.8
NEXT_OF_KIN = 0.5
UNSAID_GENRE = 1.5  # of a solo, whose caption names no genre that is not played alone
# To go to a related style: the nearest, and each further one; half of it where none was named,
# and still less to where the instrument is at home.
RELATED, FURTHER = 2.0, 0.5
AT_HOME = 0.4
# What costs to leave something that was not said, or to take what is rare.
IMPLIED = 0.2  # of the above
RARE = 0.5


@dataclass(frozen=True)
class Wanted:
    """A wish and its ground, as the sound world's own names."""

    ground: Ground
    named: bool  # the genre was
    leads: tuple[str, ...]  # instruments, the nearest first
    others: tuple[tuple[str, ...], ...]  # what else is named, each with its kin
    basses: tuple[str, ...]
    unwanted: frozenset[str]
    drums: str | None  # "on", "off", "only"
    solo: bool
    tempo: tuple[float, float] | None
    pace: float  # factor on the tempo that the ground implies
    mode: str | None
    tonic: str | None
    dynamic: str | None
    dynamic_said: bool
    density: str | None


def _ground(wish: Wish) -> Ground:
    """What genre, use or mood make of it before anything else is said."""
    if wish.genre:
        return pieces.GENRES[wish.genre]
    if wish.use in pieces.USE_GROUNDS:
        return pieces.USE_GROUNDS[wish.use]
    if wish.mood:
        return pieces.MOOD_GROUNDS[wish.mood]
    if wish.energy == "soft" or wish.tempo == "slow":
        return pieces.STILL
    home = _home(wish)
    if home and wish.drums != "on" and wish.tempo != "fast":
        return Ground(home)
    return pieces.ERA_GROUNDS.get(wish.era, pieces.NO_GENRE)


def _leading(wish: Wish) -> str | None:
    """The first that is named, but a pad accompanies others."""
    named = [i for i in wish.instruments if i not in sounds.BASSES]
    return next((i for i in named if i != "pad"), named[0] if named else None)


def _home(wish: Wish) -> str | None:
    leading = _leading(wish)
    return pieces.HOMES[leading] if leading else None


def wanted_of(wish: Wish) -> Wanted:
    ground, leading = _ground(wish), _leading(wish)
    if not leading and ground.style == "pop" and wish.era in pieces.ERA_LEADS:
        ground = replace(ground, lead=pieces.ERA_LEADS[wish.era])
    low, others = sounds.BASSES, [i for i in wish.instruments if i != leading]
    moods_pace = pieces.MOOD_PACES.get(wish.mood, 1.0) if wish.genre or wish.use else 1.0
    return Wanted(
        ground=ground,
        named=wish.genre is not None,
        leads=pieces.KIN[leading] if leading else (),
        others=tuple(pieces.KIN[i] for i in others if i not in low),
        basses=next((pieces.KIN[i] for i in others if i in low), ()),
        unwanted=frozenset(name for i in wish.without for name in _banned(i)),
        drums=wish.drums,
        solo=wish.solo,
        tempo=_tempo(wish),
        pace=moods_pace,
        mode=wish.mode or pieces.MOOD_MODES.get(wish.mood) or ground.mode,
        tonic=nearest_tonic(wish.tonic) if wish.tonic else None,
        dynamic=wish.energy or pieces.MOOD_DYNAMICS.get(wish.mood) or ground.dynamic,
        dynamic_said=bool(wish.energy or wish.mood in pieces.MOOD_DYNAMICS),
        density=wish.density,
    )


def _banned(concept: str) -> list[str]:
    """What is not to play: who stands for the instrument, and others of that family; for the bass
    all that could take its part.
    """
    kin = pieces.KIN[concept]
    families = {INSTRUMENTS[name].family for name in (kin if concept == "bass" else kin[:1])}
    return [name for name in kin if INSTRUMENTS[name].family in families]


def nearest_tonic(name: str) -> str:
    """Of those that the composer uses."""

    def steps(tonic: str) -> int:
        apart = (TONICS[tonic] - sounds.TONICS.index(name)) % 12
        return min(apart, 12 - apart)

    return min(TONICS, key=steps)


@cache
def tempo_range(word: str) -> tuple[float, float]:
    """The bpm that captions call "slow", "medium" or "fast"."""
    phrase, limits = pieces.TEMPO_PHRASES[word], list(phrases.TEMPI)
    places = [i for i, words in enumerate(phrases.TEMPI.values()) if phrase in words]
    return limits[places[0] - 1] + 1.0 if places[0] else 0.0, float(limits[places[-1]])


def _tempo(wish: Wish) -> tuple[float, float] | None:
    if wish.tempo_bpm:
        return float(wish.tempo_bpm), float(wish.tempo_bpm)
    return tempo_range(wish.tempo) if wish.tempo else None


def _rarity(weights: Mapping, name) -> float:
    return RARE * (1 - weights[name] / max(weights.values()))


def _cheapest(weights: Mapping[str, float], cost: Callable[[str], float]) -> tuple[str, float]:
    """A name of the table and what it costs, its rarity counted in."""
    costs = {name: cost(name) + _rarity(weights, name) for name in weights}
    name = min(costs, key=costs.__getitem__)
    return name, costs[name]


def _outside(bpm: float, tempo: tuple[float, float]) -> float:
    """Octaves from a range."""
    return abs(math.log2(bpm / min(max(bpm, tempo[0]), tempo[1])))


def _apart(bpm: float, tempo: tuple[float, float]) -> float:
    """What it costs to play at this tempo when that range was said."""
    if tempo[0] < tempo[1]:
        return WORDS_OCTAVE * _outside(bpm, tempo)
    half, double = OCTAVE * _outside(2 * bpm, tempo), OCTAVE * _outside(bpm / 2, tempo)
    return min(OCTAVE * _outside(bpm, tempo), half + HALF, double + DOUBLE)


def _bpm(frames: int) -> float:
    return 60 * FRAME_RATE / frames


def _with_tempo(style: str, wanted: Wanted) -> tuple[int, float]:
    """Whole bpm, and what it costs."""
    frames, ground = STYLES[style].beat_frames, wanted.ground
    usual = ground.tempo_bpm or _bpm(_usual(STYLES[ground.style].beat_frames))
    usual *= wanted.pace
    weight = IMPLIED
    if wanted.tempo:
        weight = IMPLIED / (2 if wanted.tempo[0] < wanted.tempo[1] else 50)

    def cost(one: int) -> float:
        implied = weight * OCTAVE * abs(math.log2(_bpm(one) / usual))
        return implied + (_apart(_bpm(one), wanted.tempo) if wanted.tempo else 0.0)

    best = min(frames, key=cost)
    return round(_bpm(best)), cost(best)


def _usual(weights: Mapping):
    return max(weights, key=weights.get)


def _with_lead(style: str, wanted: Wanted) -> tuple[str, float]:
    ground = wanted.ground

    def cost(name: str) -> float:
        spent = OTHER_LEAD if name in wanted.unwanted and name not in wanted.leads else 0.0
        if wanted.leads:
            near = wanted.leads.index(name) if name in wanted.leads else None
            return spent + (OTHER_LEAD if near is None else NEXT_OF_KIN * near)
        return spent + (IMPLIED * OTHER_LEAD if ground.lead and name != ground.lead else 0.0)

    return _cheapest(STYLES[style].leads, cost)


def _accompanying(
    weights: Mapping[str, float],
    wanted: Wanted,
    named: tuple[tuple[str, ...], ...],
    usual: str | None,
) -> tuple[str, float]:
    """Of backings or of further parts: one that is `named`, or else what the ground has."""

    def cost(name: str) -> float:
        spent = OTHER_LEAD if name in wanted.unwanted else 0.0
        near = [kin.index(name) for kin in named if name in kin]
        spent -= OTHER_BACKING - NEXT_OF_KIN * min(near) if near else 0.0
        return spent + (2 * IMPLIED * OTHER_BACKING if usual and name != usual else 0.0)

    name, _ = _cheapest(weights, cost)
    return name, cost(name)


def _with_bass(style: str, wanted: Wanted) -> tuple[str, float]:
    usual = wanted.ground.bass

    def cost(name: str) -> float:
        if name in wanted.unwanted:
            return 2 * OTHER_BASS
        if wanted.basses:
            return -OTHER_BASS if name in wanted.basses else 0.0
        return IMPLIED * OTHER_BASS if usual and name != usual else 0.0

    name, _ = _cheapest(STYLES[style].basses, cost)
    return name, cost(name)


@cache
def _textures(style: str) -> dict[str, float]:
    """Its own, and the solos of its leads that every genre has now and then."""
    return {"solo": 0.02} | STYLES[style].textures


def _texture_cost(style: str, texture: str, wanted: Wanted) -> float:
    ground, drums = wanted.ground, texture in WITH_DRUMS
    cost = _rarity(_textures(style), texture)
    if (texture == "drums") != (wanted.drums == "only"):
        cost += OTHER_DRUMS
    if wanted.drums in ("on", "off"):
        cost += OTHER_DRUMS * (drums != (wanted.drums == "on"))
    elif ground.drums not in (None, drums):
        cost += IMPLIED * OTHER_DRUMS
    if wanted.solo and texture != "solo":
        cost += NOT_ALONE
    if ground.texture not in (None, texture):
        cost += IMPLIED * NOT_ALONE
    return cost + (UNSAID_GENRE if wanted.named and hides_genre(style, texture) else 0.0)


def _nearest(table: Mapping[str, float], wanted: str | None, order: tuple[str, ...]) -> str:
    """What is wanted, or what lies beside it."""
    usual = _usual(table)
    if wanted is None:
        return usual
    return min(table, key=lambda name: (abs(order.index(name) - order.index(wanted)), -table[name]))


DYNAMICS = ("soft", "normal", "loud")
DENSITIES = ("sparse", "medium", "busy")


def _strength(style: str, wanted: Wanted) -> tuple[dict[str, str], float]:
    """Dynamic and density, and what they cost."""
    genre, cost = STYLES[style], 0.0
    dynamic = _nearest(genre.dynamics, wanted.dynamic, DYNAMICS)
    if wanted.dynamic not in (None, dynamic):
        cost += OTHER_DYNAMIC * (1 if wanted.dynamic_said else IMPLIED)
    density = _nearest(genre.densities, wanted.density or wanted.ground.density, DENSITIES)
    if wanted.density not in (None, density):
        cost += OTHER_DENSITY
    return {"dynamic": dynamic, "density": density}, cost


@dataclass(frozen=True)
class _Playing:
    """Who plays in a style, were all to play, and what each of them costs."""

    lead: tuple[str, float]
    backing: tuple[str, float]
    second: tuple[str, float] | None  # where one is named
    bass: tuple[str, float]


def _players(style: str, wanted: Wanted) -> _Playing:
    genre, named = STYLES[style], wanted.others
    lead = _with_lead(style, wanted)
    if wanted.leads and lead[0] not in wanted.leads:
        named = (wanted.leads, *named)
    usual = wanted.ground.backing
    backing = _accompanying(beside(genre.backings, lead[0]), wanted, named, usual)
    left = tuple(kin for kin in named if backing[0] not in kin)
    free = {n: w for n, w in genre.seconds.items() if n not in (lead[0], backing[0])}
    second = _accompanying(free, wanted, left, None) if free and left else None
    if second and second[1] >= 0:
        second = None
    return _Playing(lead, backing, second, _with_bass(style, wanted))


def _pieces(style: str, wanted: Wanted) -> Iterator[tuple[float, dict]]:
    """What is to be said of one piece of every texture, and what each costs."""
    playing = _players(style, wanted)
    tempo_bpm, tempo_cost = _with_tempo(style, wanted)
    strength, strength_cost = _strength(style, wanted)
    usual_mode = "minor" if STYLES[wanted.ground.style].minor > 0.5 else "major"
    key = {"mode": wanted.mode or usual_mode, "tonic": wanted.tonic or pieces.KEYS[style]}
    for texture in _textures(style):
        cost = tempo_cost + strength_cost + _texture_cost(style, texture, wanted)
        said = {"style": style, "texture": texture, "tempo_bpm": tempo_bpm, **strength}
        if texture != "drums":
            said |= {"lead": playing.lead[0], **key}
            cost += playing.lead[1]
        if texture in WITH_BACKING:
            said["backing"] = playing.backing[0]
            cost += playing.backing[1]
        if texture in WITH_BASS:
            said["bass"] = playing.bass[0]
            cost += playing.bass[1]
        if texture == "band" and playing.second:
            said["second"] = playing.second[0]
            cost += playing.second[1]
        yield cost, said


def _styles(wish: Wish, wanted: Wanted) -> Iterator[tuple[str, float]]:
    """Where to look, and what it costs to look there."""
    share = 1.0 if wanted.named else 0.5
    yield wanted.ground.style, 0.0
    for place, style in enumerate(pieces.RELATIVES[wanted.ground.style]):
        yield style, share * (RELATED + FURTHER * place)
    home = _home(wish)
    if home and (wanted.solo or not wanted.named):
        yield home, AT_HOME


def piece_for(wish: Wish) -> Facts:
    """The one piece that a wish stands for."""
    wanted = wanted_of(wish)
    made = (
        (cost + dear, said)
        for style, dear in _styles(wish, wanted)
        for cost, said in _pieces(style, wanted)
    )
    return typical(**min(made, key=lambda one: one[0])[1])


def caption_for(wish: Wish) -> str:
    """What a prompt is to be understood as: of the piece, genre, mood, lead, drums, tempo and key;
    who accompanies, how loud and how dense only where the wish tells them.

    All of these together are more than a small encoder can guess from a few words, and a decoder
    that hears half of a guess plays mush; of captions without them it has learnt many. The tonic
    costs nothing to guess, since the genre has one, and decides between major and minor: a decoder
    that is told a mode alone plays what several keys have in common.
    """
    facts, wanted = piece_for(wish), wanted_of(wish)
    named = {name for kin in (*wanted.others, wanted.basses) for name in kin}
    told = {
        name: one if (one := getattr(facts, name)) in named else None
        for name in ("backing", "second", "bass")
    }
    told["dynamic"] = facts.dynamic if wanted.dynamic_said else "normal"
    told["density"] = facts.density if wanted.density else "medium"
    return canonical(replace(facts, **told))
