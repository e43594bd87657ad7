"""Which engine runs the LM, in which precision: by device, by what is installed, by the user's
word.

A graph says the precision, because that is heard. The engine is the machine's own business: `auto`
takes the fastest that is known to work, and `MUSICGRAPH_ENGINE` names one. Needs no torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..config import LMConfig
from ..refused import Refused
from .numba_sizes import MULTIPLES, uneven_sizes

if TYPE_CHECKING:
    from .cuda_graphs import CudaGraphEngine
    from .numba_engine import NumbaEngine
    from .session import Engine, TorchEngine
    from .shared import SharedEngine

    # each has to be an Engine, whose sessions are Sessions: `make lint` compares
    _ENGINES: tuple[type[Engine], ...] = (TorchEngine, NumbaEngine, CudaGraphEngine, SharedEngine)

AUTO, TORCH, NUMBA, CUDA_GRAPH = "auto", "torch", "numba", "cuda-graph"
ENGINES = (AUTO, TORCH, NUMBA, CUDA_GRAPH)
ENGINE_VARIABLE = "MUSICGRAPH_ENGINE"
INT8, INT4 = "int8", "int4"
PACKED = (INT8, INT4)
"""what the fast CPU engine alone knows; auto is never int4, which costs something"""
STEPWISE = "a model that composes step by step, no MAGNeT"
PRECISIONS = ("auto", "fp32", INT8, INT4, "fp16", "bf16")


@dataclass(frozen=True)
class EngineChoice:
    engine: str
    precision: str
    device: str
    """torch's word for its kind: cpu, cuda, mps"""

    def __str__(self) -> str:
        return f"{self.engine} {self.precision} on {self.device}"


def named() -> str:
    """The user's word for an engine; not checked."""
    return os.environ.get(ENGINE_VARIABLE) or AUTO


def choose(
    precision: str, device: str, config: LMConfig | None, supports_fp16: bool
) -> EngineChoice:
    """What runs a model of which `precision` (one of `PRECISIONS`) was asked for.

    `device` is torch's word for its kind. Without a `config`, of a model that is still to be
    downloaded, its sizes are taken to fit.
    `supports_fp16` says whether the device is good at half precision, which only the host knows.

    Raises Refused if the machine or the named engine cannot do it, with what to do.
    """
    wanted = named()
    if wanted not in ENGINES:
        raise Refused(
            ENGINE_VARIABLE,
            got=repr(wanted),
            expected=f"one of {', '.join(ENGINES)}",
            remedy="unset it for auto",
        )
    if wanted == CUDA_GRAPH:
        return _on_cuda_graphs(precision, device, config, supports_fp16)
    if wanted in (AUTO, NUMBA) and device == "cpu" and precision in ("auto", "fp32", *PACKED):
        trouble = _numba_trouble(config)
        if trouble is None:
            return EngineChoice(NUMBA, INT8 if precision == "auto" else precision, device)
        if wanted == NUMBA or precision in PACKED:
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
            got=f"{wanted} for {precision} on {device}",
            expected="fp32, int8 or int4 on cpu",
            remedy="choose those, or unset the variable",
        )
    return EngineChoice(TORCH, _torch_precision(precision, device, supports_fp16), device)


def _numba_trouble(config: LMConfig | None) -> tuple[str, str] | None:
    """What the fast CPU engine expects and does not have here, and what to do about it; or None."""
    if find_spec("numba") is None:
        return "Numba to be installed", "pip install 'musicgraph[cpu]'"
    if config is None:
        return None
    if config.magnet is not None:
        return STEPWISE, "take a MusicGen"
    uneven = [f"{name} {size}" for name, size in uneven_sizes(config).items()]
    if uneven:
        expected = f"a model whose sizes are multiples of {MULTIPLES}, not {', '.join(uneven)}"
        return expected, "take another model"
    return None


def _on_cuda_graphs(
    precision: str, device: str, config: LMConfig | None, supports_fp16: bool
) -> EngineChoice:
    stepwise = config is None or config.magnet is None
    for fine, got, expected in (
        (device == "cuda", f"{CUDA_GRAPH} on {device}", "cuda"),
        (stepwise, f"{CUDA_GRAPH} for a MAGNeT", STEPWISE),
    ):
        if not fine:
            remedy = "unset the variable"
            raise Refused(ENGINE_VARIABLE, got=got, expected=expected, remedy=remedy)
    return EngineChoice(CUDA_GRAPH, _torch_precision(precision, device, supports_fp16), device)


def _torch_precision(precision: str, device: str, supports_fp16: bool) -> str:
    if precision in PACKED:
        raise Refused(
            "precision",
            got=f"{precision} with torch on {device}",
            expected=f"the CPU with Numba (pip install 'musicgraph[cpu]') for {precision}",
            remedy="choose auto",
        )
    if precision != "auto":
        return precision
    return "fp16" if supports_fp16 and device != "cpu" else "fp32"


def first_time(choice: EngineChoice) -> str:
    """What to tell somebody who waits for the first start of an engine."""
    words = "; compiled once for this processor, about 13 s of one core"
    return words if choice.engine == NUMBA else ""
