"""What a live performance needs of a composition: room for what nobody knows yet, settings beside
texts, another seed, an end.
"""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from test_schedule import SAMPLING, Stage

from musicgraph.models.automation import Automation
from musicgraph.models.compose.composition import Composition, Direction
from musicgraph.models.compose.rows import Room
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused


@pytest.fixture(scope="module", params=["mono", "melody_mono"])
def stage(request):
    """Models that hear text in layers of their own, or first; with a window of 40 frames."""
    return Stage(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def hall(mono):
    return Stage(mono)


def begun(stage, **more):
    direction = Direction(stage.drums, None, SAMPLING, **more)
    room = Room.for_all([direction]).widened(3)
    return Composition(stage.engine, direction, seed=3, room=room), direction


def joined(pieces):
    return torch.cat(list(pieces), dim=2)


# ---------------------------------------------------------------- room


def test_rows_that_wait_for_what_may_be_said_change_no_bit(stage):
    composition, _ = begun(stage)
    assert torch.equal(joined(composition.frames(60)), stage.play(stage.drums))


def test_a_blend_and_a_mix_that_nobody_knew_of_begin_at_once(hall):
    composition, direction = begun(hall)
    pieces = list(islice(playing := composition.frames(60), 20))
    mix = combined([(hall.piano, 0.6), (hall.flute, 0.4)])
    frame = composition.steer(replace(direction, positive=mix, blend_frames=9))
    assert frame == 20, "the next frame, and not the next window"
    tokens = joined([*pieces, *playing])
    assert torch.equal(tokens, hall.play(hall.then(frame, mix, 9)))


def test_more_at_once_than_there_is_room_for_is_refused(hall):
    composition, direction = begun(hall)
    four = combined([(hall.drums, 1)] * 4)
    with pytest.raises(Refused, match="prompts, expected at most"):
        composition.steer(replace(direction, positive=four))


# ---------------------------------------------------------------- settings beside texts


def test_settings_that_change_within_a_blend_do_not_end_it(hall):
    """What is said one after the other is what a schedule with automation has."""
    composition, direction = begun(hall)
    playing = composition.frames(60)
    pieces = list(islice(playing, 20))
    blended = composition.steer(replace(direction, positive=hall.piano, blend_frames=9))
    pieces += islice(playing, 4)
    jump = composition.redraw(replace(SAMPLING, cfg=5))
    tokens = joined([*pieces, *playing])
    assert blended < jump < blended + 9
    rate = hall.rate
    moves = Automation.parse(f"cfg {(jump - 1) / rate}: 3, {jump / rate}: 5")
    assert torch.equal(tokens, hall.play(hall.then(blended, hall.piano, 9), automation=moves))


def test_what_waits_is_drawn_as_was_said_last_and_gives_way_to_what_is_said_instead(hall):
    composition, direction = begun(hall)
    playing = composition.frames(60)
    pieces = list(islice(playing, 20))
    blended = replace(direction, positive=hall.piano, blend_frames=9)
    first = composition.steer(blended)
    pieces += islice(playing, 3)
    waiting = composition.steer(replace(blended, positive=hall.drums), instead=True)
    loud = replace(SAMPLING, cfg=5)
    jump = composition.redraw(loud)
    after = replace(blended, positive=hall.flute, sampling=loud)
    assert composition.steer(after, instead=True) == waiting == first + 9
    tokens = joined([*pieces, *playing])
    rate = hall.rate
    moves = Automation.parse(f"cfg {(jump - 1) / rate}: 3, {jump / rate}: 5")
    timeline = hall.then(waiting, hall.flute, 9, hall.then(first, hall.piano, 9))
    assert torch.equal(tokens, hall.play(timeline, automation=moves))
    assert len(composition.schedule) == 3


def test_another_seed_holds_from_its_frame_on_and_is_what_automation_says(stage):
    composition, _ = begun(stage)
    playing = composition.frames(60)
    pieces = list(islice(playing, 20))
    frame = composition.redraw(replace(SAMPLING, seed=77))
    state = composition.state()
    pieces += playing
    tokens, plain = joined(pieces), stage.play(stage.drums)
    assert torch.equal(tokens[:, 0, :frame], plain[:, 0, :frame])
    assert not torch.equal(tokens[:, :, frame:], plain[:, :, frame:])
    moves = Automation.parse(f"seed {frame / stage.rate}: 77")
    assert torch.equal(tokens, stage.play(stage.drums, automation=moves))
    rest = joined([tokens[:, :, :0], *Composition.resumed(stage.engine, state).rest()])
    assert torch.equal(rest, tokens[:, :, -rest.shape[2] :])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed 0: 1.5", "got '0: 1.5' for seed"),
        ("seed 0: -1", "seed: got -1, expected 0 to 18446744073709551615"),
        (f"seed 0: {10**400}", "seed: got 1000"),
    ],
)
def test_seeds_that_cannot_be_are_refused(hall, text, words):
    with pytest.raises(Refused, match=words):
        hall.play(hall.drums, automation=Automation.parse(text))


# ---------------------------------------------------------------- an end


@pytest.mark.parametrize("moment", [0, 5, 20, 42, 43, 45, 60])
@pytest.mark.parametrize("later", [1, 7, 30])
def test_music_without_an_end_ends_as_a_piece_of_that_length(stage, moment, later):
    """At any moment of a window, at once or later, within it or in the next one."""
    composition, _ = begun(stage)
    pieces = list(islice(playing := composition.frames(None), moment))
    composition.end_at(end := composition.next_frame + later - (moment > 0))
    assert torch.equal(joined([*pieces, *playing]), stage.play(stage.drums, end))


def test_an_end_that_has_passed_or_lies_behind_the_end_is_refused(hall):
    composition, _ = begun(hall)
    list(islice(composition.frames(60), 30))
    for frame in (composition.next_frame - 1, 61):
        with pytest.raises(Refused, match="end: got frame"):
            composition.end_at(frame)
