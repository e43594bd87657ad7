"""Wishes (which concepts a prompt names) and their wording in everyday language. Knows the tables,
not the sound world.

Try it: `python training/words/show.py`. `put_into_words(wish, rng)` is all that another stage
needs: fill in a `Wish` with what is true of a piece, leave out what the prompt is not to say, and
it writes one of very many prompts for it.
"""

import random
import re
from dataclasses import dataclass, replace

from . import genres, languages, moods, sounds, spelling
from .tables import Table

TABLES: dict[str, Table] = {
    "genres": genres.GENRES,
    "eras": genres.ERAS,
    "instruments": sounds.INSTRUMENTS,
    "drums": sounds.DRUMS,
    "modes": sounds.MODES,
    "solo": sounds.SOLO,
    "moods": moods.MOODS,
    "energies": moods.ENERGIES,
    "densities": moods.DENSITIES,
    "tempo": moods.TEMPO_WORDS,
    "uses": moods.USES,
}
_PHRASES = {
    phrase.lower() for table in TABLES.values() for phrases in table.values() for phrase in phrases
}
WITH_WORDS = (
    "with,with,with,featuring,using,played on,driven by,led by,on,feat.,made of,performed on,"
    "with some,and"
).split(",")
SAID_OF_IT = "that is,that sounds,that feels,which is,feeling,sounding,in the style of,:".split(",")
NEUTRAL_WORDS = [
    w for w in (*spelling.LITTLE_WORDS, *spelling.COMMON_WORDS) if w.lower() not in _PHRASES
]


@dataclass(frozen=True)
class Wish:
    """What a prompt says, as concepts of the tables. None or () where it says nothing."""

    genre: str | None = None
    instruments: tuple[str, ...] = ()
    without: tuple[str, ...] = ()  # instruments that are not to play
    mood: str | None = None
    drums: str | None = None  # "on", "off", "only"
    tempo: str | None = None  # "slow", "medium", "fast"
    tempo_bpm: int | None = None
    mode: str | None = None
    tonic: str | None = None
    energy: str | None = None
    density: str | None = None
    era: str | None = None
    use: str | None = None
    solo: bool = False


def _some(rng: random.Random, share: float, choices) -> str | None:
    return rng.choice(list(choices)) if rng.random() < share else None


MOOD_SHARES = {"happy": 3, "calm": 3, "sad": 3, "dark": 2, "energetic": 2}  # the rest once


def _draw_mood(rng: random.Random) -> str:
    names = list(moods.MOODS)
    return rng.choices(names, [MOOD_SHARES.get(n, 1) for n in names])[0]


def _draw_tempo(rng: random.Random, wish: Wish) -> Wish:
    roll = rng.random()
    if roll < 0.24:
        return replace(
            wish, tempo_bpm=rng.randint(45, 200) if rng.random() < 0.3 else rng.randint(70, 150)
        )
    if roll < 0.5:
        return replace(wish, tempo=rng.choice(("slow", "slow", "medium", "fast", "fast")))
    return wish


def _draw_drums(rng: random.Random, wish: Wish) -> Wish:
    roll = rng.random()
    if roll < 0.03 and not wish.instruments and not wish.mood:
        return replace(wish, drums="only")
    if wish.solo:
        return replace(wish, drums="off") if roll < 0.4 else wish
    return replace(wish, drums="on" if roll < 0.28 else "off" if roll < 0.42 else None)


def draw_wish(rng: random.Random) -> Wish:
    """A wish as strangers have them: much is left out, nothing contradicts itself."""
    genre = _some(rng, 0.72, genres.GENRES)
    use = _some(rng, 0.16 if genre else 0.3, moods.USES)
    mood = _draw_mood(rng) if rng.random() < 0.55 else None
    count = rng.choices((0, 1, 2, 3), (45, 32, 18, 5) if genre else (25, 50, 20, 5))[0]
    instruments = tuple(rng.sample(list(sounds.INSTRUMENTS), count))
    wish = Wish(genre=genre, use=use, mood=mood, instruments=instruments)
    solo = count == 1 and rng.random() < 0.12 and instruments[0] not in sounds.BASSES
    wish = replace(wish, solo=solo)
    wish = _draw_drums(rng, _draw_tempo(rng, wish))
    if wish.drums == "only":
        return wish
    if rng.random() < 0.05:
        others = [i for i in sounds.INSTRUMENTS if i not in instruments]
        wish = replace(wish, without=(rng.choice(others),))
    if rng.random() < (0.08 if mood else 0.2):
        tonic = _some(rng, 0.5, sounds.TONICS)
        wish = replace(wish, mode=rng.choice(("major", "minor")), tonic=tonic)
    energy = (
        None
        if mood in ("calm", "energetic", "angry", "dreamy")
        else _some(rng, 0.2, moods.ENERGIES)
    )
    return replace(
        wish,
        energy=energy,
        density=_some(rng, 0.08, moods.DENSITIES),
        era=_some(rng, 0.2, genres.ERAS),
    )


class _Speaker:
    """Phrases for concepts, in English or in another language where it has them."""

    def __init__(self, rng: random.Random, language: str) -> None:
        self.rng, self.language = rng, language

    def say(self, kind: str, concept: str | None) -> str:
        if concept is None:
            return ""
        own = languages.PHRASES[self.language].get(kind, {}) if self.language != "en" else {}
        if self.language != "en" and concept not in own:
            return self._english_name(kind, concept)
        phrases = own.get(concept) or TABLES[kind][concept]
        return phrases[0] if self.rng.random() < 0.15 else self.rng.choice(phrases)

    def _english_name(self, kind: str, concept: str) -> str:
        """Genres and instruments keep their English names abroad; a speaker says nothing else that
        way.
        """
        if kind in ("genres", "instruments", "eras"):
            return TABLES[kind][concept][0]
        return ""

    @property
    def noun(self) -> str:
        if self.language != "en":
            return self.rng.choice(languages.NOUNS[self.language])
        return self.rng.choice(moods.NOUNS) if self.rng.random() < 0.85 else ""

    @property
    def opener(self) -> str:
        if self.language != "en":
            return self.rng.choice(languages.ARTICLES[self.language]) + " "
        return self.rng.choice(spelling.OPENERS)

    @property
    def with_(self) -> str:
        if self.language != "en":
            return languages.WITH[self.language]
        return self.rng.choice(WITH_WORDS)

    @property
    def and_(self) -> str:
        return (
            languages.AND[self.language]
            if self.language != "en"
            else self.rng.choice(("and", "and", "and", "&", "plus"))
        )


def _instrument_phrases(wish: Wish, speaker: _Speaker) -> list[str]:
    rng, made = speaker.rng, []
    for concept in wish.instruments:
        phrase = speaker.say("instruments", concept)
        if speaker.language == "en" and rng.random() < 0.25:
            phrase = f"{rng.choice(sounds.SOUND_WORDS)} {phrase}"
        if speaker.language == "en" and rng.random() < 0.2:
            words = sounds.BASS_PART_WORDS if concept in sounds.BASSES else sounds.PART_WORDS
            phrase = f"{phrase} {rng.choice(words)}"
        made.append(phrase)
    return made


def _tempo_phrases(wish: Wish, speaker: _Speaker) -> list[str]:
    made = [speaker.say("tempo", wish.tempo)]
    if wish.tempo_bpm:
        form = speaker.rng.choice(moods.NUMBER_FORMS) if speaker.language == "en" else "{} bpm"
        made.append(form.format(wish.tempo_bpm))
    return made


def _key_phrase(wish: Wish, speaker: _Speaker) -> str:
    if wish.mode is None:
        return ""
    if wish.tonic is None or speaker.language != "en":
        return speaker.say("modes", wish.mode)
    rng = speaker.rng
    name = rng.choice(sounds.TONIC_NAMES[wish.tonic].split(", "))
    if rng.random() < 0.15 and " " not in name:
        return rng.choice(("in {}", "key: {}", "{}")).format(
            name + ("m" if wish.mode == "minor" else "maj")
        )
    return rng.choice(
        ("in {} {}", "{} {}", "key of {} {}", "in the key of {} {}", "key: {} {}")
    ).format(name, wish.mode)


def _negations(wish: Wish, speaker: _Speaker) -> list[str]:
    if speaker.language != "en":
        return []
    form = speaker.rng.choice(("no {}", "without {}", "without any {}", "no {} please", "not {}"))
    return [form.format(TABLES["instruments"][concept][0]) for concept in wish.without]


def _join(items: list[str], speaker: _Speaker) -> str:
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + f" {speaker.and_} {items[-1]}"


def _sentence(
    front: list[str], instruments: list[str], rest: list[str], noun: str, speaker: _Speaker
) -> str:
    text = speaker.opener + " ".join([*front, noun])
    if instruments:
        text += f" {speaker.with_} {_join(instruments, speaker)}"
    for phrase in rest:
        text += (
            speaker.rng.choice((", ", ", ", f" {speaker.and_} ", f" {speaker.with_} ", " ", ". "))
            + phrase
        )
    return text


def _mixed(instruments: list[str], others: list[str], rng: random.Random) -> list[str]:
    """In any order, but the instruments in theirs: the first one leads."""
    playing, phrases = iter(instruments), [(True, p) for p in instruments]
    phrases += [(False, p) for p in others]
    rng.shuffle(phrases)
    return [next(playing) if plays else phrase for plays, phrase in phrases]


def _tags(
    front: list[str], instruments: list[str], rest: list[str], noun: str, speaker: _Speaker
) -> str:
    others = front + rest + ([noun] if speaker.rng.random() < 0.5 else [])
    between = speaker.rng.choice((", ", ", ", " ", "; ", " / ", ". ", " - ", ",", " | ", "\n"))
    return between.join(_mixed(instruments, others, speaker.rng))


def _rest_first(
    front: list[str], instruments: list[str], rest: list[str], noun: str, speaker: _Speaker
) -> str:
    text = " ".join([*rest[:1], *front, noun])
    if instruments:
        text += f" {speaker.with_} {_join(instruments, speaker)}"
    return text + "".join(speaker.rng.choice((", ", " and ", " ")) + phrase for phrase in rest[1:])


def _instrument_first(
    front: list[str], instruments: list[str], rest: list[str], noun: str, speaker: _Speaker
) -> str:
    text = " ".join(
        [speaker.opener.strip(), *front[:1], _join(instruments, speaker), *front[1:], noun]
    )
    return text + "".join(f", {phrase}" for phrase in rest)


def _said_of_it(
    front: list[str], instruments: list[str], rest: list[str], noun: str, speaker: _Speaker
) -> str:
    """As in: music that sounds dark and fast, with a piano."""
    rng = speaker.rng
    verb = rng.choice(SAID_OF_IT)
    text = f"{speaker.opener}{noun or 'music'} {verb} {_join(front, speaker) or 'good'}"
    return text + "".join(
        rng.choice((", ", " with ", ". ")) + phrase for phrase in _mixed(instruments, rest, rng)
    )


_FORMS = (_sentence, _sentence, _tags, _tags, _rest_first, _instrument_first, _said_of_it)


def _plain_wording(wish: Wish, speaker: _Speaker) -> str:
    rng, say = speaker.rng, speaker.say
    front = [say("eras", wish.era), say("moods", wish.mood), say("energies", wish.energy)]
    tempo = _tempo_phrases(wish, speaker)
    front = [p for p in front + ([tempo.pop(0)] if rng.random() < 0.4 else []) if p]
    rng.shuffle(front)
    genre = say("genres", wish.genre)
    if genre:
        front.append(genre)
    instruments = _instrument_phrases(wish, speaker)
    if wish.solo:
        instruments = (
            [f"solo {instruments[0]}"]
            if rng.random() < 0.6
            else [f"{instruments[0]} {say('solo', 'solo')}"]
        )
    drums = say("drums", wish.drums)
    if wish.drums == "on" and rng.random() < 0.5:
        instruments.insert(rng.randint(0, len(instruments)), drums)
        drums = ""
    rest = [
        drums,
        *tempo,
        _key_phrase(wish, speaker),
        say("densities", wish.density),
        say("uses", wish.use),
    ]
    rest = [p for p in rest + _negations(wish, speaker) if p]
    rng.shuffle(rest)
    return rng.choice(_FORMS)(front, instruments, rest, speaker.noun, speaker)


def in_english(wish: Wish, rng: random.Random) -> str:
    """Without slips, capitals or anything that does not belong to the wish."""
    return _plain_wording(wish, _Speaker(rng, "en"))


def _with_irrelevant_words(text: str, rng: random.Random, words: list[str]) -> str:
    for _ in range(rng.randint(1, 3)):
        tokens = text.split(" ")
        some = [
            rng.choice(NEUTRAL_WORDS if rng.random() < 0.7 else words)
            for _ in range(rng.randint(1, 3))
        ]
        tokens.insert(rng.randint(0, len(tokens)), " ".join(some))
        text = " ".join(tokens)
    if rng.random() < 0.1:
        text += ". " + " ".join(rng.choice(words) for _ in range(rng.randint(2, 6)))
    return text


def _with_slips(text: str, rng: random.Random) -> str:
    tokens = text.split(" ")
    long = [i for i, t in enumerate(tokens) if len(t) >= 4 and t.isalpha()]
    for i in rng.sample(long, min(len(long), rng.choice((1, 1, 2)))):
        tokens[i] = spelling.slip(tokens[i], rng)
    return " ".join(tokens)


def _in_capitals(text: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.3:
        return text[:1].upper() + text[1:]
    if roll < 0.4:
        return " ".join(t[:1].upper() + t[1:] for t in text.split(" "))
    if roll < 0.48:
        return text.upper()
    return text.lower() if roll < 0.7 else text


def put_into_words(wish: Wish, rng: random.Random, words: list[str] | None = None) -> str:
    """One of very many prompts that say this wish.

    `words` are irrelevant ones to strew in (`spelling.irrelevant_words`).
    """
    language = rng.choice(languages.LANGUAGES) if rng.random() < 0.12 else "en"
    if language != "en" and not _sayable(wish, language):
        language = "en"
    text = _plain_wording(wish, _Speaker(rng, language))
    if words and rng.random() < 0.33:
        text = _with_irrelevant_words(text, rng, words)
    if rng.random() < 0.12:
        text = _with_slips(text, rng)
    text = re.sub(r"\s+([,.;])", r"\1", re.sub(r"[ \t]+", " ", text)).strip(" ,;/|-\n")
    return _in_capitals(text, rng) or "music"


def _sayable(wish: Wish, language: str) -> bool:
    """Whether the language has words for all that only words of its own can say."""
    own = languages.PHRASES[language]
    said = {
        "moods": wish.mood,
        "drums": wish.drums,
        "tempo": wish.tempo,
        "energies": wish.energy,
        "uses": wish.use,
    }
    return (
        not wish.solo
        and not wish.without
        and not wish.density
        and not (wish.tonic)
        and all(concept is None or concept in own.get(kind, {}) for kind, concept in said.items())
    )


def vocabulary() -> list[str]:
    """Every word of the tables, as it stands there."""
    texts = [p for t in TABLES.values() for phrases in t.values() for p in phrases]
    texts += [
        p
        for tables in languages.PHRASES.values()
        for t in tables.values()
        for ps in t.values()
        for p in ps
    ]
    texts += [
        n
        for some in (languages.NOUNS, languages.ARTICLES)
        for names in some.values()
        for n in names
    ]
    texts += [
        *languages.WITH.values(),
        *languages.AND.values(),
        *sounds.TONIC_NAMES.values(),
        *moods.NOUNS,
    ]
    texts += [
        *SAID_OF_IT,
        *WITH_WORDS,
        *sounds.SOUND_WORDS,
        *sounds.PART_WORDS,
        *NEUTRAL_WORDS,
        *spelling.OPENERS,
    ]
    texts += [form for forms in spelling.MISSPELLED.values() for form in forms] + list(
        spelling.MISSPELLED
    )
    texts += [f"{t}{end}" for t in "CDEFGAB" for end in ("m", "maj", "#m", "bm")]
    return sorted(
        {word.strip(",.:") for text in texts for word in text.split() if word.strip(",.:")}
    )
