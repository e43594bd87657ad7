"""The text encoder: a T5 encoder and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from .conditioning import Conditioning
from .config import MAX_CHARACTERS, MAX_TOKENS
from .quoting import has_surrogates
from .refused import Refused
from .t5 import T5Encoder


class Tokenizer(Protocol):
    def encode(self, text: str, /) -> list[int]:
        """Ids, the end of the text included."""
        ...


class TextEncoder(nn.Module):
    def __init__(self, t5: T5Encoder, tokenizer: Tokenizer):
        super().__init__()
        self.t5 = t5
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Conditioning:
        """One item a text. An empty text is unconditional: its mask is empty and its states are
        zeros.

        Raises Refused if there is no text at all, one cannot be written as UTF-8 or is longer than
        `MAX_TOKENS` tokens, or a state is no number.
        """
        if not texts:
            raise Refused("text", got="none", expected="at least one (it may be empty)")
        rows = self._tokens([text.strip() for text in texts])
        each = [self._states(row) for row in rows]
        states = nn.utils.rnn.pad_sequence(each, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(states.shape[1]) < lengths.unsqueeze(-1)
        mask &= torch.tensor([bool(text.strip()) for text in texts]).unsqueeze(-1)
        states = states * mask.unsqueeze(-1)
        if not bool(states.isfinite().all()):
            raise Refused(
                "text encoder",
                got="states that are NaN or infinite",
                expected="numbers",
                remedy="its weights are damaged: download the checkpoint again",
            )
        return Conditioning(tuple(texts), states, mask)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        rows = [self.tokenizer.encode(_checked(text)) for text in texts]
        length = max(map(len, rows))
        if length > MAX_TOKENS:
            raise _too_long(f"{length} tokens", f"at most {MAX_TOKENS}")
        return rows

    def _states(self, tokens: list[int]) -> Tensor:
        """`[L, d]` of one text by itself: beside others, some processors round it otherwise."""
        ids = torch.tensor([tokens], device=self.t5.norm.weight.device)
        return self.t5(ids, torch.ones_like(ids, dtype=torch.bool))[0].cpu()


def _checked(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise _too_long(f"{len(text)} characters", f"at most {MAX_CHARACTERS}")
    if has_surrogates(text):
        raise Refused(
            "text",
            got="half of a surrogate pair",
            expected="text that can be written as UTF-8",
            remedy="type the prompt again",
        )
    return text


def _too_long(got: str, expected: str) -> Refused:
    return Refused("text", got=got, expected=expected, remedy="shorten the prompt")
