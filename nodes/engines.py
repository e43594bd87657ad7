"""Which engine runs the language model, in which precision: by device, by what is installed, by the user's word.

A graph says the precision, because that is heard. The engine is the machine's own business: `auto` takes the fastest that is
known to work, and `MUSICGRAPH_ENGINE` names one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import torch

from ..models.config import LMConfig
from ..models.engines.session import Engine, TorchEngine
from ..models.precision import DTYPES
from ..models.refused import Refused
from ..models.weights import checkpoint
from . import host

if TYPE_CHECKING:  # each has to be an Engine, whose sessions are Sessions: `make lint` compares
    from ..models.engines.cuda_graphs import CudaGraphEngine
    from ..models.engines.numba_engine import NumbaEngine

    _ENGINES: tuple[type[Engine], ...] = (TorchEngine, NumbaEngine, CudaGraphEngine)

AUTO, TORCH, NUMBA, CUDA_GRAPH = "auto", "torch", "numba", "cuda-graph"
ENGINES = (AUTO, TORCH, NUMBA, CUDA_GRAPH)
ENGINE_VARIABLE = "MUSICGRAPH_ENGINE"
INT8 = "int8"
PRECISIONS = ("auto", "fp32", INT8, "fp16", "bf16")


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Choice:
    engine: str
    precision: str
    device: torch.device

    def __str__(self) -> str:
        return f"{self.engine} {self.precision} on {self.device.type}"


def choose(precision: str, device: torch.device, config: LMConfig | None) -> Choice:
    """What runs a model of which `precision` (one of `PRECISIONS`) was asked for.

    Without a `config`, of a model that is still to be downloaded, its sizes are taken to fit.

    Raises Refused if the machine or the named engine cannot do it, with what to do.
    """
    wanted = os.environ.get(ENGINE_VARIABLE) or AUTO
    if wanted not in ENGINES:
        raise Refused(
            ENGINE_VARIABLE,
            got=repr(wanted),
            expected=f"one of {', '.join(ENGINES)}",
            remedy="unset it for auto",
        )
    if wanted == CUDA_GRAPH:
        return _on_cuda_graphs(precision, device)
    if wanted in (AUTO, NUMBA) and device.type == "cpu" and precision in ("auto", "fp32", INT8):
        trouble = _numba_trouble(config)
        if trouble is None:
            return Choice(NUMBA, INT8 if precision == "auto" else precision, device)
        if wanted == NUMBA or precision == INT8:
            expected, remedy = trouble
            raise Refused(
                "fast CPU engine",
                got=f"{wanted} as engine and {precision} as precision",
                expected=expected,
                remedy=f"{remedy}, or choose torch and auto",
            )
    if wanted == NUMBA:
        raise Refused(
            ENGINE_VARIABLE,
            got=f"{wanted} for {precision} on {device.type}",
            expected="fp32 or int8 on cpu",
            remedy="choose those, or unset the variable",
        )
    return Choice(TORCH, _torch_precision(precision, device), device)


def _numba_trouble(config: LMConfig | None) -> tuple[str, str] | None:
    """What the fast CPU engine expects and does not have here, and what to do about it; or None."""
    if find_spec("numba") is None:
        return "Numba to be installed", "pip install 'musicgraph[cpu]'"
    if config is None:
        return None
    sizes = {"hidden_size": 32, "ffn_size": 32, "head_size": 16, "codebook_size": 64}
    uneven = [
        f"{name} {getattr(config, name)}"
        for name, unit in sizes.items()
        if getattr(config, name) % unit
    ]
    if uneven:
        expected = f"a model whose sizes are multiples of {sizes}, not {', '.join(uneven)}"
        return expected, "take another model"
    return None


def _on_cuda_graphs(precision: str, device: torch.device) -> Choice:
    if device.type != "cuda":
        raise Refused(
            ENGINE_VARIABLE,
            got=f"{CUDA_GRAPH} on {device.type}",
            expected="cuda",
            remedy="unset the variable",
        )
    return Choice(CUDA_GRAPH, _torch_precision(precision, device), device)


def _torch_precision(precision: str, device: torch.device) -> str:
    if precision == INT8:
        raise Refused(
            "precision",
            got=f"int8 with torch on {device.type}",
            expected="the CPU with Numba (pip install 'musicgraph[cpu]') for int8",
            remedy="choose auto",
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
        dtype = DTYPES[choice.precision]
        self._resident = host.Resident(
            checkpoint.load_lm(opened, dtype, host.loading_device(choice.device)), choice.device
        )
        self._engine = choice.engine

    def ready(self, working_bytes: int) -> Engine:
        lm = self._resident.ready(working_bytes)
        if self._engine == CUDA_GRAPH:
            from ..models.engines.cuda_graphs import CudaGraphEngine

            return CudaGraphEngine(lm)
        return TorchEngine(lm)


class _OnNumba:
    """Weights stay where their file is mapped: the computer's own memory, which nobody has to manage."""

    def __init__(self, opened: checkpoint.Checkpoint, choice: Choice, on_progress: host.OnProgress):
        from ..models.engines.numba_engine import NumbaEngine

        self._engine = NumbaEngine(opened, choice.precision, on_progress)

    def ready(self, working_bytes: int) -> Engine:
        return self._engine


def load(
    opened: checkpoint.Checkpoint, choice: Choice, on_progress: host.OnProgress = _ignore
) -> Source:
    """`on_progress(done, total)` counts tensors that are prepared, where any are."""
    if choice.engine == NUMBA:
        return _OnNumba(opened, choice, on_progress)
    return _OnTorch(opened, choice)


def first_time(choice: Choice) -> str:
    """What to tell somebody who waits for the first start of an engine."""
    return "; compiled once for this processor, up to a minute" if choice.engine == NUMBA else ""
