"""Reading a piece as a whole, looking both ways, as models do that fill in what is masked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..conditioning import Conditioning
from ..lm import MusicGenLM, Reading, together


class WholePiece:
    """Rows that read all frames of a piece at once; a row for each branch of each item.

    What they hear is projected once.
    """

    def __init__(self, lm: MusicGenLM, heard: Sequence[Conditioning | None], frames: int):
        self._lm, self._caches = lm, lm.allocate(len(heard), frames)
        with torch.inference_mode():
            read = [lm.read_text(one) for one in heard]
        texts = {row: text for row, text in enumerate(read) if text is not None}
        device = lm.norm.weight.device
        self._positions = torch.arange(frames, device=device)
        self._text = together(list(texts.values())) if texts else None
        self._listeners = torch.tensor(list(texts), device=device)

    @torch.inference_mode()
    def logits(self, tokens: Tensor, codebook: int, reach: int | None) -> Tensor:
        """int64 `[R, K, T]` → float32 `[R, T, V]` of one codebook, at every frame.

        Frames attend to those at most `reach` away; None: to all.
        """
        frames, mask = len(self._positions), None
        if reach is not None:
            mask = (self._positions.unsqueeze(-1) - self._positions).abs() <= reach
        rows = slice(0, len(tokens))
        reading = Reading(
            rows, self._positions, frames, mask, text=self._text, listeners=self._listeners
        )
        x = self._lm.norm(self._lm(self._lm.embed(tokens), self._caches, reading))
        heads = self._lm.heads.weight.unflatten(0, (self._lm.config.num_codebooks, -1))
        return F.linear(x, heads[codebook]).float()
