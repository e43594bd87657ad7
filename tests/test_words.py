"""The tables of everyday words: each phrase has one meaning, and every prompt stands for a piece
that the composer can compose and that is what the prompt says.
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

from captions import canonical, caption, thorough  # noqa: E402
from compose import WITH_BACKING, WITH_BASS, WITH_DRUMS, Facts, compose, facts_of  # noqa: E402
from everyday import EVERYDAY, pieces_of_words  # noqa: E402
from sound_world import FRAME_RATE, INSTRUMENTS, TONICS  # noqa: E402
from text_tokenizer import extended_pieces  # noqa: E402
from words import languages, pieces, pocket, sounds, spelling, wishes  # noqa: E402
from words.wishes import TABLES, Wish, draw_wish, put_into_words  # noqa: E402
from world import phrases  # noqa: E402
from world.genres import GENRES as STYLES  # noqa: E402

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


def test_every_concept_has_its_place_in_the_sound_world():
    assert set(TABLES["genres"]) == set(pieces.GENRES)
    assert set(TABLES["instruments"]) == set(pieces.KIN)
    assert set(TABLES["moods"]) == set(pieces.MOOD_GROUNDS)
    assert set(TABLES["uses"]) - set(pieces.USE_GROUNDS) == {"background"}
    assert set(pieces.HOMES) == set(pieces.KIN) - set(sounds.BASSES)
    assert set(STYLES) == set(pieces.RELATIVES) == set(pieces.KEYS)


GROUNDS = (pieces.GENRES, pieces.MOOD_GROUNDS, pieces.USE_GROUNDS, pieces.ERA_GROUNDS)


@pytest.mark.parametrize("ground", [g for grounds in GROUNDS for g in grounds.values()], ids=str)
def test_a_ground_asks_only_for_what_its_style_plays(ground):
    style = STYLES[ground.style]
    tempi = [round(60 * FRAME_RATE / frames) for frames in style.beat_frames]
    for said, played in (
        (ground.lead, style.leads),
        (ground.backing, style.backings),
        (ground.bass, style.basses),
        (ground.dynamic, style.dynamics),
        (ground.density, style.densities),
        (ground.texture, style.textures),
        (ground.tempo_bpm, tempi),
    ):
        assert said is None or said in played


def test_instruments_and_styles_that_the_tables_name_are_those_of_the_world():
    assert {name for kin in pieces.KIN.values() for name in kin} <= set(INSTRUMENTS)
    assert {style for some in pieces.RELATIVES.values() for style in some} <= set(STYLES)
    assert set(pieces.HOMES.values()) <= set(STYLES) and set(pieces.KEYS.values()) <= set(TONICS)


def test_a_genre_goes_to_the_style_that_captions_call_by_its_name():
    called = {name: style for style, names in phrases.GENRES.items() for name in names}
    for concept, ground in pieces.GENRES.items():
        assert called.get(concept, ground.style) == ground.style, concept


def assert_composable(facts: Facts) -> None:
    style, texture = STYLES[facts.style], facts.texture
    assert texture == "solo" or style.textures.get(texture, 0) > 0
    assert facts.drums == (texture in WITH_DRUMS) == (facts.kit is not None)
    assert facts.lead in style.leads if texture != "drums" else facts.lead is None
    assert (facts.backing in style.backings) == (texture in WITH_BACKING) != (not facts.backing)
    assert (facts.bass in style.basses) == (texture in WITH_BASS) != (not facts.bass)
    assert facts.second is None or (texture == "band" and facts.second in style.seconds)
    assert facts.second is None or facts.second not in (facts.lead, facts.backing)
    assert facts.tempo_bpm in [round(60 * FRAME_RATE / frames) for frames in style.beat_frames]
    assert facts.dynamic in style.dynamics and facts.density in style.densities
    assert facts.beats_per_bar == style.beats_per_bar and facts.kit in (None, *style.kits)
    assert (facts.mode in ("major", "minor") and facts.tonic in TONICS) == (texture != "drums")


def _every_concept() -> list[Wish]:
    wishes_ = [
        Wish(mood=m, use=u) for m in (None, *TABLES["moods"]) for u in (None, *TABLES["uses"])
    ]
    wishes_ += [Wish(instruments=(i,), solo=True) for i in pieces.HOMES]
    for genre in (None, *TABLES["genres"]):
        wishes_ += [Wish(genre=genre, drums=drums) for drums in ("on", "off", "only")]
        wishes_ += [Wish(genre=genre, instruments=(i,)) for i in TABLES["instruments"]]
        wishes_ += [Wish(genre=genre, without=(i,)) for i in TABLES["instruments"]]
        wishes_ += [Wish(genre=genre, tempo=tempo) for tempo in TABLES["tempo"]]
        wishes_ += [Wish(genre=genre, era=era) for era in TABLES["eras"]]
    return wishes_


def test_every_concept_stands_for_a_piece_that_the_composer_can_compose():
    for wish in _every_concept():
        assert_composable(pocket.piece_for(wish))


def test_thousands_of_drawn_wishes_stand_for_pieces_that_the_composer_can_compose():
    for seed in range(3000):
        assert_composable(pocket.piece_for(draw_wish(random.Random(seed))))


def test_pieces_of_the_composer_are_found_composable():
    for seed in range(300):
        assert_composable(compose(seed).facts)


@pytest.mark.parametrize("seed", range(300))
def test_what_a_wish_says_stands_in_its_caption(seed):
    wish = draw_wish(random.Random(seed))
    facts = pocket.piece_for(wish)
    caption = canonical(facts)
    if wish.drums == "off" or wish.solo:
        assert "no drums" in caption
    if wish.drums in ("on", "only"):
        assert "drum" in caption and "no drums" not in caption
    if wish.drums != "only" and wish.mode:
        assert f"{wish.mode}" in caption and (wish.tonic not in TONICS or facts.tonic == wish.tonic)
    if wish.drums != "only" and not wish.genre:
        named = {i for c in wish.instruments if c in pieces.HOMES for i in pieces.KIN[c]}
        assert not named or named & {facts.lead, facts.backing, facts.second}
    if wish.solo:
        assert "solo" in caption


@pytest.mark.parametrize("seed", range(100))
def test_of_accompaniment_a_prompt_stands_for_what_it_says_and_no_more_but_for_one_key(seed):
    wish = draw_wish(random.Random(seed))
    facts, told = pocket.piece_for(wish), pocket.caption_for(wish)
    beside_the_lead = {name for kin in pocket.wanted_of(wish).others for name in kin}
    assert (facts.backing in beside_the_lead) == (" chords" in told)
    assert f"{facts.tempo_bpm} bpm" in told
    if facts.mode:
        assert f"in {facts.tonic} {facts.mode}" in told


def test_natural_prompts_keep_their_genre_and_get_what_they_name():
    """As people put them together."""
    for genre, instruments, said in (
        ("lo-fi", ("electric piano",), "lo-fi song, electric piano"),
        ("rock", ("distorted guitar",), "rock song, distorted guitar"),
        ("metal", (), "metal song, distorted guitar, distorted guitar chords"),
        ("jazz", ("saxophone", "piano"), "jazz song, saxophone, piano chords, upright bass"),
        ("country", ("banjo",), "country song, banjo"),
        ("bossa nova", ("acoustic guitar",), "bossa nova song, guitar"),
        ("disco", ("strings", "bass"), "disco song, strings"),
        ("orchestral", ("brass",), "orchestral song, brass"),
        ("house", ("piano", "pad"), "house song, piano, synth pad chords"),
        ("trap", ("flute", "synth bass"), "trap song, flute, synth pad chords, 808 bass"),
    ):
        caption = canonical(pocket.piece_for(Wish(genre=genre, instruments=instruments)))
        assert said in caption, caption


def test_who_asks_for_a_solo_gets_that_instrument_alone():
    for genre in (None, "reggae", "acoustic", "techno"):
        for instrument in pieces.HOMES:
            facts = pocket.piece_for(Wish(genre=genre, instruments=(instrument,), solo=True))
            assert facts.texture == "solo" and facts.lead in pieces.KIN[instrument]


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
    for genre in ("ballad", "pop", "jazz", "lo-fi", "classical"):
        facts = pocket.piece_for(Wish(genre=genre, without=("piano",)))
        assert "piano" not in {facts.lead, facts.backing, facts.second}, genre


@pytest.mark.parametrize(
    ("unwanted", "banned"),
    [
        ("piano", {"piano"}),
        ("acoustic guitar", {"guitar", "steel guitar", "ukulele"}),
        ("electric guitar", {"clean guitar"}),
        ("flute", {"flute", "pan flute", "recorder"}),
        ("saxophone", {"sax"}),
        ("synth bass", {"synth bass", "808 bass"}),
        ("bass", set(pieces.KIN["bass"])),
    ],
)
def test_who_does_not_want_an_instrument_may_get_one_of_another_family(unwanted, banned):
    assert pocket.wanted_of(Wish(without=(unwanted,))).unwanted == banned


def test_no_bass_plays_a_solo():
    for seed in range(5000):
        wish = draw_wish(random.Random(seed))
        assert not (wish.solo and set(wish.instruments) & set(sounds.BASSES))
    for concept in sounds.BASSES:
        for seed in range(200):
            text = wishes.in_english(Wish(instruments=(concept,)), random.Random(seed))
            assert "solo" not in text


def test_a_calm_or_sad_wish_without_a_genre_has_no_drums_and_a_happy_one_has():
    drums = {mood: pocket.piece_for(Wish(mood=mood)).drums for mood in ("calm", "sad", "happy")}
    assert drums == {"calm": False, "sad": False, "happy": True}


@pytest.mark.parametrize(
    ("genre", "bpm", "style", "played"),
    [
        ("reggae", 75, "reggae", 71),  # the nearest that it plays
        ("reggae", 150, "reggae", 71),  # half as fast is nearly the same
        ("jazz", 80, "jazz", 100),  # twice as fast is not
        ("hip hop", 90, "hip hop", 94),
        ("house", 124, "house", 120),
        ("ballad", 110, "pop", 111),  # too far: a relative plays it
        ("hip hop", 140, "trap", 143),
        (None, 60, "ballad", 60),
        (None, 176, "rock", 158),
    ],
)
def test_a_tempo_that_a_genre_never_plays_gives_way(genre, bpm, style, played):
    facts = pocket.piece_for(Wish(genre=genre, tempo_bpm=bpm))
    assert (facts.style, facts.tempo_bpm) == (style, played)


def test_words_for_a_tempo_mean_what_captions_mean_by_them():
    for word, bpm in (("slow", 71), ("medium", 111), ("fast", 158)):
        low, high = pocket.tempo_range(word)
        assert low <= bpm <= high
    assert pocket.piece_for(Wish(genre="reggae", tempo="slow")).tempo_bpm <= 79
    assert pocket.piece_for(Wish(genre="pop", tempo="slow")).tempo_bpm == 94
    assert pocket.piece_for(Wish(genre="rock", tempo="fast")).tempo_bpm >= 130


@pytest.mark.parametrize(("asked", "nearest"), [("B", "C"), ("Eb", "D"), ("Ab", "G"), ("F", "G")])
def test_a_tonic_goes_to_the_nearest_one(asked, nearest):
    assert pocket.nearest_tonic(asked) == nearest


@pytest.mark.parametrize("seed", range(40))
def test_a_thorough_caption_says_what_the_canonical_one_says(seed):
    facts = facts_of(seed)
    text = thorough(facts, random.Random(seed))
    assert f"{facts.tempo_bpm} bpm" in text.lower()
    assert not facts.mode or f"{facts.tonic} {facts.mode}" in text
    named = (facts.lead, facts.backing, facts.bass, facts.second)
    for name in filter(None, named):
        assert any(phrase in text.lower() for phrase in phrases.INSTRUMENTS[name]), text


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
        facts = facts_of(seed)
        for text in (caption(facts, seed), thorough(facts, random.Random(seed)), canonical(facts)):
            assert not pieces_of_words(text) & held_out
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


def test_captions_hold_only_words_that_are_known_as_wholes(tokenizer):
    for seed in range(300):
        caption = canonical(pocket.piece_for(draw_wish(random.Random(seed))))
        known = tokenizer.convert_ids_to_tokens(tokenizer(re.sub(",", " ", caption)).input_ids)
        assert all(piece.startswith("▁") or piece == "</s>" for piece in known), known


def test_tonic_names_are_read_as_one_key_each():
    names = [name for some in sounds.TONIC_NAMES.values() for name in some.split(", ")]
    assert len(names) == len(set(names))
