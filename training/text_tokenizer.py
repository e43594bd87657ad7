"""Counts the words of captions into the small Unigram tokenizer of the text encoder and saves it as
a T5 tokenizer.

Run: `python training/text_tokenizer.py --work-dir build/pocket`. Needs no audio: captions come from
composed facts. Ids are T5's: <pad> 0, </s> 1, <unk> 2, and </s> closes every text.
"""

import argparse
import json
import math
import re
import string
from collections import Counter
from pathlib import Path

from captions import caption
from compose import compose
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

TEXTS = 20_000
MAX_TEXT_TOKENS = 48
SPECIALS = ("<pad>", "</s>", "<unk>")
SPELLED_SCORE = -14.0  # of a single character: any text can be spelled, no known word is
WORD_SCORE = -9.0  # of a word that is added later: above the sum of its parts
NUMBERS = (40, 221)
OTHER_LETTERS = "äöüßàâæçéèêëîïôœùûñáíóúìòãõ"
OTHER_SIGNS = "’‘“”„–—…¿¡\N{MUSIC NATURAL SIGN}\N{MUSIC FLAT SIGN}\N{MUSIC SHARP SIGN}"


def _words() -> Counter[str]:
    words: Counter[str] = Counter()
    for seed in range(TEXTS):
        text = caption(compose(seed).facts, seed)
        for word in re.findall(r"[A-Za-z]+|[0-9]+", text):
            words.update((word, word.lower(), word.title()) if word.isalpha() else (word,))
    return words


def unigram_pieces() -> list[tuple[str, float]]:
    """Specials, then every word of the captions with its log share, then single characters.

    The captions use some two hundred words, so whole words are pieces; the usual pruning would tear
    rare ones apart.
    """
    words = _words()
    total = sum(words.values())
    pieces = [(special, 0.0) for special in SPECIALS] + [("▁", -2.0)]
    pieces += [("▁" + word, math.log(count / total)) for word, count in words.most_common()]
    known = {word for word, _ in pieces}
    pieces += [
        (number, -9.0) for number in map(str, range(60, 181)) if number not in known
    ]  # after other signs
    pieces += [(word, -9.0) for word in ("bpm", "BPM")]
    return pieces + [
        (c, SPELLED_SCORE) for c in string.ascii_letters + string.digits + string.punctuation
    ]


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram(unigram_pieces(), unk_id=2))
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def save_as_t5(tokenizer: Tokenizer, folder: Path) -> None:
    """The three files that every T5 tokenizer of transformers loads, without sentencepiece's."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 512, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(names, indent=2) + "\n")


def _forms(word: str) -> tuple[str, ...]:
    """As written, in small letters, with a capital, in capitals: no normaliser, which transformers
    4 and 5 read differently.
    """
    return word, word.lower(), word[:1].upper() + word[1:].lower(), word.upper()


def extended_pieces(pieces: list[list], words: list[str], bare: list[str]) -> list[list]:
    """The pieces of a tokenizer with their ids, then `words` in four forms, `bare` words as they
    follow other signs, letters.
    """
    known, added = {piece for piece, _ in pieces}, []
    numbers = [str(n) for n in range(*NUMBERS)]
    candidates = [("▁" + form, WORD_SCORE) for word in [*words, *numbers] for form in _forms(word)]
    candidates += [(word, WORD_SCORE) for word in [*bare, *numbers]]
    candidates += [
        (letter, SPELLED_SCORE) for letter in OTHER_LETTERS + OTHER_LETTERS.upper() + OTHER_SIGNS
    ]
    for piece, score in candidates:
        if piece not in known:
            known.add(piece)
            added.append([piece, score])
    return pieces + added


def extend(folder: Path, words: list[str], bare: list[str], to: Path) -> None:
    """Writes the tokenizer in `folder` with more pieces elsewhere; what it knew keeps its ids."""
    made = json.loads((folder / "tokenizer.json").read_text())
    made["model"]["vocab"] = extended_pieces(made["model"]["vocab"], words, bare)
    save_as_t5(Tokenizer.from_str(json.dumps(made)), to)


def load_tokenizer(work_dir: Path):
    """The trained tokenizer, through transformers, trained first when it is missing."""
    folder = work_dir / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        save_as_t5(train_tokenizer(), folder)
    return AutoTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    loaded = load_tokenizer(parser.parse_args().work_dir)
    for text in ("a happy piano tune with drums, 120 bpm", "Sad Solo Violin, no drums, slow"):
        print(len(loaded), loaded.convert_ids_to_tokens(loaded(text).input_ids))
