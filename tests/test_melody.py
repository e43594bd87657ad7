"""Melody models ≡ transformers' on checkpoints that transformers wrote, on every engine."""

import copy
import functools
import sys
from dataclasses import replace

import pytest
import torch
from sessions import opened
from test_cuda_engine import Rerun, WithoutGpu
from transformers import AutoTokenizer

from musicgraph.models.compose.composition import Composition, Direction, stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.conditioning import Melody
from musicgraph.models.config import ChromaConfig, Generation, Sampling
from musicgraph.models.engines import cuda_graphs
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.refused import Refused

TEXTS = ["a happy song with drums and a long description", "piano"]
ENGINES = ("torch", "cuda graph", "numba fp32", "numba int8")
EXACT = ENGINES[:3]
GREEDY = {"temperature": 0.0, "top_k": 1}
MAX_INT8_ERROR = 0.05  # of all logits together, as for text models of this size


@pytest.fixture(scope="module")
def engine_of():
    """An engine of one of those kinds, for a tiny checkpoint."""
    patch = pytest.MonkeyPatch()
    patch.setattr(cuda_graphs, "Recorder", Rerun)

    @functools.cache
    def made(tiny, name):
        if name.startswith("numba"):
            return NumbaEngine(tiny.checkpoint, name.removeprefix("numba "))
        return (TorchEngine if name == "torch" else WithoutGpu)(tiny.lm)

    yield made
    patch.undo()


def random_melody(config, frames, items=1, seed=0):
    generator = torch.manual_seed(seed)
    classes = torch.randint(0, config.chroma.bins, (items, frames), generator=generator)
    chroma = torch.nn.functional.one_hot(classes, config.chroma.bins).float()
    return Melody(chroma, config.sample_rate / config.chroma.hop)


def conditioned(tiny, texts, melody=None):
    encoded = tiny.text.encode(texts)
    return encoded if melody is None else encoded.with_melody(melody)


def greedy(tiny, engine, texts, frames, cfg=1.0, melody=None, **kwargs):
    generation = Generation(frames, sampling=Sampling(cfg=cfg, **GREEDY))
    pieces = stream(engine, generation, conditioned(tiny, texts, melody), **kwargs)
    return torch.cat(list(pieces), dim=2)


def for_upstream(tiny, text, melody):
    batch = AutoTokenizer.from_pretrained(tiny.folder)([text], return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return inputs if melody is None else {**inputs, "input_features": melody.chroma}


def upstream_tokens(tiny, text, frames, cfg, melody):
    """What upstream's generate hands to its codec."""
    channels, decode = [], tiny.upstream.audio_encoder.decode

    def spy(codes, *args, **kwargs):
        channels.append(codes[0])
        return decode(codes, *args, **kwargs)

    tiny.upstream.audio_encoder.decode = spy
    try:
        tiny.upstream.generate(
            **for_upstream(tiny, text, melody),
            do_sample=False,
            guidance_scale=cfg,
            max_new_tokens=frames + tiny.config.max_delay,
        )
    finally:
        del tiny.upstream.audio_encoder.decode
    return torch.stack(channels, dim=2).flatten(1, 2)


def test_a_melody_model_is_known_by_its_configuration(melody):
    config = melody.config
    assert config.chroma == ChromaConfig(bins=12, frames=9, window=16384)
    assert not config.cross_attention
    assert melody.lm.sound_projection.weight.equal(melody.upstream.audio_enc_to_dec_proj.weight)


@pytest.mark.parametrize("length", [None, 3, 9, 14], ids="{} frames of melody".format)
@pytest.mark.parametrize("name", ENGINES)
def test_teacher_forced_logits_equal_upstream(melody, engine_of, name, length):
    """Without a melody, and with one that is shorter or longer than what a model reads."""
    config, T = melody.config, 20
    tune = None if length is None else random_melody(config, length)
    shape = (1, config.num_codebooks, T)
    frames = torch.randint(0, config.codebook_size, shape, generator=torch.manual_seed(1))
    steps = delayed(frames, config.delays, config.special_token)[:, :, :T]
    for text in TEXTS:
        with torch.inference_mode():
            inputs = for_upstream(melody, text, tune)
            theirs = melody.upstream(**inputs, decoder_input_ids=steps[0]).logits[:, -T:]
        session = opened(engine_of(melody, name), conditioned(melody, [text], tune), max_steps=T)
        ours = [session.step(steps[:, :, :7])]
        ours += [session.step(steps[:, :, t : t + 1]) for t in range(7, T)]
        difference = torch.cat(ours).transpose(0, 1) - theirs[:, 6:]
        if name == "numba int8":
            assert float(difference.norm() / theirs[:, 6:].norm()) < MAX_INT8_ERROR
        else:
            assert float(difference.abs().max()) < 1e-4


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("length", [None, 14], ids=["without", "with"])
@pytest.mark.parametrize("name", EXACT)
def test_greedy_tokens_equal_upstream(melody, engine_of, name, length, cfg):
    """Item by item, since upstream reads the padding of a shorter text."""
    tune = None if length is None else random_melody(melody.config, length)
    ours = greedy(melody, engine_of(melody, name), TEXTS, 25, cfg, tune)
    assert len(ours.unique()) > 10, "a test that compares constant tokens shows nothing"
    for item, text in enumerate(TEXTS):
        assert torch.equal(ours[item : item + 1], upstream_tokens(melody, text, 25, cfg, tune))


def test_a_melody_is_followed(melody_mono):
    engine = TorchEngine(melody_mono.lm)
    one, other = (random_melody(melody_mono.config, 9, seed=seed) for seed in (0, 1))
    with_one = greedy(melody_mono, engine, ["piano"], 25, 3.0, one)
    assert not torch.equal(with_one, greedy(melody_mono, engine, ["piano"], 25, 3.0, other))
    assert not torch.equal(with_one, greedy(melody_mono, engine, ["piano"], 25, 3.0))


def test_a_melody_alone_is_not_unconditional(melody_mono):
    engine, tune = TorchEngine(melody_mono.lm), random_melody(melody_mono.config, 9)
    alone = greedy(melody_mono, engine, [""], 25, 3.0, tune)
    assert not torch.equal(alone, greedy(melody_mono, engine, [""], 25, 3.0))
    assert not torch.equal(alone, greedy(melody_mono, engine, [""], 25, 1.0, tune))


@pytest.mark.parametrize("name", ["torch", "numba fp32", "numba int8", "numba int4"])
def test_an_item_is_the_same_alone_and_in_company(melody_mono, engine_of, name):
    """To the last bit on Numba: beside texts of other lengths, each to a melody of its own."""
    engine = engine_of(melody_mono, name)
    texts = [*TEXTS, "", "slow drums"]
    tunes = random_melody(melody_mono.config, 14, items=4)
    batch = conditioned(melody_mono, texts, tunes)
    for item in range(len(texts)):
        together, alone = (opened(engine, one, 9, 3.0) for one in (batch, batch.item(item)))
        for step in torch.randint(0, 64, (8, 1, 4, 1)):
            got = together.step(step.expand(4, -1, -1))[2 * item : 2 * item + 2]
            expected = alone.step(step)
            if name == "torch":
                torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
            else:
                assert torch.equal(got, expected)


@pytest.mark.parametrize("name", ENGINES)
def test_a_slot_that_comes_later_gets_what_it_gets_alone(melody_mono, engine_of, name):
    """Its prefix is read while the other is elsewhere."""
    engine, tune = engine_of(melody_mono, name), random_melody(melody_mono.config, 5)
    early, late = ([conditioned(melody_mono, [text], tune), None] for text in TEXTS)
    steps = torch.randint(0, 64, (6, 1, 4, 1))
    session = engine.open()
    first = session.admit(early, 6)
    for step in steps[:2]:
        session.step([first], step)
    second = session.admit(late, 6)
    alone = engine.open()
    slot = alone.admit(late, 6)
    for step in steps[2:]:
        got = session.step([first, second], torch.cat([step, step]))[2:]
        expected = alone.step([slot], step)
        if engine.name == "numba":
            assert torch.equal(got, expected)
        else:
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_a_negative_text_takes_the_place_of_nothing(melody_mono):
    """Whichever of both is longer."""
    engine, tune = TorchEngine(melody_mono.lm), random_melody(melody_mono.config, 9)
    for positive, negative in (TEXTS, TEXTS[::-1]):
        away = melody_mono.text.encode([negative])
        pushed = greedy(melody_mono, engine, [positive], 25, 3.0, tune, negative=away)
        assert not torch.equal(pushed, greedy(melody_mono, engine, [positive], 25, 3.0, tune))


@pytest.mark.parametrize("name", ENGINES)
def test_a_long_prefix_is_read_in_pieces_between_which_a_stop_is_heard(
    melody_mono, engine_of, name, monkeypatch
):
    engine, tune = engine_of(melody_mono, name), random_melody(melody_mono.config, 9)
    heard, step = [conditioned(melody_mono, ["piano"], tune), None], torch.full((1, 4, 1), 64)
    whole, pieces = engine.open(), engine.open()
    at_once = whole.step([whole.admit(heard, 5)], step)
    module = sys.modules[type(pieces).__module__]
    monkeypatch.setattr(module, "PREFIX_STEPS", 4)
    reading = pieces.admitting(heard, 5)
    assert [next(reading) for _ in range(4)] == [None] * 4, "9 frames and 6 tokens"
    with pytest.raises(StopIteration) as end:
        next(reading)
    got = pieces.step([end.value.value], step)
    if engine.name == "numba":
        assert torch.equal(got, at_once)
    else:
        torch.testing.assert_close(got, at_once, atol=1e-5, rtol=0)


# ---------------------------------------------------------------- windows


def test_a_window_hears_its_own_share_of_the_melody():
    chroma = torch.nn.functional.one_hot(torch.arange(10), 12).float().unsqueeze(0)
    tune = Melody(chroma, frame_rate=2.0)
    heard = [tune.at(begin_s).chroma[0, :4].argmax(-1).tolist() for begin_s in (0, 1.5, 4, 12)]
    assert heard == [[0, 1, 2, 3], [3, 4, 5, 6], [8, 9, 0, 1], [4, 5, 6, 7]], "it wraps around"


@pytest.mark.parametrize("name", EXACT)
def test_beyond_a_window_the_melody_goes_on(melody_mono, engine_of, name):
    """The second window is what a melody that begins there gives after the same prompt."""
    engine, config = copy.copy(engine_of(melody_mono, name)), melody_mono.config
    engine.config = replace(config, window_frames=40)
    tune = random_melody(config, 14)
    whole = greedy(melody_mono, engine, ["piano"], 64, 3.0, tune)
    begin_s = 24 / config.frame_rate  # 16 frames, 40 % of a window, are heard again
    rolled = tune.at(begin_s)
    assert not torch.equal(rolled.chroma, tune.chroma)
    prompt = whole[:, :, 24:40]
    second = greedy(melody_mono, engine, ["piano"], 40, 3.0, rolled, prompt=prompt)
    assert torch.equal(whole[:, :, 24:], second)


@pytest.fixture(scope="module")
def band(melody_mono):
    """An engine with a window of 40 frames, and two directions."""
    engine = TorchEngine(melody_mono.lm)
    engine.config = replace(melody_mono.config, window_frames=40)
    tunes = (random_melody(melody_mono.config, 14, seed=seed) for seed in (0, 1))
    ways = [
        Direction(conditioned(melody_mono, [text], tune), None, Sampling(top_k=50))
        for text, tune in zip(TEXTS, tunes, strict=True)
    ]
    return engine, *ways


def steered(composition, sayings, count=100):
    pieces, announced = [], []
    for number, piece in enumerate(composition.frames(count)):
        pieces.append(piece)
        if number in sayings:
            announced.append(composition.steer(sayings[number]))
    return torch.cat(pieces, dim=2), announced


def test_another_melody_is_followed_from_the_next_window_on(band):
    """The prefix has been read; guidance and temperature change at once."""
    engine, one, other = band
    plain, _ = steered(Composition(engine, one, seed=3), {})
    tokens, announced = steered(Composition(engine, one, seed=3), {20: other})
    assert announced == [40]
    assert torch.equal(tokens[:, :, :40], plain[:, :, :40])
    assert not torch.equal(tokens[:, :, 40:], plain[:, :, 40:])
    wild = replace(one, sampling=Sampling(top_k=60, temperature=1.5))
    at_once = steered(Composition(engine, one, seed=3), {20: wild})[1]
    assert at_once == [19], "the first two pieces were the prefix's"


@pytest.mark.parametrize("moments", [(5,), (20, 30), (44, 60, 80)])
def test_a_performance_replays_and_goes_on_to_the_same_tokens(band, moments):
    engine, one, other = band
    wild = replace(other, sampling=Sampling(top_k=60, temperature=1.5))
    sayings = dict(zip(moments, (other, wild, one), strict=False))
    performance = Composition(engine, one, seed=3)
    tokens, announced = steered(performance, sayings)
    assert [frame for frame, _ in performance.schedule] == announced
    replayed = Composition(engine, one, seed=3, schedule=performance.schedule)
    assert torch.equal(torch.cat(list(replayed.frames(100)), dim=2), tokens)
    again = Composition(engine, one, seed=3, schedule=performance.schedule)
    pieces = again.frames(100)
    before = sum(next(pieces).shape[2] for _ in range(70))
    rest = list(Composition.resumed(engine, again.state()).rest())
    assert torch.equal(torch.cat(rest, dim=2), tokens[:, :, before:])


# ---------------------------------------------------------------- what does not fit


def test_what_was_made_for_another_kind_of_model_is_refused(melody_mono, mono):
    tune = random_melody(melody_mono.config, 9)
    with pytest.raises(Refused, match="melody: got a model that hears text only"):
        greedy(mono, TorchEngine(mono.lm), ["piano"], 9, melody=tune)
    faster = replace(tune, frame_rate=1.0)
    with pytest.raises(Refused, match="12 pitch classes, 1 times a second, expected 12, 1.95312"):
        greedy(melody_mono, TorchEngine(melody_mono.lm), ["piano"], 9, melody=faster)
    wide = mono.text.encode(["piano"])
    wide = replace(wide, states=torch.zeros(1, wide.states.shape[1], 25))
    with pytest.raises(Refused, match="conditioning: got text states of 25 numbers, expected 24"):
        Composition(TorchEngine(melody_mono.lm), Direction(wide, sampling=Sampling(top_k=9)))


def test_texts_and_melodies_come_in_equal_numbers_or_one_for_all(melody_mono):
    config = melody_mono.config
    texts = melody_mono.text.encode(TEXTS)
    assert len(melody_mono.text.encode(["piano"]).with_melody(random_melody(config, 9, 3))) == 3
    assert texts.with_melody(random_melody(config, 9, 1)).melody.chroma.shape == (2, 9, 12)
    with pytest.raises(Refused, match="melody: got 3 for 2 texts, expected 1 or 2"):
        texts.with_melody(random_melody(config, 9, 3))
