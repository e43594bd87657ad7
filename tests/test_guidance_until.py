"""Guidance that ends: what it led away from leaves, and nothing else changes by that."""

import copy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from style_layout import random_style

from musicgraph.models.automation import Automation
from musicgraph.models.compose.composition import Composition, Direction, stream
from musicgraph.models.compose.timeline import Change, Timeline
from musicgraph.models.conditioning import Melody
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.engines.shared import SharedEngine
from musicgraph.models.mix import combined
from musicgraph.models.refused import Refused

SAMPLING = Sampling(top_k=50)
COUNT, WINDOW = 60, 40
WITHIN, AT_THE_END, IN_THE_SECOND = 17, 40, 47
"""frames at which guidance ends; the second window begins at 40"""


class Counting:
    """An engine of one that notes how many rows each step has."""

    def __init__(self, engine):
        self._engine, self.rows = engine, []
        self.config, self.device, self.precision = engine.config, engine.device, engine.precision
        self.reads_exactly = engine.reads_exactly
        self.draw, self.noise = engine.draw, engine.noise

    def open(self, rows=0, max_steps=0):
        session = self._engine.open(rows, max_steps)
        step = session.step

        def counted(slots, tokens):
            logits = step(slots, tokens)
            self.rows.append(len(logits))
            return logits

        session.step = counted
        return session


class Stage:
    """An engine with a window of 40 frames, and what is heard on it."""

    def __init__(self, kind, tiny):
        self.engine = copy.copy(NumbaEngine(tiny.checkpoint, "fp32"))
        self.engine.config = replace(tiny.config, window_frames=WINDOW)
        self.engine.threads = Threads(1)
        self.rate, self._encode, self._kind = tiny.config.frame_rate, tiny.text.encode, kind
        self._config, self.lm = self.engine.config, getattr(tiny, "lm", None)

    def heard(self, *texts):
        heard = self._encode([*texts])
        if self._kind == "melody":
            chroma = torch.eye(self._config.chroma.bins)[None, [0, 4, 7, 0, 5]]
            hop = self._config.chroma.hop
            heard = heard.with_melody(Melody(chroma, self._config.sample_rate / hop))
        if self._kind == "style":  # whose balance with the text is a branch of its own
            heard = heard.with_style(random_style(len(texts), guidance=5.0, seed=5))
        return heard

    def until(self, frame, sampling=SAMPLING):
        return replace(sampling, guidance_until_s=frame / self.rate)

    def play(self, sampling=SAMPLING, heard=None, engine=None, seed=3, count=COUNT, **more):
        generation = Generation(count, seed, sampling)
        heard = self.heard("drums") if heard is None else heard
        return torch.cat(list(stream(engine or self.engine, generation, heard, **more)), dim=2)

    def jump(self, frame, sampling=SAMPLING):
        """The same by points, whose rows stay."""
        last = f"{(frame - 1) / self.rate}: {sampling.cfg}, " if frame else ""
        return Automation.parse(f"cfg {last}{frame / self.rate}: 1")


@pytest.fixture(scope="module", params=["text", "melody", "style"])
def stage(request):
    """A model that hears text in layers of its own, and two that read what they hear first."""
    names = {"text": "mono", "melody": "melody_mono", "style": "style_model"}
    return Stage(request.param, request.getfixturevalue(names[request.param]))


@pytest.fixture(scope="module")
def hall(mono):
    return Stage("text", mono)


@pytest.mark.parametrize("frame", [0, 1, WITHIN, AT_THE_END, IN_THE_SECOND, COUNT - 1])
def test_it_is_guidance_that_jumps_to_1_to_the_last_bit(stage, frame):
    ended = stage.play(stage.until(frame))
    assert torch.equal(ended, stage.play(automation=stage.jump(frame)))


@pytest.mark.parametrize("frame", [COUNT, COUNT + 1, 10**6])
def test_at_the_end_or_later_it_is_plain(stage, frame):
    assert torch.equal(stage.play(stage.until(frame)), stage.play())


@pytest.mark.parametrize("frame", [WITHIN, AT_THE_END, IN_THE_SECOND])
def test_before_it_the_music_is_plain_and_behind_it_is_not(stage, frame):
    plain, ended = stage.play(), stage.play(stage.until(frame))
    assert torch.equal(ended[:, 0, :frame], plain[:, 0, :frame])
    assert torch.equal(ended[:, :, : frame - 3], plain[:, :, : frame - 3])
    assert not torch.equal(ended[:, :, frame:], plain[:, :, frame:])


def test_at_0_there_is_none(stage):
    assert torch.equal(stage.play(stage.until(0)), stage.play(replace(SAMPLING, cfg=1)))


def test_steps_behind_it_have_half_the_rows(stage):
    """Of a style with a text two of three, since their balance is no guidance. So, too, in the next
    window, and what that hears of the last one is read by so many.
    """
    counting = Counting(stage.engine)
    stage.play(stage.until(WITHIN), engine=counting)
    guided, alone = (3, 2) if stage._kind == "style" else (2, 1)
    assert counting.rows[:WITHIN] == [guided] * WITHIN
    assert set(counting.rows[WITHIN:]) == {alone} and len(counting.rows) > COUNT


@pytest.mark.parametrize("frame", [WITHIN, IN_THE_SECOND])
def test_an_item_is_the_same_alone_and_in_company(stage, frame):
    texts = "drums", "a slow piano, sad and very long"
    together = stage.play(stage.until(frame), stage.heard(*texts))
    for item in range(2):
        heard = stage.heard(*texts).item(item)
        alone = stage.play(stage.until(frame), heard, seed=3 + item)
        assert torch.equal(together[item : item + 1], alone)


def test_who_shares_steps_with_it_is_not_disturbed(hall):
    """One whose guidance ends, one whose does not, in turns on one engine."""
    shared = SharedEngine(hall.engine)
    wishes = [(hall.until(WITHIN), "drums"), (SAMPLING, "flute"), (hall.until(30), "piano")]
    playing = [
        stream(shared, Generation(COUNT, 3, sampling), hall.heard(text))
        for sampling, text in wishes
    ]
    made = [[], [], []]
    for pieces in zip(*playing, strict=True):
        for own, piece in zip(made, pieces, strict=True):
            own.append(piece)
    for own, (sampling, text) in zip(made, wishes, strict=True):
        assert torch.equal(torch.cat(own, dim=2), hall.play(sampling, hall.heard(text)))


def test_the_fast_engine_gives_the_reference_s_greedy_tokens(hall):
    reference = TorchEngine(hall.lm)
    reference.config = hall.engine.config
    for sampling in (Sampling(temperature=0, top_k=50), Sampling(temperature=0, top_k=50, cfg=6)):
        for frame in (WITHIN, IN_THE_SECOND):
            ended, heard = hall.until(frame, sampling), hall.heard("drums", "a slow piano")
            own = hall.play(ended, heard)
            assert torch.equal(own, hall.play(ended, heard, engine=reference))


def test_points_of_guidance_hold_until_it_ends(stage):
    """And no longer, whatever they say then."""
    points = Automation.parse(f"cfg 0: 2, {COUNT / 2 / stage.rate}: 6; temperature 0: 1, 0.5: 1.2")
    before = Automation.parse("temperature 0: 1, 0.5: 1.2")
    moved = stage.play(automation=points)
    ended = stage.play(stage.until(WITHIN), automation=points)
    assert torch.equal(ended[:, 0, :WITHIN], moved[:, 0, :WITHIN])
    none = stage.play(stage.until(0), automation=points)
    assert torch.equal(none, stage.play(replace(SAMPLING, cfg=1), automation=before))


@pytest.mark.parametrize("frame", [WITHIN, 25, AT_THE_END, IN_THE_SECOND])
def test_what_is_followed_changes_and_blends_as_it_does_with_points(stage, frame):
    rate, mix = stage.rate, combined([(stage.heard("piano"), 1), (stage.heard("flute"), 2)])
    heard = Timeline(stage.heard("drums")).then(Change(20 / rate, mix, 9 / rate))
    heard = heard.then(Change(45 / rate, stage.heard("flute"), 4 / rate))
    ended = stage.play(stage.until(frame), heard)
    assert torch.equal(ended, stage.play(heard=heard, automation=stage.jump(frame)))


def test_a_negative_ends_with_it(stage):
    away = combined([(stage.heard("piano"), 1), (stage.heard("flute"), 2)])
    ended = stage.play(stage.until(WITHIN), negative=away)
    assert torch.equal(ended, stage.play(automation=stage.jump(WITHIN), negative=away))


@pytest.mark.parametrize("frame", [2, 5, WITHIN])
def test_a_recording_that_is_continued_counts(stage, frame):
    """Guidance may end within it: then there is none."""
    prompt = torch.arange(4 * 5).view(1, 4, 5) % 64
    ended = stage.play(stage.until(frame), prompt=prompt)
    assert torch.equal(ended, stage.play(automation=stage.jump(frame), prompt=prompt))


def test_a_state_goes_on_to_the_same_music(stage):
    whole, sampling = stage.play(stage.until(WITHIN)), stage.until(WITHIN)
    for pieces in (10, 18, 21, 30, 55):
        begun = Composition(stage.engine, Direction(stage.heard("drums"), None, sampling), seed=3)
        done = sum(piece.shape[2] for piece in islice(begun.frames(COUNT), pieces))
        rest = list(Composition.resumed(stage.engine, begun.state()).rest())
        assert torch.equal(torch.cat(rest, dim=2), whole[:, :, done:])


def test_guidance_does_not_come_back(hall):
    """Its rows would have no past. Before its end it may be told to last, and behind it anything
    else may be said.
    """
    begun = Direction(hall.heard("drums"), None, hall.until(WITHIN))
    lasting, later = replace(begun, sampling=SAMPLING), replace(begun, positive=hall.heard("flute"))
    composition = Composition(hall.engine, begun, seed=3)
    playing = composition.frames(COUNT)
    list(islice(playing, 30))
    for say in (composition.steer, lambda direction: composition.redraw(direction.sampling)):
        with pytest.raises(Refused, match="direction: got guidance, after it has ended"):
            say(lasting)
    composition.redraw(replace(SAMPLING, cfg=1, temperature=1.5))
    composition.steer(later)
    assert sum(piece.shape[2] for piece in playing) > 20
    early = Composition(hall.engine, begun, seed=3)
    pieces = list(islice(playing := early.frames(COUNT), 10))
    at = early.steer(lasting)
    pieces += playing
    assert at < WITHIN and torch.equal(torch.cat(pieces, dim=2), hall.play())


@pytest.mark.parametrize("second", [-1, -0.001, float("nan")])
def test_a_moment_that_cannot_be_is_refused(hall, second):
    with pytest.raises(Refused, match="guidance_until: got .*, expected 0 s or more"):
        hall.play(replace(SAMPLING, guidance_until_s=second))
