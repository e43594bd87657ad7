"""The fast CPU engine: float32 is exact, int8 is close, sessions are independent, int8 weights are
made once.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sessions import opened
from tiny import write_tiny_checkpoint

from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.disk import cache
from musicgraph.models.engines import machine_code, numba_packed, numba_threads
from musicgraph.models.engines.choose import ENGINE_VARIABLE
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER
from musicgraph.nodes import load

TEXTS = ["a happy piano tune with drums, 120 bpm", "sad solo flute"]  # of unlike lengths
MAX_INT8_LOSS = 1.01  # cross-entropy against float32's


class Engines:
    """One checkpoint under the reference and under both precisions of the fast engine."""

    def __init__(self, folder):
        opened = checkpoint.open_checkpoint(folder)
        self.config = opened.config.lm
        self.text = checkpoint.load_text_encoder(opened)
        self.torch = TorchEngine(checkpoint.load_lm(opened, torch.float32, torch.device("cpu")))
        self.fp32, self.int8 = (NumbaEngine(opened, precision) for precision in ("fp32", "int8"))

    def tokens(self, engine, frames, texts=TEXTS, prompt=None, **sampling):
        frames = stream(
            engine,
            Generation(frames, 0, Sampling(**sampling)),
            self.text.encode(texts),
            prompt=prompt,
        )
        return torch.cat(list(frames), dim=2)


@pytest.fixture(scope="module")
def pocket():
    return Engines(POCKET_FOLDER)


@pytest.fixture(scope="module")
def stereo_engines(stereo):
    return Engines(stereo.folder)


def test_float32_gives_the_references_greedy_tokens(pocket):
    ours, reference = (pocket.tokens(e, 500, temperature=0) for e in (pocket.fp32, pocket.torch))
    assert torch.equal(ours, reference)
    assert len(reference.unique()) > 50


def test_float32_gives_the_references_logits(stereo_engines):
    both = stereo_engines
    encoded = both.text.encode([*TEXTS, ""])  # the last one hears nothing
    steps = torch.randint(0, both.config.codebook_size, (3, both.config.num_codebooks, 30))
    for cfg in (1.0, 3.0):
        sessions = [opened(engine, encoded, 30, cfg) for engine in (both.fp32, both.torch)]
        for piece in (steps[:, :, :7], *steps[:, :, 7:].split(1, dim=2)):
            torch.testing.assert_close(
                *(session.step(piece) for session in sessions), atol=1e-3, rtol=0
            )


def test_without_any_text_both_agree(stereo_engines):
    both = stereo_engines
    ours, reference = (
        both.tokens(e, 20, texts=["", ""], temperature=0, top_k=50) for e in (both.fp32, both.torch)
    )
    assert torch.equal(ours, reference)


def test_int8_predicts_real_music_nearly_as_well(pocket):
    """Cross-entropy of music that the reference composed, each step judged after the true past."""
    music = pocket.tokens(pocket.torch, 200)
    steps = delayed(music, pocket.config.delays, pocket.config.special_token)

    def cross_entropy(engine):
        session = opened(engine, pocket.text.encode(TEXTS), steps.shape[2])
        logits = [session.step(steps[:, :, t : t + 1]) for t in range(music.shape[2])]
        predicted = torch.stack(logits, dim=2)[:, 0]  # the first codebook: step t predicts frame t
        return float(
            torch.nn.functional.cross_entropy(predicted.flatten(0, 1), music[:, 0].flatten())
        )

    assert cross_entropy(pocket.int8) < MAX_INT8_LOSS * cross_entropy(pocket.fp32)


def test_a_prompt_read_at_once_is_as_if_read_step_by_step(pocket):
    steps = delayed(
        pocket.tokens(pocket.torch, 30), pocket.config.delays, pocket.config.special_token
    )
    for engine in (pocket.fp32, pocket.int8):
        text = pocket.text.encode(TEXTS)
        at_once, stepwise = (opened(engine, text, steps.shape[2], 3.0) for _ in range(2))
        for step in steps.split(1, dim=2):
            last = stepwise.step(step)
        assert torch.equal(at_once.step(steps), last)


def test_an_item_is_the_same_alone_and_in_a_batch(pocket):
    """To the last bit, beside texts of other lengths."""
    for engine in (pocket.fp32, pocket.int8):
        batch = pocket.tokens(engine, 60, texts=[TEXTS[1], *TEXTS, "loud rock guitar"])
        assert torch.equal(batch[:1], pocket.tokens(engine, 60, texts=TEXTS[1:]))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(pocket, threads, monkeypatch, every_call_is_shared):
    expected = pocket.tokens(pocket.int8, 20)
    monkeypatch.setattr(pocket.int8, "threads", Threads(threads))
    assert torch.equal(pocket.tokens(pocket.int8, 20), expected)


def test_a_thread_that_never_comes_is_not_missed(pocket, monkeypatch, every_call_is_shared):
    expected = pocket.tokens(pocket.int8, 20)
    monkeypatch.setattr(pocket.int8, "threads", Threads(3))
    monkeypatch.setattr(numba_threads, "_run", lambda *arguments: None)
    assert torch.equal(pocket.tokens(pocket.int8, 20), expected)


def test_two_callers_at_once_get_what_each_gets_alone(pocket, monkeypatch, every_call_is_shared):
    monkeypatch.setattr(pocket.int8, "threads", Threads(2))
    alone = [pocket.tokens(pocket.int8, 40, texts=[text]) for text in TEXTS]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda text: pocket.tokens(pocket.int8, 40, texts=[text]), TEXTS))
    assert all(map(torch.equal, alone, together))


def test_sessions_do_not_disturb_each_other(pocket):
    alone = pocket.tokens(pocket.int8, 20)
    encoded = pocket.text.encode(TEXTS)
    one, other = (stream(pocket.int8, Generation(20, seed, Sampling()), encoded) for seed in (0, 7))
    pieces = [piece for piece, _ in zip(one, other, strict=True)]
    assert torch.equal(torch.cat(pieces, dim=2), alone)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_weights_of_other_shapes_than_the_configuration_says_are_refused(tmp_path, precision):
    """Even where all parts of a stacked matrix together have the right number of rows."""
    write_tiny_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    q, k = (f"decoder.model.decoder.layers.1.self_attn.{part}_proj.weight" for part in "qk")
    both = torch.cat([tensors[q], tensors[k]])
    tensors[q], tensors[k] = both[:41].clone(), both[41:].clone()
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(Refused, match="q_proj.weight does not fit config.json: got F32 .41, 32."):
        NumbaEngine(checkpoint.open_checkpoint(tmp_path), precision)


def test_int8_weights_are_made_once_and_anew_for_other_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "cache"))
    write_tiny_checkpoint(tmp_path / "model", 1)
    opened = checkpoint.open_checkpoint(tmp_path / "model")
    first = numba_packed.packed_tensors(opened, "int8")
    with monkeypatch.context() as patch:
        patch.setattr(numba_packed, "quantised", None)  # would raise if it were called
        second = numba_packed.packed_tensors(opened, "int8")
    assert all(torch.equal(first[name], second[name]) for name in first)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert numba_packed.packed_tensors(opened, "int8").keys() == first.keys(), (
        "a file cut short is made again"
    )
    (tmp_path / "model" / "model.safetensors").touch()
    numba_packed.packed_tensors(checkpoint.open_checkpoint(tmp_path / "model"), "int8")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def damaged(tensors, name):
    """Ways in which what lies in the cache can be other than what was written."""
    flipped, short = tensors[name].clone(), {key: tensors[key] for key in tensors if key != name}
    flipped.view(-1)[5] ^= 1
    swapped = tensors[name].clone()
    pages = swapped.view(-1, numba_packed.PAGE_BYTES)
    pages[[0, 1]] = pages[[1, 0]]
    return {
        "a flipped bit": {**tensors, name: flipped},
        "two pages that changed places": {**tensors, name: swapped},
        "a tensor missing": short,
        "another shape": {**tensors, name: tensors[name][:1].clone()},
        "another type": {**tensors, name: tensors[name].to(torch.int16)},
        "one too many": {**tensors, "other": tensors[name].clone()},
    }


@pytest.mark.parametrize("case", range(6))
def test_int8_weights_that_are_not_as_they_were_written_are_made_anew(
    stereo, tmp_path, monkeypatch, caplog, case
):
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(numba_packed, "PAGE_BYTES", 256)  # tiny weights have no larger ones
    made = numba_packed.packed_tensors(stereo.checkpoint, "int8")
    made = {name: tensor.clone() for name, tensor in made.items()}
    name = max(made, key=lambda name: made[name].numel())
    (kept,) = (tmp_path / "cache").iterdir()
    with safe_open(kept, framework="pt") as file:
        checksum = file.metadata()
    save_file(list(damaged(made, name).values())[case], kept, metadata=checksum)
    kept.chmod(0o600)
    again = numba_packed.packed_tensors(stereo.checkpoint, "int8")
    assert again.keys() == made.keys() and all(torch.equal(again[n], made[n]) for n in made)
    assert "damaged" in caplog.text


def test_a_disk_that_is_full_costs_time_only(stereo, tmp_path, monkeypatch, caplog):
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "cache"))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, usual[1]))
    try:
        assert numba_packed.packed_tensors(stereo.checkpoint, "int8")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "MUSICGRAPH_CACHE" in caplog.text
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def compilations(tmp_path, monkeypatch):
    """An empty cache, and how often something was compiled since then (what this process has is
    taken again).
    """
    machine_code.obtain()
    content = cache.read(machine_code.entry_name())
    made = []
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine_code, "compiled", lambda: made.append(1) or content)

    def count():
        machine_code._of.cache_clear()
        machine_code.obtain()
        return len(made)

    yield count
    machine_code._of.cache_clear()


def test_compiled_code_is_kept_and_read_again(compilations, tmp_path):
    assert (compilations(), compilations()) == (1, 1)
    (entry,) = (tmp_path / "cache").iterdir()
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    assert (compilations(), compilations()) == (2, 2), "a damaged entry is made anew"


@pytest.mark.parametrize("change", ["sources", "settings", "processor", "compiler"])
def test_compiled_code_is_another_entry_when_anything_changes_that_is_in_it(change, monkeypatch):
    name = machine_code.entry_name()
    assert machine_code.entry_name() == name
    if change == "sources":
        monkeypatch.setattr(machine_code, "digest", lambda: 1)
    elif change == "settings":
        monkeypatch.setenv("NUMBA_CPU_NAME", "z80")
    elif change == "processor":
        monkeypatch.setattr(machine_code.binding, "get_host_cpu_name", lambda: "z80")
    else:
        monkeypatch.setattr(machine_code, "version", lambda package: "0.1")
    assert machine_code.entry_name() != name


def in_a_process(script, *arguments):
    begin = "import sys; sys.path.insert(0, sys.argv[1]); import conftest\n"
    command = [sys.executable, "-c", begin + script, str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_engine_whose_code_is_kept_needs_no_compiler(mono):
    machine_code.obtain()
    script = (
        "import os, pathlib, torch; os.environ['MUSICGRAPH_CACHE'] = sys.argv[2]\n"
        "from musicgraph.models.engines.numba_engine import NumbaEngine\n"
        "from musicgraph.models.weights.checkpoint import open_checkpoint\n"
        "session = NumbaEngine(open_checkpoint(pathlib.Path(sys.argv[3])), 'int8').open()\n"
        "slot = session.admit([None], 4)\n"
        "session.step([slot], torch.zeros(1, 4, 2, dtype=torch.int64))\n"
        "print('numba' in sys.modules)\n"
    )
    said = in_a_process(script, os.environ["MUSICGRAPH_CACHE"], str(mono.folder))
    assert said.splitlines()[-1] == "False"


def test_every_source_of_a_step_counts_when_its_code_is_looked_for():
    script = (
        "import musicgraph.models.engines.numba_draw\n"
        "import musicgraph.models.engines.numba_noise\n"
        "import musicgraph.models.engines.numba_lstm\n"
        "import musicgraph.models.engines.numba_conv\n"
        "begin = 'musicgraph.models.engines.numba_'\n"
        "print(*(name.removeprefix(begin) for name in sys.modules if name.startswith(begin)))\n"
    )
    assert set(in_a_process(script).split()) == set(machine_code.COMPILED_TOGETHER)


def test_tiles_hold_each_weight_where_the_processor_wants_it():
    matrix = torch.arange(-60, 68, dtype=torch.int8).repeat(8).view(32, 32)
    tiles = numba_packed.in_tiles(matrix)
    assert tiles.shape == (2, 8, 16, 4) and tiles.dtype == torch.uint8
    assert int(tiles[1, 3, 5, 2]) == int(matrix[16 + 5, 4 * 3 + 2]) + 128


def test_int8_is_at_most_half_a_step_away():
    matrix = torch.randn(8, 32) * torch.logspace(-3, 3, 8).unsqueeze(1)
    whole, scale = numba_packed.quantised(matrix)
    assert whole.dtype == torch.int8 and scale.shape == (8,)
    assert ((whole * scale.unsqueeze(1) - matrix).abs() <= 0.501 * scale.unsqueeze(1)).all()
    assert (numba_packed.quantised(torch.zeros(2, 3))[0] == 0).all()


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path / "file"))
    write_tiny_checkpoint(tmp_path / "model", 1)
    assert numba_packed.packed_tensors(checkpoint.open_checkpoint(tmp_path / "model"), "int8")
    assert "MUSICGRAPH_CACHE" in caplog.text


def test_the_loader_takes_it_and_says_so(monkeypatch):
    monkeypatch.delenv(ENGINE_VARIABLE)
    model, _, _ = load.MusicGenModelLoader().load("pocket", "auto", "cpu")
    assert str(model.choice) == "numba int8 on cpu"
    assert model.source.ready(0).name == "numba"
