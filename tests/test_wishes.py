"""What a take has to measure, read and compared; and takes until one does."""

from dataclasses import replace

import pytest
import torch

from musicgraph.app.studio.music import Music
from musicgraph.app.studio.retakes import check_tries, takes_until
from musicgraph.models import analysis
from musicgraph.models.analysis import Analysis
from musicgraph.models.refused import Refused
from musicgraph.models.rhythm import Tempo
from musicgraph.models.tonality import read_key
from musicgraph.models.wishes import SURE, Range, doubted, missed, read_wishes
from musicgraph.workflows.request import Request

HEARD = Analysis(
    duration_s=10.0,
    sample_rate=32_000,
    channels=1,
    tempo=Tempo(120.4, 0.8, 0.5, (60.2,)),
    key=read_key("Dm"),
    percussion_db=0.0,
    loudness_lufs=-16.4,
    true_peak_db=-1.0,
    clipped_share=0.0,
    silence_start_s=0.0,
    silence_end_s=0.0,
    silence_share=0.0,
    stuckness=0.0,
)


def unfulfilled(text, heard=HEARD):
    return list(missed(read_wishes(text), heard))


@pytest.mark.parametrize(
    "text",
    [
        "tempo=120±3 key=Dm drums",
        "tempo=120+-3",
        "tempo=120+/-0.5",
        "tempo=117..123",
        "tempo=120",
        "tempo=60.2±0.1",
        "mode=minor",
        "loud=-16±2",
        "loud=-16",
        "loud=-18..-14",
        "loud=−16±2",
        "no clipping no silence no stuck",
    ],
)
def test_what_was_measured_fulfils(text):
    assert unfulfilled(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "tempo=124±3", "tempo=240±3", "tempo=90..119", "key=D", "key=F", "mode=major",
        "no drums", "loud=-14", "clipping", "silence", "stuck",
    ],
)  # fmt: skip
def test_what_was_not_measured_is_missed_by_its_own_words(text):
    assert unfulfilled(text) == [text]


def test_without_a_beat_or_a_key_none_is_the_one_asked_for():
    bare = replace(HEARD, tempo=None, key=None)
    wishes = "tempo=20..400 key=Dm mode=minor drums"
    assert unfulfilled(wishes, bare) == wishes.split()[:3]


def test_a_number_alone_has_room_either_way():
    (tempo, loud) = read_wishes("tempo=100 loud=-16")
    assert (tempo.range, loud.range) == (Range(97, 103), Range(-17, -15))


def test_the_nearer_is_less_far_off():
    def off(text):
        (value,) = missed(read_wishes(text), HEARD).values()
        return value

    assert off("tempo=130±3") < off("tempo=150±3") < 1
    assert off("key=F") < off("key=C") < off("key=G#m") <= 1
    assert off("loud=-20") < off("loud=-30")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no wish"),
        ("   ", "no wish"),
        ("fast", '"fast", expected tempo='),
        ("tempo", 'until: tempo: got "", expected tempo=120±3'),
        ("tempo=", 'until: tempo: got "", expected tempo=120±3'),
        ("tempo=fast", "120±3"),
        ("tempo=nan", "120±3"),
        ("tempo=120±", "120±3"),
        ("tempo=1e3", "120±3"),
        ("tempo=120--3", "120±3"),
        ("tempo=0", "from 20 to 400"),
        ("tempo=9999", "from 20 to 400"),
        ("tempo=123..117", "the lower one first"),
        ("loud=3", "from -70 to 0"),
        ("key=H", "a letter from A to G"),
        ("key=", "a letter from A to G"),
        ("key=D minor", '"minor", expected tempo='),
        ("mode=dorian", "major or minor"),
        ("no", 'until: no: got "", expected one of drums'),
        ("no tempo=120", "expected one of drums"),
        ("drums=yes", '"drums=yes", expected tempo='),
        ("drums no drums", "it twice"),
        ("key=Dm key=D", "it twice"),
        ("drums " * 100, "at most 200"),
        ("\x1b[2Jtempo", "expected tempo="),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(text, message):
    with pytest.raises(Refused) as caught:
        read_wishes(text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


# ---------------------------------------------------------------- takes


@pytest.fixture
def measured(monkeypatch):
    """What each seed measures is made up: bpm is 100 + seed, and drums from 5 on."""

    def heard(waveform, rate):
        seed = round(float(waveform[0, 0]))
        drums = 0.0 if seed >= 5 else -20.0
        return replace(HEARD, tempo=Tempo(100.0 + seed, 0.8, 0.5, ()), percussion_db=drums)

    monkeypatch.setattr(analysis, "analyse", heard)


def make(request):
    return Music(torch.full((1, 1, 4), float(request.seed)), 32_000, {}, "", 1.0)


def takes(wishes, tries=8, seed=0):
    return list(takes_until(make, Request("x", seed=seed), read_wishes(wishes), tries))


def test_seeds_count_up_to_the_first_take_that_is_all_of_it(measured):
    found = takes("tempo=103±0 drums", seed=2)
    assert [take.request.seed for take in found] == list(range(2, 10))
    found = takes("drums", seed=3)
    assert [take.request.seed for take in found] == [3, 4, 5]
    assert [bool(take.missed) for take in found] == [True, True, False]


def test_the_closest_misses_the_fewest_and_those_by_the_least(measured):
    found = takes("tempo=103±0 drums", tries=7)
    assert min(found, key=lambda take: take.distance).request.seed == 5, "two bpm are little"
    assert found[3].facts()["missed"] == ["drums"]
    found = takes("tempo=120±0 drums", tries=8)
    assert min(found, key=lambda take: take.distance).request.seed == 7


@pytest.mark.parametrize("wish", ["key=Dm", "mode=minor"])
def test_a_key_that_another_would_do_for_is_doubted(wish):
    def unsure(confidence):
        key = replace(HEARD.key, confidence=confidence, mode_confidence=confidence)
        return doubted(read_wishes(f"{wish} drums"), replace(HEARD, key=key))

    assert unsure(SURE) == {} and unsure(0.0) == {wish: 1.0}
    assert 0 < unsure(SURE / 2)[wish] < unsure(SURE / 4)[wish]
    assert doubted(read_wishes("key=D mode=major"), HEARD) == {}, "these are missed"


def test_takes_that_are_doubted_are_followed_by_others_and_the_surest_is_kept(monkeypatch):
    def heard(sound, rate):
        confidence = {0: 0.1, 1: 0.2, 2: 0.15, 3: 0.9}[int(sound.max())]
        return replace(HEARD, key=replace(HEARD.key, mode_confidence=confidence))

    monkeypatch.setattr(analysis, "analyse", heard)
    assert len(takes("mode=minor")) == 4 and len(takes("key=Dm")) == 1
    found = takes("mode=minor", tries=3)
    assert min(found, key=lambda take: take.distance).request.seed == 1
    assert found[1].facts()["fulfilled"] and found[1].facts()["doubted"] == ["mode=minor"]


def test_the_seed_after_the_last_is_the_first(measured):
    wishes = read_wishes("key=D")
    found = list(takes_until(make, Request("x", seed=2**64 - 1), wishes, 2))
    assert [take.request.seed for take in found] == [2**64 - 1, 0]


@pytest.mark.parametrize(("tries", "variations"), [(0, 1), (-1, 1), (65, 1), (8, 2)])
def test_tries_that_cannot_be_are_refused(tries, variations):
    with pytest.raises(Refused):
        check_tries(tries, variations)
