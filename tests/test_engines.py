"""Which engine and precision are chosen, and what is said when a machine cannot do what was asked."""

import importlib.util

import pytest
import torch

from musicgraph.nodes import engines

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without OpenVINO, on which the user named an engine or none."""

    def is_such(openvino: bool, engine: str | None = None) -> None:
        found = object() if openvino else None
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: found if name == "openvino" else None)
        monkeypatch.setenv(engines.ENGINE_VARIABLE, engine or "")

    return is_such


def test_a_cpu_takes_the_fast_engine_where_it_is_installed(machine):
    machine(openvino=True)
    assert str(engines.choose("auto", CPU)) == "openvino int8 on cpu"
    assert str(engines.choose("fp32", CPU)) == "openvino fp32 on cpu"
    assert str(engines.choose("bf16", CPU)) == "torch bf16 on cpu", "not one of its precisions"
    machine(openvino=False)
    assert str(engines.choose("auto", CPU)) == "torch fp32 on cpu"


def test_a_gpu_runs_torch(machine):
    machine(openvino=True)
    assert str(engines.choose("auto", GPU)) == "torch fp16 on cuda"
    machine(openvino=True, engine="cuda-graph")
    assert str(engines.choose("auto", GPU)) == "cuda-graph fp16 on cuda"


def test_the_user_may_keep_to_plain_torch(machine):
    machine(openvino=True, engine="torch")
    assert str(engines.choose("auto", CPU)) == "torch fp32 on cpu"


@pytest.mark.parametrize(
    ("openvino", "engine", "precision", "device", "remedy"),
    [
        (False, None, "int8", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (True, None, "int8", GPU, "choose auto"),
        (True, "torch", "int8", CPU, "choose auto"),
        (False, "openvino", "auto", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (True, "openvino", "fp16", CPU, "fp32 or int8 on cpu"),
        (True, "openvino", "auto", GPU, "fp32 or int8 on cpu"),
        (True, "cuda-graph", "auto", CPU, "unset the variable"),
        (True, "tensorrt", "auto", CPU, "unset it for auto"),
    ],
)
def test_what_a_machine_cannot_do_is_said_with_a_remedy(machine, openvino, engine, precision, device, remedy):
    machine(openvino, engine)
    with pytest.raises(ValueError, match=remedy):
        engines.choose(precision, device)
