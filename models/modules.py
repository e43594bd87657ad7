"""torch's modules, where its own say too little of their type or do too much when they are made."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

M = TypeVar("M", bound=nn.Module)


def all_of(modules: nn.ModuleList, kind: type[M]) -> list[M]:
    """The modules of a list of which every one is of this kind."""
    found = [module for module in modules if isinstance(module, kind)]
    assert len(found) == len(modules), kind
    return found


class Embedding(nn.Module):
    """Tables without the random numbers of torch's own, whose making on the meta device imports
    half of torch.
    """

    def __init__(self, count: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, size))

    def forward(self, index: Tensor) -> Tensor:
        return F.embedding(index, self.weight)
