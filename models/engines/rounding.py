"""Weights in 4 bits, so that products with them come out as nearly the same as can be.

In groups of 32 inputs, symmetric: w ≈ scale · code · q. Where the moments Σ x xᵀ of the inputs are
known, what rounding one input's weights gets wrong is made up for by the inputs that follow it
(GPTQ, Frantar et al. 2022, arXiv 2210.17323, with a scale searched for each group). Pure torch;
knows neither files nor tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .numba_sizes import INT4_GROUP

LEAST, MOST = -8, 7
CANDIDATES = tuple(0.7 + 0.05 * i for i in range(10))
"""of a group's scale, as shares of the one at which nothing is cut off"""
DAMPING = 0.05
"""of the moments' mean: what was not heard often is not trusted far"""


def rounded4(matrix: Tensor, moments: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """float `[O, I]`, moments `[I, I]` of its inputs → int8 `[O, I]` from -8 to 7, codes int8
    `[O, I / 32]`, float32 scales `[O]`.

    A weight is about scale · code · q. Moments of which none is above 0, or some no number (of a
    model whose weights are broken: its own refusal comes later), count as unknown.
    """
    groups = matrix.unflatten(1, (-1, INT4_GROUP))
    if moments is None or not moments.isfinite().all() or not moments.any():
        codes, unit = coded(best_scales(groups))
        whole = rounded_to(groups, (codes * unit.unsqueeze(1)).unsqueeze(2)).flatten(1)
    else:
        whole, codes, unit = _made_up_for(matrix, moments)
    return whole.to(torch.int8), codes.to(torch.int8), unit


def _made_up_for(matrix: Tensor, moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Group after group; `left` is what the weights are to be after what was rounded so far."""
    spread = _spread(moments)
    trust = spread.diagonal().square().reciprocal().unflatten(0, (-1, INT4_GROUP))
    unit = coded(best_scales(matrix.unflatten(1, (-1, INT4_GROUP)), trust))[1]
    left, whole, codes = matrix.clone(), torch.empty_like(matrix), []
    for number, begin in enumerate(range(0, matrix.shape[1], INT4_GROUP)):
        end = begin + INT4_GROUP
        wanted = best_scales(left[:, begin:end], trust[number])
        codes.append((wanted / unit).round().clamp(-127, 127))
        scale, wrong = codes[-1] * unit, []
        for i in range(begin, end):
            whole[:, i] = rounded_to(left[:, i], scale)
            wrong.append((left[:, i] - whole[:, i] * scale) / spread[i, i])
            left[:, i + 1 : end] -= wrong[-1].unsqueeze(1) * spread[i, i + 1 : end]
        left[:, end:] -= torch.stack(wrong, dim=1) @ spread[begin:end, end:]
    return whole, torch.stack(codes, dim=1), unit


def _spread(moments: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped moments' inverse: how an error in one input's weights
    is made up for by the later ones'.
    """
    damped = moments + DAMPING * moments.diagonal().mean() * torch.eye(len(moments))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)


def best_scales(groups: Tensor, trust: Tensor | float = 1.0) -> Tensor:
    """`[…, 32]` → `[…]`: of some candidates that with the least squared error, each weight's times
    its `trust`.

    They may be negative: there is one level more on one side.
    """
    largest = groups.gather(-1, groups.abs().argmax(dim=-1, keepdim=True))
    best, least = largest, torch.full_like(largest, torch.inf)
    for share in CANDIDATES:
        whole = rounded_to(groups, largest * (share / LEAST))
        fit = (trust * whole.square()).sum(dim=-1, keepdim=True)
        scale = (trust * groups * whole).sum(dim=-1, keepdim=True) / fit.clamp_min(1e-30)
        error = (trust * (groups - scale * whole).square()).sum(dim=-1, keepdim=True)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best.squeeze(-1)


def coded(scales: Tensor) -> tuple[Tensor, Tensor]:
    """`[O, G]` → whole numbers `[O, G]` from -127 to 127, and what they are multiples of, `[O]`."""
    unit = scales.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (scales / unit.unsqueeze(1)).round(), unit


def rounded_to(weights: Tensor, scales: Tensor) -> Tensor:
    """Whole numbers from -8 to 7; 0 where the scale is 0."""
    return torch.where(scales == 0, 0.0, weights / scales).round().clamp(LEAST, MOST)
