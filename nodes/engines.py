"""Which engine runs the language model, in which precision: by device, by what is installed, by the user's word.

A graph says the precision, because that is heard. The engine is the machine's own business: `auto` takes the fastest that is
known to work, and `MUSICGRAPH_ENGINE` names one.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import torch

from ..models import checkpoint
from ..models.engine import Engine, TorchEngine
from . import host

AUTO, TORCH, OPENVINO, CUDA_GRAPH = "auto", "torch", "openvino", "cuda-graph"
ENGINES = (AUTO, TORCH, OPENVINO, CUDA_GRAPH)
ENGINE_VARIABLE = "MUSICGRAPH_ENGINE"
OPENVINO_RELEASE = "2026.4"  # models/openvino_graph.py uses attention as this release has it
INT8 = "int8"
PRECISIONS = ("auto", "fp32", INT8, "fp16", "bf16")


@dataclass(frozen=True)
class Choice:
    engine: str
    precision: str
    device: torch.device

    def __str__(self) -> str:
        return f"{self.engine} {self.precision} on {self.device.type}"


def choose(precision: str, device: torch.device) -> Choice:
    """What runs a model of which `precision` (one of `PRECISIONS`) was asked for.

    Raises ValueError if the machine or the named engine cannot do it, with what to do.
    """
    wanted = os.environ.get(ENGINE_VARIABLE) or AUTO
    if wanted not in ENGINES:
        raise ValueError(f"{ENGINE_VARIABLE}: got {wanted!r}, expected one of {', '.join(ENGINES)}; unset it for auto")
    if wanted == CUDA_GRAPH:
        return _on_cuda_graphs(precision, device)
    if wanted != TORCH and device.type == "cpu" and precision in ("auto", "fp32", INT8) and _has_openvino(wanted):
        return Choice(OPENVINO, INT8 if precision == "auto" else precision, device)
    if wanted == OPENVINO:
        raise ValueError(
            f"{ENGINE_VARIABLE}: got {wanted} for {precision} on {device.type}, expected fp32 or int8 on cpu; "
            "choose those, or unset the variable"
        )
    return Choice(TORCH, _torch_precision(precision, device), device)


def _has_openvino(wanted: str) -> bool:
    trouble = _openvino_trouble()
    if trouble and wanted == OPENVINO:
        raise ValueError(f"{ENGINE_VARIABLE}: got openvino, {trouble}; pip install 'musicgraph[cpu]', or unset it")
    return trouble is None


def _openvino_trouble() -> str | None:
    """Why the fast CPU engine cannot be used here, or None."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"whose attention runs on x86-64 only, on {platform.machine()}"
    try:
        there = version("openvino")
    except PackageNotFoundError:
        return "which is not installed"
    if not there.startswith(f"{OPENVINO_RELEASE}."):
        return f"version {there}, expected {OPENVINO_RELEASE}"
    return None


def _on_cuda_graphs(precision: str, device: torch.device) -> Choice:
    if device.type != "cuda":
        raise ValueError(f"{ENGINE_VARIABLE}: got {CUDA_GRAPH} on {device.type}, expected cuda; unset the variable")
    return Choice(CUDA_GRAPH, _torch_precision(precision, device), device)


def _torch_precision(precision: str, device: torch.device) -> str:
    if precision == INT8:
        raise ValueError(
            f"precision: got int8 with torch on {device.type}; int8 runs on the CPU with OpenVINO "
            "(pip install 'musicgraph[cpu]'); choose auto"
        )
    if precision != "auto":
        return precision
    return "fp16" if device.type != "cpu" and host.supports(torch.float16, device) else "fp32"


class Source(Protocol):
    """An engine that may have to be brought to its device first."""

    def ready(self, working_bytes: int) -> Engine:
        """The engine, with room for `working_bytes` beside it."""
        ...


class _OnTorch:
    """Weights under ComfyUI's memory manager where there is one; the engine is made anew for every run."""

    def __init__(self, opened: checkpoint.Checkpoint, choice: Choice):
        dtype = checkpoint.DTYPES[choice.precision]
        self._resident = host.Resident(
            checkpoint.load_lm(opened, dtype, host.loading_device(choice.device)), choice.device
        )
        self._engine = choice.engine

    def ready(self, working_bytes: int) -> Engine:
        lm = self._resident.ready(working_bytes)
        if self._engine == CUDA_GRAPH:
            from ..models.cuda_engine import CudaGraphEngine

            return CudaGraphEngine(lm)
        return TorchEngine(lm)


class _OnOpenVino:
    """Compiled once; lives in the computer's memory, which nobody has to manage."""

    def __init__(self, opened: checkpoint.Checkpoint, choice: Choice):
        from ..models.openvino_engine import OpenVinoEngine

        self._engine = OpenVinoEngine(opened, choice.precision)

    def ready(self, working_bytes: int) -> Engine:
        return self._engine


def load(opened: checkpoint.Checkpoint, choice: Choice) -> Source:
    return (_OnOpenVino if choice.engine == OPENVINO else _OnTorch)(opened, choice)
