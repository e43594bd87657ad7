"""The solos on which tuning is shown: pocket's tempi and keys, captions that are true, and prompts
that no caption has given away.
"""

import sys
from itertools import islice
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
sys.path[:0] = [str(HERE / "training"), str(HERE / "benchmarks")]

import timbre_pieces  # noqa: E402
from sound_world import LEADS  # noqa: E402
from timbre_pieces import KNOWN, NEW, PROMPTS, said, solos  # noqa: E402

SECOND = 8000


@pytest.fixture
def songs(monkeypatch):
    """What was to be rendered, which is silent here."""
    rendered = []

    def synthesize(song):
        rendered.append(song)
        return [0.0] * 4 * SECOND

    monkeypatch.setattr(timbre_pieces, "synthesize", synthesize)
    monkeypatch.setattr(timbre_pieces, "SAMPLE_RATE", SECOND)
    return rendered


def test_every_solo_is_of_that_instrument_alone(songs):
    made = list(solos("sitar", 8, 0, 2.0))
    assert [len(one.audio) for one in made] == [2 * SECOND] * 8
    assert {part.instrument.name for song in songs for part in song.parts} == {"sitar"}
    assert not any(song.hits for song in songs)


def test_what_is_to_be_learnt_is_no_part_of_pockets_world(songs):
    list(solos("sitar", 1, 0, 2.0))
    assert not set(NEW) & set(LEADS) and set(KNOWN) <= set(LEADS)


def test_a_caption_names_the_instrument_and_a_tempo_of_pockets(songs):
    for solo in solos("accordion", 12, 0, 2.0):
        assert "accordion" in solo.caption and "a accordion" not in solo.caption
        bpm = [int(word) for word in solo.caption.split() if word.isdigit()]
        assert set(bpm) <= {79, 100, 120, 143}


def test_what_is_asked_is_no_caption(songs):
    captions = {one.caption for one in islice(solos("sitar", 200, 0, 2.0), 200)}
    assert not captions & {said(text, lead="sitar") for text in PROMPTS}
    assert len(set(PROMPTS)) == 16 >= len(KNOWN)
