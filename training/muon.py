"""Muon (Jordan et al. 2024): momentum whose every step is made orthogonal, for layers' matrices.

torch has it too, but orthogonalises in bfloat16 whatever the machine: a CPU without instructions
for that spends ten times as long there as in all the rest of a training step. Here matrices of one
shape are orthogonalised together, in float32 or as `fast_precision` says. Not run by itself; see
train_lm.py.
"""

from collections.abc import Iterable
from itertools import groupby

import torch
from common import fast_precision
from torch import Tensor, optim

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""of the Newton-Schulz polynomial: steepest at zero, singular values end near 1, not at it"""
LIKE_ADAMW = 0.2
"""root mean square of AdamW's steps, so that one learning rate serves both (Liu et al. 2025)"""


def orthogonal(matrices: Tensor) -> Tensor:
    """float `[N, A, B]` → the same with singular values near 1."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    with fast_precision(x.device.type):
        for _ in range(ITERATIONS):
            gram = x @ x.transpose(1, 2)
            x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon(optim.Optimizer):
    """For matrices only; with Nesterov momentum and decoupled weight decay."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            for _, same in groupby(sorted(learning, key=_shape), _shape):
                self._step_together(list(same), group)

    def _step_together(self, matrices: list[Tensor], group: dict) -> None:
        """Of one shape."""
        directions = torch.stack([self._direction(p, group["momentum"]) for p in matrices])
        lr = group["lr"]
        size = lr * LIKE_ADAMW * max(matrices[0].shape) ** 0.5
        for p, step in zip(matrices, orthogonal(directions), strict=True):
            p.mul_(1 - lr * group["weight_decay"]).sub_(step, alpha=size)

    def _direction(self, p: Tensor, momentum: float) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum"], momentum)


def _shape(p: Tensor) -> tuple[int, ...]:
    return tuple(p.shape)
