"""Properties of the generator, on a fake engine where the model does not matter."""

import copy
from dataclasses import replace

import pytest
import torch

from musicgraph.models.compose import composition as generate_module
from musicgraph.models.compose.composition import stream
from musicgraph.models.conditioning import Conditioning
from musicgraph.models.config import Generation, LMConfig, LongForm, Sampling
from musicgraph.models.engines.drawing import TorchNoise, tokens_from
from musicgraph.models.engines.session import Session, TorchEngine
from musicgraph.models.refused import Refused

CONFIG = LMConfig(
    hidden_size=8,
    num_layers=1,
    num_heads=1,
    ffn_size=8,
    codebook_size=32,
    num_codebooks=4,
    channels=1,
    text_size=8,
    frame_rate=50.0,
    sample_rate=16000,
    window_frames=40,
)


class FakeEngine:
    """Logits that depend on the steps read so far, and a record of what was asked of it."""

    name = "fake"
    device = torch.device("cpu")
    precision = "fp16"

    def __init__(self, config=CONFIG):
        self.config = config
        self.sessions = []

    def open(self, rows=0, max_steps=0):
        self.sessions.append(FakeSession(self.config, max_steps))
        return self.sessions[-1]

    noise = staticmethod(TorchNoise)
    draw = staticmethod(tokens_from)


class FakeSession(Session):
    def __init__(self, config, max_steps):
        self.config, self.max_steps, self.read = config, max_steps, []
        self.heard = []

    def admitting(self, heard, max_steps):
        yield from ()
        self.heard.append((len(self.read), heard))
        return len(self.heard) - 1

    def listen(self, slot, heard):
        self.heard.append((len(self.read), heard))

    def leave(self, slot):
        pass

    def step(self, slots, tokens):
        branches = len(self.heard[0][1])
        tokens = tokens.repeat_interleave(branches, dim=0)
        self.read.append(tokens.clone())
        seen = torch.cat(self.read, dim=2)
        weights = torch.arange(1, seen.shape[2] + 1)
        turn = (seen * weights).sum(dim=(1, 2))  # [R]
        wave = torch.arange(self.config.codebook_size) * 0.7
        place = torch.arange(self.config.num_codebooks)[None, :, None]
        return torch.sin(wave + turn[:, None, None] + place)


def unconditional(batch=1):
    return Conditioning(
        ("",) * batch, torch.zeros(batch, 1, 8), torch.zeros(batch, 1, dtype=torch.bool)
    )


def generate(frames, seed=0, batch=1, engine=None, prompt=None, overlap=None, **sampling):
    sampling = Sampling(**{"top_k": 16, "cfg": 1.0, **sampling})
    generation = Generation(frames, seed, sampling, overlap)
    return torch.cat(
        list(stream(engine or FakeEngine(), generation, unconditional(batch), prompt=prompt)), dim=2
    )


@pytest.mark.parametrize("frames", [*range(1, 12), 39, 40, 41, 79, 100])
def test_as_many_frames_come_out_as_were_asked_for(frames):
    tokens = generate(frames, batch=2)
    assert tokens.shape == (2, 4, frames)
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < CONFIG.codebook_size


def test_every_step_yields_and_frames_come_as_soon_as_they_are_whole():
    engine = FakeEngine()
    sizes = []
    for piece in stream(
        engine, Generation(10, sampling=Sampling(cfg=1, top_k=16)), unconditional()
    ):
        sizes.append(piece.shape[2])
        assert len(engine.sessions[0].read) == len(sizes), "one step for each piece"
    assert sizes == [0] * CONFIG.max_delay + [1] * 10


def test_closing_the_generator_stops_at_once():
    engine = FakeEngine()
    frames = stream(engine, Generation(30, sampling=Sampling(cfg=1, top_k=16)), unconditional())
    next(frames)
    frames.close()
    assert len(engine.sessions[0].read) == 1


@pytest.mark.parametrize("frames", [1, 3, 30, 100])
def test_reading_late_changes_no_token_and_is_never_later_than_the_lag(frames, monkeypatch):
    """What happens on a GPU, where reading lags behind drawing."""
    prompt = generate(10, seed=3, batch=2) if frames > 10 else None
    at_once = generate(frames, seed=9, batch=2, prompt=prompt)
    monkeypatch.setattr(generate_module, "lag_on", lambda device: 8)
    engine, pieces = FakeEngine(), []
    for piece in stream(
        engine, Generation(frames, 9, Sampling(cfg=1, top_k=16)), unconditional(2), prompt=prompt
    ):
        pieces.append(piece)
        drawn = [len(session.read) for session in engine.sessions]
        assert sum(drawn) <= len(pieces), "every step yields"
        due = sum(
            max(0, steps - CONFIG.max_delay - 8) for steps in drawn
        )  # a frame takes max_delay steps more
        assert sum(p.shape[2] for p in pieces) >= due
    assert torch.equal(torch.cat(pieces, dim=2), at_once)


def test_the_engine_reads_the_special_token_wherever_the_pattern_is_undefined():
    engine = FakeEngine()
    tokens = generate(6, engine=engine)
    read = torch.cat(engine.sessions[0].read, dim=2)[0]  # [K, steps]
    special = CONFIG.special_token
    assert (read[:, 0] == special).all()
    for k in range(4):
        assert (read[k, : 1 + k] == special).all()
        assert torch.equal(read[k, 1 + k : 7 + k], tokens[0, k, : read.shape[1] - 1 - k])
        assert (read[k, 7 + k :] == special).all()


def test_same_seed_same_tokens_and_another_seed_others():
    assert torch.equal(generate(20, seed=7), generate(20, seed=7))
    assert not torch.equal(generate(20, seed=7), generate(20, seed=8))


def test_item_i_of_a_batch_draws_like_a_single_item_of_seed_plus_i():
    batch = generate(20, seed=5, batch=3)
    for i in range(3):
        assert torch.equal(batch[i : i + 1], generate(20, seed=5 + i))


def test_the_largest_seed_of_a_graph_works():
    assert generate(3, seed=2**64 - 1, batch=2).shape == (2, 4, 3)


def test_temperature_zero_ignores_the_seed():
    assert torch.equal(generate(20, seed=1, temperature=0), generate(20, seed=2, temperature=0))


@pytest.mark.parametrize("frames", [41, 64, 150])
def test_longer_than_a_window_each_window_hears_the_end_of_the_last(frames):
    engine = FakeEngine()
    tokens = generate(frames, engine=engine, overlap=15)
    first, second = engine.sessions[:2]
    prefill = torch.cat(second.read[:2], dim=2)[
        0
    ]  # [K, 1 + 15] steps: the special one, then the overlap, delayed
    assert prefill.shape[1] == 16
    assert torch.equal(prefill[0, 1:], tokens[0, 0, 25:40])
    assert all(
        session.max_steps <= CONFIG.window_frames + CONFIG.max_delay for session in engine.sessions
    )


LONG = replace(CONFIG, long_form=LongForm(30, 8, 10))


def test_long_music_of_a_model_that_says_so_is_made_in_short_windows():
    engine = FakeEngine(LONG)
    tokens = generate(67, engine=engine)
    lengths = [session.max_steps - CONFIG.max_delay for session in engine.sessions]
    assert lengths == [30, 18, 18, 18, 15]
    for session, end in zip(engine.sessions[1:], (30, 40, 50, 60), strict=True):
        prefill = torch.cat(session.read[:2], dim=2)[0]
        assert torch.equal(prefill[0, 1:], tokens[0, 0, end - 8 : end])


def test_music_no_longer_than_the_first_window_is_as_without_a_long_form():
    assert torch.equal(generate(30, engine=FakeEngine(LONG)), generate(30))


@pytest.mark.parametrize(("known", "windows"), [(12, [30, 18]), (25, [35, 13]), (33, [15])])
def test_a_long_form_goes_on_from_a_prompt_of_any_length(known, windows):
    """A short one is the beginning of the first window, which plays on as far as any other does."""
    engine, prompt = FakeEngine(LONG), generate(known, seed=3)
    tokens = generate(40, seed=9, prompt=prompt, engine=engine)
    assert torch.equal(tokens[:, :, :known], prompt) and tokens.shape[2] == 40
    assert [one.max_steps - CONFIG.max_delay for one in engine.sessions] == windows


def test_an_overlap_that_is_asked_for_counts_in_a_long_form_too():
    engine = FakeEngine(LONG)
    generate(45, engine=engine, overlap=20)
    assert [one.max_steps - CONFIG.max_delay for one in engine.sessions] == [30, 30, 25]


def test_a_prompt_is_the_beginning_of_the_result():
    prompt = generate(10, seed=3)
    tokens = generate(25, seed=9, prompt=prompt)
    assert tokens.shape[2] == 25
    assert torch.equal(tokens[:, :, :10], prompt)


def test_a_prompt_longer_than_a_window_is_continued_from_its_end():
    prompt = generate(100, seed=3)
    engine = FakeEngine()
    tokens = generate(120, seed=4, prompt=prompt, engine=engine, overlap=15)
    assert torch.equal(tokens[:, :, :100], prompt)
    prefill = torch.cat(engine.sessions[0].read[:2], dim=2)
    assert torch.equal(prefill[0, 0, 1:], prompt[0, 0, -15:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top_k": 0}, "top_k: got 0"),
        ({"top_k": 33}, "top_k: got 33"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"cfg": float("nan")}, "cfg"),
    ],
)
def test_settings_out_of_range_are_refused_by_name_before_the_first_step(change, message):
    engine = FakeEngine()
    with pytest.raises(Refused, match=message):
        stream(engine, Generation(5, sampling=Sampling(**{"top_k": 16, **change})), unconditional())
    assert not engine.sessions


@pytest.mark.parametrize("duration", [0, -1, float("nan"), float("inf"), 601])
def test_impossible_durations_are_refused(duration):
    with pytest.raises(Refused, match="duration: got"):
        CONFIG.frames(duration)


def test_prompts_that_do_not_fit_are_refused():
    for shape, value in [((1, 8, 5), 0), ((2, 4, 5), 0), ((1, 4, 20), 0), ((1, 4, 5), 32)]:
        with pytest.raises(Refused, match="audio prompt: got"):
            generate(20, prompt=torch.full(shape, value))


@pytest.mark.parametrize("overlap", [0, 3, 40])
def test_an_overlap_that_no_window_can_have_is_refused(overlap):
    with pytest.raises(
        Refused, match="overlap: got .* s, expected 0.08 to 0.78 s, less than a window"
    ):
        generate(100, overlap=overlap)


def test_two_runs_at_once_do_not_disturb_each_other(mono):
    """Sessions own all state: interleaved runs give what each gives alone."""
    engine = TorchEngine(mono.lm)
    conditioning = mono.text.encode(["drums"])
    generations = [Generation(12, seed, Sampling(top_k=50)) for seed in (1, 2)]
    alone = [torch.cat(list(stream(engine, g, conditioning)), dim=2) for g in generations]
    together = list(zip(*(stream(engine, g, conditioning) for g in generations), strict=True))
    for i in range(2):
        assert torch.equal(torch.cat([pair[i] for pair in together], dim=2), alone[i])


def test_a_long_prompt_is_read_in_pieces_between_which_a_stop_is_heard():
    engine, prompt = FakeEngine(), torch.randint(0, 16, (1, 4, 35))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate_module, "READ_STEPS", 10)
        whole = list(
            stream(
                engine,
                Generation(38, sampling=Sampling(cfg=1, top_k=16)),
                unconditional(),
                prompt=prompt,
            )
        )
    (session,) = engine.sessions
    assert [read.shape[2] for read in session.read[:5]] == [10, 10, 10, 5, 1]
    assert torch.equal(torch.cat(whole, dim=2)[:, :, :35], prompt)
    at_once = FakeEngine()
    again = stream(
        at_once, Generation(38, sampling=Sampling(cfg=1, top_k=16)), unconditional(), prompt=prompt
    )
    assert torch.equal(torch.cat(list(again), dim=2), torch.cat(whole, dim=2))


class Overflowing(FakeEngine):
    """Gives `value` as one logit of one row at one step of the music."""

    def __init__(self, value, step, row):
        super().__init__()
        self.spoilt = value, step, row

    def open(self, rows=0, max_steps=0):
        session = super().open(rows, max_steps)
        good, (value, at, row) = session.step, self.spoilt

        def step(slots, tokens):
            logits = good(slots, tokens)
            if sum(one.max_steps for one in self.sessions[:-1]) + len(session.read) == at:
                logits[row, 2, 7] = value
            return logits

        session.step = step
        return session


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0}, {"top_p": 0.5}])
@pytest.mark.parametrize("lag", [0, 8])
def test_a_logit_that_is_no_number_stops_the_run_with_step_item_and_precision(
    monkeypatch, value, sampling, lag
):
    monkeypatch.setattr(generate_module, "lag_on", lambda device: lag)
    for step in (1, 9, 23):  # the first, one in the middle, the last
        with pytest.raises(Refused, match=rf"step {step} of item 2 \(precision fp16\)") as caught:
            generate(20, batch=3, engine=Overflowing(value, step, row=1), **sampling)
        assert "bf16 or fp32" in caught.value.remedy


@pytest.mark.parametrize("row", [2, 3])
def test_either_half_of_guidance_is_looked_at(row):
    heard = Conditioning(("a",) * 3, torch.ones(3, 1, 8), torch.ones(3, 1, dtype=torch.bool))
    generation = Generation(20, sampling=Sampling(cfg=3.0, top_k=16))
    with pytest.raises(Refused, match="step 5 of item 2"):
        list(stream(Overflowing(float("inf"), 5, row), generation, heard))


def test_the_step_is_counted_from_the_beginning_of_the_music():
    # the first window has 43 steps; the second begins at frame 25, reads 15 at once, and then one
    # after the other
    engine = Overflowing(float("nan"), 43 + 1 + 21, row=0)
    with pytest.raises(Refused, match="step 61 of item 1"):
        generate(100, engine=engine, overlap=15)


def test_numbers_however_large_are_drawn_from():
    assert generate(20, engine=Overflowing(1e30, 5, row=0)).shape == (1, 4, 20)


def test_an_overflow_inside_the_model_is_noticed_in_half_precision_only(mono):
    """Weights that half precision holds, and sums that it does not."""
    lm = copy.deepcopy(mono.lm)
    lm.layers[1].fc1.weight.data.mul_(300)
    lm.layers[1].fc2.weight.data.mul_(3000)
    text, generation = mono.text.encode(["drums"]), Generation(10, 0, Sampling(top_k=16))
    with pytest.raises(Refused, match="precision fp16.*choose precision bf16 or fp32"):
        list(stream(TorchEngine(copy.deepcopy(lm).half()), generation, text))
    for fine in (copy.deepcopy(lm).bfloat16(), lm):
        assert sum(x.shape[2] for x in stream(TorchEngine(fine), generation, text)) == 10
