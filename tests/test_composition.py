"""A composition that is steered: what is said holds from the announced frame on, and replays to the
same tokens.
"""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from musicgraph.models.compose.composition import Composition, Direction
from musicgraph.models.config import Sampling
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.refused import Refused


class Band:
    """A model with a window of 40 frames, and directions for it."""

    def __init__(self, tiny, engine=None):
        self.engine = engine or TorchEngine(tiny.lm)
        self.engine.config = replace(tiny.config, window_frames=40)
        drums, piano = (tiny.text.encode([text, text]) for text in ("drums", "slow piano"))
        self.drums, self.piano = (Direction(t, None, Sampling(top_k=50)) for t in (drums, piano))
        self.wild = replace(self.piano, sampling=Sampling(top_k=60, cfg=1, temperature=1.5))

    def begin(self, **settings):
        return Composition(self.engine, self.drums, seed=3, **settings)


@pytest.fixture(scope="module")
def band(mono):
    return Band(mono)


def played(composition, count=100):
    return torch.cat(list(composition.frames(count)), dim=2)


def steered(composition, count, sayings):
    """Plays while saying things: {after so many pieces: direction}.

    Returns the tokens and what was announced.
    """
    pieces, announced = [], []
    for number, piece in enumerate(composition.frames(count)):
        pieces.append(piece)
        if number in sayings:
            announced.append(composition.steer(sayings[number]))
    return torch.cat(pieces, dim=2), announced


def test_what_is_announced_holds_from_there_on_and_changes_nothing_before(band):
    plain = played(band.begin())
    tokens, (frame,) = steered(band.begin(), 100, {20: band.piano})
    assert torch.equal(tokens[:, 0, :frame], plain[:, 0, :frame])
    assert not torch.equal(tokens[:, :, frame:], plain[:, :, frame:])
    assert frame == 21, "the next one that had not been begun"


@pytest.mark.parametrize("moments", [(5,), (0, 1), (41, 42, 43, 44, 45), (20, 42, 47, 60, 90)])
def test_a_performance_replays_to_the_same_tokens(band, moments):
    """At any moment: before the first frame, at a window's end, while the next window's prompt is
    read.
    """
    ways = [band.piano, band.wild, band.drums]
    performance = band.begin()
    sayings = {at: ways[i % 3] for i, at in enumerate(moments)}
    tokens, announced = steered(performance, 100, sayings)
    assert [frame for frame, _ in performance.schedule] == announced
    assert torch.equal(played(band.begin(schedule=performance.schedule)), tokens)


def test_saying_the_same_again_changes_nothing(band):
    tokens, _ = steered(band.begin(), 100, {20: band.drums, 50: band.drums})
    assert torch.equal(tokens, played(band.begin()))


def test_without_an_end_it_goes_on_and_begins_as_the_finite_one(band):
    pieces = list(islice(band.begin().frames(None), 250))
    tokens = torch.cat(pieces, dim=2)
    assert tokens.shape[2] > 200
    assert torch.equal(tokens[:, :, :37], played(band.begin(), 40)[:, :, :37])


def test_guidance_that_it_did_not_begin_with_is_refused(band):
    composition = Composition(band.engine, band.wild)
    with pytest.raises(Refused, match="got 1 negatives, expected at most 0"):
        composition.steer(band.drums)


def test_settings_out_of_range_are_refused_when_they_are_said(band):
    with pytest.raises(Refused, match="top_k"):
        band.begin().steer(replace(band.drums, sampling=Sampling(top_k=65)))


# ---------------------------------------------------------------- states


@pytest.fixture(scope="module", params=["torch", "numba"])
def bands(request, mono):
    if request.param == "torch":
        return Band(mono)
    return Band(mono, NumbaEngine(mono.checkpoint, "fp32"))


def kept(composition, moments, sayings=(), count=100):
    """Plays, and takes the state after so many pieces; the tokens, and (frames until then, state)
    for each moment.
    """
    pieces, states = [], []
    for number, piece in enumerate(composition.frames(count)):
        pieces.append(piece)
        if number in dict(sayings):
            composition.steer(dict(sayings)[number])
        if number in moments:
            states.append((sum(p.shape[2] for p in pieces), composition.state()))
    return torch.cat(pieces, dim=2), states


@pytest.mark.parametrize("sayings", [(), ((20, "piano"), (24, "wild"), (60, "drums"))])
def test_what_goes_on_from_a_state_plays_what_it_would_have_played(bands, sayings):
    """From anywhere: before the first whole frame, at a window's end, while the next one's prompt
    is read.
    """
    said = [(at, getattr(bands, name)) for at, name in sayings]
    moments = {0, 2, 21, 25, 41, 42, 43, 44, 80, 104}
    performance = bands.begin()
    tokens, states = kept(performance, moments, said)
    assert len(states) == len(moments)
    for frames, state in states:
        again = Composition.resumed(bands.engine, replace(state, schedule=performance.schedule))
        rest = torch.cat([tokens[:, :, :0], *again.rest()], dim=2)
        assert torch.equal(rest, tokens[:, :, frames:]), frames


def test_a_state_can_be_taken_again_from_what_was_resumed(band):
    tokens, [(_, state)] = kept(band.begin(), {30})
    resumed = Composition.resumed(band.engine, state)
    pieces = resumed.rest()
    for _ in range(40):
        next(pieces)
    again = resumed.state()
    rest = torch.cat(list(Composition.resumed(band.engine, again).rest()), dim=2)
    assert torch.equal(rest, torch.cat(list(pieces), dim=2))
    assert torch.equal(rest, tokens[:, :, -rest.shape[2] :])


def test_two_that_go_on_from_one_state_part_where_one_is_steered(band):
    _, [(frames, state)] = kept(band.begin(), {30})
    plain, steered = (Composition.resumed(band.engine, state) for _ in range(2))
    frame = steered.steer(band.piano)
    ours, theirs = (torch.cat(list(one.rest()), dim=2) for one in (plain, steered))
    at = frame - frames
    assert 0 < at < 6
    assert torch.equal(ours[:, 0, :at], theirs[:, 0, :at])
    assert not torch.equal(ours[:, :, at:], theirs[:, :, at:])


def test_a_state_in_a_file_goes_back_to_before_what_was_said(band, tmp_path):
    plain = played(band.begin())
    performance = band.begin()
    tokens, [(frames, state)] = kept(performance, {30}, [(40, band.piano)])
    assert not torch.equal(tokens, plain)
    torch.save(state, tmp_path / "state.pt")
    again = torch.load(tmp_path / "state.pt", weights_only=False)
    rest = torch.cat(list(Composition.resumed(band.engine, again).rest()), dim=2)
    assert torch.equal(rest, plain[:, :, frames:])


def test_greedy_music_without_an_end_and_after_a_prompt_goes_on_too(band):
    prompt = torch.arange(4 * 9).view(1, 4, 9) % 64
    greedy = replace(band.drums, sampling=Sampling(temperature=0, top_k=50))
    begun = Composition(band.engine, greedy, prompt=prompt, open_end=True)
    pieces = begun.frames(None)
    before = list(islice(pieces, 70))
    resumed = Composition.resumed(band.engine, begun.state()).rest()
    ours, theirs = (torch.cat(list(islice(one, 80)), dim=2) for one in (resumed, pieces))
    assert before and ours.shape[2] > 30
    assert torch.equal(ours[:, :, :30], theirs[:, :, :30])


def test_there_is_no_state_before_the_first_frame(band):
    with pytest.raises(Refused, match="not begun"):
        band.begin().state()


@pytest.mark.parametrize("moment", [30, 60])
def test_what_is_said_while_a_window_is_read_again_holds_for_what_is_to_come(band, moment):
    """In the first window behind an earlier change, and in the second behind its prompt."""
    _, [(frames, state)] = kept(band.begin(), {moment}, [(10, band.piano)])
    resumed = Composition.resumed(band.engine, state)
    pieces = resumed.rest()
    first = next(pieces)
    frame = resumed.steer(band.wild)
    assert frame >= frames
    rest = torch.cat([first, *pieces], dim=2)
    replayed = played(band.begin(schedule=resumed.schedule))
    assert torch.equal(rest, replayed[:, :, frames:])


@pytest.mark.parametrize("open_end", [False, True])
def test_a_prompt_that_was_yielded_is_behind_the_composition(band, open_end):
    prompt = torch.arange(4 * 9).view(1, 4, 9) % 64
    begun = band.begin(prompt=prompt, open_end=open_end)
    pieces = begun.frames(60)
    before = next(pieces)
    state = begun.state()
    assert begun.steer(band.drums) == 9, "the next frame that is not the prompt's"
    after = torch.cat(list(pieces), dim=2)
    assert before.shape[2] + after.shape[2] == 60
    again = torch.cat(list(Composition.resumed(band.engine, state).rest()), dim=2)
    assert torch.equal(again, after)


def test_frames_are_played_from_the_beginning_once_and_the_rest_only_of_what_has_begun(band):
    begun = band.begin()
    with pytest.raises(RuntimeError, match="not begun"):
        begun.rest()
    next(begun.frames(20))
    with pytest.raises(RuntimeError, match="has begun"):
        begun.frames(20)
