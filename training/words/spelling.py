"""Words that mean nothing here, common misspellings, and slips of the finger. Not run by itself."""

import random
import re
from pathlib import Path

# Debian's wamerican (SCOWL): free for any purpose.
WORD_LIST = Path("/usr/share/dict/american-english")

LITTLE_WORDS = (
    "the a an of and in on at by my your our this that very some it is as like from to into with about over "
    "under through while where when who what which i you we they me him her us them he she be been was were are am "
    "do does did has have had will would can could should may might must not so but or if then than too also just "
    "more most less much many few lots lot really quite rather pretty super only even still always never again "
    "up down out off around between after before during for there here all any each every both other another "
    "one two three four five first last next please want need make made create generate give play write compose "
    "get put let add use using used featuring feat ft feels feeling feel sounds sounding sound style kind type "
    "sort bit something anything think imagine hear listen walking sitting going coming running looking day night "
    "morning evening summer winter spring city street car home room beach sea sky rain sun moon people friend "
    "friends girl boy man woman child kid kids cat dog love life time world dream heart head hand eyes young small "
    "little long short full perfect good best famous popular typical ideal inspired based played performed driven "
    "backed led built mixed mood vibe atmosphere tempo key bpm melody chords harmony verse bridge "
    "intro outro drop build-up ending radio live studio band artist singer concert stage 10 20 30 seconds minute "
    "second long-form its it's i'm don't let's that's there's"
).split()

OPENERS = (
    "",
    "",
    "",
    "a ",
    "a ",
    "an ",
    "some ",
    "the ",
    "this is a ",
    "I want ",
    "I need ",
    "please make ",
    "make me a ",
    "create a ",
    "generate a ",
    "give me ",
    "write a ",
    "can you play ",
    "compose a ",
    "something like ",
    "could you make a ",
    "a piece of ",
    "produce a ",
    "I'd like some ",
    "we need a ",
    "imagine a ",
    "let's hear some ",
    "a short ",
    "a really ",
    "a very ",
    "a 30 second ",
    "my favourite ",
    "prompt: ",
)

MISSPELLED = {
    "guitar": "gitar guitarr guittar giutar gutar",
    "guitars": "gitars guitras",
    "piano": "paino pianno piono pinao",
    "drums": "drumms durms drmus drusm",
    "violin": "voilin violine vilolin",
    "trumpet": "trumpt trompet trumpit",
    "saxophone": "saxaphone saxofone",
    "synthesizer": "synthesiser synthisizer",
    "techno": "tecno tekno",
    "reggae": "raggae regae reggea reggay",
    "classical": "clasical classicle",
    "orchestral": "orchestal orchestrel",
    "electronic": "electonic eletronic electronc",
    "melancholic": "melancolic melanholic",
    "energetic": "energtic enrgetic",
    "cinematic": "cinamatic cinematc",
    "acoustic": "accoustic acustic acoustc",
    "ambient": "ambiant ambent",
    "country": "contry coutry",
    "jazz": "jaz jazzz",
    "relaxing": "relaxin relaxng",
    "peaceful": "peacefull peacful",
    "cheerful": "cheerfull chearful",
    "upbeat": "up-beat upbeet",
    "percussion": "percusion precussion",
    "flute": "floot fluet",
    "strings": "stringz strngs",
    "slow": "sloow slwo",
    "fast": "fats fsat",
    "happy": "hapy happpy hppy",
    "rock": "rokc rockk",
    "lullaby": "lulaby lullabye",
    "waltz": "walz waltzz",
    "beautiful": "beatiful beutiful",
    "without": "whithout witout w/o",
    "with": "wiht w/ wth",
}
MISSPELLED = {word: tuple(forms.split()) for word, forms in MISSPELLED.items()}


def irrelevant_words() -> list[str]:
    if not WORD_LIST.exists():
        raise FileNotFoundError(f"got no word list at {WORD_LIST}, expected Debian's: install wamerican")
    return [w for w in WORD_LIST.read_text().split() if re.fullmatch(r"[a-z]{3,10}", w)]


def slip(word: str, rng: random.Random) -> str:
    """One letter doubled, dropped, replaced or two of them swapped."""
    if rng.random() < 0.4 and word.lower() in MISSPELLED:
        return rng.choice(MISSPELLED[word.lower()])
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at] + word[at:]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
