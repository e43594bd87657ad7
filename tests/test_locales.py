"""Every name and tooltip of every node is there in each language, and the files that ComfyUI reads
are what the classes and the words make.
"""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from page_words import words_of_modules, words_of_scripts

from musicgraph.app.page.graph import shipped_workflows
from musicgraph.nodes import NODE_CLASS_MAPPINGS

LOCALES = Path(__file__).parents[1] / "locales"
spec = importlib.util.spec_from_file_location("locales_write", LOCALES / "write.py")
write = importlib.util.module_from_spec(spec)
spec.loader.exec_module(write)
SAID_EVERYWHERE = {"cfg", "top_k", "top_p", "bpm"}
"""what the field calls so in every language"""
FOR_NOBODY = {
    "Escape", "Enter", "ArrowRight", "ArrowLeft", "connection lost", "stopped by the user",
    "textarea, input", "input, summary", "(prefers-reduced-motion: reduce)", "rgba(*, *)",
    "(prefers-color-scheme: dark)", "header p, .tabs span, .box span, button",
    "rgba(8, 8, 20, .5)", "rgba(255, 255, 255, .28)", "Fill the form", "Take", "no such change",
    "too long a body", "what is not JSON", "the server", "browser *", "run *", "take *", "first *",
}  # fmt: skip
"""keys, looks, names of things, and what only a program can ask for"""
THE_SAME = {"MusicGraph", "♪ MusicGraph", "LoRA", "LoRA *", "Top-k", "Top-p", "top-k *", "top-p *"}
IN_ENGLISH = {
    "a calm solo piano", "lo-fi beat with mellow piano", "upbeat house track, 124 bpm", "with *",
    "80s synth pop with punchy drums", "epic orchestral strings", "a music box lullaby",
}  # fmt: skip
"""prompts: the model reads English"""
NAMES = {"* (played)", "Played live", "A sound"}
"""of files, which are the same for everybody"""
LANGUAGES = {"English", "Deutsch", "Español", "Français"}
"""each in its own words, for whoever reads no other"""
IN_PICTURES = {"and * more", "* unknown", "at work"}
PARTS = {
    "* *: go on from here", ", loop * to *", "* s of music", "* takes of", "and * more", "got *",
    "type one", "not on this server", "another one", "possible is *", "And * more.",
    "The node “*” broke.", "(not for commercial use)",
}  # fmt: skip
"""of sentences that are there as a whole"""
NOT_TRANSLATED = FOR_NOBODY | THE_SAME | IN_ENGLISH | NAMES | LANGUAGES | IN_PICTURES | PARTS
LONG = 25
"""from so many characters on it may be a part of a sentence that is there as a whole"""

each_language = pytest.mark.parametrize("language", write.LANGUAGES)


def words_of(language):
    return json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8"))


def test_there_are_six_languages_beside_english():
    assert write.LANGUAGES == ("de", "es", "fr", "ja", "ko", "zh")


@each_language
def test_no_name_and_no_tooltip_is_missing(language):
    words = write.Words(language)
    write.node_definitions(words, NODE_CLASS_MAPPINGS)
    assert words.missing == [], f"add them to locales/{language}.json, then run locales/write.py"


@each_language
def test_what_comfyui_reads_is_what_the_words_make(language):
    made = write.text_of(write.node_definitions(write.Words(language), NODE_CLASS_MAPPINGS))
    written = (LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8")
    assert written == made, "run python locales/write.py"


@each_language
def test_what_the_page_reads_is_what_the_words_make(language):
    written = (write.PAGE / f"{language}.json").read_text(encoding="utf-8")
    assert written == write.text_of(write.Words(language).for_page())
    assert "{" not in "".join(json.loads(written).values())


def test_every_language_has_the_same_words():
    german = set(words_of("de"))
    assert {language: german ^ set(words_of(language)) for language in write.LANGUAGES} == {
        language: set() for language in write.LANGUAGES
    }


@each_language
def test_numbers_and_what_is_put_in_stand_as_often_in_every_language(language):
    for english, text in words_of(language).items():
        if not write.NUMBERED.search(english):
            for hole in "#*~":
                assert text.count(hole) == english.count(hole), english


@each_language
def test_every_language_says_it_in_its_own_words(language):
    letters = {"ja": "[ぁ-んァ-ン一-鿿]", "ko": "[가-힣]", "zh": "[一-鿿]"}
    for english, text in words_of(language).items():
        assert text.strip() and "\n" not in text
        if language in letters and re.search("[a-z]", english) and english not in SAID_EVERYWHERE:
            assert re.search(letters[language], text) or text == "Token", english
        elif len(english) > 30:
            assert text != english


@each_language
def test_nodes_and_numbers_that_are_named_are_the_same_in_every_language(language):
    titles = {node.TITLE for node in NODE_CLASS_MAPPINGS.values()}
    words = words_of(language)
    for english, text in words.items():
        named = set(re.findall(r"\{(.+?)\}", text))
        assert named <= words.keys(), english
        assert {title for title in titles & words.keys() if f"{{{title}}}" in text} <= named
        if "#" in english:
            assert "#" in text
        if "30 s" in english or "2048" in english:
            assert {"30", "2048"} & set(re.findall(r"\d+", text))


# ---------------------------------------------------------------- the page


def looks_the_same(words, english):
    """Whether a text of the code, `*` being anything, is a text of the table, or a part of one."""
    plain = re.sub(NUMBER, "#", words)
    pattern = re.compile("(.+)".join(map(re.escape, plain.split("*"))), re.IGNORECASE | re.DOTALL)
    if len(plain) >= LONG:
        return any(pattern.search(one) for one in english)
    return any(pattern.fullmatch(one) for one in english)


NUMBER = r"\d+(?:[.,]\d+)?"


def test_what_the_page_says_is_translated():
    english = [re.sub(NUMBER, "#", one) for one in words_of("de")]
    known = lambda words: looks_the_same(words, english)  # noqa: E731
    missing = [
        (file, words)
        for file, words in [*words_of_scripts(), *words_of_modules()]
        if words not in NOT_TRANSLATED
        and not known(words)
        and not all(map(known, re.split(r"\s+·\s+", words)))
    ]
    assert missing == [], "add them to locales/*.json, then run locales/write.py"


def test_workflows_that_come_along_are_called_by_translated_names():
    assert {title for title, _ in shipped_workflows()} <= words_of("de").keys()
