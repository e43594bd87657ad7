"""The composer of the training data, from seeds to notes and captions: no audio, no soundfonts."""

import random
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from captions import canonical, caption, near_tempi, typical  # noqa: E402
from compose import Song, compose, compose_in  # noqa: E402
from sound_world import BASSES, BEAT_FRAMES, INSTRUMENTS, LEADS, SCALES, TEMPI_BPM, TONICS  # noqa: E402
from world import drums, form, phrases  # noqa: E402
from world.genres import GENRES  # noqa: E402
from world.harmony import Progression, chord, voicing  # noqa: E402
from world.kits import KITS  # noqa: E402
from world.melody import CADENCES, RHYTHMS  # noqa: E402
from world.notes import events, swung  # noqa: E402

SEEDS = range(200)


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    """Six of every genre."""
    return [compose_in(genre, seed) for genre in GENRES.values() for seed in range(6)]


def test_the_same_seed_gives_the_same_piece_and_caption():
    for seed in range(20):
        assert compose(seed) == compose(seed)
        assert caption(compose(seed).facts, seed) == caption(compose(seed).facts, seed)


def test_every_genre_is_reached():
    assert {compose(seed).facts.style for seed in SEEDS} == set(GENRES)


def test_every_lead_can_be_heard_alone():
    for lead in LEADS:
        genre = next(g for g in GENRES.values() if lead in g.leads)
        song = compose_in(genre, 1, alone=lead)
        assert (song.facts.texture, song.facts.lead, song.facts.drums) == ("solo", lead, False)
        assert {part.instrument.name for part in song.parts} == {lead}


def test_beats_are_whole_codec_frames_of_the_tempo_that_is_said(songs):
    for song in songs:
        assert song.frames_per_beat in BEAT_FRAMES
        assert song.facts.tempo_bpm == round(3000 / song.frames_per_beat)


def test_pieces_last_as_long_as_was_asked():
    for seed in range(60):
        assert 9 <= compose(seed).duration_s <= 20
        assert 30 <= compose(seed, long=True).duration_s <= 36


def test_drums_are_heard_only_where_the_facts_say_so(songs):
    for song in songs:
        assert bool(song.hits) == song.facts.drums
        assert (song.facts.kit is not None) == song.facts.drums


def test_parts_are_those_of_the_facts(songs):
    for song in songs:
        roles = {part.role: part.instrument.name for part in song.parts if part.role != "hand"}
        said = {r: getattr(song.facts, r) for r in ("lead", "backing", "second", "bass")}
        assert roles == {role: name for role, name in said.items() if name}


def test_notes_stay_in_the_piece_and_in_the_range_of_their_instrument(songs):
    for song in songs:
        beats = song.bars * song.facts.beats_per_bar
        for part in song.parts:
            for note in part.notes:
                assert 0 <= note.start_beats < beats
                assert note.duration_beats > 0
                assert 1 <= note.velocity <= 127
                assert 24 <= note.pitch <= 105
                if part.role in ("lead", "bass"):
                    assert part.instrument.low - 1 <= note.pitch <= part.instrument.high + 1


def test_leads_keep_to_their_key(songs):
    """Nine notes of ten, the rest being those of chords from outside it and of blues."""
    for mode in SCALES:
        inside = [
            (note.pitch - TONICS[song.facts.tonic]) % 12 in SCALES[mode]
            for song in songs
            if song.facts.mode == mode and song.facts.style not in ("blues", "funk", "rock")
            for part in song.parts
            if part.role == "lead"
            for note in part.notes
        ]
        assert sum(inside) / len(inside) > 0.9


def test_hits_lie_in_the_piece_and_every_kit_has_every_drum_of_its_genre(songs):
    for song in songs:
        for hit in song.hits:
            assert 0 <= hit.start_beats < song.bars * song.facts.beats_per_bar
            assert hit.drum in KITS[song.facts.kit]
    for genre in GENRES.values():
        used = {
            d for grooves in drums.GROOVES.get(genre.name, ()) for groove in grooves for d in groove
        }
        assert all(used <= set(KITS[kit]) for kit in genre.kits)


def test_genres_name_only_what_there_is():
    for genre in GENRES.values():
        assert set(genre.leads) | set(genre.backings) | set(genre.seconds) <= set(INSTRUMENTS)
        assert set(genre.basses) <= set(BASSES)
        assert set(genre.beat_frames) <= set(BEAT_FRAMES)
        assert genre.feel in RHYTHMS
        assert all(INSTRUMENTS[name].chords for name in (*genre.backings, *genre.seconds))
        for mode in SCALES:
            for texts in genre.chords[mode]:
                for text in texts:
                    assert len(Progression.parse(0, text).bars) in (4, 12)


def test_patterns_fill_their_bar():
    for genre in GENRES.values():
        sizes = {12, 6} if genre.beats_per_bar == 3 else {8, 12, 16, 32}
        for pattern in (*genre.bass_patterns, *genre.backing_patterns):
            assert len(pattern) in sizes, (genre.name, pattern)
        for grooves in drums.GROOVES.get(genre.name, ()):
            for groove in grooves:
                assert {len(p) for p in groove.values()} <= {12, 16, 32}, genre.name
    for feel in RHYTHMS.values():
        for pattern in (p for some in feel.values() for p in some):
            assert len(pattern) in CADENCES


def test_the_step_notation_gives_starts_and_lengths():
    assert list(events("x---x-x.", 4)) == [(0, 2, "x"), (2, 1, "x"), (3, 0.5, "x")]


def test_swing_moves_the_second_of_two_and_nothing_else():
    assert [swung(b, 0.5, 2 / 3) for b in (0, 1, 3)] == pytest.approx([0, 1, 3])
    assert swung(2.5, 0.5, 2 / 3) == pytest.approx(2 + 2 / 3)
    assert swung(0.25, 0.25, 0.6) == pytest.approx(0.3)
    assert swung(0.7, 0.5, 0.5) == pytest.approx(0.7)


def test_numerals_become_chords():
    assert chord(0, "V7").classes == (7, 11, 2, 5)
    assert chord(9, "iv").classes == (2, 5, 9)
    assert chord(2, "bVImaj7").classes == (10, 2, 5, 9)
    assert chord(0, "iih7").classes == (2, 5, 8, 0)
    with pytest.raises(ValueError, match="expected one like"):
        chord(0, "H")


def test_voicings_move_little():
    first = voicing(chord(0, "I"), 52, None, False)
    second = voicing(chord(0, "V"), 52, first, False)
    assert abs(sum(first) - sum(second)) / 3 <= 4


def test_phrases_fill_at_their_end_and_come_back():
    bars = form.plan(random.Random(1), 32, 8, True, True)
    assert [b.fill for b in bars if b.place == 7 and not b.last] == ["full"] * 3
    assert bars[-1].last and not any(b.last for b in bars[:-1])
    assert all(b.crash for b in bars if b.place == 0 and b.index > 0)
    assert "".join(b.section for b in bars if b.place == 0) in ("AABA", "ABAA", "BAAA", "AAAB")


def test_bars_of_the_same_phrase_and_section_have_the_same_tune():
    long = (compose(seed, long=True) for seed in range(99))
    song = next(
        s for s in long if s.facts.sections[:2] == "AA" and s.bars > s.genre.phrase_bars + 4
    )
    beats, lead = song.facts.beats_per_bar, song.parts[0].notes
    length = song.genre.phrase_bars * beats

    def heard(start: float) -> list[tuple[float, int]]:
        return [
            (round(n.start_beats - start, 6), n.pitch)
            for n in lead
            if start <= n.start_beats < start + 4 * beats
        ]

    assert heard(0) == heard(length)


DENIED = re.compile(r"\b(no|without) (drums|percussion|beat)\b|\bdrumless\b")
OWN_NAMES = ("trap", "hip hop", "lo-fi")  # genres whose names say "beat"


def test_captions_never_contradict_the_facts(songs):
    for song in songs:
        facts = song.facts
        for seed in range(6):
            text = caption(facts, seed).lower()
            words = re.findall(r"[a-z0-9-]+", text)
            if facts.drums:
                assert not DENIED.search(text), text
            elif facts.style not in OWN_NAMES:
                assert not re.search(r"\bdrums?\b|\bpercussion\b|\bbeat\b", DENIED.sub("", text)), (
                    text
                )
            wrong = {"major": {"minor", "sad", "dark"}, "minor": {"major", "happy", "cheerful"}}
            assert not wrong.get(facts.mode, set()) & set(words), text
            if facts.lead and facts.texture != "solo":
                assert "solo" not in words, text
            tempi = [int(n) for n in re.findall(r"(\d+) ?bpm", text)]
            assert all(n in near_tempi(facts.tempo_bpm) for n in tempi), text


def test_every_number_of_bpm_belongs_to_one_tempo():
    for bpm in range(58, 180):
        assert sum(bpm in near_tempi(tempo) for tempo in TEMPI_BPM) <= 1
    assert all(tempo in near_tempi(tempo) for tempo in TEMPI_BPM)


def test_captions_leave_facts_out_and_the_canonical_one_says_all():
    facts = next(s for s in map(compose, range(99)) if s.facts.texture == "band").facts
    texts = [caption(facts, seed).lower() for seed in range(200)]
    said = sum("bpm" in t or any(w in t for w in phrases.TEMPI[999]) or "tempo" in t for t in texts)
    assert 40 < said < 200
    for wanted in (
        f"{facts.tempo_bpm} bpm",
        f"in {facts.tonic} {facts.mode}",
        phrases.INSTRUMENTS[facts.lead][0],
    ):
        assert wanted in canonical(facts)


def test_a_genre_implies_facts_that_what_is_said_replaces():
    facts = typical("reggae", tempo_bpm=94, mode="minor")
    assert (facts.tempo_bpm, facts.mode, facts.drums, facts.bass) == (94, "minor", True, "bass")
    assert typical("ambient").drums is False


def test_every_instrument_and_genre_has_words():
    assert set(phrases.INSTRUMENTS) == set(INSTRUMENTS)
    assert set(phrases.GENRES) == set(phrases.USES) == set(GENRES)


def test_drums_are_sampled_only_from_what_is_given_away_piece_by_piece():
    used = {
        n for kit in KITS.values() for sound in kit.values() for n in (sound.sample, sound.soft)
    }
    of_the_package_as_a_whole = {"sn_generic", "bd_mehackit", "perc_bell2", "perc_door"}
    assert not used & of_the_package_as_a_whole
    assert not any(
        name.startswith(("loop_", "glitch_", "mehackit_", "perc_impact")) for name in used
    )
