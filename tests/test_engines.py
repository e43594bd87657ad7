"""Which engine and precision are chosen, and what is said when a machine cannot do what was asked."""

from importlib.metadata import PackageNotFoundError

import pytest
import torch

from musicgraph.nodes import engines

RELEASE = "2026.4.1"
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without OpenVINO, on which the user named an engine or none."""

    def is_such(openvino: str | None, engine: str | None = None, kind: str = "x86_64") -> None:
        def version(package):
            if openvino is None:
                raise PackageNotFoundError(package)
            return openvino

        monkeypatch.setattr(engines, "version", version)
        monkeypatch.setattr(engines.platform, "machine", lambda: kind)
        monkeypatch.setenv(engines.ENGINE_VARIABLE, engine or "")

    return is_such


def test_a_cpu_takes_the_fast_engine_where_it_is_installed(machine):
    machine(openvino=RELEASE)
    assert str(engines.choose("auto", CPU)) == "openvino int8 on cpu"
    assert str(engines.choose("fp32", CPU)) == "openvino fp32 on cpu"
    assert str(engines.choose("bf16", CPU)) == "torch bf16 on cpu", "not one of its precisions"
    for openvino, kind in ((None, "x86_64"), ("2027.1.0", "x86_64"), (RELEASE, "arm64")):
        machine(openvino, kind=kind)
        assert str(engines.choose("auto", CPU)) == "torch fp32 on cpu"


def test_a_gpu_runs_torch(machine):
    machine(openvino=RELEASE)
    assert str(engines.choose("auto", GPU)) == "torch fp16 on cuda"
    machine(openvino=RELEASE, engine="cuda-graph")
    assert str(engines.choose("auto", GPU)) == "cuda-graph fp16 on cuda"


def test_the_user_may_keep_to_plain_torch(machine):
    machine(openvino=RELEASE, engine="torch")
    assert str(engines.choose("auto", CPU)) == "torch fp32 on cpu"


@pytest.mark.parametrize(
    ("openvino", "engine", "precision", "device", "remedy"),
    [
        (None, None, "int8", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (RELEASE, None, "int8", GPU, "choose auto"),
        (RELEASE, "torch", "int8", CPU, "choose auto"),
        (None, "openvino", "auto", CPU, "pip install 'musicgraph\\[cpu\\]'"),
        (RELEASE, "openvino", "fp16", CPU, "fp32 or int8 on cpu"),
        (RELEASE, "openvino", "auto", GPU, "fp32 or int8 on cpu"),
        (RELEASE, "cuda-graph", "auto", CPU, "unset the variable"),
        (RELEASE, "tensorrt", "auto", CPU, "unset it for auto"),
    ],
)
def test_what_a_machine_cannot_do_is_said_with_a_remedy(machine, openvino, engine, precision, device, remedy):
    machine(openvino, engine)
    with pytest.raises(ValueError, match=remedy):
        engines.choose(precision, device)
