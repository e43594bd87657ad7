"""The GPU engine.

What is recorded is checked on the CPU, with a recorder that runs again what a graph would replay.
"""

import copy

import pytest
import torch
from sessions import opened
from torch.utils._python_dispatch import TorchDispatchMode

from musicgraph.models.compose import composition
from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines import cuda_graphs
from musicgraph.models.engines.cuda_graphs import (
    SPAN,
    CudaGraphEngine,
    CudaGraphSession,
    StaticStep,
)
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.lm import Reading, seen_from
from musicgraph.models.refused import Refused

TEXTS = ["a happy song with drums", "piano", ""]
GREEDY = Sampling(temperature=0.0, top_k=1)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA or AMD GPU")


class Rerun:
    """In place of the recorder."""

    made = 0

    def __init__(self, device):
        pass

    def record(self, run):
        Rerun.made += 1
        run()
        return run


class WithoutGpu(CudaGraphEngine):
    def open(self, rows=0, max_steps=0):
        return CudaGraphSession(self.lm, rows, max_steps)


@pytest.fixture
def rerun(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "Recorder", Rerun)
    monkeypatch.setattr(Rerun, "made", 0)


def random_steps(config, count, batch=3):
    frames = torch.randint(0, config.codebook_size, (batch, config.num_codebooks, count))
    return delayed(frames, config.delays, config.special_token)[:, :, :count]


def logits(session, steps, prefill):
    made = [session.step(steps[:, :, :prefill])]
    made += [session.step(steps[:, :, t : t + 1]) for t in range(prefill, steps.shape[2])]
    return torch.stack(made, dim=2)


def tokens(engine, conditioning, frames, sampling=GREEDY):
    return torch.cat(list(stream(engine, Generation(frames, 3, sampling), conditioning)), dim=2)


def in_type(lm, dtype, device="cpu"):
    return copy.deepcopy(lm).to(device, dtype)


def test_attention_to_all_of_the_cache_behind_a_mask_equals_attention_to_what_is_there(tiny):
    steps, every = random_steps(tiny.config, 12), slice(0, len(TEXTS))
    with torch.inference_mode():
        text = tiny.lm.read_text(tiny.text.encode(TEXTS))
        exact, masked = (tiny.lm.allocate(len(TEXTS), 40) for _ in range(2))
        for t in range(12):
            place, x = torch.tensor([t]), tiny.lm.embed(steps[:, :, t : t + 1])
            plain = Reading(every, place, t + 1, None, None, text, every)
            wide = Reading(every, place, 40, seen_from(place, 40), None, text, every)
            got = tiny.lm.logits(tiny.lm(x, masked, wide))
            expected = tiny.lm.logits(tiny.lm(x, exact, plain))
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("prefill", [1, 7, SPAN - 3, SPAN + 3])
def test_logits_equal_those_of_the_torch_engine(tiny, prefill, rerun):
    text = tiny.text.encode(TEXTS)
    steps = random_steps(tiny.config, prefill + 8)
    ours, theirs = (opened(e(tiny.lm), text, steps.shape[2]) for e in (WithoutGpu, TorchEngine))
    torch.testing.assert_close(
        logits(ours, steps, prefill), logits(theirs, steps, prefill), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_to_its_own_rounding(mono, dtype, rerun):
    lm = in_type(mono.lm, dtype)
    text, steps = mono.text.encode(TEXTS), random_steps(mono.config, 20)
    ours, theirs = (logits(opened(e(lm), text, 20, 3), steps, 5) for e in (WithoutGpu, TorchEngine))
    assert ours.dtype == torch.float32
    rounding = 100 * torch.finfo(dtype).eps  # of numbers around 1, through three layers
    torch.testing.assert_close(ours, theirs, atol=rounding * float(theirs.std()), rtol=0)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_greedy_tokens_equal_those_of_the_torch_engine_with_a_recording_for_each_span(
    mono, cfg, rerun
):
    text, sampling = mono.text.encode(TEXTS), Sampling(temperature=0.0, top_k=1, cfg=cfg)
    ours = tokens(WithoutGpu(mono.lm), text, SPAN + 20, sampling)
    assert Rerun.made == 2
    assert torch.equal(ours, tokens(TorchEngine(mono.lm), text, SPAN + 20, sampling))


def test_music_without_a_text_has_no_text_to_look_at(mono, rerun):
    text = mono.text.encode([""])
    assert torch.equal(
        tokens(WithoutGpu(mono.lm), text, 12), tokens(TorchEngine(mono.lm), text, 12)
    )


def test_sessions_of_one_engine_do_not_disturb_each_other(mono, rerun):
    text = mono.text.encode(TEXTS)
    steps = [random_steps(mono.config, 10) for _ in range(2)]
    engine = WithoutGpu(mono.lm)
    alone = [logits(opened(engine, text, 10), s, 1) for s in steps]
    sessions = [opened(engine, text, 10) for _ in steps]
    for t in range(10):
        for i in range(2):
            assert torch.equal(sessions[i].step(steps[i][:, :, t : t + 1]), alone[i][:, :, t])


def listening(model):
    """A step with a row for each text."""
    step = StaticStep(model.lm, len(TEXTS), 20)
    with torch.inference_mode():
        for row in range(len(TEXTS)):
            step.hear(row, model.lm.read_text(model.text.encode(TEXTS).item(row)))
    return step


def test_the_recorded_step_is_one_trace_for_all_positions(tiny):
    """A graph replays what it recorded: nothing in it may depend on what only the host knows."""
    recorded, plain = (listening(tiny) for _ in range(2))
    traces = []

    def backend(traced, inputs):
        traces.append(traced)
        return traced.forward

    read = torch.compile(recorded.read, fullgraph=True, backend=backend)
    steps = random_steps(tiny.config, 5)
    with torch.inference_mode():
        for t in range(5):
            for step in (recorded, plain):
                step.tokens.copy_(steps[:, :, t : t + 1])
                step.positions.copy_(torch.tensor([[t], [t], [4 - t]]))
            read(SPAN)
            plain.read(SPAN)
            assert torch.equal(recorded.logits, plain.logits)
    assert len(traces) == 1
    torch._dynamo.reset()


def test_reading_a_step_again_changes_nothing(mono):
    """Warming up runs the very step that is then recorded."""
    step = listening(mono)
    with torch.inference_mode():
        step.positions.zero_()
        step.read(SPAN)
        before = step.logits.clone()
        step.read(SPAN)
    assert torch.equal(step.logits, before)


class Traffic(TorchDispatchMode):
    """Counts what is copied from the CPU to the device.

    Reading from a meta device is an error by itself.
    """

    copies = 0

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        made = op(*args, **(kwargs or {}))
        if (
            op is torch.ops.aten._to_copy.default
            and args[0].device.type == "cpu"
            and made.device.type == "meta"
        ):
            self.copies += 1
        return made


@pytest.mark.parametrize("sampling", [Sampling(top_k=9), Sampling(top_k=9, top_p=0.9), GREEDY])
@pytest.mark.parametrize("engine", [WithoutGpu, TorchEngine])
def test_drawing_asks_the_device_for_nothing_and_sends_it_only_noise(
    mono, engine, sampling, rerun, monkeypatch
):
    """On a device without contents, whatever needs a value on the CPU fails."""

    def never_read(drawn, places, first, lag):
        last = len(places[0]) - 1  # that it arrives ends the window
        for step, given in enumerate(drawn, first):
            assert {tensor.device.type for tensor in given} == {"meta"}
            yield step if step == last else first - 1

    monkeypatch.setattr(composition, "bring_back", never_read)
    monkeypatch.setattr(composition, "lag_on", lambda device: 8)
    frames = stream(
        engine(in_type(mono.lm, torch.float32, "meta")),
        Generation(13, 0, sampling),
        mono.text.encode(TEXTS),
    )
    next(frames)  # all that is prepared for a window, and the first block of noise
    with Traffic() as traffic:
        assert len(list(frames)) == 15
    assert traffic.copies == (0 if sampling is GREEDY else 1), "16 steps of noise, 8 at once"


def test_a_model_that_is_not_on_a_gpu_is_refused(mono):
    with pytest.raises(Refused, match="got a model on cpu, expected a GPU"):
        CudaGraphEngine(mono.lm).open()


def test_a_session_does_not_outlive_a_move_of_the_model(mono, rerun):
    lm = copy.deepcopy(mono.lm)
    session = opened(WithoutGpu(lm), mono.text.encode(TEXTS), 10)
    step = random_steps(mono.config, 1)
    session.step(step)
    lm.to(torch.float64)
    with pytest.raises(RuntimeError, match="has moved"):
        session.step(step)


@on_gpu
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_on_a_gpu_greedy_tokens_equal_those_of_the_torch_engine(tiny, cfg):
    lm, text = in_type(tiny.lm, torch.float32, "cuda"), tiny.text.encode(TEXTS)
    sampling = Sampling(temperature=0.0, top_k=1, cfg=cfg)
    ours = tokens(CudaGraphEngine(lm), text, SPAN + 20, sampling)
    assert torch.equal(ours, tokens(TorchEngine(lm), text, SPAN + 20, sampling))


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_on_a_gpu_half_precision_keeps_to_its_own_rounding(mono, dtype):
    lm = in_type(mono.lm, dtype, "cuda")
    text, steps = mono.text.encode(TEXTS), random_steps(mono.config, 20).cuda()
    ours, theirs = (
        logits(opened(e(lm), text, 20), steps, 5) for e in (CudaGraphEngine, TorchEngine)
    )
    torch.testing.assert_close(
        ours, theirs, atol=100 * torch.finfo(dtype).eps * float(theirs.std()), rtol=0
    )


@on_gpu
def test_on_a_gpu_two_runs_at_once_do_not_disturb_each_other(mono):
    engine = CudaGraphEngine(in_type(mono.lm, torch.float32, "cuda"))
    text = mono.text.encode(["drums"])
    generations = [Generation(SPAN + 12, seed, Sampling(top_k=50)) for seed in (1, 2)]
    alone = [torch.cat(list(stream(engine, g, text)), dim=2) for g in generations]
    together = list(zip(*(stream(engine, g, text) for g in generations), strict=True))
    for i in range(2):
        assert torch.equal(torch.cat([pair[i] for pair in together], dim=2), alone[i])


@on_gpu
@pytest.mark.parametrize("engine", [CudaGraphEngine, TorchEngine])
def test_on_a_gpu_the_loop_waits_for_nothing_but_the_steps_it_reads_late(mono, engine):
    frames = stream(
        engine(in_type(mono.lm, torch.float32, "cuda")),
        Generation(100, 0, Sampling(top_k=50)),
        mono.text.encode(TEXTS),
    )
    next(frames)  # preparing a window and recording may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert sum(piece.shape[2] for piece in frames) == 100
    finally:
        torch.cuda.set_sync_debug_mode("default")


@on_gpu
def test_on_a_gpu_the_memory_of_a_session_goes_with_it(mono):
    engine, text = CudaGraphEngine(in_type(mono.lm, torch.float32, "cuda")), mono.text.encode(TEXTS)
    tokens(engine, text, 20)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    tokens(engine, text, SPAN + 20)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == before
