"""Music over time: schedules, blends, mixes, and settings that move, exact to the frame."""

import copy
from dataclasses import replace
from itertools import islice

import pytest
import torch

from musicgraph.models.automation import Automation
from musicgraph.models.compose import composition
from musicgraph.models.compose.composition import Composition, Direction, stream
from musicgraph.models.compose.direction import Turn
from musicgraph.models.compose.rows import Room, TextRows, rows_of
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused

SAMPLING = Sampling(top_k=50)
TEXTS = "drums", "a slow piano, sad and very long", "flute"


class Stage:
    """An engine that is exact to the last bit, with a window of 40 frames, and texts for it."""

    def __init__(self, tiny):
        self.engine = copy.copy(NumbaEngine(tiny.checkpoint, "fp32"))
        self.engine.config = replace(tiny.config, window_frames=40)
        self.rate = tiny.config.frame_rate
        self.drums, self.piano, self.flute = (tiny.text.encode([text]) for text in TEXTS)
        self.encode = tiny.text.encode

    def play(self, heard, count=60, seed=3, sampling=SAMPLING, **more):
        generation = Generation(count, seed, sampling)
        return torch.cat(list(stream(self.engine, generation, heard, **more)), dim=2)

    def then(self, frame, heard, blend=0, before=None):
        """A change at a frame; blends are in frames too."""
        timeline = before or Timeline(self.drums)
        return timeline.then(Change(frame / self.rate, heard, blend / self.rate))


@pytest.fixture(scope="module", params=["mono", "melody_mono"])
def stage(request):
    """A model that hears text in layers of its own, and one that reads it first."""
    return Stage(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def hall(mono):
    return Stage(mono)


# ---------------------------------------------------------------- schedules


def test_a_schedule_without_changes_is_plain(stage):
    assert torch.equal(stage.play(Timeline(stage.drums)), stage.play(stage.drums))


@pytest.mark.parametrize(("frame", "blend"), [(17, 0), (17, 9), (35, 9), (45, 0), (45, 9)])
def test_before_a_change_the_music_is_what_it_is_without_it(stage, frame, blend):
    """To the last bit: the first codebook to the frame before, the others as far as they were
    drawn; in the first window, across its end, and in the second.
    """
    plain, changed = stage.play(stage.drums), stage.play(stage.then(frame, stage.piano, blend))
    assert torch.equal(changed[:, 0, :frame], plain[:, 0, :frame])
    assert torch.equal(changed[:, :, : frame - 3], plain[:, :, : frame - 3])
    assert not torch.equal(changed[:, :, frame:], plain[:, :, frame:])


@pytest.mark.parametrize("frame", [5, 30, 39, 40, 47])
def test_other_texts_at_once_hear_only_the_end_of_what_was_played(hall, monkeypatch, frame):
    """As if that had been all there was: within a window, at its end, where what was played is
    whole, and within the next.
    """
    monkeypatch.setattr(composition, "HEARD_S", 4 / hall.rate)
    greedy = Sampling(temperature=0, top_k=50)
    changed = hall.play(hall.then(frame, hall.piano), sampling=greedy)
    before = hall.play(hall.drums, sampling=greedy, count=frame)[:, :, -4:]
    settings = {"sampling": greedy, "prompt": before, "open_end": frame != 40}
    alone = hall.play(hall.piano, 60 - frame + 4, **settings)
    assert torch.equal(changed[:, 0, :frame], hall.play(hall.drums, sampling=greedy)[:, 0, :frame])
    assert torch.equal(changed[:, :, frame:], alone[:, :, 4:])


def test_texts_that_go_on_or_are_blended_in_keep_all_that_was_played(hall):
    def direction(heard, blend=0):
        return Direction(heard, None, SAMPLING, blend_frames=blend)

    drums, piano = direction(hall.drums), direction(hall.piano)
    both = direction(combined([(hall.drums, 0.2), (hall.piano, 0.8)]))
    assert piano.is_news_after(drums) and drums.is_news_after(piano)
    assert not both.is_news_after(drums) and not piano.is_news_after(both)
    assert not direction(hall.piano, blend=1).is_news_after(drums)
    assert not direction(hall.encode(["drums"])).is_news_after(drums)
    takes = direction(hall.encode(["drums", "flute"]))
    assert direction(hall.encode(["flute", "drums"])).is_news_after(takes)
    assert not direction(hall.encode(["piano", "flute"])).is_news_after(takes), "one goes on"


def test_a_change_without_a_blend_is_what_is_steered_to_at_that_frame(hall):
    begun = Direction(hall.drums, None, SAMPLING)
    steered = Composition(hall.engine, begun, seed=3)
    pieces, announced = [], []
    for number, piece in enumerate(steered.frames(60)):
        pieces.append(piece)
        if number == 20:
            announced.append(steered.steer(replace(begun, positive=hall.piano)))
    assert torch.equal(hall.play(hall.then(announced[0], hall.piano)), torch.cat(pieces, dim=2))


def test_a_blend_begins_as_the_sum_says_and_both_sides_have_the_same_past(hall):
    """Of so many frames that its first hardly counts: the frame is the old one's."""
    long = hall.play(hall.then(17, hall.piano, 43), sampling=replace(SAMPLING, temperature=0))
    plain = hall.play(hall.drums, sampling=replace(SAMPLING, temperature=0))
    assert torch.equal(long[:, :, :17], plain[:, :, :17])
    turn = Turn(Direction(hall.drums)).followed_by(Direction(hall.piano, blend_frames=3), 17)
    assert [turn.share_at(frame) for frame in (17, 18, 19, 20, 99)] == [0.25, 0.5, 0.75, 1, 1]


def test_after_a_blend_the_rows_hear_the_new_alone(hall):
    begun, new = Direction(hall.drums), Direction(hall.piano, blend_frames=3)
    turn, rows = Turn(begun).followed_by(new, 17), TextRows(Room.for_all([begun, new]), banks=2)
    (((*during, away),),) = rows.at(turn, 18, 3.0)
    assert [branch.weight for branch in during] == [1.5, 1.5]
    assert [branch.conditioning.texts[0] for branch in during] == list(TEXTS[:2])
    (((*after, away),),) = rows.at(turn, 20, 3.0)
    assert [branch.weight for branch in (*after, away)] == [3, 0, -2], "of what was told last"
    assert {branch.conditioning.texts[0] for branch in after} == {TEXTS[1]}


def test_an_item_is_the_same_alone_and_in_company(stage):
    """Beside one with other texts, and with none."""
    first, later = (stage.encode([*pair]) for pair in (("drums", ""), ("", "a slow piano")))
    together = stage.play(stage.then(17, later, 9, Timeline(first)))
    for item in range(2):
        texts = (stage.encode([one.texts[item]]) for one in (first, later))
        begun = Timeline(next(texts))
        alone = stage.play(stage.then(17, next(texts), 9, begun), seed=3 + item)
        assert torch.equal(together[item : item + 1], alone)


def test_what_is_said_once_is_said_to_all_items(stage):
    both = stage.play(stage.then(17, stage.piano, 9, Timeline(stage.encode(["drums", "drums"]))))
    assert torch.equal(both[:1], stage.play(stage.then(17, stage.piano, 9)))


def test_a_state_within_a_blend_goes_on_to_the_same_music(stage):
    timeline = stage.then(30, stage.flute, 20, stage.then(10, stage.piano, 8))
    whole = stage.play(timeline)
    begun = Direction(timeline.first, None, SAMPLING)
    schedule = timeline.schedule(begun, stage.rate, 60)
    for pieces in (16, 25, 40, 50):
        composition = Composition(stage.engine, begun, seed=3, schedule=schedule)
        done = sum(piece.shape[2] for piece in islice(composition.frames(60), pieces))
        rest = list(Composition.resumed(stage.engine, composition.state()).rest())
        assert torch.equal(torch.cat(rest, dim=2), whole[:, :, done:])


def test_a_blend_that_is_steered_to_is_announced_where_there_are_rows_for_it(hall):
    begun = Direction(hall.drums, None, SAMPLING)
    composition = Composition(hall.engine, begun, seed=3)
    pieces = list(islice(playing := composition.frames(90), 20))
    blended = replace(begun, positive=hall.piano, blend_frames=5)
    assert composition.steer(blended) == 40, "the next window"
    pieces += playing
    replayed = Composition(hall.engine, begun, seed=3, schedule=composition.schedule)
    assert torch.equal(torch.cat(list(replayed.frames(90)), dim=2), torch.cat(pieces, dim=2))


WRONG_TIMES = {
    "at its end": ([(1.2, 0)], "a change at 1.2 s in a piece of 1.2 s"),
    "behind its end": ([(5, 0)], "a change at 5 s in a piece of 1.2 s"),
    "unsorted": ([(0.8, 0), (0.4, 0)], "0.4 s behind 0.8 s, expected times in order"),
    "two at one time": ([(0.4, 0), (0.4, 0)], "two changes at 0.4 s"),
    "two at the beginning": ([(0.0, 0)], "two changes at 0 s"),
    "two in a frame": ([(0.4, 0), (0.404, 0)], "two changes within the frame at 0.404 s"),
    "negative": ([(-1, 0)], "second: got -1, expected 0 s or more"),
    "no number": ([(float("nan"), 0)], "second: got nan"),
    "endless": ([(float("inf"), 0)], "second: got inf"),
    "a blend of no number": ([(0.4, float("nan"))], "blend: got nan"),
    "a negative blend": ([(0.4, -0.1)], "blend: got -0.1"),
    "a blend into the next": ([(0.4, 0.3), (0.6, 0)], "within the blend from 0.4 to 0.7 s"),
}


@pytest.mark.parametrize("case", WRONG_TIMES)
def test_times_that_cannot_be_are_refused(hall, case):
    changes, words = WRONG_TIMES[case]
    timeline = Timeline(hall.drums)
    with pytest.raises(Refused, match=words):
        for second, blend_s in changes:
            timeline = timeline.then(Change(second, hall.piano, blend_s))
        hall.play(timeline)


# ---------------------------------------------------------------- mixes


def test_a_mix_is_the_sum_of_its_parts_by_share_and_each_side_sums_to_one(hall):
    positive = combined([(hall.drums, 7), (hall.piano, 3)])
    direction = Direction(positive, combined([(hall.flute, 1), (hall.encode([""]), 3)]))
    (((*branches,),),) = TextRows(Room.for_all([direction]), banks=1).at(Turn(direction), 0, 3.0)
    weights = [branch.weight for branch in branches]
    assert weights == pytest.approx([3 * 0.7, 3 * 0.3, -2 * 0.25, -2 * 0.75])
    assert branches[3].conditioning is None, "an empty text is nothing"


def test_a_mix_of_mixes_has_their_parts(hall):
    inner = combined([(hall.drums, 1), (hall.piano, 1)])
    mix = combined([(inner, 1), (hall.flute, 3)])
    assert [(one.texts[0], share) for one, share in mix.parts] == [
        (TEXTS[0], 0.125), (TEXTS[1], 0.125), (TEXTS[2], 0.75),
    ]  # fmt: skip


def test_a_part_without_weight_changes_nothing_and_one_with_some_does(stage):
    plain = stage.play(stage.drums)
    assert torch.equal(stage.play(combined([(stage.drums, 0.4), (stage.piano, 0)])), plain)
    assert not torch.equal(stage.play(combined([(stage.drums, 1), (stage.piano, 1)])), plain)


def test_a_mix_of_the_same_twice_is_the_same_to_rounding(stage):
    """Also where a text of another length stands between: no row hears its neighbours' padding."""
    greedy = replace(SAMPLING, temperature=0)
    plain = stage.play(stage.drums, sampling=greedy)
    again = stage.encode(["drums"])
    mix = combined([(stage.drums, 0.3), (stage.piano, 1e-9), (again, 0.7)])
    assert torch.equal(stage.play(mix, sampling=greedy), plain)


def test_mixes_blend_and_stay_what_they_are_before(stage):
    mix = combined([(stage.piano, 1), (stage.flute, 2)])
    plain, changed = stage.play(stage.drums), stage.play(stage.then(17, mix, 9))
    assert torch.equal(changed[:, :, :14], plain[:, :, :14])
    assert not torch.equal(changed[:, :, 17:], plain[:, :, 17:])
    back = stage.then(17, stage.drums, 9, Timeline(mix))
    assert torch.equal(stage.play(back)[:, :, :14], stage.play(mix)[:, :, :14])


def test_a_negative_mix_leads_away(stage):
    negative = combined([(stage.piano, 1), (stage.flute, 2)])
    away = stage.play(stage.drums, negative=negative)
    assert not torch.equal(away, stage.play(stage.drums))
    assert not torch.equal(away, stage.play(stage.drums, negative=stage.piano))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((0, 0), "weights that are all 0"),
        ((1, -1), "weight: got -1, expected 0 or more"),
        ((1, float("nan")), "weight: got nan"),
        ((1, float("inf")), "weight: got inf"),
        ((1,) * 9, "mix: got 9, expected at most 8 parts"),
    ],
)
def test_weights_that_cannot_be_are_refused(hall, weights, words):
    with pytest.raises(Refused, match=words):
        combined([(hall.drums, weight) for weight in weights])


def test_parts_of_other_numbers_of_items_are_refused(hall):
    with pytest.raises(Refused, match="2 texts and 3 texts, expected equally many"):
        combined([(hall.encode(["a"] * 2), 1), (hall.encode(["b"] * 3), 1), (hall.drums, 1)])


def test_more_rows_than_are_good_are_refused(hall):
    mix = combined([(hall.drums, 1)] * 8).repeated(9)
    with pytest.raises(Refused, match="branches: got 81 for 9 items, expected at most 64"):
        hall.play(mix)
    begun = Direction(hall.drums)
    blends = tuple((at, Direction(hall.piano, blend_frames=2)) for at in range(4, 40, 4))
    assert rows_of(hall.engine.config, begun, blends) == 3, "however many changes"


# ---------------------------------------------------------------- settings that move


def test_settings_are_on_the_lines_through_their_points():
    moves = Automation.parse("cfg 1: 3, 3: 5; top_k 0: 10, 2: 15")
    seconds = 0, 1, 1.5, 3, 9
    assert [moves.at(Sampling(), at).cfg for at in seconds] == [3, 3, 3.5, 5, 5]
    assert [moves.at(Sampling(), at).top_k for at in (0, 1, 9)] == [10, 12, 15]
    assert moves.at(Sampling(temperature=0.5), 2).temperature == 0.5


def test_points_that_stay_where_they_are_change_nothing(stage):
    still = Automation.parse("cfg 0: 3, 0.5: 3; temperature 0.2: 1; top_k 0: 50, 1: 50")
    assert torch.equal(stage.play(stage.drums, automation=still), stage.play(stage.drums))


def test_guidance_that_jumps_is_what_is_steered_to(stage):
    """And what was before stays: exact to the frame."""
    jump = Automation.parse(f"cfg {16 / stage.rate}: 1, {17 / stage.rate}: 6; top_k 0: 50")
    begun = Direction(stage.drums, None, replace(SAMPLING, cfg=1))
    later = replace(begun, sampling=replace(SAMPLING, cfg=6))
    said = Composition(stage.engine, begun, seed=3, schedule=((17, later),))
    steered = torch.cat(list(said.frames(60)), dim=2)
    sampling = replace(SAMPLING, cfg=1)
    assert torch.equal(stage.play(stage.drums, sampling=sampling, automation=jump), steered)
    unguided = stage.play(stage.drums, sampling=sampling)
    assert torch.equal(unguided[:, :, :14], steered[:, :, :14])


WRONG_POINTS = {
    "speed 0: 1": "got 'speed', expected each of cfg, temperature, top_k",
    "cfg 0: 3; cfg 1: 4": "got 'cfg' twice",
    "cfg 3": "got '3' for cfg, expected second: value",
    "cfg 0: nan": "got '0: nan' for cfg",
    "cfg nan: 3": "got 'nan: 3' for cfg",
    "cfg -1: 3": "cfg at -1 s, expected 0 s or later",
    "cfg 2: 3, 1: 4": "cfg at 1 s behind 2 s",
    "cfg 1: 3, 1: 4": "two values of cfg at 1 s",
    "top_k 0: 2.5": "for top_k, expected whole numbers",
    "cfg 1.2: 3": "cfg at 1.2 s in a piece of 1.2 s",
    "top_k 0: 65": "top_k: got 65, expected 1 to 64",
    "cfg 0: 30": "cfg: got 30.0, expected 0 to 20",
}


@pytest.mark.parametrize("text", WRONG_POINTS)
def test_points_that_cannot_be_are_refused(hall, text):
    with pytest.raises(Refused, match=WRONG_POINTS[text]):
        hall.play(hall.drums, automation=Automation.parse(text))


def test_points_without_an_effect_are_refused(hall):
    with pytest.raises(Refused, match="top_k with top_p above 0"):
        hall.play(
            hall.drums,
            sampling=replace(SAMPLING, top_p=0.5),
            automation=Automation.parse("top_k 0: 5"),
        )
