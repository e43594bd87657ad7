"""What can be said of a prompt before it is sent: which of its words the model knows, and how many
tokens it is.

The words are pocket's, and shipped with it: `vocabulary.json` is written by the recipe that trains
it. Of other models only the tokens are known, and that they were taught English.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.config import MAX_CHARACTERS, MAX_TOKENS
from ...models.refused import Refused
from ...models.weights.checkpoint import open_checkpoint
from ...models.weights.places import POCKET
from ...models.weights.tokenizer import Tokenizer
from ...nodes.host import model_folders
from ..studio.models import Offer, permitted
from ..studio.settings import AppSettings

FILE = Path(__file__).with_name("vocabulary.json")
WORD = re.compile(r"[^\W_][^\s,.;:!?()\[\]{}/|\"“”„«»]*")
NUMBER = re.compile(r"[\d.]+(bpm|s)?")
NEGATIONS = frozenset(["no", "not", "without", "any"])
MOST_NAMED = 6
"""unknown words"""
MOST_OPENED = 8
"""tokenizers that are kept"""


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model was taught. All of them in small letters."""

    chips: Mapping[str, tuple[str, ...]]
    """group → words to choose from"""
    musical: frozenset[str]
    """those that tell it something"""
    absent: frozenset[str]
    """those that it knows only to leave out"""
    other: frozenset[str]
    """those that tell it nothing, and do no harm"""

    def unknown(self, text: str) -> list[str]:
        """Words of a prompt, each once, as they stand there."""
        found, before = dict[str, None](), ""
        for word in WORD.findall(text):
            low = word.lower()
            if not self._knows(low) or (low in self.absent and before not in NEGATIONS):
                found[word] = None
            before = low
        return list(found)

    def tells(self, text: str) -> bool:
        """Whether any word of it tells the model something."""
        return any(
            form in self.musical
            for word in WORD.findall(text.lower())
            for form in _forms(word)
            if form not in self.absent
        ) or bool(NUMBER.search(text))

    def _knows(self, word: str) -> bool:
        if NUMBER.fullmatch(word) or self._has(word):
            return True
        parts = [part for part in re.split(r"[-–—+]", word) if part]
        return len(parts) > 1 and all(map(self._knows, parts))

    def _has(self, word: str) -> bool:
        return any(form in self.musical or form in self.other for form in _forms(word))


def _forms(word: str) -> Iterator[str]:
    """As it stands there, and without the ending of a plural or a genitive."""
    yield (plain := word.strip("'’-").replace("’", "'"))
    yield word
    for ending in ("'s", "es", "s"):
        if plain.endswith(ending) and len(plain) > len(ending) + 2:
            yield plain.removesuffix(ending)


@functools.cache
def pockets_words() -> Vocabulary:
    """Read from the file that is shipped."""
    given = json.loads(FILE.read_text(encoding="utf-8"))
    chips = {group: tuple(words) for group, words in given["chips"].items()}
    sets = {name: frozenset(given[name]) for name in ("musical", "absent", "other")}
    return Vocabulary(chips, **sets)


# ---------------------------------------------------------------- a look at a prompt


def look_at(settings: AppSettings, prompt: str, model: str) -> dict[str, Any]:
    """What the page shows below the prompt, as plain data: `tokens` of `most` (null where they
    cannot be counted yet), `unknown` words, and a line of `advice`.
    """
    try:
        offer = permitted(settings, model, downloads=True)
    except Refused:  # it has gone since the menu was made; Generate says so
        return {"tokens": None, "most": MAX_TOKENS, "unknown": [], "advice": ""}
    is_pocket = offer.name == POCKET
    text = prompt.strip()
    unknown = pockets_words().unknown(text) if is_pocket and is_latin(text) else []
    return {
        "tokens": _tokens(offer, text),
        "most": MAX_TOKENS,
        "unknown": unknown[:MOST_NAMED],
        "advice": _advice(text, is_pocket),
    }


def _advice(text: str, is_pocket: bool) -> str:
    if text and not is_latin(text):
        if is_pocket:
            return (
                "The model knows English, and some words of German, French, Spanish, Italian and "
                "Portuguese; of this it understands little or nothing."
            )
        return "The model was taught English; of this it understands little or nothing."
    if text and is_pocket and not pockets_words().tells(text):
        return "None of these words tells the model what to play: name a style or an instrument."
    return ""


def is_latin(text: str) -> bool:
    """Whether most of its letters are Latin ones."""
    letters = [one for one in text if one.isalpha()]
    latin = [one for one in letters if unicodedata.name(one, "").startswith("LATIN")]
    return 2 * len(latin) >= len(letters) and (bool(letters) or text.isascii())


def _tokens(offer: Offer, text: str) -> int | None:
    """Without the mark of the end; None for a model that is not here, or cannot be opened."""
    if offer.folder is None or len(text) > MAX_CHARACTERS:
        return None
    try:
        return max(0, len(_tokenizer(offer.folder).encode(text)) - 1)
    except Refused:  # its files cannot be used; Generate says so
        return None


@functools.lru_cache(maxsize=MOST_OPENED)
def _tokenizer(folder: Path) -> Tokenizer:
    return open_checkpoint(folder, model_folders()).tokenizer()
