"""The delay pattern: how K codebooks become one sequence of steps.

Codebook k of frame t is placed at step t + 1 + delay[k]; step 0 is special (·) in every codebook.
For K = 4, T = 5:

    step         0   1   2   3   4   5   6   7   8
    codebook 0   ·   0   1   2   3   4   ·   ·   ·
    codebook 1   ·   ·   0   1   2   3   4   ·   ·
    codebook 2   ·   ·   ·   0   1   2   3   4   ·
    codebook 3   ·   ·   ·   ·   0   1   2   3   4

So T frames take T + max_delay steps after the first, and frame t is whole once step t + 1 +
max_delay is drawn. Stereo delays left and right of a codebook alike. Source: MusicGen (Copet et al.
2023, §2.2) and audiocraft's DelayedPatternProvider.
"""

from __future__ import annotations

from torch import Tensor


def delayed(tokens: Tensor, delays: tuple[int, ...], special: int) -> Tensor:
    """`[B, K, T]` frames → `[B, K, 1 + T + max_delay]` steps; undefined places hold the special
    token.
    """
    B, K, T = tokens.shape
    assert K == len(delays), (K, delays)
    steps = tokens.new_full((B, K, 1 + T + max(delays)), special)
    for k, delay in enumerate(delays):
        steps[:, k, 1 + delay : 1 + delay + T] = tokens[:, k]
    return steps
