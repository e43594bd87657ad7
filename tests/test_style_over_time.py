"""Styles in mixes and schedules: each item hears what it hears alone, and rows are kept for it."""

import copy
from dataclasses import replace

import pytest
import torch
from style_layout import random_style

from musicgraph.models.compose.composition import Composition, Direction, stream
from musicgraph.models.compose.rows import rows_of
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused

SAMPLING = Sampling(top_k=50)
ITEMS = range(2)
FIRST, LATER, BESIDE = ("drums", ""), ("a slow piano", "flute"), ("", "strings, sad and long")
SEED = 3


@pytest.fixture(scope="module")
def engine(style_model):
    """Exact to the last bit, with a window of 40 frames."""
    engine = copy.copy(NumbaEngine(style_model.checkpoint, "fp32"))
    engine.config = replace(style_model.config, window_frames=40)
    return engine


@pytest.fixture(scope="module")
def say(style_model):
    """Texts, each with a style of its own, of all items or of one; guidance None: no style."""

    def said(texts, item=None, guidance=5.0, seed=5):
        heard = style_model.text.encode([*texts])
        if guidance is not None:
            heard = heard.with_style(random_style(len(texts), guidance=guidance, seed=seed))
        return heard if item is None else heard.item(item)

    return said


def play(engine, heard, seed=SEED, frames=60):
    return torch.cat(list(stream(engine, Generation(frames, seed, SAMPLING), heard)), dim=2)


def mixed(say, item=None):
    return combined(
        [
            (say(FIRST, item), 2),
            (say(LATER, item, guidance=None), 1),
            (say(BESIDE, item, guidance=2.0, seed=6), 1),
        ]
    )


def in_time(say, rate, item=None):
    """A style gives way to a text without one, and that, blended, to a mix of both."""
    began = Timeline(say(FIRST, item))
    text = began.then(Change(17 / rate, say(LATER, item, guidance=None)))
    return text.then(Change(30 / rate, mixed(say, item), 15 / rate))


def test_in_a_mix_an_item_is_the_same_alone_and_in_company(engine, say):
    together = play(engine, mixed(say))
    for item in ITEMS:
        alone = play(engine, mixed(say, item), SEED + item)
        assert torch.equal(together[item : item + 1], alone)
    assert not torch.equal(together, play(engine, say(FIRST)))


def test_in_a_schedule_an_item_is_the_same_alone_and_in_company(engine, say):
    rate = engine.config.frame_rate
    together = play(engine, in_time(say, rate))
    for item in ITEMS:
        alone = play(engine, in_time(say, rate, item), SEED + item)
        assert torch.equal(together[item : item + 1], alone)


def test_before_a_change_the_music_is_that_of_the_style_alone(engine, say):
    """Though rows are kept for what comes."""
    plain, changed = (play(engine, one) for one in (say(FIRST), in_time(say, 50.0)))
    assert torch.equal(changed[:, :, :14], plain[:, :, :14])
    assert not torch.equal(changed[:, :, 17:], plain[:, :, 17:])


def test_a_style_that_needs_more_rows_than_the_music_began_with_is_refused(engine, say):
    plain = Direction(say(FIRST, guidance=1.0), None, SAMPLING)
    double = replace(plain, positive=say(FIRST, guidance=5.0))
    with pytest.raises(Refused, match="got 2 branches of a prompt, expected at most 1"):
        Composition(engine, plain).steer(double)
    assert Composition(engine, plain, schedule=((20, double),)).steer(double) == 0
    assert Composition(engine, double).steer(plain) == 0


def test_as_many_rows_are_counted_as_the_fullest_window_has(engine, say):
    opened, counting = [], copy.copy(engine)
    counting.open = lambda rows, steps: opened.append(rows) or engine.open(rows, steps)
    timeline = in_time(say, engine.config.frame_rate)
    play(counting, timeline, frames=90)
    begun = Direction(timeline.first, None, SAMPLING)
    schedule = timeline.schedule(begun, engine.config.frame_rate, 90)
    assert max(opened) == rows_of(engine.config, begun, schedule) == 5 + 4 + 14
