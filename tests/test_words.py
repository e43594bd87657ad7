"""The tables of everyday words:

each phrase has one meaning, and what a prompt says stands in the caption that it stands for.
"""

import random
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from musicgraph.models.weights.places import POCKET_FOLDER

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from everyday import EVERYDAY, pieces_of_words  # noqa: E402
from text_tokenizer import extended_pieces  # noqa: E402
from words import languages, pocket, sounds, spelling, wishes  # noqa: E402
from words.wishes import TABLES, Wish, draw_wish, put_into_words  # noqa: E402

WORDS = ["zebra", "umbrella", "granite", "teapot"]  # irrelevant ones


def _prompt(seed: int) -> str:
    rng = random.Random(seed)
    return put_into_words(draw_wish(rng), rng, WORDS)


def test_no_phrase_has_two_meanings():
    phrases = Counter(
        p.lower() for table in TABLES.values() for some in table.values() for p in some
    )
    assert [phrase for phrase, count in phrases.items() if count > 1] == []


def test_there_are_at_least_six_hundred_phrases_and_fifty_words_in_each_language():
    assert sum(len(some) for table in TABLES.values() for some in table.values()) >= 600
    for language in languages.LANGUAGES:
        assert sum(len(table) for table in languages.PHRASES[language].values()) >= 50


def test_foreign_words_name_concepts_that_exist():
    for tables in languages.PHRASES.values():
        for kind, concepts in tables.items():
            assert set(concepts) <= set(TABLES[kind])


def test_every_genre_and_instrument_has_its_place_in_the_sound_world():
    assert set(TABLES["genres"]) == set(pocket.GENRES)
    assert set(TABLES["instruments"]) == {*pocket.LEADS, "bass", "synth bass"}


@pytest.mark.parametrize("seed", range(300))
def test_what_a_wish_says_stands_in_its_caption(seed):
    wish = draw_wish(random.Random(seed))
    caption = pocket.caption_for(pocket.piece_for(wish))
    if wish.drums == "off" or wish.solo:
        assert "no drums" in caption
    if wish.drums in ("on", "only"):
        assert "drum" in caption and "no drums" not in caption
    if wish.drums != "only":
        assert not wish.mode or f"{wish.mode}," in caption
        named = [i for i in wish.instruments if i in pocket.LEADS]
        assert not named or any(pocket.LEADS[i] in caption for i in named)
    if wish.tempo_bpm in pocket.TEMPI_BPM and "waltz" not in caption:
        assert f"{wish.tempo_bpm} bpm" in caption


@pytest.mark.parametrize("seed", range(60))
def test_the_instrument_that_is_named_first_leads(seed):
    wish = Wish(genre="rock", instruments=("flute", "trumpet"), mood="dark")
    text = wishes.in_english(wish, random.Random(seed))
    places = [
        min(text.find(phrase) for phrase in TABLES["instruments"][name] if phrase in text)
        for name in wish.instruments
    ]
    assert places[0] < places[1], text


def test_an_instrument_that_is_not_wanted_neither_leads_nor_accompanies():
    caption = pocket.caption_for(pocket.piece_for(Wish(genre="ballad", without=("piano",))))
    assert "piano" not in caption


def test_a_calm_or_sad_wish_without_a_genre_has_no_drums_and_a_happy_one_has():
    captions = {
        mood: pocket.caption_for(pocket.piece_for(Wish(mood=mood)))
        for mood in ("calm", "sad", "happy")
    }
    assert (
        "no drums" in captions["calm"]
        and "no drums" in captions["sad"]
        and "with drums" in captions["happy"]
    )


@pytest.mark.parametrize(
    ("bpm", "nearest"),
    [(80, 80), (93, 100), (124, 120), (150, 140), (160, 140), (60, 120), (200, 100)],
)
def test_a_tempo_goes_to_the_nearest_one_or_an_octave_of_it(bpm, nearest):
    assert pocket.nearest_tempo(bpm) == nearest


def test_a_seed_gives_the_same_prompt_and_another_one_another():
    assert _prompt(5) == _prompt(5)
    assert len({_prompt(seed) for seed in range(50)}) > 45


def test_a_slip_changes_a_word_by_a_letter_or_two():
    for seed in range(50):
        slipped = spelling.slip("clarinet", random.Random(seed))
        assert abs(len(slipped) - len("clarinet")) <= 1 and slipped[0] == "c"


def test_nothing_of_the_prompts_that_judge_a_model_stands_in_training_prompts():
    held_out = {piece for asked in EVERYDAY for piece in pieces_of_words(asked.text)}
    for seed in range(5000):
        assert not pieces_of_words(_prompt(seed)) & held_out
    assert len(EVERYDAY) == 40


def test_more_pieces_leave_the_ids_of_the_known_ones():
    known = [["<pad>", 0.0], ["▁drums", -3.0]]
    pieces = extended_pieces(known, ["drums", "lo-fi"], ["drums"])
    assert pieces[:2] == known
    names = [piece for piece, _ in pieces]
    assert {"▁Drums", "▁DRUMS", "▁lo-fi", "▁LO-FI", "drums", "▁57"} <= set(names)
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(POCKET_FOLDER)


def test_the_shipped_tokenizer_knows_every_word_of_the_tables_in_any_capitals(tokenizer):
    pieces = set(tokenizer.get_vocab())
    for word in wishes.vocabulary():
        for form in (word, word.lower(), word.upper()):
            assert "▁" + form in pieces


def test_captions_hold_only_words_that_the_decoder_was_trained_on(tokenizer):
    first_spelled = tokenizer.convert_tokens_to_ids("a")
    for seed in range(300):
        caption = pocket.caption_for(pocket.piece_for(draw_wish(random.Random(seed))))
        ids = tokenizer(re.sub(",", " ", caption)).input_ids
        assert max(ids) < first_spelled, caption


def test_tonic_names_are_read_as_one_key_each():
    names = [name for some in sounds.TONIC_NAMES.values() for name in some.split(", ")]
    assert len(names) == len(set(names))
