"""Properties of running a graph: order, reuse, events, failure, stopping, streams."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import fakes
import pytest
import torch
from fakes import CLASSES, node, run

from musicgraph.models.limits import Limits
from musicgraph.nodes import host
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows import events
from musicgraph.workflows.bounds import Ledger
from musicgraph.workflows.calls import Outcome
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.problems import NodeError, WorkflowError

SOON = 20.0


@pytest.fixture(autouse=True)
def fresh_counters():
    for one in CLASSES.values():
        for name in ("CALLS", "SHOWN"):
            if name in vars(one):
                vars(one)[name].clear()


@pytest.fixture
def runner():
    return Runner(CLASSES)


def sum_graph(seed=0, value=2):
    return {
        "9": node("Show", value=["3", 0], label="sum"),
        "3": node("Add", a=["1", 0], b=["2", 0], seed=seed),
        "1": node("Number", value=value),
        "2": node("Number", value=5),
    }


def test_nodes_run_after_what_they_need_whatever_the_order_in_the_file(runner):
    result = run(runner, sum_graph(), extra_pnginfo={"workflow": {"id": 1}})
    assert fakes.Show.SHOWN == [(7, "sum", "9")]
    (extra,) = result.ui["9"].pop("extra")
    assert result.ui["9"] == {"values": [7], "size": [4]}
    assert extra["workflow"] == {"id": 1} and extra["musicgraph"]["made_with"] == []
    assert result.value("3") == 7


def test_what_leads_to_no_output_does_not_run(runner):
    run(runner, {**sum_graph(), "50": node("Number", value=9)})
    assert 9 not in fakes.Number.CALLS


def test_another_seed_runs_only_what_depends_on_it(runner):
    run(runner, sum_graph(seed=1))
    result = run(runner, sum_graph(seed=2))
    assert fakes.Number.CALLS == [2, 5]
    assert [call[1] for call in fakes.Add.CALLS] == [1, 2]
    assert set(result.cached) == {"1", "2"}


def test_results_survive_renumbering_and_a_graph_without_them_drops_them(runner):
    run(runner, sum_graph())
    renamed = {"a": node("Show", value=["b", 0], label="x"), "b": node("Number", value=2)}
    assert run(runner, renamed).cached == ("b",)
    assert run(runner, sum_graph()).cached == ("1",)


def test_of_nodes_that_do_just_the_same_one_runs(runner):
    graph = {
        "1": node("Number", value=2),
        "2": node("Number", value=2),
        "3": node("Add", a=["1", 0], b=["2", 0], seed=0),
    }
    result = run(runner, {**graph, "4": node("Show", value=["3", 0], label="")})
    assert fakes.Number.CALLS == [2] and result.cached == ("2",) and result.value("3") == 4


def test_a_forgetful_runner_keeps_nothing(runner):
    run(runner, sum_graph())
    runner.forget()
    assert run(runner, sum_graph()).cached == ()


def test_is_changed_nan_runs_every_time(runner):
    graph = {"1": node("Clock"), "2": node("Show", value=["1", 0], label="")}
    run(runner, graph)
    run(runner, graph)
    assert len(fakes.Clock.CALLS) == 2


def test_a_failed_run_keeps_what_it_had_computed(runner):
    graph = {
        "1": node("Number", value=1),
        "2": node("Broken", a=["1", 0]),
        "3": node("Show", value=["2", 0], label=""),
    }
    for _ in range(2):
        with pytest.raises(NodeError):
            run(runner, graph)
    assert fakes.Number.CALLS == [1]


def test_a_failure_names_the_node_and_keeps_the_cause(runner):
    graph = {
        "1": node("Number", value=1),
        "7": node("Broken", "My node", a=["1", 0]),
        "3": node("Show", value=["7", 0], label=""),
    }
    seen = []
    with pytest.raises(NodeError) as caught:
        run(runner, graph, listener=seen.append)
    assert (caught.value.node, caught.value.title, caught.value.class_type) == (
        "7",
        "My node",
        "Broken",
    )
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert str(caught.value) == 'node 7 "My node" (Broken) failed: RuntimeError: out of order'
    assert isinstance(seen[-1], events.NodeFailed) and seen[-1].node == "7"


def test_a_stop_passes_through_within_the_node(runner):
    graph = {
        "1": node("Number", value=1),
        "2": node("Slow", a=["1", 0]),
        "3": node("Show", value=["2", 0], label=""),
    }
    seen = []
    with pytest.raises(Interrupted):
        run(runner, graph, listener=seen.append, stopped=lambda: len(seen) >= 3)
    assert [e.done for e in seen if isinstance(e, events.NodeProgress)] == [1]
    assert not any(isinstance(e, events.NodeFailed) for e in seen)


def test_events_come_in_order(runner):
    graph = {
        "1": node("Number", value=1),
        "2": node("Slow", a=["1", 0]),
        "3": node("Show", value=["2", 0], label=""),
    }
    run(runner, graph)
    seen = []
    run(runner, {**graph, "3": node("Show", value=["2", 0], label="other")}, listener=seen.append)
    cached, started, output = events.NodeCached, events.NodeStarted, events.NodeOutput
    assert [(type(e), e.node) for e in seen] == [
        (cached, "1"),
        (cached, "2"),
        (started, "3"),
        (output, "3"),
    ]


def test_nothing_runs_when_anything_is_wrong(runner):
    with pytest.raises(WorkflowError) as caught:
        run(runner, sum_graph(value=99, seed=-1))
    assert len(caught.value.problems) == 1 and not fakes.Number.CALLS


def test_a_list_output_runs_the_next_node_for_each_value_and_a_list_input_takes_all(runner):
    graph = {
        "1": node("Listed", count=3),
        "2": node("Add", a=["1", 0], b=["1", 0], seed=0),
        "3": node("Sum", values=["2", 0]),
        "4": node("Show", value=["3", 0], label=""),
        "5": node("Show", value=["2", 0], label="each"),
    }
    result = run(runner, graph)
    assert [value for value, *_ in fakes.Show.SHOWN] == [6, 0, 2, 4]
    assert result.ui["5"]["values"] == [0, 2, 4]


@pytest.mark.parametrize(("left", "calls"), [(True, [1]), (False, [2])])
def test_lazy_inputs_are_computed_only_when_asked_for(runner, left, calls):
    graph = {
        "1": node("Number", value=1),
        "2": node("Number", value=2),
        "3": node("Switch", left=left, a=["1", 0], b=["2", 0]),
        "4": node("Show", value=["3", 0], label=""),
    }
    run(runner, graph)
    assert fakes.Number.CALLS == calls and fakes.Show.SHOWN[0][0] == calls[0]


def test_a_long_chain_needs_no_recursion(runner):
    graph = {"0": node("Number", value=1)}
    graph |= {str(i): node("Slow", a=[str(i - 1), 0]) for i in range(1, 2000)}
    result = run(runner, {**graph, "end": node("Show", value=["1999", 0], label="")})
    assert result.value("1999") == 1


# ---------------------------------------------------------------- streams


def stream_graph(reported=8):
    return {
        "out": node("ShowAudio", audio=["dec", 0]),
        "dec": node("Decoder", tokens=["sam", 0], gain=["gain", 0]),
        "sam": node("Sampler", frames=8, reported=reported),
        "gain": node("Number", value=3),
    }


def chunks_of(seen):
    return [event for event in seen if isinstance(event, events.AudioChunk)]


def test_a_stream_gives_all_samples_in_pieces_and_replaces_the_call(runner):
    seen = []
    result = run(runner, stream_graph(), listener=seen.append, stream=True)
    chunks = chunks_of(seen)
    assert [chunk.start_sample for chunk in chunks] == [0, 4, 10, 14]
    whole = torch.cat([chunk.waveform for chunk in chunks], dim=-1)
    assert torch.equal(whole, result.value("dec")["waveform"])
    assert not fakes.Decoder.CALLS
    assert run(Runner(CLASSES), stream_graph()).value("dec")["waveform"].equal(whole)


def test_a_streams_other_inputs_are_ready_before_the_sampler_starts(runner):
    seen = []
    run(runner, stream_graph(), listener=seen.append, stream=True)
    started = [event.node for event in seen if isinstance(event, events.NodeStarted)]
    assert started == ["gain", "sam", "dec", "out"]


def test_blocks_are_reported_without_streaming_too(runner):
    seen = []
    run(runner, stream_graph(), listener=seen.append)
    assert [
        event.block.start_frame for event in seen if isinstance(event, events.TokensFinished)
    ] == [0, 3, 6]
    assert not chunks_of(seen) and fakes.Decoder.CALLS == [3]


@pytest.mark.parametrize("reported", [0, 6])
def test_an_incomplete_stream_is_not_trusted(runner, reported):
    result = run(runner, stream_graph(reported), stream=True)
    assert fakes.Decoder.CALLS == [3] and result.value("dec")["waveform"].shape[-1] == 16


def test_a_sampler_that_runs_several_times_is_decoded_by_calls(runner):
    graph = {
        **stream_graph(),
        "sam": node("Sampler", frames=["n", 0], reported=8),
        "n": node("Listed", count=9),
    }
    graph["sam"]["inputs"]["reported"] = 0
    result = run(Runner({**CLASSES, "Sampler": _SamplerOfNumbers}), graph, stream=True)
    assert [a["waveform"].shape[-1] for a in result.outputs["dec"][0]] == [2 * n for n in range(9)]


class _SamplerOfNumbers(fakes.Sampler):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"frames": ("NUM",), "reported": ("INT", {"default": 8})}}

    def sample(self, frames, reported):
        return super().sample(frames, frames)


def test_two_streams_that_wait_for_each_other_end_in_one_of_them(runner):
    class SecondSampler(fakes.Sampler):
        RETURN_TYPES = ("TOKENS", "NUM")

        def sample(self, frames, reported):
            return (*super().sample(frames, reported), 2)

    graph = {
        "s1": node("SecondSampler", frames=4, reported=4),
        "s2": node("SecondSampler", frames=5, reported=5),
        "d1": node("Decoder", tokens=["s1", 0], gain=["s2", 1]),
        "d2": node("Decoder", tokens=["s2", 0], gain=["s1", 1]),
        "o1": node("ShowAudio", audio=["d1", 0]),
        "o2": node("ShowAudio", audio=["d2", 0]),
    }
    result = run(Runner({**CLASSES, "SecondSampler": SecondSampler}), graph, stream=True)
    assert (
        result.value("d1")["waveform"].shape[-1] == 8
        and result.value("d2")["waveform"].shape[-1] == 10
    )
    assert len(fakes.Decoder.CALLS) == 1


def test_a_failure_in_a_stream_has_the_name_of_the_streaming_node():
    class BrokenDecoder(fakes.Decoder):
        def open_stream(self, gain):
            raise ValueError("no such codec")

    with pytest.raises(NodeError) as caught:
        run(Runner({**CLASSES, "Decoder": BrokenDecoder}), stream_graph(), stream=True)
    assert caught.value.node == "dec"


# ---------------------------------------------------------------- bounds


class Tone:
    """Sound of a length that it is told, which a further node can make louder."""

    RETURN_TYPES, FUNCTION = ("AUDIO",), "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("INT", {}), "level": ("FLOAT", {"default": 0.5})}}

    def make(self, samples, level):
        return ({"waveform": torch.full((1, 1, samples), level), "sample_rate": 1000},)


class Louder:
    RETURN_TYPES, FUNCTION = ("AUDIO",), "adjust"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO",), "by": ("FLOAT", {"default": 1.5})}}

    def adjust(self, audio, by):
        return ({**audio, "waveform": audio["waveform"] * by},)


class Composer:
    MADE: list = []
    RETURN_TYPES, FUNCTION, OUTPUT_NODE = ("AUDIO_TOKENS",), "compose", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"duration": ("FLOAT", {}), "variations": ("INT", {"default": 1})}}

    def compose(self, duration, variations):
        self.MADE.append(duration)
        return ({},)


class Ten:
    RETURN_TYPES, FUNCTION = ("FLOAT",), "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        return (10.0,)


@pytest.fixture
def sounds():
    Composer.MADE.clear()
    return Runner({**CLASSES, "Tone": Tone, "Louder": Louder, "Composer": Composer, "Ten": Ten})


def chain(length, samples=1000):
    nodes = {"0": node("Tone", samples=samples, level=0.5)}
    for i in range(1, length):
        nodes[f"{i}"] = node("Louder", audio=[f"{i - 1}", 0], by=1.01)
    return {**nodes, "out": node("ShowAudio", audio=[f"{length - 1}", 0])}


def test_a_sound_beyond_the_limit_is_refused_at_its_node(sounds):
    with pytest.raises(NodeError, match="node 0 .*too large") as caught:
        run(sounds, chain(1), limits=Limits(samples=999))
    assert caught.value.is_refusal
    run(sounds, chain(1), limits=Limits(samples=1000))


def test_results_that_nobody_needs_any_more_make_room_for_new_ones(sounds):
    result = run(sounds, chain(30), limits=Limits(kept_samples=3000))
    assert fakes.ShowAudio.SHOWN[0].shape == (1, 1, 1000)
    assert result.value("29")["waveform"].shape == (1, 1, 1000) and "0" not in result.outputs
    assert set(run(sounds, chain(30), limits=Limits()).cached) == {"27", "28", "29", "out"}


def test_more_than_may_be_kept_at_once_is_refused(sounds):
    prompt = {f"{i}": node("Tone", samples=1000, level=0.1 * i) for i in range(4)}
    targets = tuple(prompt)
    prompt["out"] = node("ShowAudio", audio=["0", 0])
    with pytest.raises(NodeError, match="keeps too much sound"):
        run(sounds, prompt, limits=Limits(kept_samples=3000), targets=targets)


def test_sound_that_shares_its_memory_counts_once():
    ledger, waveform = Ledger(Limits()), torch.zeros(1, 2, 500)
    for name, part in (("a", waveform), ("b", waveform[:, :1]), ("c", torch.zeros(1, 1, 5))):
        ledger.keep(name, Outcome(([{"waveform": part, "sample_rate": 1000}],)))
    assert ledger.kept_samples == 1005
    ledger.drop("a")
    assert ledger.kept_samples == 1005 and "b" in ledger and "a" not in ledger
    ledger.drop("b")
    assert ledger.kept_samples == 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_node_that_makes_samples_that_are_no_numbers_is_named(sounds, bad, monkeypatch):
    monkeypatch.setattr(
        Louder, "adjust", lambda self, audio, by: ({**audio, "waveform": audio["waveform"] * bad},)
    )
    with pytest.raises(NodeError, match="node 1 .*NaN or infinite"):
        run(sounds, chain(3))


def test_music_of_a_linked_length_is_bounded_before_it_is_composed(sounds):
    prompt = {"1": node("Ten"), "2": node("Composer", duration=["1", 0], variations=3)}
    with pytest.raises(NodeError, match="composes too much music"):
        run(sounds, prompt, limits=Limits(music_s=29))
    assert Composer.MADE == []
    run(sounds, prompt, limits=Limits(music_s=30))


# ---------------------------------------------------------------- runs at once


class Held:
    """Computes when it may; says how often it was begun."""

    BEGUN: list = []
    MAY_END = threading.Event()
    RETURN_TYPES = ("NUM",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        self.BEGUN.append(threading.get_ident())
        while not self.MAY_END.wait(0.005):
            host.check_stop()
        return (7,)


@pytest.fixture
def both():
    """A way to run a graph above one node that is held, in a thread of its own."""
    Held.BEGUN.clear()
    Held.MAY_END.clear()
    runner, threads = Runner({**CLASSES, "Held": Held}), ThreadPoolExecutor(2)

    def start(seed, **more):
        sums = node("Add", a=["1", 0], b=["1", 0], seed=seed)
        prompt = {"1": node("Held"), "2": sums, "3": node("Show", value=["2", 0])}
        return threads.submit(run, runner, prompt, targets=("2",), **more)

    yield start
    Held.MAY_END.set()
    threads.shutdown()


def test_what_two_runs_at_once_need_is_computed_by_one_of_them(both):
    first, second = both(1), both(2)
    wait_for(lambda: Held.BEGUN)
    time.sleep(0.02)
    Held.MAY_END.set()
    assert first.result(SOON).value("2") == second.result(SOON).value("2") == 14
    assert len(Held.BEGUN) == 1
    assert sorted(len(one.result().cached) for one in (first, second)) == [0, 1]


def test_who_waits_for_another_run_can_be_stopped_and_goes_on_when_that_one_is(both):
    stop = threading.Event()
    first = both(1, stopped=stop.is_set)
    wait_for(lambda: Held.BEGUN)
    impatient = both(2, stopped=lambda: True)
    with pytest.raises(Interrupted):
        impatient.result(SOON)
    second = both(3)
    stop.set()
    with pytest.raises(Interrupted):
        first.result(SOON)
    wait_for(lambda: len(Held.BEGUN) == 2)
    Held.MAY_END.set()
    assert second.result(SOON).value("2") == 14


def wait_for(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
