"""What the page says of a prompt before it is sent, and the file of words that it knows."""

import importlib.util
from pathlib import Path

import pytest

from musicgraph.app.page.prompt_help import FILE, is_latin, look_at, pockets_words
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.weights.places import POCKET

ROOT = Path(__file__).parents[1]
POCKETS = AppSettings(model=POCKET)


def unknown(text):
    return pockets_words().unknown(text)


def test_the_shipped_words_are_those_of_the_tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "training"))
    spec = importlib.util.spec_from_file_location("words_ship", ROOT / "training/words/ship.py")
    ship = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ship)
    written = FILE.read_text(encoding="utf-8")
    assert written == ship.text_of(ship.shipped()), "run python training/words/ship.py"
    assert len(written.encode()) < 40_000, "a browser is not asked to wait for it, nor is a clone"


@pytest.mark.parametrize("group", sorted(pockets_words().chips))
def test_every_word_to_choose_from_is_one_that_pocket_knows(group):
    chips = pockets_words().chips[group]
    assert chips and len(set(chips)) == len(chips)
    for chip in chips:
        assert unknown(chip) == [] and pockets_words().tells(chip), chip


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("lo-fi beat with mellow piano for a quiet evening", []),
        ("80s pop song, 124bpm, guitar-driven, in C# minor", []),
        ("A SAD Piano", []),
        ("traurige Musik mit Klavier", []),
        ("a kazoo and a piano", ["kazoo"]),
        ("Kazoo, kazoo-like", ["Kazoo", "kazoo-like"]),
        ("happy gitar", []),  # a slip that pocket was taught
        ("a song with vocals", ["vocals"]),
        ("a song, no vocals", []),
        ("pads 0.7 + drums 0.3", []),
        ("", []),
    ],
)
def test_words_that_pocket_was_not_taught_are_named_as_they_stand_there(prompt, words):
    assert unknown(prompt) == words


@pytest.mark.parametrize(
    ("prompt", "latin"),
    [("épique", True), ("ein Stück", True), ("悲しいピアノ", False), ("грустное пианино", False)],
)
def test_scripts_are_told_apart(prompt, latin):
    assert is_latin(prompt) == latin


def test_tokens_are_counted_before_the_press_by_the_models_own_tokenizer():
    found = look_at(POCKETS, "a happy piano tune", "")
    assert 3 < found["tokens"] < 10 and found["most"] == 512
    assert look_at(POCKETS, "a happy piano tune " * 60, "")["tokens"] > 200
    assert look_at(POCKETS, "  ", "")["tokens"] == 0


def test_of_a_model_that_is_not_here_nothing_is_made_up():
    found = look_at(POCKETS, "a kazoo", "facebook/musicgen-small")
    assert found["tokens"] is None and found["unknown"] == [] and found["advice"] == ""
    assert look_at(POCKETS, "a kazoo", "nobody/knows")["tokens"] is None


def test_what_the_model_cannot_understand_is_said_in_one_line():
    other = look_at(POCKETS, "悲しいピアノ", "")
    assert "knows English" in other["advice"] and other["unknown"] == []
    assert "English" in look_at(POCKETS, "悲しいピアノ", "facebook/musicgen-small")["advice"]
    assert "None of these words" in look_at(POCKETS, "hello there", "")["advice"]
    assert look_at(POCKETS, "hello piano", "")["advice"] == ""
