"""The benchmark counts steps right and compares equal work."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

STEPS = 12


@pytest.fixture(scope="module")
def bench(request):
    """The benchmark's modules, which are programs beside the package."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    request.addfinalizer(lambda: sys.path.remove(str(Path(__file__).parents[1] / "benchmarks")))
    return importlib.import_module("bench")


@pytest.fixture(scope="module")
def ways(bench, wide):
    upstream = bench.subjects.Upstream(wide.upstream, AutoTokenizer.from_pretrained(wide.folder))
    return {"transformers": upstream, **bench.subjects.load_ours(wide.folder)}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A tiny checkpoint, with a codebook wide enough for top-k 250."""
    import tiny

    return tiny.Tiny(tmp_path_factory.mktemp("wide"), channels=1, codebook_size=256)


def test_every_way_is_asked_for_the_same_number_of_steps(bench, ways):
    for items in (1, 4):
        counts = {name: len(way.steps(items, STEPS)) for name, way in ways.items()}
        assert set(counts.values()) == {STEPS - 1 - bench.subjects.WARM_UP_STEPS}, counts


def test_a_step_of_every_way_passes_the_same_rows_through_the_model(bench, ways, wide, monkeypatch):
    """With a clock that counts the rows which the first layer's feed-forward has seen."""
    layers = {
        "transformers": wide.upstream.decoder.model.decoder.layers[0],
        "torch fp32": ways["torch fp32"].engine.lm.layers[0],
    }
    for name, layer in layers.items():
        rows = []
        hook = layer.fc1.register_forward_hook(
            lambda _, __, out, rows=rows: rows.append(out[..., 0].numel())
        )
        monkeypatch.setattr(bench.subjects.time, "perf_counter", lambda rows=rows: sum(rows))
        assert set(ways[name].steps(4, STEPS)) == {8}, name
        hook.remove()


def test_first_and_late_steps_take_turns_after_the_past_that_is_asked_for(bench, ways, monkeypatch):
    spans, way = [], ways["torch fp32"]
    monkeypatch.setattr(way.engine, "lm", _Recorder(way.engine.lm, spans))
    first, late = way.first_and_late_steps(20, STEPS)
    assert spans == [20] + [span for t in range(1, STEPS + 1) for span in (t, 20 + t)]
    assert len(first) == len(late) == STEPS - bench.subjects.WARM_UP_STEPS


class _Recorder:
    """An LM that notes how much of the past each call looks at."""

    def __init__(self, lm, spans):
        self._lm, self._spans = lm, spans

    def __getattr__(self, name):
        return getattr(self._lm, name)

    def __call__(self, x, caches, reading):
        self._spans.append(reading.span)
        return self._lm(x, caches, reading)


def test_the_weights_of_a_step_are_those_that_it_reads(bench, wide):
    read = sum(
        p.numel()
        for name, p in wide.lm.named_parameters()
        if p.dim() == 2 and "text_kv" not in name
    )
    read -= sum(
        wide.lm.get_parameter(name).numel()
        for name in ("embedding.weight", "text_projection.weight")
    )
    assert bench.subjects.step_weights(wide.folder) == read
    assert bench.subjects.head_weights(wide.folder) == wide.lm.heads.weight.numel()


def test_the_past_of_a_step_are_keys_and_values_of_both_rows(bench, wide):
    session = bench.subjects.TorchEngine(wide.lm).open(2, 1)
    kept = (*session._caches.keys, *session._caches.values)
    assert bench.subjects.past_numbers(wide.folder) == sum(one.numel() for one in kept)


def test_ratios_say_how_many_times_as_fast(bench):
    found = bench.Findings(step_weights=10**9, head_weights=2 * 10**8, past_numbers=10**6)
    found.step_s = {
        ("transformers", 1): [0.4, 0.5, 9.0],
        ("numba fp32", 1): [0.1],
        ("numba int8", 1): [0.05],
        ("numba int4", 1): [0.03],
    }
    found.step_s["numba int8", 4] = [0.08]
    found.read_gb_per_s, found.read_huge_gb_per_s = [40.0, 50.0, 60.0], [70.0]
    found.late_s = {"numba int8": (0.05, 0.06)}
    found.melody_s = (0.05, 0.04)
    found.codec_s = {"transformers": [2.0], "ours": [1.0], "ours, streaming": [1.05]}
    found.loading = {"in_all": 1.1, "load_s": 2.0}
    summary = found.summary()
    assert summary["f32_vs_transformers"] == 5 and summary["int8_vs_transformers"] == 10
    assert summary["f32_bandwidth_share"] == pytest.approx(4 / 0.1 / 50)
    assert summary["int8_bandwidth_share"] == pytest.approx(1 / 0.05 / 50)
    assert summary["int4_vs_int8"] == pytest.approx(0.6)
    assert found.read_gb("numba int4", 100) == pytest.approx(0.8 * 17 / 32 + 0.2 + 0.1)
    assert found.read_gb("numba fp32", 100) == pytest.approx(4.4)
    assert summary["batch4_cost_per_item"] == pytest.approx(0.4)
    assert summary["late_step_vs_first"] == pytest.approx(1.2)
    assert summary["melody_step_vs_text"] == pytest.approx(0.8)
    assert summary["stream_overhead"] == pytest.approx(0.05)
    assert json.dumps(summary)


def test_codec_ways_decode_the_same_sound(bench, wide):
    upstream = bench.subjects.Upstream(wide.upstream, None)
    case = bench.CodecCase(wide.folder, upstream, seconds=2.0)
    sounds = {way: decode() for way, decode in case.ways.items()}
    for way in ("ours, torch's LSTM", "ours, fp32"):
        torch.testing.assert_close(sounds[way], sounds["transformers"], atol=1e-4, rtol=0)
    assert torch.equal(sounds["ours"], sounds["ours, streaming"])
    assert torch.equal(sounds["ours"], sounds["ours, 4 streams"][:1])


def test_the_whole_path_is_measured_with_everything_loaded(bench):
    said = bench.whole_case.pocket(rounds=1, seconds=2.0)
    assert said["pocket_x_real_time"] > 0
    assert 0 < said["first_sound_s"] < 2 / said["pocket_x_real_time"] + 1
    assert said["pocket_engine"]


def test_a_melody_model_takes_its_steps_after_the_same_past_as_the_text_model(bench, wide):
    case, text = bench.melody_case, wide.text.encode
    shorter = case.AsMelody(wide.checkpoint, case.ChromaConfig(frames=9))
    bare = wide.checkpoint.config.lm.prefix_length(6)
    assert (bare, shorter.config.lm.prefix_length(6)) == (0, 15)
    took = case.step_seconds(wide.checkpoint, text, past=300, steps=case.WARM_UP_STEPS + 2)
    assert len(took) == 2 and min(took) > 0
