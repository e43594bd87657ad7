"""Which engine and precision are chosen, and what is said of what a machine cannot do."""

from dataclasses import replace

import pytest

from musicgraph.models.engines import choose, numba_sizes
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

CPU, GPU = "cpu", "cuda"
POCKET = checkpoint.open_checkpoint(POCKET_FOLDER).config.lm


def chosen(precision, device, config, supports_fp16=True):
    return choose.choose(precision, device, config, supports_fp16)


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without Numba, on which the user named an engine or none."""

    def is_such(numba: bool, engine: str | None = None) -> None:
        monkeypatch.setattr(choose, "find_spec", lambda name: object() if numba else None)
        monkeypatch.setenv(choose.ENGINE_VARIABLE, engine or "")

    return is_such


def test_a_cpu_takes_the_fast_engine_where_it_is_installed(machine):
    machine(numba=True)
    assert str(chosen("auto", CPU, POCKET)) == "numba int8 on cpu"
    assert str(chosen("fp32", CPU, POCKET)) == "numba fp32 on cpu"
    assert str(chosen("int4", CPU, POCKET)) == "numba int4 on cpu"
    assert str(chosen("bf16", CPU, POCKET)) == "torch bf16 on cpu", "not one of its precisions"
    machine(numba=False)
    assert str(chosen("auto", CPU, POCKET)) == "torch fp32 on cpu"


def test_a_model_of_odd_sizes_runs_on_torch(machine):
    machine(numba=True)
    odd = replace(POCKET, codebook_size=1000)
    assert str(chosen("auto", CPU, odd)) == "torch fp32 on cpu"
    with pytest.raises(Refused, match="codebook_size 1000"):
        chosen("int8", CPU, odd)


def test_sizes_that_do_not_fit_are_named():
    assert numba_sizes.uneven_sizes(replace(POCKET, ffn_size=100)) == {"ffn_size": 100}
    assert numba_sizes.uneven_sizes(POCKET) == {}


def test_a_gpu_runs_torch(machine):
    machine(numba=True)
    assert str(chosen("auto", GPU, POCKET)) == "torch fp16 on cuda"
    assert str(chosen("auto", GPU, POCKET, supports_fp16=False)) == "torch fp32 on cuda"
    machine(numba=True, engine="cuda-graph")
    assert str(chosen("auto", GPU, POCKET)) == "cuda-graph fp16 on cuda"


def test_the_user_may_keep_to_plain_torch(machine):
    machine(numba=True, engine="torch")
    assert str(chosen("auto", CPU, POCKET)) == "torch fp32 on cpu"


@pytest.mark.parametrize(
    ("numba", "engine", "precision", "device", "remedy"),
    [
        (False, None, "int8", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (True, None, "int8", GPU, "choose auto"),
        (False, None, "int4", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (True, None, "int4", GPU, "choose auto"),
        (True, "torch", "int8", CPU, "choose auto"),
        (False, "numba", "auto", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (True, "numba", "fp16", CPU, "fp32, int8 or int4 on cpu"),
        (True, "numba", "auto", GPU, "fp32, int8 or int4 on cpu"),
        (True, "cuda-graph", "auto", CPU, "unset the variable"),
        (True, "tensorrt", "auto", CPU, "unset it for auto"),
    ],
)
def test_what_a_machine_cannot_do_is_said_with_a_remedy(
    machine, numba, engine, precision, device, remedy
):
    machine(numba, engine)
    with pytest.raises(Refused, match=remedy):
        chosen(precision, device, POCKET)
