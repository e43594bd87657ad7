"""A model's engine: its weights under the host's memory manager, or mapped from files."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from ..models.engines.choose import CUDA_GRAPH, NUMBA, EngineChoice, first_time
from ..models.engines.session import Engine, TorchEngine
from ..models.precision import DTYPES
from ..models.weights import checkpoint
from . import host

if TYPE_CHECKING:
    import torch

    from ..models.weights.contract import Weights


log = logging.getLogger("musicgraph")


def _ignore(*_: object) -> None:
    pass


class ResidentEngine(Protocol):
    """An engine that may have to be brought to its device first."""

    def ready(self, working_bytes: int) -> Engine:
        """The engine, with room for `working_bytes` beside it."""
        ...


class _OnTorch:
    """Weights under ComfyUI's memory manager where there is one; a new engine for every run."""

    def __init__(self, weights: Weights, choice: EngineChoice, device: torch.device):
        dtype = DTYPES[choice.precision]
        self._resident = host.Resident(
            checkpoint.load_lm(weights, dtype, host.loading_device(device)), device
        )
        self._engine = choice.engine

    def ready(self, working_bytes: int) -> Engine:
        lm = self._resident.ready(working_bytes)
        if self._engine == CUDA_GRAPH:
            from ..models.engines.cuda_graphs import CudaGraphEngine

            return CudaGraphEngine(lm)
        return TorchEngine(lm)


class _OnNumba:
    """Weights stay where their files are mapped, which nobody has to manage; runs that compose at
    once share its steps.
    """

    def __init__(self, weights: Weights, choice: EngineChoice, on_progress: host.OnProgress):
        from ..models.engines.numba_engine import NumbaEngine
        from ..models.engines.shared import SharedEngine

        self._engine = SharedEngine(NumbaEngine(weights, choice.precision, on_progress))

    def ready(self, working_bytes: int) -> Engine:
        return self._engine


class WaitingEngine:
    """Loaded when it is first asked for. So a model that only an adapter is put on is never
    loaded without it.
    """

    def __init__(self, weights: Weights, choice: EngineChoice, device: torch.device, name: str):
        self._weights, self._choice, self._device, self._name = weights, choice, device, name
        self._loaded: ResidentEngine | None = None
        self._loading = threading.Lock()

    def ready(self, working_bytes: int) -> Engine:
        """Raises Refused if a weight is no number."""
        with host.held(self._loading):  # of runs that begin at once, one loads
            if self._loaded is None:
                host.say(f"loading {self._name}: {self._choice}{first_time(self._choice)}")
                self._loaded = host.stoppable(self._load)
                host.show(f"{self._name}: {self._choice}")
        return self._loaded.ready(working_bytes)

    def _load(self, on_progress: host.OnProgress) -> ResidentEngine:
        loaded = load(self._weights, self._choice, self._device, on_progress)
        log.info("loaded %s from %s: %s", self._name, self._weights.folder, self._choice)
        return loaded


def load(
    weights: Weights,
    choice: EngineChoice,
    device: torch.device,
    on_progress: host.OnProgress = _ignore,
) -> ResidentEngine:
    """`on_progress(done, total)` counts tensors that are prepared, where any are."""
    if choice.engine == NUMBA:
        return _OnNumba(weights, choice, on_progress)
    return _OnTorch(weights, choice, device)
