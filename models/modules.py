"""torch's lists of modules, whose own type says no more than that they hold modules."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def all_of(modules: nn.ModuleList, kind: type[M]) -> list[M]:
    """The modules of a list of which every one is of this kind."""
    found = [module for module in modules if isinstance(module, kind)]
    assert len(found) == len(modules), kind
    return found
